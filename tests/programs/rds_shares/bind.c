// SPDX-License-Identifier: GPL-2.0
/*
 * A socket whose bind failed owns nothing of the socket that has the port, and
 * a socket gives back all that it owns when it is closed, however its calls
 * were mixed.
 */
#include "shares.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FULL 5000
#define SENDER 5001
#define MOST 200000
/* All but 0 and 1. */
#define PORTS 65534

/* A socket that is not read, and one that sends to it. */
struct bystanders {
	struct at full;
	int reader, sender;
	long queued;
};

static int is_v4(struct at address)
{
	return address.any.sa_family == AF_INET;
}

static int blocked(const struct bystanders *b)
{
	char data[60] = { 1 };
	int error = send_error(b->sender, b->full, data, sizeof(data));

	if (error != ENOBUFS)
		return wrong("a message to a full socket: %s", strerror(error));
	return 0;
}

static int bystand(struct bystanders *b, struct at address)
{
	int error;

	b->full = with_port(address, FULL);
	b->reader = bound(b->full);
	set(b->reader, SOL_SOCKET, SO_RCVBUF, 8192);
	b->sender = bound(with_port(address, SENDER));
	b->queued = fill(b->sender, b->full, 60, MOST, &error);
	if (error == ENOMEM)
		exit(wrong("%s", strerror(error)) + 2);
	if (error != ENOBUFS)
		return wrong("%ld messages, then: %s", b->queued, strerror(error));
	return 0;
}

/* What is tried before the bind that fails. */
static int plain(int fd, const struct bystanders *b)
{
	return 0;
}

static int connected(int fd, const struct bystanders *b)
{
	struct at none = b->full;

	if (is_v4(b->full)) {
		none.v4.sin_addr.s_addr = 0;
		if (connect_error(fd, none) != EDESTADDRREQ)
			return wrong("it connects to any");
	}
	return connect_error(fd, b->full) ? wrong("it does not connect") : 0;
}

static int monitors(int fd, const struct bystanders *b)
{
	set(fd, SOL_RDS, RDS_CONG_MONITOR, 1);
	return 0;
}

/* Another number than that of any transport that has the address. */
static int odd_transport(int fd, const struct bystanders *b)
{
	int bad = 9;

	if (!setsockopt(fd, SOL_RDS, SO_RDS_TRANSPORT, &bad, sizeof(bad)) || errno != EINVAL)
		return wrong("there is a transport 9");
	return 0;
}

static int rdma(int fd, const struct bystanders *b)
{
	set(fd, SOL_RDS, SO_RDS_TRANSPORT, 0);
	return 0;
}

static const struct fault {
	const char *what;
	int (*before)(int fd, const struct bystanders *b);
	/* Where it is bound, by each family, if not where the bystander is. */
	const char *address, *address6;
	int port, error;
	/* The transport that is chosen then. */
	int transport;
	/* Whether it makes a difference to be on loopback. */
	int loopback, device;
} faults[] = {
	{ "taken", plain, NULL, NULL, FULL, EADDRINUSE, -1, 1, 1 },
	{ "taken, connected", connected, NULL, NULL, FULL, EADDRINUSE, -1, 1, 1 },
	{ "taken, monitors", monitors, NULL, NULL, FULL, EADDRINUSE, -1, 1, 1 },
	{ "taken, no transport", odd_transport, NULL, NULL, FULL, EADDRINUSE, -1, 1, 1 },
	{ "taken, RDMA", rdma, NULL, NULL, FULL, EADDRINUSE, -1, 0, 1 },
	{ "loopback with RDMA", rdma, NULL, NULL, FULL, ENOPROTOOPT, 0, 1, 0 },
	{ "the port of probes", plain, NULL, NULL, 1, EINVAL, -1, 1, 1 },
	{ "not ours", plain, "192.0.2.1", "2001:db8::1", FULL, EADDRNOTAVAIL, -1, 1, 1 },
	{ "not ours, RDMA", rdma, "192.0.2.1", "2001:db8::1", FULL, ENOPROTOOPT, 0, 1, 1 },
	{ "of nobody", plain, "0.0.0.0", "::", FULL, EINVAL, -1, 1, 1 },
	{ "of many", plain, "224.0.0.1", "ff02::1", FULL, EINVAL, -1, 1, 1 },
};

/* That a socket is as if nothing had been tried. */
static int untouched(int fd, const struct fault *f, int v4)
{
	struct at name = name_of(fd);
	int transport = 99;
	socklen_t len = sizeof(transport);
	struct at self = name;

	if (port_of(&name))
		return wrong("%s: it has port %d", f->what, port_of(&name));
	if (getsockopt(fd, SOL_RDS, SO_RDS_TRANSPORT, &transport, &len) ||
	    transport != f->transport)
		return wrong("%s: it has transport %d", f->what, transport);
	self = at(v4 ? "127.0.0.1" : "::1", FULL);
	if (send_error(fd, self, "", 0) != ENOTCONN)
		return wrong("%s: it can send", f->what);
	return drain(fd) ? wrong("%s: it has a message", f->what) : 0;
}

/* That it can be bound after all, and is as good as any. */
static int good_as_new(int fd, const struct bystanders *b, const struct fault *f)
{
	struct at name;
	int error = bind_error(fd, with_port(b->full, 0));
	char byte = 0;

	if (error == ENOMEM)
		exit(wrong("%s", strerror(error)) + 2);
	if (error)
		return wrong("%s: then it can't be bound: %s", f->what, strerror(error));
	name = name_of(fd);
	if (port_of(&name) < 2)
		return wrong("%s: then it has port %d", f->what, port_of(&name));
	if (sendto(fd, "x", 1, 0, &name.any, name.len) != 1 || recv(fd, &byte, 1, 0) != 1 ||
	    byte != 'x')
		return wrong("%s: then it is not itself: %s", f->what, strerror(errno));
	return 0;
}

static int one(const struct bystanders *b, const struct fault *f, int again)
{
	int v4 = is_v4(b->full);
	const char *address = v4 ? f->address : f->address6;
	struct at to = address ? at(address, f->port) : with_port(b->full, f->port);
	int fd = opened(), error, no_memory = 0;

	if (f->before(fd, b))
		return 1;
	error = bind_error(fd, to);
	/* That is a way to fail, too. */
	if (error == ENOMEM || error == ENOBUFS)
		no_memory = error;
	else if (error != f->error)
		return wrong("%s: bind: %s", f->what, strerror(error));
	if ((!no_memory || f->before != rdma) && untouched(fd, f, v4))
		return 1;
	/* With another transport than its own it can't. */
	if (!no_memory && again && f->error != ENOPROTOOPT && good_as_new(fd, b, f))
		return 1;
	if (blocked(b))
		return wrong("%s: while it is open", f->what);
	close(fd);
	if (blocked(b))
		return wrong("%s: after it was closed", f->what);
	if (no_memory)
		exit(wrong("%s", strerror(no_memory)) + 2);
	return 0;
}

/* A bound socket does not lose what it has by a bind that fails. */
static int twice(const struct bystanders *b)
{
	int fd = bound(with_port(b->full, 0)), error;
	struct at before = name_of(fd), after;

	error = bind_error(fd, b->full);
	if (error != EINVAL)
		return wrong("a second bind: %s", strerror(error));
	after = name_of(fd);
	if (port_of(&before) != port_of(&after))
		return wrong("a second bind made port %d of %d", port_of(&after), port_of(&before));
	close(fd);
	return blocked(b) ? wrong("after a second bind") : 0;
}

int case_bind(int argc, char **argv)
{
	struct bystanders b;
	struct at address = at(argv[0], 0);
	int loopback = !strncmp(argv[0], "127.", 4) || !strcmp(argv[0], "::1"), error, tries;
	size_t i;
	long got;
	char byte;

	if (bystand(&b, address))
		return 1;
	for (i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		const struct fault *f = &faults[i];

		if (loopback ? !f->loopback : !f->device)
			continue;
		if (one(&b, f, 0) || one(&b, f, 1))
			return 1;
	}
	if (twice(&b))
		return 1;

	/* It is free when it was read, and not before. */
	for (got = 0; got < b.queued && recv(b.reader, &byte, 1, 0) >= 0; got++)
		;
	if (got != b.queued || drain(b.reader))
		return wrong("%ld messages of %ld", got, b.queued);
	/* Of another host that is told a little later. */
	for (tries = 0; tries < 3000 && send_error(b.sender, b.full, "x", 1) == ENOBUFS; tries++)
		usleep(10000);
	if (fill(b.sender, b.full, 60, 1, &error) != 1)
		return wrong("after it was read: %s", strerror(error));
	/* And when it is gone. */
	fill(b.sender, b.full, 60, MOST, &error);
	close(b.reader);
	b.reader = bound(b.full);
	for (tries = 0; tries < 3000 && send_error(b.sender, b.full, "x", 1) == ENOBUFS; tries++)
		usleep(10000);
	if (fill(b.sender, b.full, 60, 1, &error) != 1)
		return wrong("to the next one that has the port: %s", strerror(error));
	return 0;
}

/* ::1, and a link-local address of nobody: in each order. */
int case_scope(int argc, char **argv)
{
	int count = atoi(argv[0]), i, fd, round, error;
	struct at far = at("fe80::1", 7);

	far.v6.sin6_scope_id = atoi(argv[1]);
	for (i = 0; i < count; i++) {
		struct at near = at("::1", 6000 + i);

		for (round = 0; round < 3; round++) {
			char byte = 0;

			fd = opened();
			error = round == 1 ? connect_error(fd, far) : 0;
			if (error)
				return wrong("connect: %s", strerror(error));
			error = bind_error(fd, near);
			if (error)
				return wrong("round %d: bind: %s", round, strerror(error));
			error = round == 0 ? connect_error(fd, far) : 0;
			if (error)
				return wrong("connect of a bound one: %s", strerror(error));
			if (sendto(fd, "x", 1, 0, &near.any, near.len) != 1)
				return wrong("round %d: send: %s", round, strerror(errno));
			if (recv(fd, &byte, 1, MSG_DONTWAIT) != 1)
				return wrong("round %d: it is not where it is bound: %s", round,
					     strerror(errno));
			close(fd);
		}
	}
	return 0;
}

/* The same link-local address on two links: two addresses, with ports of their own. */
int case_links(int argc, char **argv)
{
	struct at address = at(argv[0], FULL);
	int fds[2], sender, error, i;
	long sent;

	for (i = 0; i < 2; i++) {
		address.v6.sin6_scope_id = atoi(argv[1 + i]);
		fds[i] = bound(address);
	}
	address.v6.sin6_scope_id = atoi(argv[1]);
	set(fds[0], SOL_SOCKET, SO_RCVBUF, 8192);
	/* It needs no connection. */
	sender = bound(at("::1", SENDER));
	sent = fill(sender, address, 60, MOST, &error);
	if (error != ENOBUFS)
		return wrong("%ld messages, then: %s", sent, strerror(error));
	close(fds[1]);
	error = send_error(sender, address, "x", 1);
	if (error != ENOBUFS)
		return wrong("after the one on the other link was closed: %s", strerror(error));
	return 0;
}

/*
 * All ports of an address but 0 and that of probes, as the system chooses them:
 * the next socket gets none, unless it is of another address.
 */
int case_ports(int argc, char **argv)
{
	struct at address = at(argv[0], 0), other = at(argv[1], 0);
	static unsigned char seen[1 << 16];
	int count, fd = -1, error = 0;

	may_open(PORTS + 4);
	be_nobody();
	for (count = 0; count <= PORTS; count++) {
		struct at name;

		fd = opened();
		error = bind_error(fd, address);
		if (error == ENOMEM)
			exit(wrong("%d ports, then: %s", count, strerror(error)) + 2);
		if (error)
			break;
		name = name_of(fd);
		if (port_of(&name) < 2 || seen[port_of(&name)]++)
			return wrong("port %d is not one to be chosen", port_of(&name));
	}
	if (count != PORTS || error != EADDRINUSE)
		return wrong("%d ports, then: %s", count, strerror(error));
	error = bind_error(fd, other);
	if (error)
		return wrong("another address: %s", strerror(error));
	return 0;
}
