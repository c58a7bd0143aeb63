// SPDX-License-Identifier: GPL-2.0
/* Control messages of messages to send. */
#include "abi.h"

struct control {
	const char *what;
	int level, type, len, want;
	unsigned long words[9];
};

void controls(void)
{
	static unsigned long list[2] = { 0x1000, 0x1000 };
	static unsigned long empty[2] = { 0x1000, 0 };
	static unsigned long wraps[2] = { -4096, 8192 };
#define ARGS(bytes, vec, count) { 0, 0, bytes, (unsigned long)(vec), count, 0, 0 }
	const struct control table[] = {
		{ "another level", 1, 99, 8, 1 },
		{ "type 0", SOL_RDS, 0, 8, -EINVAL },
		{ "RDMA_STATUS", SOL_RDS, 4, 16, -EINVAL },
		{ "CONG_UPDATE", SOL_RDS, 5, 8, -EINVAL },
		{ "ASYNC_SEND", SOL_RDS, 10, 8, -EINVAL },
		{ "RXPATH_LATENCY", SOL_RDS, 11, 32, -EINVAL },
		{ "ZCOPY_COMPLETION", SOL_RDS, 13, 36, -EINVAL },
		{ "type 99", SOL_RDS, 99, 8, -EINVAL },
		{ "RDMA_ARGS, short", SOL_RDS, 1, 55, -EINVAL },
		{ "RDMA_ARGS, empty", SOL_RDS, 1, 0, -EINVAL },
		{ "RDMA_ARGS, no local memory", SOL_RDS, 1, 56, -EINVAL, ARGS(4096, list, 0) },
		{ "RDMA_ARGS, too many", SOL_RDS, 1, 56, -EMSGSIZE, ARGS(4096, list, 1025) },
		{ "RDMA_ARGS, far too many", SOL_RDS, 1, 56, -EMSGSIZE,
		  ARGS(4096, list, 1ul << 40) },
		{ "RDMA_ARGS, bad list", SOL_RDS, 1, 56, -EFAULT, ARGS(4096, 8, 1) },
		{ "RDMA_ARGS, empty piece", SOL_RDS, 1, 56, -EINVAL, ARGS(4096, empty, 1) },
		{ "RDMA_ARGS, piece that wraps", SOL_RDS, 1, 56, -EINVAL, ARGS(4096, wraps, 1) },
		{ "RDMA_ARGS, remote too long", SOL_RDS, 1, 56, -EMSGSIZE, ARGS(1 << 21, list, 1) },
		{ "RDMA_DEST, short", SOL_RDS, 2, 7, -EINVAL },
		{ "RDMA_DEST, no such memory", SOL_RDS, 2, 8, -EINVAL, { 1234 } },
		{ "RDMA_MAP, short", SOL_RDS, 3, 31, -EINVAL },
		{ "RDMA_MAP", SOL_RDS, 3, 32, -EOPNOTSUPP, { (unsigned long)list, 16, 0, 0 } },
		{ "ATOMIC_FADD, short", SOL_RDS, 6, 71, -EINVAL },
		{ "ATOMIC_CSWP, short", SOL_RDS, 7, 8, -EINVAL },
		{ "MASKED_ATOMIC_FADD, short", SOL_RDS, 8, 0, -EINVAL },
		{ "MASKED_ATOMIC_CSWP, short", SOL_RDS, 9, 71, -EINVAL },
		{ "ZCOPY_COOKIE without ZEROCOPY", SOL_RDS, 12, 4, -EINVAL },
		{ "ZCOPY_COOKIE, short", SOL_RDS, 12, 3, -EINVAL },
	};
	char control[256];
	int port, s = bound(&port), i;
	struct sockaddr_in to = v4("127.0.0.1", port);
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control,
	};
	struct cmsghdr *c = (void *)control;
	static const long bad_lengths[] = { 0, 1, 15, 1000, -1 };

	for (i = 0; i < LEN(table); i++) {
		memset(control, 0, sizeof(control));
		c->cmsg_level = table[i].level;
		c->cmsg_type = table[i].type;
		c->cmsg_len = CMSG_LEN(table[i].len);
		memcpy(CMSG_DATA(c), table[i].words, sizeof(table[i].words));
		msg.msg_controllen = CMSG_SPACE(table[i].len);
		row(NAMED("cmsg: %s", table[i].what), res(sendmsg(s, &msg, 0)), table[i].want);
	}
	for (i = 0; i < LEN(bad_lengths); i++) {
		c->cmsg_level = SOL_RDS;
		c->cmsg_type = 2;
		c->cmsg_len = bad_lengths[i];
		msg.msg_controllen = 64;
		row(NAMED("cmsg of length %ld", bad_lengths[i]), res(sendmsg(s, &msg, 0)), -EINVAL);
	}
	/* What operates and what names memory must not come together. */
	for (i = 0; i < 4; i++) {
		static const int types[4][2] = { { 2, 6 }, { 6, 3 }, { 12, 7 }, { 9, 2 } };
		struct cmsghdr *second = (void *)(control + CMSG_SPACE(72));

		memset(control, 0, sizeof(control));
		c->cmsg_level = SOL_RDS;
		second->cmsg_level = SOL_RDS;
		c->cmsg_type = types[i][0];
		second->cmsg_type = types[i][1];
		c->cmsg_len = CMSG_LEN(72);
		second->cmsg_len = CMSG_LEN(72);
		msg.msg_controllen = 2 * CMSG_SPACE(72);
		row(NAMED("cmsgs %d and %d", types[i][0], types[i][1]), res(sendmsg(s, &msg, 0)),
		    -EINVAL);
	}
	msg.msg_control = (void *)8;
	msg.msg_controllen = 32;
	row("cmsg at a bad pointer", res(sendmsg(s, &msg, 0)), -EFAULT);
	close(s);
}
