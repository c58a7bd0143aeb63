// SPDX-License-Identifier: GPL-2.0
/* bind, connect, destinations, getsockname and getpeername. */
#include "abi.h"

struct address {
	const char *what;
	int is6;
	const char *ip;
	int port, scope, len, family;
	int bind, connect, send;
};

/*
 * bind, connect, and a named destination of a message from a socket that is
 * bound to 127.0.0.1; 0 is success. Family and length -1: as it should be.
 */
static const struct address table[] = {
	{ "127.0.0.1", 0, "127.0.0.1", 0, 0, -1, -1, 0, 0, 0 },
	{ "127.0.0.1, 128 bytes", 0, "127.0.0.1", 0, 0, 128, -1, 0, 0, 0 },
	{ "127.255.255.254", 0, "127.255.255.254", 0, 0, -1, -1, 0, 0, 0 },
	{ "127.0.0.1, 15 bytes", 0, "127.0.0.1", 0, 0, 15, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "127.0.0.1, 8 bytes", 0, "127.0.0.1", 0, 0, 8, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "127.0.0.1, 2 bytes", 0, "127.0.0.1", 0, 0, 2, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "127.0.0.1, 1 byte", 0, "127.0.0.1", 0, 0, 1, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "0.0.0.0", 0, "0.0.0.0", 4000, 0, -1, -1, -EINVAL, -EDESTADDRREQ, -EINVAL },
	{ "255.255.255.255", 0, "255.255.255.255", 4000, 0, -1, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "224.0.0.1", 0, "224.0.0.1", 4000, 0, -1, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "239.255.255.255", 0, "239.255.255.255", 4000, 0, -1, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "240.0.0.1", 0, "240.0.0.1", 4000, 0, -1, -1, -EADDRNOTAVAIL, 0, 0 },
	{ "192.0.2.1", 0, "192.0.2.1", 4000, 0, -1, -1, -EADDRNOTAVAIL, 0, 0 },
	{ "port 1", 0, "127.0.0.1", 1, 0, -1, -1, -EINVAL, 0, 0 },
	{ "port 65535", 0, "127.0.0.1", 65535, 0, -1, -1, 0, 0, 0 },
	{ "port 2", 0, "127.0.0.1", 2, 0, -1, -1, 0, 0, 0 },
	{ "family 0", 0, "127.0.0.1", 4000, 0, -1, 0, -EINVAL, -EAFNOSUPPORT, -EINVAL },
	{ "family AF_UNIX", 0, "127.0.0.1", 4000, 0, -1, 1, -EINVAL, -EAFNOSUPPORT, -EINVAL },
	{ "family AF_RDS", 0, "127.0.0.1", 4000, 0, -1, 21, -EINVAL, -EAFNOSUPPORT, -EINVAL },
	{ "family 65535", 0, "127.0.0.1", 4000, 0, -1, 65535, -EINVAL, -EAFNOSUPPORT, -EINVAL },
	{ "family 0, 2 bytes", 0, "127.0.0.1", 4000, 0, 2, 0, -EINVAL, -EAFNOSUPPORT, -EINVAL },
	{ "::1", 1, "::1", 0, 0, -1, -1, 0, 0, -EOPNOTSUPP },
	{ "::1, 128 bytes", 1, "::1", 0, 0, 128, -1, 0, 0, -EOPNOTSUPP },
	{ "::1, 27 bytes", 1, "::1", 0, 0, 27, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "::1, 16 bytes", 1, "::1", 0, 0, 16, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "::1, 15 bytes", 1, "::1", 0, 0, 15, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "::", 1, "::", 4000, 0, -1, -1, -EINVAL, -EPROTOTYPE, -EINVAL },
	{ "ff02::1", 1, "ff02::1", 4000, 0, -1, -1, -EINVAL, -EPROTOTYPE, -EINVAL },
	{ "ff02::1%1", 1, "ff02::1", 4000, 1, -1, -1, -EINVAL, -EPROTOTYPE, -EINVAL },
	{ "fe80::1 without scope", 1, "fe80::1", 4000, 0, -1, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "fe80::1%7", 1, "fe80::1", 4000, 7, -1, -1, -EADDRNOTAVAIL, 0, -EOPNOTSUPP },
	{ "febf::1 without scope", 1, "febf::1", 4000, 0, -1, -1, -EINVAL, -EINVAL, -EINVAL },
	{ "2001:db8::1", 1, "2001:db8::1", 4000, 0, -1, -1, -EADDRNOTAVAIL, 0, -EOPNOTSUPP },
	{ "fd00::1", 1, "fd00::1", 4000, 0, -1, -1, -EADDRNOTAVAIL, 0, -EOPNOTSUPP },
	{ "::127.0.0.1", 1, "::127.0.0.1", 4000, 0, -1, -1, -EADDRNOTAVAIL, 0, -EOPNOTSUPP },
	{ "::ffff:127.0.0.1", 1, "::ffff:127.0.0.1", 0, 0, -1, -1, 0, 0, 0 },
	{ "::ffff:0.0.0.0", 1, "::ffff:0.0.0.0", 4000, 0, -1, -1, -EINVAL, -EPROTOTYPE, -EINVAL },
	{ "::ffff:255.255.255.255", 1, "::ffff:255.255.255.255", 4000, 0, -1, -1,
	  -EINVAL, -EPROTOTYPE, -EINVAL },
	{ "::ffff:224.0.0.1", 1, "::ffff:224.0.0.1", 4000, 0, -1, -1,
	  -EINVAL, -EPROTOTYPE, -EINVAL },
	{ "::1, port 1", 1, "::1", 1, 0, -1, -1, -EINVAL, 0, -EOPNOTSUPP },
};

static void address_rows(void)
{
	int i;

	for (i = 0; i < LEN(table); i++) {
		const struct address *a = &table[i];
		union {
			struct sockaddr_in in;
			struct sockaddr_in6 in6;
			struct sockaddr_storage all;
			unsigned short family;
		} at;
		int len = a->is6 ? sizeof(at.in6) : sizeof(at.in);
		int s;

		memset(&at, 0, sizeof(at));
		if (a->is6)
			at.in6 = v6(a->ip, a->port, a->scope);
		else
			at.in = v4(a->ip, a->port);
		if (a->family >= 0)
			at.family = a->family;
		if (a->len >= 0)
			len = a->len;

		s = sock();
		row(NAMED("bind to %s", a->what), res(bind(s, (void *)&at, len)), a->bind);
		close(s);
		s = sock();
		row(NAMED("connect to %s", a->what), res(connect(s, (void *)&at, len)), a->connect);
		close(s);
		s = bound(NULL);
		row(NAMED("send to %s", a->what),
		    res(sendto(s, "", 0, MSG_DONTWAIT, (void *)&at, len)), a->send);
		close(s);
	}
}

static void names(void)
{
	struct sockaddr_in at = v4("127.0.0.1", 0), other;
	struct sockaddr_in6 at6 = v6("::1", 0, 0), mapped = v6("::ffff:127.0.0.1", 0, 0);
	struct sockaddr_in6 linklocal = v6("fe80::1", 5, 7), wrong = v6("fe80::1", 5, 8);
	struct sockaddr_storage got;
	struct sockaddr_in *in = (void *)&got;
	struct sockaddr_in6 *in6 = (void *)&got;
	socklen_t len;
	int s, t;

#define GETNAME(what, call, ret, length, fam) do {			\
		memset(&got, 0xee, sizeof(got));			\
		len = sizeof(got);					\
		row(what, res(call(s, (void *)&got, &len)), ret);	\
		if (!(ret)) {						\
			row(what ": length", len, length);		\
			row(what ": family", got.ss_family, fam);	\
		}							\
	} while (0)

	s = sock();
	GETNAME("getsockname, new", getsockname, 0, 16, 0);
	row("all zeros", in->sin_port | in->sin_addr.s_addr | *(int *)in->sin_zero, 0);
	GETNAME("getpeername, new", getpeername, -ENOTCONN, 0, 0);
	row("getsockname, bad pointer", res(getsockname(s, (void *)8, &len)), -EFAULT);
	len = 4;
	row("getsockname, 4 bytes", res(getsockname(s, (void *)&got, &len)), 0);
	row("getsockname, 4 bytes: length", len, 16);
	len = -1;
	row("getsockname, -1 bytes", res(getsockname(s, (void *)&got, &len)), -EINVAL);
	other = v4("127.0.0.2", 77);
	row("connect", res(connect(s, (void *)&other, sizeof(other))), 0);
	GETNAME("getpeername, IPv4", getpeername, 0, 16, AF_INET);
	row("its port", ntohs(in->sin_port), 77);
	row("its address", in->sin_addr.s_addr == other.sin_addr.s_addr, 1);
	GETNAME("getsockname, connected to IPv4", getsockname, 0, 16, AF_INET);
	row("its address", in->sin_addr.s_addr, 0);
	row("connect again", res(connect(s, (void *)&at6, sizeof(at6))), 0);
	GETNAME("getpeername, IPv6", getpeername, 0, 28, AF_INET6);
	GETNAME("getsockname, connected to IPv6", getsockname, 0, 28, AF_INET6);
	row("its port", in6->sin6_port, 0);
	row("connect with AF_UNSPEC", res(connect(s, &(struct sockaddr){ 0 }, 16)), -EAFNOSUPPORT);
	GETNAME("getpeername, still", getpeername, 0, 28, AF_INET6);
	row("bind to IPv4 while connected to IPv6", res(bind(s, (void *)&at, sizeof(at))), 0);
	GETNAME("getsockname, bound", getsockname, 0, 16, AF_INET);
	row("its port is not 0 or 1", ntohs(in->sin_port) > 1, 1);
	row("its address", in->sin_addr.s_addr == at.sin_addr.s_addr, 1);
	row("bind again", res(bind(s, (void *)&at, sizeof(at))), -EINVAL);
	t = sock();
	at.sin_port = in->sin_port;
	row("bind to what is taken", res(bind(t, (void *)&at, sizeof(at))), -EADDRINUSE);
	mapped.sin6_port = in->sin_port;
	row("bind to what is taken, mapped", res(bind(t, (void *)&mapped, sizeof(mapped))),
	    -EADDRINUSE);
	at6.sin6_port = in->sin_port;
	row("the same port of another address", res(bind(t, (void *)&at6, sizeof(at6))), 0);
	close(s);
	close(t);
	s = sock();
	row("bind to what has become free", res(bind(s, (void *)&at, sizeof(at))), 0);
	close(s);

	s = sock();
	row("bind to a mapped address", res(bind(s, (void *)&mapped, sizeof(mapped))), 0);
	GETNAME("getsockname, mapped", getsockname, 0, 16, AF_INET);
	close(s);
	s = sock();
	at6.sin6_port = htons(4711);
	row("bind to IPv6", res(bind(s, (void *)&at6, sizeof(at6))), 0);
	GETNAME("getsockname, IPv6", getsockname, 0, 28, AF_INET6);
	row("its port", ntohs(in6->sin6_port), 4711);
	row("its address", memcmp(&in6->sin6_addr, &at6.sin6_addr, 16), 0);
	row("send to IPv4 from IPv6", res(sendto(s, "", 0, 0, (void *)&at, sizeof(at))),
	    -EOPNOTSUPP);
	close(s);

	s = sock();
	row("connect with a scope", res(connect(s, (void *)&linklocal, sizeof(linklocal))), 0);
	GETNAME("getpeername, with a scope", getpeername, 0, 28, AF_INET6);
	row("its scope", in6->sin6_scope_id, 7);
	row("bind with another scope", res(bind(s, (void *)&wrong, sizeof(wrong))), -EINVAL);
	row("bind with the same scope", res(bind(s, (void *)&linklocal, sizeof(linklocal))),
	    -EADDRNOTAVAIL);
	close(s);
	row("bind, bad pointer", res(bind(s = sock(), (void *)8, 16)), -EFAULT);
	row("bind, 129 bytes", res(bind(s, (void *)&got, 129)), -EINVAL);
	row("bind, -1 bytes", res(bind(s, (void *)&got, -1)), -EINVAL);
	row("bind, 0 bytes", res(bind(s, (void *)&got, 0)), -EINVAL);
	row("connect, bad pointer", res(connect(s, (void *)8, 16)), -EFAULT);
	row("connect, 0 bytes", res(connect(s, (void *)&got, 0)), -EINVAL);
	close(s);
}

void addresses(void)
{
	address_rows();
	names();
}
