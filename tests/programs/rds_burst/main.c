// SPDX-License-Identifier: GPL-2.0
/*
 * Two sockets of one program that send to each other and to themselves, in
 * bursts: the workload of the kernel's selftest of RDS.
 *
 *   rds_burst FAMILY ADDRESS[@NAMESPACE] ADDRESS[@NAMESPACE] PORT COUNT
 *
 * Each is bound to the RDMA transport first, or to TCP in a namespace of the
 * network that `ip netns` has made. Messages of 64 bytes, each another, go out
 * until the kernel refuses one; then all that is under way is received, the
 * buffers of the namespaces' connections are set, and so on. What each socket
 * received from each must be what was sent, in order: both are added up, and the
 * sums compared at the end. Then each list of RDS_INFO_* is asked for.
 *
 * Prints "COUNT messages in BURSTS bursts". Fails if nothing comes for two
 * minutes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOL_RDS 276
#define SO_RDS_TRANSPORT 8
#define RDS_TRANS_IB 0
#define RDS_TRANS_TCP 2
#define RDS_INFO_FIRST 10000
#define RDS_INFO_LAST 10017

#define PATIENCE 120000
#define LENGTH 64

static int fds[2];
/* Where the sockets are, and where the program is; 0 if all are in one place. */
static int spaces[2], home;
static struct sockaddr_in addrs[2];
static __u64 sent_sum[2][2], received_sum[2][2];

static void die(const char *what)
{
	fprintf(stderr, "rds_burst: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Enters a namespace, if there is one. */
static void enter(int space)
{
	if (space && setns(space, CLONE_NEWNET))
		die("setns");
}

/* Opens a namespace by its name. */
static int space_of(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		die(path);
	return fd;
}

static void set_buffer(const char *path)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, "10000", 5) != 5)
		die(path);
	close(fd);
}

/* Sets the buffers of TCP connections. */
static void set_buffers(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (!spaces[i])
			continue;
		enter(spaces[i]);
		set_buffer("/proc/sys/net/rds/tcp/rds_tcp_rcvbuf");
		set_buffer("/proc/sys/net/rds/tcp/rds_tcp_sndbuf");
		enter(home);
	}
}

static __u64 mix(__u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* One message after another: the order counts. */
static void add(__u64 *sum, const char *data)
{
	int i;

	for (i = 0; i < LENGTH; i++)
		*sum = (*sum ^ (unsigned char)data[i]) * 0x100000001b3ull;
}

/* Fills in message NUMBER. */
static void compose(char *data, __u64 number)
{
	int i;

	for (i = 0; i < LENGTH; i += 8) {
		__u64 word = mix(number * LENGTH + i + 1);

		memcpy(data + i, &word, 8);
	}
}

/* Sends until it is refused. Returns how many are sent in all. */
static __u64 burst(__u64 sent, __u64 count)
{
	char data[LENGTH];

	while (sent < count) {
		int from = sent % 2, to = 1 - sent % 3 % 2;

		compose(data, sent);
		if (sendto(fds[from], data, LENGTH, 0, (struct sockaddr *)&addrs[to],
			   sizeof(addrs[to])) != LENGTH) {
			if (errno == EAGAIN || errno == ENOBUFS)
				break;
			die("send");
		}
		add(&sent_sum[from][to], data);
		sent++;
	}
	return sent;
}

static int sender(const struct sockaddr_in *addr)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (addr->sin_addr.s_addr == addrs[i].sin_addr.s_addr &&
		    addr->sin_port == addrs[i].sin_port)
			return i;
	}
	fprintf(stderr, "rds_burst: a message from a stranger\n");
	exit(1);
}

/* Receives what is there. Returns how many have come in all. */
static __u64 take(int epoll, __u64 received)
{
	struct epoll_event events[2];
	int count = epoll_wait(epoll, events, 2, PATIENCE);
	int i;

	if (count <= 0) {
		fprintf(stderr, "rds_burst: nothing comes any more\n");
		exit(1);
	}
	for (i = 0; i < count; i++) {
		int to = events[i].data.u32;

		for (;;) {
			char data[1024];
			struct sockaddr_in from;
			socklen_t len = sizeof(from);
			ssize_t got = recvfrom(fds[to], data, sizeof(data), 0,
					       (struct sockaddr *)&from, &len);

			if (got < 0 && errno == EAGAIN)
				break;
			if (got != LENGTH)
				die("receive");
			add(&received_sum[sender(&from)][to], data);
			received++;
		}
	}
	return received;
}

/* A buffer may be too short, and a list may not exist. */
static void lists(int fd)
{
	int option;

	for (option = RDS_INFO_FIRST; option <= RDS_INFO_LAST; option++) {
		char data[1024];
		socklen_t len = sizeof(data);

		if (getsockopt(fd, SOL_RDS, option, data, &len) < 0 && errno != ENOSPC &&
		    errno != ENOPROTOOPT)
			die("a list");
	}
}

int main(int argc, char **argv)
{
	__u64 count, sent = 0, received = 0, bursts = 0;
	int i, epoll;

	if (argc != 6) {
		fprintf(stderr,
			"usage: rds_burst FAMILY ADDRESS[@NAMESPACE] ADDRESS[@NAMESPACE] PORT COUNT\n");
		return 2;
	}
	count = strtoull(argv[5], NULL, 10);
	home = open("/proc/self/ns/net", O_RDONLY);
	epoll = epoll_create1(0);
	if (home < 0 || epoll < 0)
		die("epoll");
	for (i = 0; i < 2; i++) {
		struct epoll_event event = { .events = EPOLLRDNORM, .data.u32 = i };
		char *space = strchr(argv[2 + i], '@');
		int transport = space ? RDS_TRANS_TCP : RDS_TRANS_IB;

		if (space) {
			*space = '\0';
			spaces[i] = space_of(space + 1);
		}
		addrs[i].sin_family = AF_INET;
		addrs[i].sin_port = htons(atoi(argv[4]));
		if (inet_pton(AF_INET, argv[2 + i], &addrs[i].sin_addr) != 1)
			die(argv[2 + i]);
		enter(spaces[i]);
		fds[i] = socket(atoi(argv[1]), SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
		enter(spaces[i] ? home : 0);
		if (fds[i] < 0)
			die("socket");
		if (setsockopt(fds[i], SOL_RDS, SO_RDS_TRANSPORT, &transport, sizeof(transport)))
			die("transport");
		if (bind(fds[i], (struct sockaddr *)&addrs[i], sizeof(addrs[i])))
			die("bind");
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event))
			die("epoll");
	}
	while (sent < count) {
		sent = burst(sent, count);
		bursts++;
		while (received < sent)
			received = take(epoll, received);
		set_buffers();
	}
	for (i = 0; i < 2; i++)
		lists(fds[i]);
	if (received != sent || memcmp(sent_sum, received_sum, sizeof(sent_sum))) {
		fprintf(stderr, "rds_burst: what came is not what was sent\n");
		return 1;
	}
	printf("%llu messages in %llu bursts\n", (unsigned long long)received,
	       (unsigned long long)bursts);
	return 0;
}
