// SPDX-License-Identifier: GPL-2.0
/*
 * Sends requests, each a message, and prints the answer to each, a line.
 *
 *   rds_ask [-f FAMILY] [-p PORT] LOCAL SERVER PORT ITEM...
 *
 * It binds to LOCAL, and to any port unless one is given. An ITEM is
 *
 *   hex:DIGITS    a message of these bytes; no answer is awaited
 *   long:N        a request of N bytes
 *   random:N:TEXT N messages that begin with the bytes of the hexadecimal TEXT and go on at
 *                 random; no answer is awaited
 *   traffic:N     requests to put and get the keys t0 to t7, N at a time, until the program is
 *                 told to end (SIGTERM); those that have no answer within 200 ms are given up.
 *                 Prints how many answers came
 *   anything else a request
 *
 * What begins with a zero byte is not taken for an answer. Fails if an answer does not come within
 * a minute.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 60000

static struct sockaddr_in local = { .sin_family = AF_INET };
static struct sockaddr_in server = { .sin_family = AF_INET };
static int fd;
static char data[1 << 16];
static int over;

static void fail(const char *what)
{
	printf("failed to %s: %s\n", what, strerror(errno));
	exit(1);
}

static void end(int signal)
{
	(void)signal;
	__atomic_store_n(&over, 1, __ATOMIC_RELAXED);
}

/* Sends a message, within a minute. Returns 0 if that was not possible. */
static int send_one(const void *bytes, size_t len, int flags)
{
	if (sendto(fd, bytes, len, flags, (void *)&server, sizeof(server)) == (ssize_t)len)
		return 1;
	if (!flags || (errno != EAGAIN && errno != ENOBUFS))
		fail("send");
	return 0;
}

/* Returns the length of the answer that comes within some milliseconds, or -1. */
static ssize_t answer(int ms)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	ssize_t len;

	while (poll(&poller, 1, ms) > 0) {
		len = recv(fd, data, sizeof(data), MSG_DONTWAIT);
		if (len > 0 && data[0])
			return len;
		if (len < 0 && errno != EAGAIN)
			fail("receive");
	}
	return -1;
}

static void ask(const void *bytes, size_t len)
{
	ssize_t got;

	send_one(bytes, len, 0);
	errno = ETIMEDOUT;
	got = answer(PATIENCE);
	if (got < 0)
		fail("get an answer");
	printf("%.*s\n", (int)got, data);
}

static size_t from_hex(const char *text, unsigned char *bytes, size_t room)
{
	size_t len = 0;

	while (len < room && sscanf(text + 2 * len, "%2hhx", bytes + len) == 1)
		len++;
	return len;
}

static void random_ones(const char *text)
{
	static unsigned char bytes[256];
	char *rest;
	unsigned long count = strtoul(text, &rest, 10);
	size_t start, len, i;

	start = from_hex(rest + (*rest == ':'), bytes, sizeof(bytes));
	srandom(1);
	while (count--) {
		len = start + random() % (sizeof(bytes) - start + 1);
		for (i = start; i < len; i++)
			bytes[i] = random() % 4 ? random() : random() % 4;
		send_one(bytes, len, 0);
		while (answer(0) >= 0)
			;
	}
}

static void traffic(unsigned int window)
{
	unsigned long asked = 0, answered = 0;
	unsigned int i, under_way;
	char text[64];

	signal(SIGTERM, end);
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		for (i = under_way = 0; i < window; i++, asked++) {
			snprintf(text, sizeof(text), asked % 3 ? "get t%lu" : "put t%lu %lu",
				 asked % 8, asked);
			under_way += send_one(text, strlen(text), MSG_DONTWAIT);
		}
		for (; under_way && answer(200) >= 0; under_way--)
			answered++;
	}
	printf("answered %lu\n", answered);
}

int main(int argc, char **argv)
{
	int opt, family = 21;

	setlinebuf(stdout);
	while ((opt = getopt(argc, argv, "f:p:")) != -1) {
		if (opt == 'f')
			family = atoi(optarg);
		else if (opt == 'p')
			local.sin_port = htons(atoi(optarg));
		else
			return 2;
	}
	argv += optind;
	if (argc - optind < 4 || inet_pton(AF_INET, argv[0], &local.sin_addr) != 1 ||
	    inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
		return 2;
	server.sin_port = htons(atoi(argv[2]));

	fd = socket(family, SOCK_SEQPACKET, 0);
	if (fd < 0)
		fail("make a socket");
	if (bind(fd, (void *)&local, sizeof(local)))
		fail("bind");
	for (argv += 3; *argv; argv++) {
		if (!strncmp(*argv, "hex:", 4)) {
			send_one(data, from_hex(*argv + 4, (void *)data, sizeof(data)), 0);
		} else if (!strncmp(*argv, "long:", 5)) {
			memset(data, 'x', sizeof(data));
			ask(data, strtoul(*argv + 5, NULL, 10) % sizeof(data));
		} else if (!strncmp(*argv, "random:", 7)) {
			random_ones(*argv + 7);
		} else if (!strncmp(*argv, "traffic:", 8)) {
			traffic(atoi(*argv + 8));
		} else {
			ask(*argv, strlen(*argv));
		}
	}
	return 0;
}
