// SPDX-License-Identifier: GPL-2.0
/*
 * What one user can take of what all share.
 *
 *   rds_paths fill USER LOCAL PEER SOCKETS
 *       empty messages from so many sockets, as many as can be queued
 *   rds_paths paths USER LOCAL PEER COUNT
 *       a message to each of so many addresses, from PEER on
 *   rds_paths send USER LOCAL PEER MILLISECONDS
 *       one message, waiting at most so long, not at all if that is 0
 *
 * Addresses are IPv4 or, but for `paths`, IPv6. Says how many messages were
 * taken, and the error of the next one, if any. All but the last keep their
 * sockets until they are killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define AF_RDS_NUMBER 21
#define PORT 4000

struct at {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

static struct at at(const char *text, int port)
{
	struct at to = { .len = sizeof(to.v4) };

	if (inet_pton(AF_INET, text, &to.v4.sin_addr) == 1) {
		to.v4.sin_family = AF_INET;
	} else if (inet_pton(AF_INET6, text, &to.v6.sin6_addr) == 1) {
		to.v6.sin6_family = AF_INET6;
		to.len = sizeof(to.v6);
	} else {
		fprintf(stderr, "%s: no address\n", text);
		exit(2);
	}
	/* It is at the same place in both. */
	to.v4.sin_port = htons(port);
	return to;
}

static int bound(const char *local, int flags)
{
	struct at from = at(local, 0);
	int room = 1 << 30;
	int fd = socket(AF_RDS_NUMBER, SOCK_SEQPACKET | flags, 0);

	if (fd < 0 || bind(fd, &from.any, from.len)) {
		perror("socket");
		exit(2);
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return fd;
}

static int send_to(int fd, struct at *to)
{
	return sendto(fd, NULL, 0, 0, &to->any, to->len);
}

static void tell(long taken, int error)
{
	printf("%ld %s\n", taken, error ? strerrorname_np(error) : "ok");
	fflush(stdout);
}

static int fill(const char *local, const char *peer, long sockets)
{
	struct at to = at(peer, PORT);
	long i, taken = 0;
	int fd;

	for (i = 0; i < sockets; i++) {
		fd = bound(local, SOCK_NONBLOCK);
		while (!send_to(fd, &to))
			taken++;
	}
	tell(taken, errno);
	return pause();
}

static int paths(const char *local, const char *peer, long count)
{
	struct at to = at(peer, PORT);
	unsigned int first = ntohl(to.v4.sin_addr.s_addr);
	int fd = bound(local, SOCK_NONBLOCK);
	int error = 0;
	long i;

	for (i = 0; i < count && !error; i++) {
		to.v4.sin_addr.s_addr = htonl(first + i);
		if (send_to(fd, &to))
			error = errno;
	}
	tell(i - !!error, error);
	return pause();
}

static int send_one(const char *local, const char *peer, long wait)
{
	struct timeval time = { wait / 1000, wait % 1000 * 1000 };
	struct at to = at(peer, PORT);
	int fd = bound(local, wait ? 0 : SOCK_NONBLOCK);
	int failed;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
	failed = send_to(fd, &to);
	tell(!failed, failed ? errno : 0);
	return !!failed;
}

int main(int argc, char **argv)
{
	struct rlimit files = { 4096, 4096 };

	if (argc != 6)
		return 2;
	setrlimit(RLIMIT_NOFILE, &files);
	if (setuid(atoi(argv[2]))) {
		perror("setuid");
		return 2;
	}
	if (!strcmp(argv[1], "fill"))
		return fill(argv[3], argv[4], atol(argv[5]));
	if (!strcmp(argv[1], "paths"))
		return paths(argv[3], argv[4], atol(argv[5]));
	return send_one(argv[3], argv[4], atol(argv[5]));
}
