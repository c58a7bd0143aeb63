// SPDX-License-Identifier: GPL-2.0
/*
 * Many threads do everything at once with RDS sockets that they share: bind,
 * send, receive, poll, set options, list, and close them under each other.
 *
 *   rds_storm FAMILY THREADS SECONDS [OURS THEIRS]
 *
 * Within the process, over the loopback address; or with the same program on
 * another host: between our address and theirs.
 *
 * Prints how much of each was done, for longer if something was not done in
 * that time; fails if it never is, or a message was not what was sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS 64
#define BASE 5000
#define MAX_LEN 20000

static int family;
static struct in_addr ours, theirs;
static atomic_int fds[SOCKETS];
static atomic_int over;
static atomic_long made, sent, received, refused, polled, listed, bad;

/* Puts a new bound socket in a place, and closes the one that was there. */
static void renew(int place)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons(BASE + place),
		.sin_addr = ours,
	};
	int fd, on = 1;

	fd = atomic_exchange(&fds[place], -1);
	if (fd >= 0)
		close(fd);
	fd = socket(family, SOCK_SEQPACKET, 0);
	if (fd < 0)
		return;
	if (bind(fd, (void *)&at, sizeof(at))) {
		close(fd);
		return;
	}
	setsockopt(fd, 276, 6, &on, sizeof(on));
	fd = atomic_exchange(&fds[place], fd);
	if (fd >= 0)
		close(fd);
	made++;
}

/* All bytes of a message are the low byte of its length. */
static void send_one(int fd, unsigned int *seed, char *data)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(BASE + rand_r(seed) % SOCKETS),
		.sin_addr = theirs,
	};
	int len = rand_r(seed) % MAX_LEN;

	memset(data, len, len);
	if (sendto(fd, data, len, MSG_DONTWAIT, (void *)&to, sizeof(to)) == len)
		sent++;
	else
		refused++;
}

static void receive_one(int fd, char *data)
{
	int len = recv(fd, data, MAX_LEN, MSG_DONTWAIT), i;

	if (len < 0)
		return;
	for (i = 0; i < len; i++) {
		if (data[i] != (char)len) {
			bad++;
			return;
		}
	}
	if (len)
		received++;
}

static void *storm(void *arg)
{
	unsigned int seed = (long)arg;
	char *data = malloc(MAX_LEN);

	while (!over) {
		int place = rand_r(&seed) % SOCKETS, fd = fds[place];
		struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
		socklen_t len = MAX_LEN;

		switch (rand_r(&seed) % 64) {
		case 0:
			renew(place);
			break;
		case 1:
			if (getsockopt(fd, 276, 10005 + rand_r(&seed) % 2, data, &len) > 0)
				listed++;
			break;
		case 2:
			if (poll(&p, 1, 1) > 0)
				polled++;
			break;
		case 3 ... 30:
			send_one(fd, &seed, data);
			break;
		default:
			receive_one(fd, data);
		}
	}
	free(data);
	return NULL;
}

int main(int argc, char **argv)
{
	int threads, seconds, i;
	pthread_t *all;

	ours.s_addr = htonl(INADDR_LOOPBACK);
	theirs = ours;
	if (argc != 4 && argc != 6)
		return 2;
	if (argc == 6 && (inet_pton(AF_INET, argv[4], &ours) != 1 ||
			  inet_pton(AF_INET, argv[5], &theirs) != 1))
		return 2;
	family = atoi(argv[1]);
	threads = atoi(argv[2]);
	seconds = atoi(argv[3]);
	all = calloc(threads, sizeof(*all));
	for (i = 0; i < SOCKETS; i++)
		fds[i] = -1;
	for (i = 0; i < SOCKETS; i++)
		renew(i);
	for (i = 0; i < threads; i++)
		if (pthread_create(&all[i], NULL, storm, (void *)(long)i))
			return 3;
	/* A machine with other work may not come to it in that time. */
	for (i = 0; i < 100; i++) {
		sleep(seconds);
		if (made > SOCKETS && sent && received && polled && listed)
			break;
	}
	over = 1;
	for (i = 0; i < threads; i++)
		pthread_join(all[i], NULL);
	printf("# made %ld, sent %ld, refused %ld, received %ld, polled %ld, listed %ld, bad %ld\n",
	       made, sent, refused, received, polled, listed, bad);
	return bad || made <= SOCKETS || !sent || !received || !polled || !listed;
}
