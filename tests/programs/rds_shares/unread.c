// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of messages on loopback that nobody reads.
 */
#include "shares.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define FIRST 10000
#define MOST 10000000
/* Data up to this length is in one of them. */
#define SHORT 64

static int get(int fd, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);

	getsockopt(fd, SOL_SOCKET, option, &value, &len);
	return value;
}

/* Each socket takes what it may, and no more; all of it is charged. */
int case_unread(int argc, char **argv)
{
	int pairs = atoi(argv[1]), i;
	size_t len = atoi(argv[2]);
	const char *cgroup = argc > 3 ? argv[3] : NULL;
	size_t each = BESIDE + (len > SHORT ? len : 0);
	long total = 0, before = 0, after;

	may_open(2 * pairs);
	if (cgroup)
		join(cgroup);
	be_nobody();
	if (cgroup)
		before = charged(cgroup);
	for (i = 0; i < pairs; i++) {
		struct at to = at(argv[0], FIRST + 2 * i);
		int reader = bound(to), sender = bound(with_port(to, FIRST + 2 * i + 1));
		int error, room;
		long sent;

		/* The system has a limit above which none is granted. */
		set(reader, SOL_SOCKET, SO_RCVBUF, 1 << 30);
		set(sender, SOL_SOCKET, SO_SNDBUF, 1 << 30);
		sent = fill(sender, to, len, MOST, &error);
		if (error != ENOBUFS)
			return wrong("pair %d: %ld messages, then: %s", i, sent, strerror(error));
		/* One message may go beyond. */
		room = get(reader, SO_RCVBUF);
		if ((sent - 1) * (long)each > room || 2 * sent * (long)each < room / 2)
			return wrong("pair %d: %ld messages of %zu bytes, SO_RCVBUF %d", i, sent,
				     len, room);
		total += sent * (long)each;
	}
	printf("# %d sockets have %ld kB unread\n", pairs, total / 1024);
	if (!cgroup)
		return 0;
	after = charged(cgroup);
	printf("# charged: %ld kB, and %ld kB before\n", after / 1024, before / 1024);
	if (after - before < total - SPARE)
		return wrong("that is not all");
	return 0;
}

/* A writer, who blocks. */
struct writer {
	int fd;
	struct at to;
	int count;
	size_t len;
	int sent, error;
};

static void *write_all(void *context)
{
	struct writer *w = context;
	char *data = calloc(1, w->len);

	for (w->sent = 0; data && w->sent < w->count; w->sent++) {
		memcpy(data, &w->sent, sizeof(w->sent));
		if (sendto(w->fd, data, w->len, 0, &w->to.any, w->to.len) != (ssize_t)w->len) {
			w->error = errno;
			break;
		}
	}
	free(data);
	return NULL;
}

/* A reader who is slower than the writer: all arrives, in order, and no call fails. */
static int slow_reader(struct at address, size_t len)
{
	struct writer w = { .to = with_port(address, 4600), .len = len };
	int reader = bound(w.to), i, value;
	pthread_t thread;

	w.fd = bound(with_port(address, 4601));
	set(reader, SOL_SOCKET, SO_RCVBUF, 16384);
	w.count = 20 * 16384 / (len + BESIDE) + 20;
	if (pthread_create(&thread, NULL, write_all, &w))
		return 2;
	for (i = 0; i < w.count; i++) {
		/* It is full more often than not. */
		if (i % 16 == 0)
			usleep(1000);
		if (recv(reader, &value, sizeof(value), 0) != sizeof(value) || value != i)
			return wrong("message %d: %d, %s", i, value, strerror(errno));
	}
	pthread_join(thread, NULL);
	close(reader);
	close(w.fd);
	if (w.sent != w.count)
		return wrong("%d of %d, then: %s", w.sent, w.count, strerror(w.error));
	return 0;
}

/* How long a writer waits is his to say. */
static int waits_no_longer(struct at address)
{
	struct at to = with_port(address, 4602);
	int reader = bound(to), sender = bound(with_port(address, 4603)), error;
	struct timeval soon = { .tv_usec = 20000 };

	set(reader, SOL_SOCKET, SO_RCVBUF, 8192);
	fill(sender, to, 100, MOST, &error);
	if (error != ENOBUFS)
		return wrong("a writer that does not wait: %s", strerror(error));
	if (setsockopt(sender, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)))
		return 2;
	if (sendto(sender, "x", 1, 0, &to.any, to.len) >= 0 || errno != ETIMEDOUT)
		return wrong("a writer that waits for some time: %s", strerror(errno));
	/* It goes on when there is room. */
	drain(reader);
	if (sendto(sender, "x", 1, 0, &to.any, to.len) != 1)
		return wrong("when it was read: %s", strerror(errno));
	close(reader);
	close(sender);
	return 0;
}

/* Who waits for a socket that goes is let go of: the message has nowhere to be. */
static int reader_goes(struct at address)
{
	struct writer w = { .to = with_port(address, 4604), .len = 100, .count = 1000 };
	int reader = bound(w.to), error;
	pthread_t thread;

	w.fd = bound(with_port(address, 4605));
	set(reader, SOL_SOCKET, SO_RCVBUF, 4096);
	fill(w.fd, w.to, w.len, MOST, &error);
	if (pthread_create(&thread, NULL, write_all, &w))
		return 2;
	usleep(20000);
	close(reader);
	pthread_join(thread, NULL);
	close(w.fd);
	if (w.sent != w.count)
		return wrong("to nobody: %d, then: %s", w.sent, strerror(w.error));
	return 0;
}

/* Answers to pings are messages, too. */
static int pings(struct at address)
{
	struct at nobody = with_port(address, 0);
	int fd = bound(with_port(address, 4606)), error, i;
	long got;

	set(fd, SOL_SOCKET, SO_RCVBUF, 8192);
	for (i = 0; i < 1000; i++) {
		error = send_error(fd, nobody, "", 0);
		if (error)
			return wrong("ping %d: %s", i, strerror(error));
	}
	got = drain(fd);
	/* An answer is in one struct. */
	if (got < 2 || (got - 1) * 256 > 2 * 8192)
		return wrong("%ld answers", got);
	if (send_error(fd, nobody, "", 0) || drain(fd) != 1)
		return wrong("no answer after they were read");
	close(fd);
	return 0;
}

int case_waits(int argc, char **argv)
{
	struct at address = at(argv[0], 0);
	static const size_t lens[] = { 4, 100, 5000, 9000 };
	size_t i;

	for (i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		int status = slow_reader(address, lens[i]);

		if (status)
			return status;
	}
	return waits_no_longer(address) || reader_goes(address) || pings(address);
}
