// SPDX-License-Identifier: GPL-2.0
/*
 * A module in C that uses rrds by include/rrds.h.
 *
 * It sends messages of many lengths to a server that answers with the same data,
 * as rds_echo does, a window of them at a time, from memory of its own that is not
 * copied. It compares the answers where they are, in the context that they come
 * in, and then loads or fails to load, as they were right or wrong.
 *
 *	insmod rds_consumer.ko local=10.0.0.2 peer=10.0.0.1 count=1000
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/inet.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <rrds.h>

#define LONGEST		65536
#define WINDOW		8

static char *local = "127.0.0.1";
module_param(local, charp, 0444);
MODULE_PARM_DESC(local, "Our address");

static char *peer = "127.0.0.1";
module_param(peer, charp, 0444);
MODULE_PARM_DESC(peer, "Address of the server");

static ushort port = 4600;
module_param(port, ushort, 0444);
MODULE_PARM_DESC(port, "Port of the server");

static uint count = 100;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "Messages to send");

static uint patience = 60;
module_param(patience, uint, 0444);
MODULE_PARM_DESC(patience, "Seconds to wait for an answer");

static atomic_t answers = ATOMIC_INIT(0);
static atomic_t delivered = ATOMIC_INIT(0);
static atomic_t wrong = ATOMIC_INIT(0);
/* Once for each answer, and whenever there may be room. */
static DECLARE_COMPLETION(news);

static size_t length(u32 at)
{
	static const u32 lengths[] = { 1, 64, 65, 1024, 1025, 4095, 4096, 4097, LONGEST };

	return lengths[at % ARRAY_SIZE(lengths)];
}

static u8 byte(u32 at, size_t offset)
{
	return at * 31 + offset + offset / RRDS_FRAGMENT;
}

/* The messages of one sender come in order, and so do the answers. */
static bool is_right(u32 at, const struct rrds_message *message)
{
	size_t offset = 0, len, i;
	const u8 *piece;

	while ((piece = rrds_message_at(message, offset, &len))) {
		for (i = 0; i < len; i++) {
			if (piece[i] != byte(at, offset + i))
				return false;
		}
		offset += len;
	}
	return offset == length(at) && offset == rrds_message_len(message);
}

static void received(struct rrds_socket *sock, void *context,
		     struct rrds_message *message)
{
	u32 at = atomic_read(&answers);

	if (!is_right(at, message) && atomic_inc_return(&wrong) == 1)
		pr_err("answer %u is not what was sent\n", at);
	rrds_message_free(message);
	atomic_inc(&answers);
	complete(&news);
}

static void sent(struct rrds_socket *sock, void *context, u64 token,
		 enum rrds_outcome outcome)
{
	if (outcome == RRDS_DELIVERED)
		atomic_inc(&delivered);
	complete(&news);
}

static void room(struct rrds_socket *sock, void *context)
{
	complete(&news);
}

static const struct rrds_ops ops = {
	.received = received,
	.sent = sent,
	.room = room,
};

static int length_of(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) :
					     sizeof(struct sockaddr_in);
}

static int parse(const char *text, u16 number, struct sockaddr_storage *addr)
{
	char digits[8];
	int ret;

	snprintf(digits, sizeof(digits), "%u", number);
	memset(addr, 0, sizeof(*addr));
	ret = inet_pton_with_scope(&init_net, AF_UNSPEC, text, digits, addr);
	if (ret)
		pr_err("%s is no address\n", text);
	return ret;
}

/* One message, in buffers that are the socket's if this succeeds. */
static int send(struct rrds_socket *sock, u32 at, const struct sockaddr_storage *to)
{
	void *buffers[LONGEST / RRDS_FRAGMENT] = { };
	size_t len = length(at), i;
	int ret = -ENOMEM;

	for (i = 0; i < DIV_ROUND_UP(len, RRDS_FRAGMENT); i++) {
		buffers[i] = kmalloc(RRDS_FRAGMENT, GFP_KERNEL);
		if (!buffers[i])
			goto free;
	}
	for (i = 0; i < len; i++)
		((u8 *)buffers[i / RRDS_FRAGMENT])[i % RRDS_FRAGMENT] = byte(at, i);
	ret = rrds_send_buffers(sock, (const struct sockaddr *)to, length_of(to),
				buffers, len, at);
	if (!ret)
		return 0;
free:
	for (i = 0; i < ARRAY_SIZE(buffers); i++)
		kfree(buffers[i]);
	return ret;
}

static bool wait_for_news(void)
{
	return wait_for_completion_timeout(&news, secs_to_jiffies(patience)) > 0;
}

static int exchange(struct rrds_socket *sock, const struct sockaddr_storage *to)
{
	u32 at = 0;
	int ret;

	while (atomic_read(&answers) < count || atomic_read(&delivered) < count) {
		if (atomic_read(&wrong))
			return -EBADMSG;
		if (at < count && at - atomic_read(&answers) < WINDOW) {
			ret = send(sock, at, to);
			if (!ret) {
				at++;
				continue;
			}
			if (ret != -EAGAIN && ret != -ENOBUFS) {
				pr_err("message %u can't be sent: %d\n", at, ret);
				return ret;
			}
		}
		if (!wait_for_news()) {
			pr_err("nothing comes after %d answers\n", atomic_read(&answers));
			return -ETIMEDOUT;
		}
	}
	return atomic_read(&wrong) ? -EBADMSG : 0;
}

static int __init consumer_init(void)
{
	struct sockaddr_storage from, to;
	struct rrds_socket *sock;
	int ret;

	if (parse(local, 0, &from) || parse(peer, port, &to))
		return -EINVAL;
	sock = rrds_open(&init_net, &ops, NULL);
	if (IS_ERR(sock)) {
		pr_err("no socket: %ld\n", PTR_ERR(sock));
		return PTR_ERR(sock);
	}

	ret = rrds_bind(sock, (struct sockaddr *)&from, length_of(&from));
	if (ret)
		pr_err("can't bind to %s: %d; is it an address of this host?\n", local, ret);
	if (!ret)
		ret = rrds_prepare(sock, (struct sockaddr *)&to, length_of(&to));
	if (!ret)
		ret = exchange(sock, &to);
	rrds_close(sock, 0);
	if (!ret)
		pr_info("%u answers, all right\n", count);
	return ret;
}

static void __exit consumer_exit(void)
{
}

module_init(consumer_init);
module_exit(consumer_exit);
MODULE_AUTHOR("The krdma developers");
MODULE_DESCRIPTION("Reliable datagrams from a module in C, by rrds.h");
MODULE_LICENSE("GPL");
