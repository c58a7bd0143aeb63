// SPDX-License-Identifier: GPL-2.0
/*
 * A user's share of a path's queue, by any number of sockets, tasks and user
 * numbers.
 */
#define _GNU_SOURCE
#include "shares.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEER_PORT 4000
#define SLOTS 65536
/* Sockets that a user fills the queue with. Each has a limit of its own. */
#define SOCKETS 200
/* A user, and the users that it has by /etc/subuid. */
#define USER 1000
#define OTHER 1001
#define FIRST_OF_SUBORDINATES 100000
#define SUBORDINATES 17

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

/* One of many users of one user namespace: tells how many messages it has sent, and keeps them. */
static void subordinate(int number, struct at local, struct at peer, int out)
{
	long taken;

	if (setuid(number))
		_exit(2 * wrong("setuid(%d): %s", number, strerror(errno)));
	taken = fill_queue(local, peer);
	if (write(out, &taken, sizeof(taken)) != sizeof(taken))
		_exit(2);
	pause();
	_exit(0);
}

/* A user who makes a user namespace, and has many users there. */
static void landlord(struct at local, struct at peer, int in, int out)
{
	char byte = 0;
	int i;

	if (setuid(USER) || unshare(CLONE_NEWUSER))
		_exit(2 * wrong("no user namespace: %s", strerror(errno)));
	/* Its parent writes the map, as newuidmap(1) would. */
	if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
		_exit(2);
	for (i = 0; i < SUBORDINATES; i++)
		if (!fork())
			subordinate(i, local, peer, out);
	pause();
	_exit(0);
}

static int map_users(pid_t pid)
{
	char path[64], map[64];
	int fd, len, error;

	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	len = snprintf(map, sizeof(map), "0 %d %d\n", FIRST_OF_SUBORDINATES, SUBORDINATES);
	fd = open(path, O_WRONLY);
	error = fd < 0 || write(fd, map, len) != len ? errno : 0;
	close(fd);
	return error;
}

/* The error of a message of another user, or 0. */
static int error_of_other(struct at local, struct at peer)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (setuid(OTHER))
			_exit(EPERM);
		_exit(send_error(bound(local), peer, NULL, 0));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

/* All users of a user's namespace together have its share. */
int case_subuid(int argc, char **argv)
{
	struct at local = at(argv[0], 0), peer = at(argv[1], PEER_PORT);
	int to[2], from[2], i, error, status = 0;
	long taken, total = 0;
	char byte;
	pid_t pid;

	if (pipe(to) || pipe(from))
		return 2;
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		landlord(local, peer, to[0], from[1]);
	}
	setpgid(pid, pid);
	close(from[1]);
	if (read(from[0], &byte, 1) != 1)
		return 2;
	error = map_users(pid);
	if (error)
		status = 2 * wrong("uid_map: %s", strerror(error));
	else if (write(to[1], "", 1) != 1)
		status = 2;
	for (i = 0; !status && i < SUBORDINATES; i++) {
		if (read(from[0], &taken, sizeof(taken)) != sizeof(taken))
			status = 2 * wrong("only %d users", i);
		else
			total += taken;
	}
	if (!status) {
		printf("# %d users of one have %ld of %d slots\n", SUBORDINATES, total, SLOTS);
		if (total > SLOTS / 2 + SUBORDINATES || total < SLOTS / 64)
			status = wrong("that is not one user's share");
	}
	if (!status) {
		error = error_of_other(local, peer);
		if (error)
			status = wrong("another user: %s", strerror(error));
	}
	kill(-pid, SIGKILL);
	while (waitpid(-pid, NULL, 0) > 0)
		;
	return status;
}

/* One who cancels, and cancels again. */
struct canceller {
	int fd;
	struct at dest;
	atomic_int over;
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
