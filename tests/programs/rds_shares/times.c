// SPDX-License-Identifier: GPL-2.0
/*
 * The times of the parts of a message's way, which are taken of all messages of
 * a namespace: while a socket asks for them, and no longer.
 */
#include "shares.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PORT 7100
/* The part from the queue of the socket to its reader. */
#define READ 2

struct wanted {
	unsigned char count, parts[3];
};

struct times {
	unsigned char count, parts[3];
	unsigned long long ns[3];
};

static int want(int fd, int count)
{
	struct wanted wanted = { .count = count, .parts = { READ } };

	if (setsockopt(fd, SOL_RDS, SO_RDS_MSG_RXPATH_LATENCY, &wanted, sizeof(wanted)))
		return wrong("it can't ask: %s", strerror(errno));
	return 0;
}

/*
 * Whether the time of a message was taken when it came: none is told for one
 * of which it was not. The reader asks when it is there already. -1 if that
 * can't be told.
 */
static int taken(int reader, int sender, struct at to)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct times)) + 64];
	} control;
	char byte;
	struct iovec data = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &data, .msg_iovlen = 1 };
	struct cmsghdr *c;
	struct times times;
	int error = send_error(sender, to, "x", 1);

	if (error)
		return -wrong("send: %s", strerror(error));
	if (want(reader, 1))
		return -1;
	usleep(1000);
	msg.msg_control = &control;
	msg.msg_controllen = sizeof(control);
	if (recvmsg(reader, &msg, MSG_DONTWAIT) != 1)
		return -wrong("receive: %s", strerror(errno));
	if (want(reader, 0))
		return -1;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_RDS || c->cmsg_type != RDS_CMSG_RXPATH_LATENCY)
			continue;
		memcpy(&times, CMSG_DATA(c), sizeof(times));
		if (times.count != 1 || times.parts[0] != READ)
			return -wrong("it is told of %d parts", times.count);
		return times.ns[0] != 0;
	}
	return -wrong("it is not told");
}

int case_times(int argc, char **argv)
{
	struct at to = at(argv[0], PORT);
	int reader = bound(to), sender = bound(with_port(to, 0));
	int askers[2] = { opened(), opened() };
	static const char *const when[] = { "before anybody asks", "while two ask",
					    "while one asks", "when both are closed" };
	static const int wanted[] = { 0, 1, 1, 0 };
	int step;

	for (step = 0; step < 4; step++) {
		int is;

		if (step == 1 && (want(askers[0], 1) || want(askers[1], 1)))
			return 1;
		if (step >= 2)
			close(askers[step - 2]);
		is = taken(reader, sender, to);
		if (is < 0)
			return 1;
		if (is != wanted[step])
			return wrong("%s times are %staken", when[step], is ? "" : "not ");
	}
	return 0;
}
