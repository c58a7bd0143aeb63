// SPDX-License-Identifier: GPL-2.0
/* setsockopt, getsockopt, and the type of service. */
#include "abi.h"

struct option {
	const char *what;
	int level, option, len;
	int words[8];
	/* 0 in the second is the same as the first. */
	int want, want_c;
};

static const struct option settable[] = {
	{ "another level", 1234, 5, 4, { 1 }, -ENOPROTOOPT },
	{ "level IPPROTO_IP", 0, 1, 4, { 1 }, -ENOPROTOOPT },
	{ "option 0", SOL_RDS, 0, 4, { 1 }, -ENOPROTOOPT },
	{ "option 4", SOL_RDS, 4, 4, { 1 }, -ENOPROTOOPT },
	{ "option 9", SOL_RDS, 9, 4, { 1 }, -ENOPROTOOPT },
	{ "option -1", SOL_RDS, -1, 4, { 1 }, -ENOPROTOOPT },
	{ "a list", SOL_RDS, 10000, 4, { 1 }, -ENOPROTOOPT },
	{ "RECVERR on", SOL_RDS, 5, 4, { 1 }, 0 },
	{ "RECVERR 7", SOL_RDS, 5, 4, { 7 }, 0 },
	{ "RECVERR off", SOL_RDS, 5, 4, { 0 }, 0 },
	{ "RECVERR, 8 bytes", SOL_RDS, 5, 8, { 1 }, 0 },
	{ "RECVERR, 3 bytes", SOL_RDS, 5, 3, { 1 }, -EINVAL },
	{ "RECVERR, 0 bytes", SOL_RDS, 5, 0, { 1 }, -EINVAL },
	{ "RECVERR, -1 bytes", SOL_RDS, 5, -1, { 1 }, -EINVAL },
	{ "CONG_MONITOR on", SOL_RDS, 6, 4, { 1 }, 0 },
	{ "CONG_MONITOR again", SOL_RDS, 6, 4, { 2 }, 0 },
	{ "CONG_MONITOR off", SOL_RDS, 6, 4, { 0 }, 0 },
	{ "CONG_MONITOR, 3 bytes", SOL_RDS, 6, 3, { 1 }, -EINVAL },
	{ "TRANSPORT, 3 bytes", SOL_RDS, 8, 3, { 0 }, -EINVAL },
	{ "TRANSPORT, 8 bytes", SOL_RDS, 8, 8, { 0 }, -EINVAL },
	{ "TRANSPORT -1", SOL_RDS, 8, 4, { -1 }, -EINVAL },
	{ "TRANSPORT 3", SOL_RDS, 8, 4, { 3 }, -EINVAL },
	{ "TRANSPORT 1", SOL_RDS, 8, 4, { 1 }, -ENOPROTOOPT },
	{ "RXPATH_LATENCY, none", SOL_RDS, 10, 4, { 0 }, 0 },
	{ "RXPATH_LATENCY, all", SOL_RDS, 10, 4, { 0x02010003 }, 0 },
	{ "RXPATH_LATENCY, four", SOL_RDS, 10, 4, { 4 }, -EFAULT },
	{ "RXPATH_LATENCY, bad part", SOL_RDS, 10, 4, { 0x0301 }, -EFAULT },
	{ "RXPATH_LATENCY, bad part unused", SOL_RDS, 10, 4, { 0x030001 }, 0 },
	{ "RXPATH_LATENCY, 3 bytes", SOL_RDS, 10, 3, { 0 }, -EFAULT },
	{ "RXPATH_LATENCY, 5 bytes", SOL_RDS, 10, 5, { 0 }, -EFAULT },
	{ "SO_TIMESTAMP_OLD", SOL_RDS, 29, 4, { 1 }, 0 },
	{ "SO_TIMESTAMP_OLD, 3 bytes", SOL_RDS, 29, 3, { 1 }, -EFAULT },
	{ "SO_TIMESTAMP_OLD, 8 bytes", SOL_RDS, 29, 8, { 1 }, -EFAULT },
	{ "SO_TIMESTAMP_NEW", SOL_RDS, 63, 4, { 1 }, 0 },
	{ "SO_TIMESTAMP_NEW, 5 bytes", SOL_RDS, 63, 5, { 1 }, -EFAULT },
	{ "CANCEL_SENT_TO, unbound", SOL_RDS, 1, 16, { 2 }, -ENOTCONN },
	{ "CANCEL_SENT_TO, unbound and short", SOL_RDS, 1, 4, { 2 }, -ENOTCONN },
	{ "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 4, { 1 }, 0 },
	{ "SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP, 4, { 1 }, 0 },
	{ "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, 4, { 8192 }, 0 },
	{ "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 4, { 8192 }, 0 },
};

/* Those of a bound socket. */
static const struct option settable_bound[] = {
	{ "CANCEL_SENT_TO", SOL_RDS, 1, 16, { 2 }, 0 },
	{ "CANCEL_SENT_TO, 27 bytes", SOL_RDS, 1, 27, { 2 }, 0 },
	{ "CANCEL_SENT_TO, 28 bytes", SOL_RDS, 1, 28, { 10 }, 0 },
	{ "CANCEL_SENT_TO, 15 bytes", SOL_RDS, 1, 15, { 2 }, -EINVAL },
	{ "CANCEL_SENT_TO, 0 bytes", SOL_RDS, 1, 0, { 2 }, -EINVAL },
	{ "TRANSPORT 0", SOL_RDS, 8, 4, { 0 }, -EOPNOTSUPP },
	{ "TRANSPORT, 3 bytes", SOL_RDS, 8, 3, { 0 }, -EOPNOTSUPP },
	{ "GET_MR, short", SOL_RDS, 2, 31, { 0 }, -ENOPROTOOPT, -EINVAL },
	{ "GET_MR", SOL_RDS, 2, 32, { 0 }, -ENOPROTOOPT, -EOPNOTSUPP },
	{ "FREE_MR, all", SOL_RDS, 3, 16, { 0 }, -ENOPROTOOPT, -EINVAL },
	{ "FREE_MR, short", SOL_RDS, 3, 15, { 0 }, -ENOPROTOOPT, -EINVAL },
	{ "GET_MR_FOR_DEST, short", SOL_RDS, 7, 159, { 0 }, -ENOPROTOOPT, -EINVAL },
};

static void set_rows(const struct option *table, int count, int s)
{
	char value[256];
	int i;

	for (i = 0; i < count; i++) {
		const struct option *o = &table[i];

		memset(value, 0, sizeof(value));
		memcpy(value, o->words, sizeof(o->words));
		row(NAMED("set %s", o->what),
		    res(setsockopt(s, o->level, o->option, value, o->len)),
		    c_rds && o->want_c ? o->want_c : o->want);
	}
	row("set at a bad pointer", res(setsockopt(s, SOL_RDS, 5, (void *)8, 4)), -EFAULT);
	row("set RXPATH_LATENCY at a bad pointer", res(setsockopt(s, SOL_RDS, 10, (void *)8, 4)),
	    -EFAULT);
}

static void get_row(const char *what, int s, int level, int option, int len, int want, int value)
{
	char buffer[64];
	socklen_t got = len;
	int n;

	memset(buffer, 0xee, sizeof(buffer));
	row(NAMED("get %s", what), res(getsockopt(s, level, option, buffer, &got)), want);
	if (want)
		return;
	memcpy(&n, buffer, sizeof(n));
	row(NAMED("get %s: length", what), got, 4);
	row(NAMED("get %s: value", what), n, value);
	row(NAMED("get %s: no more than that", what), (unsigned char)buffer[4], 0xee);
}

static void all_options(void)
{
	int s = sock(), old = 0, size = 30000, port;
	socklen_t len;

	set_rows(settable, LEN(settable), s);
	close(s);
	s = bound(&port);
	set_rows(settable_bound, LEN(settable_bound), s);
	close(s);

	s = sock();
	get_row("RECVERR", s, SOL_RDS, 5, 4, 0, 0);
	get_row("RECVERR, 16 bytes", s, SOL_RDS, 5, 16, 0, 0);
	get_row("RECVERR, 3 bytes", s, SOL_RDS, 5, 3, -EINVAL, 0);
	get_row("RECVERR, 0 bytes", s, SOL_RDS, 5, 0, -EINVAL, 0);
	get_row("RECVERR, -1 bytes", s, SOL_RDS, 5, -1, -EINVAL, 0);
	setsockopt(s, SOL_RDS, 5, &size, 4);
	get_row("RECVERR, on", s, SOL_RDS, 5, 4, 0, 1);
	get_row("TRANSPORT", s, SOL_RDS, 8, 4, 0, -1);
	get_row("TRANSPORT, 3 bytes", s, SOL_RDS, 8, 3, -EINVAL, 0);
	get_row("CONG_MONITOR", s, SOL_RDS, 6, 4, -ENOPROTOOPT, 0);
	get_row("CANCEL_SENT_TO", s, SOL_RDS, 1, 4, -ENOPROTOOPT, 0);
	get_row("RXPATH_LATENCY", s, SOL_RDS, 10, 4, -ENOPROTOOPT, 0);
	get_row("option 0", s, SOL_RDS, 0, 4, -ENOPROTOOPT, 0);
	get_row("list 9999", s, SOL_RDS, 9999, 4, -ENOPROTOOPT, 0);
	get_row("list 10002", s, SOL_RDS, 10002, 4, -ENOPROTOOPT, 0);
	get_row("list 10018", s, SOL_RDS, 10018, 4, -ENOPROTOOPT, 0);
	get_row("another level", s, 1234, 5, 4, -ENOPROTOOPT, 0);
	len = 4;
	row("get at a bad pointer", res(getsockopt(s, SOL_RDS, 5, (void *)8, &len)), -EFAULT);
	row("get with a bad length pointer", res(getsockopt(s, SOL_RDS, 5, &old, (void *)8)),
	    -EFAULT);
	close(s);
	s = bound(NULL);
	get_row("TRANSPORT, loopback", s, SOL_RDS, 8, 4, 0, 3);
	setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, 4);
	get_row("SO_SNDBUF", s, SOL_SOCKET, SO_SNDBUF, 4, 0, 60000);
	get_row("SO_TYPE", s, SOL_SOCKET, SO_TYPE, 4, 0, SOCK_SEQPACKET);
	get_row("SO_DOMAIN", s, SOL_SOCKET, SO_DOMAIN, 4, 0, family);
	get_row("SO_PROTOCOL", s, SOL_SOCKET, SO_PROTOCOL, 4, 0, 0);
	get_row("SO_ERROR", s, SOL_SOCKET, SO_ERROR, 4, 0, 0);
	get_row("SO_ACCEPTCONN", s, SOL_SOCKET, SO_ACCEPTCONN, 4, 0, 0);
	close(s);
}

static void tos(void)
{
	unsigned char t = 3;
	int s = sock();

	row("SETTOS, unbound", res(ioctl(s, SETTOS, &t)), -ENOTTY);
	row("SETTOS, bad pointer", res(ioctl(s, SETTOS, 8)), -EFAULT);
	row("GETTOS", res(ioctl(s, GETTOS, &t)), 0);
	row("its value", t, 0);
	row("GETTOS, bad pointer", res(ioctl(s, GETTOS, 8)), -EFAULT);
	close(s);
	s = bound(NULL);
	row("SETTOS, loopback", res(ioctl(s, SETTOS, &t)), -ENOTTY);
	close(s);
}

void options(void)
{
	all_options();
	tos();
}
