// SPDX-License-Identifier: GPL-2.0
/*
 * Sends numbered messages to a reader that is slow, and says what it meets on
 * its way. Whoever runs it opens the next gate: the peer can be reached, the
 * reader goes on.
 *
 *   rds_congest FAMILY LOCAL PEER PORT SIZE COUNT
 *
 *   full MESSAGES BYTES       the send buffer is full (EAGAIN), and poll says so
 *   writable                  poll says that there is room again
 *   congested MESSAGES BYTES  the destination has no room (ENOBUFS)
 *   waiting                   a second socket is about to send, and may block
 *   waited                    it has sent
 *   notified                  a notice says that there is room at that port
 *   sent FULL CONGESTED       all are sent; how often it was refused in all
 *
 * Then it waits until it is killed: what is under way must not be taken back.
 * The messages are those of `rds send --pattern`, with an empty one at the end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/types.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOL_RDS 276
#define RDS_CONG_MONITOR 6
#define RDS_CMSG_CONG_UPDATE 5
#define GOLDEN 0x9e3779b97f4a7c15ull

static int family;
static struct sockaddr_in local = { .sin_family = AF_INET };
static struct sockaddr_in peer = { .sin_family = AF_INET };
static size_t size;
static unsigned long full, congested;

static void fail(const char *what)
{
	printf("failed %s: %s\n", what, strerror(errno));
	exit(1);
}

static __u64 mix(__u64 x)
{
	x += GOLDEN;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static void fill(__u64 *data, __u64 number)
{
	__u64 base = mix(mix(0)) ^ (number << 32 | number >> 32);
	size_t i;

	for (i = 0; i < size / 8; i++)
		data[i] = mix(base) + GOLDEN * i;
	data[0] = number;
}

static int open_socket(void)
{
	int fd = socket(family, SOCK_SEQPACKET, 0);

	if (fd < 0)
		fail("socket");
	if (bind(fd, (void *)&local, sizeof(local)))
		fail("bind");
	return fd;
}

/* Sends a message; returns 0, EAGAIN or ENOBUFS. */
static int try(int fd, const void *data, size_t len)
{
	if (sendto(fd, data, len, MSG_DONTWAIT, (void *)&peer, sizeof(peer)) == (ssize_t)len)
		return 0;
	if (errno == EAGAIN)
		full++;
	else if (errno == ENOBUFS)
		congested++;
	else
		fail("send");
	return errno;
}

/* Waits for what poll says, without a limit. */
static int wait_for(int fd, short events)
{
	struct pollfd poller = { .fd = fd, .events = events };

	if (poll(&poller, 1, -1) != 1)
		fail("poll");
	return poller.revents;
}

static int is_now(int fd, short events)
{
	struct pollfd poller = { .fd = fd, .events = events };

	return poll(&poller, 1, 0) == 1;
}

/* Waits for the notice that the port is free. */
static void wait_notice(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[256];
	} control;
	struct msghdr msg = { .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	__u64 mask;
	ssize_t got;

	for (;;) {
		wait_for(fd, POLLIN);
		msg.msg_controllen = sizeof(control);
		got = recvmsg(fd, &msg, MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			continue;
		if (got)
			fail("recvmsg");
		for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
			if (cmsg->cmsg_level != SOL_RDS || cmsg->cmsg_type != RDS_CMSG_CONG_UPDATE)
				continue;
			memcpy(&mask, CMSG_DATA(cmsg), sizeof(mask));
			if (mask & 1ull << ntohs(peer.sin_port) % 64)
				return;
		}
	}
}

static void *blocked(void *arg)
{
	__u64 *data = calloc(1, size);
	int fd = open_socket();

	(void)arg;
	fill(data, 0);
	printf("waiting\n");
	if (sendto(fd, data, size, 0, (void *)&peer, sizeof(peer)) != (ssize_t)size)
		fail("blocking send");
	printf("waited\n");
	if (sendto(fd, NULL, 0, 0, (void *)&peer, sizeof(peer)))
		fail("blocking send of nothing");
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long count, sent = 0;
	pthread_t thread;
	__u64 *data;
	int fd, on = 1;

	setlinebuf(stdout);
	if (argc != 7 || inet_pton(AF_INET, argv[2], &local.sin_addr) != 1 ||
	    inet_pton(AF_INET, argv[3], &peer.sin_addr) != 1)
		return 2;
	family = atoi(argv[1]);
	peer.sin_port = htons(atoi(argv[4]));
	size = atoi(argv[5]);
	count = strtoul(argv[6], NULL, 0);
	if (size < 16 || size % 8)
		return 2;
	data = calloc(1, size);
	fd = open_socket();
	if (setsockopt(fd, SOL_RDS, RDS_CONG_MONITOR, &on, sizeof(on)))
		fail("monitor");

	for (fill(data, sent); !try(fd, data, size); fill(data, ++sent))
		;
	if (errno != EAGAIN || is_now(fd, POLLOUT) || is_now(fd, POLLIN))
		fail("a full buffer");
	printf("full %lu %lu\n", sent, sent * size);
	wait_for(fd, POLLOUT);
	printf("writable\n");

	for (fill(data, sent); sent < count;) {
		on = try(fd, data, size);
		if (on == ENOBUFS)
			break;
		if (on == EAGAIN)
			wait_for(fd, POLLOUT);
		else
			fill(data, ++sent);
	}
	if (sent == count)
		fail("never congested");
	printf("congested %lu %lu\n", sent, sent * size);
	if (is_now(fd, POLLIN))
		fail("a notice before there is room");
	if (pthread_create(&thread, NULL, blocked, NULL))
		fail("thread");
	wait_notice(fd);
	printf("notified\n");

	while (sent < count) {
		switch (try(fd, data, size)) {
		case 0:
			fill(data, ++sent);
			break;
		case EAGAIN:
			wait_for(fd, POLLOUT);
			break;
		default:
			wait_notice(fd);
		}
	}
	while ((on = try(fd, NULL, 0))) {
		if (on == EAGAIN)
			wait_for(fd, POLLOUT);
		else
			wait_notice(fd);
	}
	pthread_join(thread, NULL);
	printf("sent %lu %lu\n", full, congested);
	pause();
	return 0;
}
