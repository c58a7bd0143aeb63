// SPDX-License-Identifier: GPL-2.0
/*
 * Uses include/rrds.h in wrong ways, and looks at what it gets. Loads if that is
 * always the error number that the header says, else says what was not and fails
 * to load.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/module.h>
#include <linux/rds.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <rrds.h>

static uint wrong;

static void is(const char *what, long got, long wanted)
{
	if (got == wanted)
		return;
	wrong++;
	pr_err("%s: %ld, not %ld\n", what, got, wanted);
}

static void received(struct rrds_socket *sock, void *context, struct rrds_message *message)
{
	rrds_message_free(message);
}

static const struct rrds_ops ops = { .received = received };
static const struct rrds_ops none = { };

/* An address, and its length. */
struct name {
	const struct sockaddr *addr;
	int len;
};

static const struct sockaddr_in in_one = {
	.sin_family = AF_INET,
	.sin_port = cpu_to_be16(4801),
	.sin_addr.s_addr = cpu_to_be32(INADDR_LOOPBACK),
};

static const struct sockaddr_in in_other = {
	.sin_family = AF_INET,
	.sin_port = cpu_to_be16(4802),
	.sin_addr.s_addr = cpu_to_be32(INADDR_LOOPBACK + 8),
};

static const struct sockaddr_in in_nobody = {
	.sin_family = AF_INET,
	.sin_addr.s_addr = cpu_to_be32(0x0a636363),
};

static const struct sockaddr_in6 in6_one = {
	.sin6_family = AF_INET6,
	.sin6_port = cpu_to_be16(4801),
	.sin6_addr = IN6ADDR_LOOPBACK_INIT,
};

static const struct sockaddr un_none = { .sa_family = AF_UNIX };

static const struct name one = { (const struct sockaddr *)&in_one, sizeof(in_one) };
static const struct name half = { (const struct sockaddr *)&in_one, 7 };
static const struct name less = { (const struct sockaddr *)&in_one, -1 };
static const struct name other = { (const struct sockaddr *)&in_other, sizeof(in_other) };
static const struct name nobody = { (const struct sockaddr *)&in_nobody, sizeof(in_nobody) };
static const struct name v6 = { (const struct sockaddr *)&in6_one, sizeof(in6_one) };
static const struct name foreign = { &un_none, sizeof(un_none) };

static void not_bound(struct rrds_socket *sock, const struct kvec *bytes)
{
	struct sockaddr_storage addr;

	is("the address of a socket that has none", rrds_local(sock, &addr), -ENOTCONN);
	is("sending without one", rrds_send(sock, one.addr, one.len, bytes, 1, 0), -ENOTCONN);
	is("a path without one", rrds_prepare(sock, one.addr, one.len), -ENOTCONN);
	is("a type of service without one", rrds_set_tos(sock, 1), -EOPNOTSUPP);
	is("a transport of RDS's that cannot be chosen", rrds_choose_transport(sock, 3), -EINVAL);
	is("none", rrds_choose_transport(sock, -1), -EINVAL);
	is("binding to NULL", rrds_bind(sock, NULL, 0), -EINVAL);
	is("binding to half an address", rrds_bind(sock, half.addr, half.len), -EINVAL);
	is("binding to a negative length", rrds_bind(sock, less.addr, less.len), -EINVAL);
	is("binding to another family", rrds_bind(sock, foreign.addr, foreign.len), -EINVAL);
	is("binding to what is not ours", rrds_bind(sock, nobody.addr, nobody.len), -EADDRNOTAVAIL);
	is("connecting to NULL", rrds_connect(sock, NULL, 0), -EINVAL);
}

static void bound(struct rrds_socket *sock, struct rrds_socket *handled)
{
	static char byte;
	struct kvec bytes = { .iov_base = &byte, .iov_len = 1 };
	struct kvec much[17];
	void *large = kvzalloc(1 << 16, GFP_KERNEL);
	uint i;

	is("binding", rrds_bind(sock, one.addr, one.len), 0);
	is("choosing a transport too late",
	   rrds_choose_transport(sock, RDS_TRANS_TCP), -EOPNOTSUPP);
	is("binding again", rrds_bind(sock, other.addr, other.len), -EINVAL);
	is("binding to what is taken", rrds_bind(handled, one.addr, one.len), -EADDRINUSE);
	is("sending to nobody", rrds_send(sock, NULL, 0, &bytes, 1, 0), -ENOTCONN);
	is("sending to half an address",
	   rrds_send(sock, half.addr, half.len, &bytes, 1, 0), -EINVAL);
	is("sending to the other family",
	   rrds_send(sock, v6.addr, v6.len, &bytes, 1, 0), -EOPNOTSUPP);
	is("sending where there is no path",
	   rrds_send_atomic(sock, other.addr, other.len, &bytes, 1), -EHOSTUNREACH);
	is("a type of service on loopback", rrds_set_tos(sock, 1), -EOPNOTSUPP);
	is("cancelling what is for half an address",
	   rrds_cancel(sock, half.addr, half.len), -EINVAL);
	is("cancelling nothing", rrds_cancel(sock, NULL, 0), 0);
	for (i = 0; large && i < ARRAY_SIZE(much); i++)
		much[i] = (struct kvec){ .iov_base = large, .iov_len = 1 << 16 };
	if (large)
		is("more than a message may have",
		   rrds_send(sock, one.addr, one.len, much, ARRAY_SIZE(much), 0), -EMSGSIZE);
	kvfree(large);
}

static void give_buffers(struct rrds_socket *sock, struct rrds_socket *handled)
{
	void *buffer = kzalloc(RRDS_FRAGMENT, GFP_KERNEL);

	if (!buffer)
		return;
	/* It is ours again after each. */
	is("buffers, nobody to be told",
	   rrds_send_buffers(sock, one.addr, one.len, &buffer, 1, 0), -EOPNOTSUPP);
	is("buffers of a socket that is not bound",
	   rrds_send_buffers(handled, one.addr, one.len, &buffer, 1, 0), -ENOTCONN);
	is("more buffers than a message may have",
	   rrds_send_buffers(handled, one.addr, one.len, &buffer, 2 << 20, 0), -EMSGSIZE);
	memset(buffer, 1, RRDS_FRAGMENT);
	kfree(buffer);
}

static void take_messages(struct rrds_socket *sock, struct rrds_socket *handled)
{
	static char byte = 7;
	struct kvec bytes = { .iov_base = &byte, .iov_len = 1 };
	struct rrds_message *message;
	size_t len;

	is("nothing to receive", PTR_ERR(rrds_receive(sock, 0)), -EAGAIN);
	is("nothing to receive in time", PTR_ERR(rrds_receive(sock, 10)), -ETIMEDOUT);
	is("receiving what callbacks get", PTR_ERR(rrds_receive(handled, 0)), -EOPNOTSUPP);
	is("sending to oneself", rrds_send(sock, one.addr, one.len, &bytes, 1, 0), 0);
	message = rrds_receive(sock, 1000);
	is("receiving it", IS_ERR(message) ? PTR_ERR(message) : 0, 0);
	if (IS_ERR(message))
		return;
	is("its length", rrds_message_len(message), 1);
	is("its byte", *(const char *)rrds_message_at(message, 0, &len), 7);
	is("what is behind its end", (long)rrds_message_at(message, 1, &len), 0);
	is("what is far behind it", (long)rrds_message_at(message, SIZE_MAX, &len), 0);
	is("sending it on without an address",
	   rrds_send_message(sock, NULL, 0, message), -ENOTCONN);
}

static int __init misuse_init(void)
{
	static char byte;
	struct kvec bytes = { .iov_base = &byte, .iov_len = 1 };
	struct rrds_socket *sock, *handled;

	is("no namespace", PTR_ERR(rrds_open(NULL, NULL, NULL)), -EINVAL);
	is("callbacks without that for messages",
	   PTR_ERR(rrds_open(&init_net, &none, NULL)), -EINVAL);
	is("closing nothing", rrds_close(NULL, 1), 0);
	rrds_message_free(NULL);

	sock = rrds_open(&init_net, NULL, NULL);
	if (IS_ERR(sock))
		return PTR_ERR(sock);
	handled = rrds_open(&init_net, &ops, NULL);
	if (IS_ERR(handled)) {
		rrds_close(sock, 0);
		return PTR_ERR(handled);
	}
	not_bound(sock, &bytes);
	bound(sock, handled);
	give_buffers(sock, handled);
	take_messages(sock, handled);
	is("closing", rrds_close(handled, 0), 0);
	is("closing what has nothing under way", rrds_close(sock, 1000), 0);
	return wrong ? -EINVAL : 0;
}

static void __exit misuse_exit(void)
{
}

module_init(misuse_init);
module_exit(misuse_exit);
MODULE_AUTHOR("The krdma developers");
MODULE_DESCRIPTION("Misuses rrds.h");
MODULE_LICENSE("GPL");
