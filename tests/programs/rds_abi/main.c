// SPDX-License-Identifier: GPL-2.0
/*
 * What system calls on RDS sockets return, row by row, on one host without any
 * RDMA device: loopback addresses only.
 *
 *   rds_abi FAMILY [c]
 *
 * FAMILY is the number of the address family. With "c" the kernel's own RDS is
 * expected, and rows where ours differs on purpose expect what it does.
 *
 * Prints a line for each row that fails and one with the counts; fails if there
 * was any, or too few rows.
 */
#include "abi.h"
#include <fcntl.h>
#include <sys/mman.h>

int family, c_rds;
char name[256];
static int rows, failed;

void row(const char *what, long got, long want)
{
	rows++;
	if (got == want)
		return;
	failed++;
	printf("# %s: %ld (%s), not %ld (%s)\n", what, got, got < 0 ? strerror(-got) : "",
	       want, want < 0 ? strerror(-want) : "");
}

long res(long ret)
{
	return ret < 0 ? -errno : ret;
}

int sock(void)
{
	int fd = socket(family, SOCK_SEQPACKET, 0);

	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	return fd;
}

struct sockaddr_in v4(const char *ip, int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, ip, &at.sin_addr);
	return at;
}

struct sockaddr_in6 v6(const char *ip, int port, int scope)
{
	struct sockaddr_in6 at = {
		.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope,
	};

	inet_pton(AF_INET6, ip, &at.sin6_addr);
	return at;
}

int bound(int *port)
{
	struct sockaddr_in at = v4("127.0.0.1", 0);
	socklen_t len = sizeof(at);
	int fd = sock();

	if (bind(fd, (void *)&at, len) || getsockname(fd, (void *)&at, &len)) {
		perror("bind to 127.0.0.1");
		exit(1);
	}
	if (port)
		*port = ntohs(at.sin_port);
	return fd;
}

long send_to(int fd, const void *data, size_t len, int port, int flags)
{
	struct sockaddr_in to = v4("127.0.0.1", port);

	return res(sendto(fd, data, len, flags, (void *)&to, sizeof(to)));
}

static void create(void)
{
	static const struct {
		int type, protocol, want;
	} table[] = {
		{ SOCK_SEQPACKET, 0, 0 },
		{ SOCK_SEQPACKET | SOCK_NONBLOCK, 0, 0 },
		{ SOCK_SEQPACKET | SOCK_CLOEXEC, 0, 0 },
		{ SOCK_SEQPACKET, 1, -ESOCKTNOSUPPORT },
		{ SOCK_SEQPACKET, 255, -ESOCKTNOSUPPORT },
		{ SOCK_SEQPACKET, -1, -ESOCKTNOSUPPORT },
		{ SOCK_STREAM, 0, -ESOCKTNOSUPPORT },
		{ SOCK_DGRAM, 0, -ESOCKTNOSUPPORT },
		{ SOCK_RAW, 0, -ESOCKTNOSUPPORT },
		{ SOCK_RDM, 0, -ESOCKTNOSUPPORT },
		{ SOCK_DGRAM, 17, -ESOCKTNOSUPPORT },
		{ 11, 0, -EINVAL },
		{ 0, 0, -ESOCKTNOSUPPORT },
	};
	int i, pair[2];

	for (i = 0; i < LEN(table); i++) {
		int fd = socket(family, table[i].type, table[i].protocol);

		row(NAMED("socket(type %#x, protocol %d)", table[i].type, table[i].protocol),
		    fd < 0 ? -errno : 0, table[i].want);
		if (fd >= 0)
			close(fd);
	}
	row("socketpair", res(socketpair(family, SOCK_SEQPACKET, 0, pair)), -EOPNOTSUPP);
	row("socketpair of another type", res(socketpair(family, SOCK_DGRAM, 0, pair)),
	    -ESOCKTNOSUPPORT);
}

static void no_ops(void)
{
	int fd = sock(), other = bound(NULL), i, both[2] = { fd, other };

	for (i = 0; i < 2; i++) {
		const char *which = i ? "bound" : "unbound";
		int s = both[i], how, n = 0;
		void *map;

		row(NAMED("listen, %s", which), res(listen(s, 5)), -EOPNOTSUPP);
		row(NAMED("accept, %s", which), res(accept(s, NULL, NULL)), -EOPNOTSUPP);
		for (how = 0; how < 4; how++)
			row(NAMED("shutdown(%d), %s", how, which), res(shutdown(s, how)),
			    -EOPNOTSUPP);
		map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, s, 0);
		row(NAMED("mmap, %s", which), map == MAP_FAILED ? -errno : 0, -ENODEV);
		row(NAMED("FIONREAD, %s", which), res(ioctl(s, FIONREAD, &n)), -ENOTTY);
		row(NAMED("TIOCOUTQ, %s", which), res(ioctl(s, TIOCOUTQ, &n)), -ENOTTY);
		row(NAMED("an unknown ioctl, %s", which), res(ioctl(s, 0x89ef, &n)), -ENOTTY);
		row(NAMED("lseek, %s", which), res(lseek(s, 0, SEEK_SET)), -ESPIPE);
		row(NAMED("OOB receive, %s", which), res(recv(s, &n, 1, MSG_OOB)), 0);
		row(NAMED("error queue, %s", which), res(recv(s, &n, 1, MSG_ERRQUEUE)), -EAGAIN);
		row(NAMED("nothing to receive, %s", which), res(recv(s, &n, 1, MSG_DONTWAIT)),
		    -EAGAIN);
	}
	close(fd);
	close(other);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: rds_abi FAMILY [c]\n");
		return 2;
	}
	family = atoi(argv[1]);
	c_rds = argc > 2;

	create();
	no_ops();
	addresses();
	sending();
	controls();
	options();
	lists();
	waiting();
	printf("# %d rows, %d failed\n", rows, failed);
	return failed || rows < 300;
}
