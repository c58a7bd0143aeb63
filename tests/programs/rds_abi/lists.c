// SPDX-License-Identifier: GPL-2.0
/* RDS_INFO_*: how the length is asked for, and what is in the records. */
#include "abi.h"

static char buffer[1 << 20];

/* Reads a list into `len` bytes, and returns what getsockopt does and the length it told. */
static long list(int s, int number, long len, socklen_t *told)
{
	*told = len;
	memset(buffer, 0xee, sizeof(buffer));
	return res(getsockopt(s, SOL_RDS, number, buffer, told));
}

/* Whether a list has a record that starts with these bytes, at this offset in it. */
static int has(long stride, socklen_t len, int offset, const void *bytes, int count)
{
	socklen_t at;

	for (at = 0; stride > 0 && at + stride <= len; at += stride)
		if (!memcmp(buffer + at + offset, bytes, count))
			return 1;
	return 0;
}

static void lengths(void)
{
	static const struct {
		const char *what;
		int number, stride;
	} table[] = {
		{ "COUNTERS", 10000, 40 },
		{ "CONNECTIONS", 10001, 42 },
		{ "SEND_MESSAGES", 10003, 26 },
		{ "RETRANS_MESSAGES", 10004, 26 },
		{ "RECV_MESSAGES", 10005, 26 },
		{ "SOCKETS", 10006, 28 },
		{ "6_CONNECTIONS", 10011, 65 },
		{ "6_SEND_MESSAGES", 10012, 50 },
		{ "6_RETRANS_MESSAGES", 10013, 50 },
		{ "6_RECV_MESSAGES", 10014, 50 },
		{ "6_SOCKETS", 10015, 52 },
	};
	int i, s = sock();
	socklen_t len, again;

	for (i = 0; i < LEN(table); i++) {
		const char *what = table[i].what;
		long ret = list(s, table[i].number, sizeof(buffer), &len);

		row(NAMED("%s", what), ret, table[i].stride);
		row(NAMED("%s: whole records", what), len % table[i].stride, 0);
		row(NAMED("%s: asked for its length", what), list(s, table[i].number, 0, &again),
		    len ? -ENOSPC : table[i].stride);
		row(NAMED("%s: the same length", what), again, len);
		if (!len)
			continue;
		row(NAMED("%s: a byte too few", what), list(s, table[i].number, len - 1, &again),
		    -ENOSPC);
		row(NAMED("%s: the length then", what), again, len);
		row(NAMED("%s: just enough", what), list(s, table[i].number, len, &again),
		    table[i].stride);
		row(NAMED("%s: nothing beyond", what), (unsigned char)buffer[len], 0xee);
	}
	row("a negative length", list(s, 10000, -1, &len), -EINVAL);
	len = sizeof(buffer);
	row("a list to a bad pointer", res(getsockopt(s, SOL_RDS, 10000, (void *)8, &len)),
	    -EFAULT);
	row("TCP connections", list(s, 10007, 4096, &len), -ENOPROTOOPT);
	row("TCP connections, IPv6", list(s, 10016, 4096, &len), -ENOPROTOOPT);
	row("RDMA connections", list(s, 10008, 4096, &len), OURS_C(68, -ENOPROTOOPT));
	row("RDMA connections, IPv6", list(s, 10017, 4096, &len), OURS_C(92, -ENOPROTOOPT));
	row("list 10009", list(s, 10009, 4096, &len), -ENOPROTOOPT);
	row("list 10010", list(s, 10010, 4096, &len), -ENOPROTOOPT);
	close(s);
}

static void contents(void)
{
	int port, other, s = bound(&port), t = bound(&other);
	struct sockaddr_in to = v4("127.0.0.1", other);
	unsigned short ports[2] = { htons(port), htons(other) };
	unsigned short back[2] = { htons(other), htons(port) };
	unsigned int size = 106496;
	socklen_t len;
	long ret;

	ret = list(s, 10000, sizeof(buffer), &len);
	row("the first counter", has(ret, 40, 0, "conn_reset", 11), 1);
	row("a later one", has(ret, len, 0, "cong_update_queued", 19), 1);
	row("how many there are", len / 40, OURS_C(76, 37));

	connect(s, (void *)&to, sizeof(to));
	ret = list(s, 10006, sizeof(buffer), &len);
	row("the socket", has(ret, len, 12, ports, 4), 1);
	row("its buffer", has(ret, len, 0, &size, 4), 1);
	ret = list(s, 10015, sizeof(buffer), &len);
	row("the socket, IPv6", has(ret, len, 36, ports, 4), 1);

	send_to(s, "hello", 5, other, 0);
	ret = list(s, 10005, sizeof(buffer), &len);
	row("the message that is not read", has(ret, len, 20, back, 4), 1);
	row("it alone", len, 26);
	row("its length", buffer[8], 5);
	recv(t, buffer, 10, 0);
	list(s, 10005, sizeof(buffer), &len);
	row("no message when it is read", len, 0);
	close(s);
	close(t);
}

void lists(void)
{
	lengths();
	contents();
}
