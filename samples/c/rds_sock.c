// SPDX-License-Identifier: GPL-2.0
/*
 * RDS from a kernel module, by the kernel's own calls for sockets.
 *
 * Works with any implementation of the address family. With local= alone it
 * answers every message with the same message; with peer= as well it sends
 * messages to such a module and compares the answers, and then loads or fails
 * to load, as they were right or wrong. With fixed= it tells how long they took,
 * window= of them under way.
 *
 *	insmod rds_sock.ko local=10.0.0.1
 *	insmod rds_sock.ko local=10.0.0.2 peer=10.0.0.1 count=1000
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/in6.h>
#include <linux/inet.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#define LONGEST		65536
/* How long to wait before it is looked whether the module goes. */
#define PATIENCE	(HZ / 4)
/* How long to wait for an answer. */
#define TIMEOUT		(60 * HZ)

static int family = AF_RDS;
module_param(family, int, 0444);
MODULE_PARM_DESC(family, "Number of the address family");

static char *local = "127.0.0.1";
module_param(local, charp, 0444);
MODULE_PARM_DESC(local, "Our address");

static char *peer;
module_param(peer, charp, 0444);
MODULE_PARM_DESC(peer, "Address of a module to send messages to");

static ushort port = 4500;
module_param(port, ushort, 0444);
MODULE_PARM_DESC(port, "Port of who answers");

static uint count = 100;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "Messages to send");

static uint fixed;
module_param(fixed, uint, 0444);
MODULE_PARM_DESC(fixed, "Bytes of a message whose answer is not compared, but timed");

static uint window = 1;
module_param(window, uint, 0444);
MODULE_PARM_DESC(window, "How many of those are under way");

static struct socket *sock;
static struct task_struct *server;
static u8 *buffer;

static int length_of(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) :
						sizeof(struct sockaddr_in);
}

static int parse(const char *text, u16 number, struct sockaddr_storage *address)
{
	char digits[8];

	snprintf(digits, sizeof(digits), "%u", number);
	memset(address, 0, sizeof(*address));
	return inet_pton_with_scope(&init_net, AF_UNSPEC, text, digits, address);
}

static int receive(struct sockaddr_storage *from)
{
	struct kvec vec = { .iov_base = buffer, .iov_len = LONGEST };
	struct msghdr msg = { .msg_name = from };

	return kernel_recvmsg(sock, &msg, &vec, 1, LONGEST, 0);
}

static int transmit(struct sockaddr_storage *to, size_t len)
{
	struct kvec vec = { .iov_base = buffer, .iov_len = len };
	struct msghdr msg = { .msg_name = to, .msg_namelen = length_of(to) };

	return kernel_sendmsg(sock, &msg, &vec, 1, len);
}

static int serve(void *unused)
{
	struct sockaddr_storage from;
	int ret;

	while (!kthread_should_stop()) {
		ret = receive(&from);
		if (ret >= 0)
			ret = transmit(&from, ret);
		/* Nothing came in time, or a loopback socket is gone. */
		if (ret < 0 && ret != -EAGAIN && ret != -ETIMEDOUT)
			pr_warn("not answered: %d\n", ret);
	}
	return 0;
}

/* How long message number @at is. */
static size_t length(u32 at)
{
	static const u32 lengths[] = { 0, 1, 64, 4095, 4096, 4097, LONGEST };

	return lengths[at % ARRAY_SIZE(lengths)];
}

/* What byte number @i of message number @at is. */
static u8 byte(u32 at, size_t i)
{
	return at * 31 + i;
}

static size_t fill(u32 at)
{
	size_t i, len = length(at);

	for (i = 0; i < len; i++)
		buffer[i] = byte(at, i);
	return len;
}

static bool is_right(u32 at, size_t len)
{
	size_t i;

	if (len != length(at))
		return false;
	for (i = 0; i < len; i++) {
		if (buffer[i] != byte(at, i))
			return false;
	}
	return true;
}

/* Round trips of messages of one length. */
static int measure(struct sockaddr_storage *to, u32 rounds)
{
	struct sockaddr_storage from;
	u32 sent = 0, got = 0;
	ktime_t began = ktime_get();
	int ret;

	while (got < rounds) {
		if (sent < rounds && sent - got < window) {
			ret = transmit(to, fixed);
			if (ret < 0)
				return ret;
			sent++;
			continue;
		}
		ret = receive(&from);
		if (ret < 0)
			return ret;
		if (ret != fixed)
			return -EBADMSG;
		got++;
	}
	if (rounds > 1)
		pr_info("%u bytes, %u under way: %u round trips, %lld ns each\n", fixed,
			window, rounds,
			div_s64(ktime_to_ns(ktime_sub(ktime_get(), began)), rounds));
	return 0;
}

static int ask(void)
{
	struct sockaddr_storage to, from;
	u32 at;
	int ret;

	ret = parse(peer, port, &to);
	if (ret)
		return ret;
	if (fixed) {
		/* The first one makes the connection. */
		ret = fixed > LONGEST || !window ? -EINVAL : measure(&to, 1);
		return ret ? ret : measure(&to, count);
	}
	for (at = 0; at < count; at++) {
		ret = transmit(&to, fill(at));
		if (ret < 0) {
			pr_err("message %u is not sent: %d\n", at, ret);
			return ret;
		}
		memset(buffer, 0, LONGEST);
		ret = receive(&from);
		if (ret < 0) {
			pr_err("no answer to message %u: %d\n", at, ret);
			return ret;
		}
		if (!is_right(at, ret)) {
			pr_err("the answer to message %u is wrong\n", at);
			return -EBADMSG;
		}
	}
	pr_info("%u answers, all right\n", count);
	return 0;
}

static int __init rds_sock_init(void)
{
	struct sockaddr_storage address;
	int ret;

	ret = parse(local, peer ? 0 : port, &address);
	if (ret) {
		pr_err("%s is not an address\n", local);
		return ret;
	}
	buffer = kvmalloc(LONGEST, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;

	ret = sock_create_kern(&init_net, family, SOCK_SEQPACKET, 0, &sock);
	if (ret) {
		pr_err("no socket of family %d: %d\n", family, ret);
		goto free;
	}
	WRITE_ONCE(sock->sk->sk_rcvtimeo, peer ? TIMEOUT : PATIENCE);
	ret = kernel_bind(sock, (struct sockaddr_unsized *)&address, length_of(&address));
	if (ret) {
		pr_err("can't bind to %s: %d\n", local, ret);
		goto release;
	}

	if (peer) {
		ret = ask();
		if (ret)
			goto release;
		return 0;
	}
	server = kthread_run(serve, NULL, "rds_sock");
	if (IS_ERR(server)) {
		ret = PTR_ERR(server);
		goto release;
	}
	return 0;

release:
	sock_release(sock);
free:
	kvfree(buffer);
	return ret;
}

static void __exit rds_sock_exit(void)
{
	if (server)
		kthread_stop(server);
	sock_release(sock);
	kvfree(buffer);
}

module_init(rds_sock_init);
module_exit(rds_sock_exit);

MODULE_AUTHOR("The krdma developers");
MODULE_DESCRIPTION("RDS by the kernel's own calls for sockets");
MODULE_LICENSE("GPL");
