// SPDX-License-Identifier: GPL-2.0
/*
 * A socket that sends to another one and receives from it, and is told by an
 * edge-triggered epoll when there is something to do.
 *
 *   rds_edge FAMILY ADDRESS PORT PEER PORT COUNT
 *
 * After each event it sends until a message is refused, and receives until
 * there is none; only then does it wait again. So a wake-up that is lost leaves
 * it waiting for ever. COUNT numbered messages go each way, of 64 bytes, and
 * each socket wants its own in order.
 *
 * Prints "done: COUNT each way, N events" and waits for the end of its input, as
 * what the other one has not acknowledged would go with the socket. Fails if
 * nothing happens for two minutes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 120000
#define LENGTH 64

static unsigned long long count, sent, received, events;
static struct sockaddr_in local, peer;
static int fd;

static void die(const char *what)
{
	printf("%s: %s; %llu sent, %llu received, %llu events\n", what, strerror(errno), sent,
	       received, events);
	exit(1);
}

static void address(struct sockaddr_in *addr, const char *host, const char *port)
{
	addr->sin_family = AF_INET;
	addr->sin_port = htons(atoi(port));
	if (inet_pton(AF_INET, host, &addr->sin_addr) != 1)
		die(host);
}

static void burst(void)
{
	unsigned long long message[LENGTH / 8];
	size_t i;

	for (; sent < count; sent++) {
		for (i = 0; i < LENGTH / 8; i++)
			message[i] = sent * (i + 1);
		if (sendto(fd, message, LENGTH, 0, (void *)&peer, sizeof(peer)) == LENGTH)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS)
			return;
		die("send");
	}
}

static void take(void)
{
	unsigned long long message[LENGTH / 8 + 1];
	ssize_t got;
	size_t i;

	while ((got = recv(fd, message, sizeof(message), 0)) == LENGTH) {
		for (i = 0; i < LENGTH / 8; i++)
			if (message[i] != received * (i + 1))
				die("another message came");
		received++;
	}
	if (got >= 0 || errno != EAGAIN)
		die("receive");
}

int main(int argc, char **argv)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	int epoll, byte;

	if (argc != 7) {
		fprintf(stderr, "usage: rds_edge FAMILY ADDRESS PORT PEER PORT COUNT\n");
		return 2;
	}
	address(&local, argv[2], argv[3]);
	address(&peer, argv[4], argv[5]);
	count = strtoull(argv[6], NULL, 10);
	epoll = epoll_create1(0);
	fd = socket(atoi(argv[1]), SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	if (epoll < 0 || fd < 0)
		die("socket");
	if (bind(fd, (void *)&local, sizeof(local)))
		die("bind");
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll");
	/* Whoever is to be written to has to be there. */
	printf("bound\n");
	fflush(stdout);
	if (read(0, &byte, 1) != 1)
		die("no start");
	for (;;) {
		burst();
		take();
		if (sent == count && received == count)
			break;
		if (epoll_wait(epoll, &event, 1, PATIENCE) != 1)
			die("nothing happens any more");
		events++;
	}
	printf("done: %llu each way, %llu events\n", count, events);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
