// SPDX-License-Identifier: GPL-2.0
/*
 * What is charged to the memory cgroup of a user, and what a full one means.
 */
#include "shares.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PORT 7000
/* What a message takes at least that is queued: one struct. */
#define QUEUED 256
#define RDS6_INFO_SEND_MESSAGES 10012
/* A socket, its inode and its file at least; these two alone are less than half of it. */
#define SOCKET 2600
/* A map of congested ports. */
#define MAP 8192
/* The kernel charges by so much for each processor, and gives it out later. */
#define AHEAD (512L << 10)
/* What a list may have. */
#define ROOM (8L << 20)

static long cgroup_value(const char *cgroup, const char *what)
{
	char path[200];
	long bytes = -1;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", cgroup, what);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%ld", &bytes) != 1)
		exit(2 * wrong("no %s", path));
	fclose(f);
	return bytes;
}

long charged(const char *cgroup)
{
	return cgroup_value(cgroup, "memory.current");
}

void join(const char *cgroup)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	f = fopen(path, "w");
	if (!f || fprintf(f, "%d", getpid()) <= 0 || fclose(f))
		exit(2 * wrong("%s takes no process: %s", cgroup, strerror(errno)));
}

/* Whether so much was charged since then. */
static int all_charged(const char *what, const char *cgroup, long before, long least)
{
	long more = charged(cgroup) - before;

	printf("# %s: %ld kB charged, at least %ld kB used\n", what, more / 1024, least / 1024);
	if (more < least - AHEAD)
		return wrong("that is not all");
	return 0;
}

static struct at next_to(struct at a, int i)
{
	a.v4.sin_addr.s_addr = htonl(ntohl(a.v4.sin_addr.s_addr) + i);
	return a;
}

/* Becomes a user of a cgroup, with so many sockets. Returns what is charged to it now. */
static long begins(const char *cgroup, int sockets)
{
	may_open(sockets);
	join(cgroup);
	be_nobody();
	return charged(cgroup);
}

/* Sockets that nothing was done with. */
int case_sockets(int argc, char **argv)
{
	int count = atoi(argv[0]), i;
	const char *cgroup = argv[1];
	long before = begins(cgroup, count);

	for (i = 0; i < count; i++)
		opened();
	return all_charged("sockets", cgroup, before, (long)count * SOCKET);
}

/* Sockets that have an address each, and so a map. */
int case_maps(int argc, char **argv)
{
	int count = atoi(argv[1]), i;
	const char *cgroup = argv[2];
	long before = begins(cgroup, count);

	for (i = 0; i < count; i++)
		bound(next_to(at(argv[0], 0), i));
	return all_charged("maps", cgroup, before, count * MAP);
}

/* Queues as many empty messages as a user may have to a peer that is not there. */
static long queue(const char *local, struct at peer, int sockets)
{
	long taken = 0;
	int i, error;

	for (i = 0; i < sockets; i++) {
		int fd = bound(at(local, 0));

		set(fd, SOL_SOCKET, SO_SNDBUF, 1 << 30);
		for (; !(error = send_error(fd, peer, "", 0)); taken++)
			;
		if (error != EAGAIN)
			exit(wrong("%ld messages, then: %s", taken, strerror(error)));
	}
	return taken;
}

int case_queued(int argc, char **argv)
{
	int sockets = atoi(argv[2]);
	const char *cgroup = argv[3];
	long before = begins(cgroup, sockets), taken;

	taken = queue(argv[0], at(argv[1], PORT), sockets);
	if (taken < 4000)
		return wrong("only %ld messages", taken);
	return all_charged("messages", cgroup, before, taken * QUEUED);
}

/* Who asks for a list pays for it, whoever is in it. */
int case_lists(int argc, char **argv)
{
	int sockets = atoi(argv[2]), fd;
	const char *cgroup = argv[3];
	socklen_t len = ROOM;
	long before, more;
	char *list;

	may_open(sockets + 1);
	if (queue(argv[0], at(argv[1], PORT), sockets) < 4000)
		return wrong("there is nothing to list");
	/* Of the cgroup that it is in now. */
	fd = opened();
	list = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		    -1, 0);
	if (list == MAP_FAILED)
		return 2 * wrong("mmap: %s", strerror(errno));

	join(cgroup);
	be_nobody();
	before = charged(cgroup);
	if (getsockopt(fd, SOL_RDS, RDS6_INFO_SEND_MESSAGES, list, &len) <= 0)
		return wrong("no list: %s", strerror(errno));
	more = cgroup_value(cgroup, "memory.peak") - before;
	printf("# a list of %u kB: %ld kB charged at most\n", len / 1024, more / 1024);
	if (len < 2 * AHEAD)
		return wrong("it is too short to tell");
	if (more < (long)len - AHEAD)
		return wrong("that is not all");
	return 0;
}

/* The kernel is not to kill this program if there is no memory. */
static void spare_me(void)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "w");

	if (!f || fprintf(f, "-1000") <= 0 || fclose(f))
		exit(2 * wrong("oom_score_adj: %s", strerror(errno)));
}

/*
 * Pairs of sockets that are not read, until nothing is left of what the cgroup
 * may have. With one argument more the program may not be killed for that, and
 * keeps all until it is told to end.
 */
int case_full(int argc, char **argv)
{
	int pairs = atoi(argv[1]), error = 0, i;
	size_t len = atoi(argv[2]);
	int *readers = calloc(pairs, sizeof(*readers)), *senders = calloc(pairs, sizeof(*senders));
	char *data = calloc(1, len + 1);
	long sent = 0, refused = 0;

	may_open(2 * pairs);
	if (argc > 4)
		spare_me();
	join(argv[3]);
	be_nobody();
	for (i = 0; i < pairs; i++) {
		readers[i] = bound(at(argv[0], PORT + 2 * i));
		senders[i] = bound(at(argv[0], PORT + 2 * i + 1));
		set(readers[i], SOL_SOCKET, SO_RCVBUF, 1 << 30);
		set(senders[i], SOL_SOCKET, SO_SNDBUF, 1 << 30);
	}
	for (i = 0; refused < pairs; i = (i + 1) % pairs) {
		error = send_error(senders[i], at(argv[0], PORT + 2 * i), data, len);
		if (!error)
			sent++;
		refused = error ? refused + 1 : 0;
		/* One that has what it may have: the others go on. */
		if (error && error != ENOBUFS)
			break;
	}
	/* To say so takes memory. */
	for (i = 0; i < pairs / 50; i++)
		close(readers[i]);
	printf("# %d pairs: %ld messages, then: %s\n", pairs, sent, strerror(error));
	fflush(stdout);
	return argc > 4 ? pause() : error != ENOMEM;
}
