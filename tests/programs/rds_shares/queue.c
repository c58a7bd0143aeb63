// SPDX-License-Identifier: GPL-2.0
/*
 * A user's share of a path's queue, by any number of sockets, tasks and user
 * numbers.
 */
#include "shares.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define PEER_PORT 4000
/* Sockets that a user fills the queue with. Each has a limit of its own. */
#define SOCKETS 200

/* Sends empty messages until not even a new socket can. Returns how many. */
static long fill_queue(struct at local, struct at peer)
{
	long taken = 0, before;
	int i;

	for (i = 0; i < SOCKETS; i++) {
		int fd = bound(local);

		set(fd, SOL_SOCKET, SO_SNDBUF, 1 << 30);
		before = taken;
		while (!send_error(fd, peer, NULL, 0))
			taken++;
		if (taken == before)
			break;
	}
	return taken;
}

/* One who cancels, and cancels again. */
struct canceller {
	int fd;
	struct at dest;
	volatile int over;
};

static void *cancel_all(void *context)
{
	struct canceller *c = context;

	while (!c->over)
		setsockopt(c->fd, SOL_RDS, RDS_CANCEL_SENT_TO, &c->dest.any, c->dest.len);
	return NULL;
}

/* Who may wait waits, also while another task of it cancels what it sends. */
int case_cancels(int argc, char **argv)
{
	struct at local = at(argv[0], 0), peer = at(argv[1], PEER_PORT);
	int count = atoi(argv[2]), i, status = 0;
	struct timeval soon = { .tv_usec = 1000 };
	struct canceller c = { .dest = peer };
	pthread_t thread;

	be_nobody();
	printf("# %ld messages are queued\n", fill_queue(local, peer));
	c.fd = bound(local);
	if (setsockopt(c.fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)) ||
	    pthread_create(&thread, NULL, cancel_all, &c))
		return 2;
	for (i = 0; !status && i < count; i++) {
		if (sendto(c.fd, NULL, 0, 0, &peer.any, peer.len) >= 0)
			status = wrong("message %d is taken", i);
		else if (errno != ETIMEDOUT)
			status = wrong("message %d: %s", i, strerror(errno));
	}
	c.over = 1;
	pthread_join(thread, NULL);
	return status;
}
