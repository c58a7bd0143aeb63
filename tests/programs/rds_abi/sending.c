// SPDX-License-Identifier: GPL-2.0
/* What is sent arrives; flags, lengths, pieces, pings. */
#include "abi.h"
#include <sys/uio.h>

static void send_flags(void)
{
	static const struct {
		const char *what;
		int flag, want, c;
	} table[] = {
		{ "none", 0, 1, 1 },
		{ "DONTWAIT", MSG_DONTWAIT, 1, 1 },
		{ "OOB", MSG_OOB, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "PEEK", MSG_PEEK, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "DONTROUTE", MSG_DONTROUTE, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "CTRUNC", MSG_CTRUNC, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "TRUNC", MSG_TRUNC, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "EOR", MSG_EOR, 1, -EOPNOTSUPP },
		{ "WAITALL", MSG_WAITALL, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "CONFIRM", MSG_CONFIRM, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "RST", MSG_RST, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "ERRQUEUE", MSG_ERRQUEUE, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "NOSIGNAL", MSG_NOSIGNAL, 1, -EOPNOTSUPP },
		{ "MORE", MSG_MORE, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "WAITFORONE, which is not for it", MSG_WAITFORONE, 1, 1 },
		{ "FASTOPEN", MSG_FASTOPEN, -EOPNOTSUPP, -EOPNOTSUPP },
		{ "ZEROCOPY without a cookie", MSG_ZEROCOPY, -EINVAL, -EINVAL },
	};
	int i, port, s = bound(&port);

	for (i = 0; i < LEN(table); i++)
		row(NAMED("send with %s", table[i].what), send_to(s, "x", 1, port, table[i].flag),
		    OURS_C(table[i].want, table[i].c));
	close(s);
}

static void send_lengths(void)
{
	static const int lengths[] = { 0, 1, 4095, 4096, 4097, 65536, 106496 };
	static char data[2 << 20], got[2 << 20];
	int port, s = bound(&port), i, size = 2 << 20;
	unsigned int at;
	struct sockaddr_in from;
	socklen_t len;

	for (at = 0; at < sizeof(data); at++)
		data[at] = at * 7 + at / 4096;
	for (i = 0; i < LEN(lengths); i++) {
		row(NAMED("send %d bytes", lengths[i]), send_to(s, data, lengths[i], port, 0),
		    lengths[i]);
		memset(got, 0xee, sizeof(got));
		len = sizeof(from);
		row(NAMED("receive %d bytes", lengths[i]),
		    res(recvfrom(s, got, sizeof(got), MSG_DONTWAIT, (void *)&from, &len)),
		    lengths[i]);
		row(NAMED("the same %d bytes", lengths[i]), memcmp(data, got, lengths[i]), 0);
		row("their sender", ntohs(from.sin_port), port);
		row("the length of its address", len, 16);
	}
	row("more than the buffer", send_to(s, data, 106497, port, 0), -EMSGSIZE);
	row("more than 1 MiB", send_to(s, data, (1 << 20) + 1, port, 0), -EMSGSIZE);
	row("much more than 1 MiB", send_to(s, data, 2 << 20, port, 0), -EMSGSIZE);
	row("a larger buffer", res(setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, 4)), 0);
	row("send 1 MiB", send_to(s, data, 1 << 20, port, 0), 1 << 20);
	row("receive 1 MiB", res(recv(s, got, sizeof(got), 0)), 1 << 20);
	row("the same 1 MiB", memcmp(data, got, 1 << 20), 0);
	row("more than 1 MiB, with a larger buffer", send_to(s, data, (1 << 20) + 1, port, 0),
	    -EMSGSIZE);
	row("send from a bad pointer", send_to(s, (void *)8, 10, port, 0), -EFAULT);
	row("nothing was sent", res(recv(s, got, 1, MSG_DONTWAIT)), -EAGAIN);
	row("to a port without a socket", send_to(s, "x", 1, 2, 0), 1);
	close(s);
	s = sock();
	row("send unbound", send_to(s, "x", 1, port, 0), -ENOTCONN);
	row("send unbound and unconnected", res(send(s, "x", 1, 0)), -ENOTCONN);
	close(s);
	s = bound(&port);
	row("send unconnected", res(send(s, "x", 1, 0)), -ENOTCONN);
	row("write unconnected", res(write(s, "x", 1)), OURS_C(-ENOTCONN, -EOPNOTSUPP));
	from = v4("127.0.0.1", port);
	row("connect to itself", res(connect(s, (void *)&from, sizeof(from))), 0);
	row("send connected", res(send(s, "x", 1, 0)), 1);
	row("read", res(read(s, got, 10)), 1);
	row("write connected", res(write(s, "yz", 2)), OURS_C(2, -EOPNOTSUPP));
	if (!c_rds)
		row("read what was written", res(read(s, got, 10)), 2);
	close(s);
}

static void vectors(void)
{
	char a[3] = "abc", b[5000], c[1] = "z", got[6000];
	int port, s = bound(&port), i;
	struct sockaddr_in to = v4("127.0.0.1", port);
	struct iovec iov[3] = { { a, 3 }, { b, sizeof(b) }, { c, 1 } };
	struct iovec in[2] = { { got, 10 }, { got + 10, sizeof(got) - 10 } };
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov, .msg_iovlen = 3,
	};

	memset(b, 'b', sizeof(b));
	row("sendmsg, three pieces", res(sendmsg(s, &msg, 0)), 5004);
	msg.msg_iov = in;
	msg.msg_iovlen = 2;
	row("recvmsg, two pieces", res(recvmsg(s, &msg, 0)), 5004);
	row("no flags", msg.msg_flags & ~MSG_EOR, 0);
	row("the bytes", memcmp(got, "abcb", 4) || got[5002] != 'b' || got[5003] != 'z', 0);

	for (i = 0; i < 3; i++)
		row("send ten bytes", send_to(s, "0123456789", 10, port, 0), 10);
	msg.msg_iov = in;
	msg.msg_iovlen = 1;
	in[0].iov_len = 4;
	row("receive four", res(recvmsg(s, &msg, 0)), 4);
	row("TRUNC is told", msg.msg_flags & MSG_TRUNC, MSG_TRUNC);
	row("receive four with TRUNC", res(recvmsg(s, &msg, MSG_TRUNC)), 10);
	row("receive into nothing", res(recv(s, got, 0, 0)), 0);
	row("all are gone", res(recv(s, got, 1, MSG_DONTWAIT)), -EAGAIN);

	row("send", send_to(s, "peek", 4, port, 0), 4);
	for (i = 0; i < 3; i++)
		row("peek", res(recv(s, got, 10, MSG_PEEK | MSG_DONTWAIT)), 4);
	row("peek less with TRUNC", res(recv(s, got, 1, MSG_PEEK | MSG_TRUNC)), 4);
	row("receive to a bad pointer", res(recv(s, (void *)8, 10, 0)), -EFAULT);
	row("it is there still", res(recv(s, got, 10, MSG_DONTWAIT)), 4);
	row("and then not", res(recv(s, got, 10, MSG_DONTWAIT)), -EAGAIN);
	close(s);
}

static void pings(void)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	int port, s = bound(&port);
	struct pollfd p = { .fd = s, .events = POLLIN };
	char got[10];

	row("ping", send_to(s, "", 0, 0, 0), 0);
	row("poll for the pong", res(poll(&p, 1, 1000)), 1);
	row("receive the pong", res(recvfrom(s, got, 10, MSG_DONTWAIT, (void *)&from, &len)), 0);
	row("its port", from.sin_port, 0);
	row("its address", ntohl(from.sin_addr.s_addr), INADDR_LOOPBACK);
	row("one pong only", res(recv(s, got, 10, MSG_DONTWAIT)), -EAGAIN);
	close(s);
}

void sending(void)
{
	send_flags();
	send_lengths();
	vectors();
	pings();
}
