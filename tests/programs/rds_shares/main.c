// SPDX-License-Identifier: GPL-2.0
/*
 * What one user, socket or peer can take from the others: each case takes what
 * it can, and fails if that is more than its share.
 *
 *   rds_shares FAMILY CASE ARGUMENT...
 *
 * Without arguments it lists the cases. The status is 0 if all is as it should
 * be, 1 if not, 2 if it could not be tried, 3 if there was no memory.
 */
#include "shares.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Times that a sender waits for what is on its way, 10 ms each. */
#define PATIENCE 3000

int family;

static const struct {
	const char *name, *arguments;
	int (*run)(int argc, char **argv);
	int least;
} cases[] = {
	{ "bind", "ADDRESS", case_bind, 1 },
	{ "scope", "COUNT INTERFACE", case_scope, 2 },
	{ "links", "LINK-LOCAL INTERFACE INTERFACE", case_links, 3 },
	{ "unread", "ADDRESS PAIRS LENGTH [CGROUP]", case_unread, 3 },
	{ "waits", "ADDRESS", case_waits, 1 },
	{ "subuid", "LOCAL NOBODY", case_subuid, 2 },
	{ "cancels", "LOCAL NOBODY COUNT", case_cancels, 3 },
	{ "times", "ADDRESS", case_times, 1 },
	{ "ports", "ADDRESS OTHER", case_ports, 2 },
	{ "sockets", "COUNT CGROUP", case_sockets, 2 },
	{ "maps", "ADDRESS COUNT CGROUP", case_maps, 3 },
	{ "queued", "ADDRESS PEER SOCKETS CGROUP", case_queued, 4 },
	{ "lists", "ADDRESS PEER SOCKETS CGROUP", case_lists, 4 },
	{ "full", "ADDRESS PAIRS LENGTH CGROUP", case_full, 4 },
};

static void no_good(const char *what)
{
	int status = errno == ENOMEM || errno == ENOBUFS ? 3 : 2;

	printf("# %s: %s\n", what, strerror(errno));
	exit(status);
}

struct at at(const char *text, int port)
{
	struct at a;

	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(port);
		a.len = sizeof(a.v4);
	} else if (inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1) {
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons(port);
		a.len = sizeof(a.v6);
	} else {
		errno = EINVAL;
		no_good(text);
	}
	return a;
}

struct at with_port(struct at a, int port)
{
	/* It is at the same place in both. */
	a.v4.sin_port = htons(port);
	return a;
}

int port_of(const struct at *a)
{
	return ntohs(a->v4.sin_port);
}

int opened(void)
{
	int fd = socket(family, SOCK_SEQPACKET, 0);

	if (fd < 0)
		no_good("socket");
	return fd;
}

int bound(struct at a)
{
	int fd = opened();

	if (bind(fd, &a.any, a.len))
		no_good("bind");
	return fd;
}

void set(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)))
		no_good("setsockopt");
}

struct at name_of(int fd)
{
	struct at a;

	memset(&a, 0, sizeof(a));
	a.len = sizeof(a.v6);
	if (getsockname(fd, &a.any, &a.len))
		no_good("getsockname");
	return a;
}

int bind_error(int fd, struct at a)
{
	return bind(fd, &a.any, a.len) ? errno : 0;
}

int connect_error(int fd, struct at a)
{
	return connect(fd, &a.any, a.len) ? errno : 0;
}

int send_error(int fd, struct at to, const void *data, size_t len)
{
	return sendto(fd, data, len, MSG_DONTWAIT, &to.any, to.len) < 0 ? errno : 0;
}

long fill(int fd, struct at to, size_t len, long most, int *error)
{
	char *data = calloc(1, len + 1);
	int patience = PATIENCE;
	long sent = 0;

	if (!data)
		no_good("calloc");
	*error = 0;
	while (sent < most) {
		*error = send_error(fd, to, data, len);
		if (!*error) {
			sent++;
			patience = PATIENCE;
		} else if (*error == EAGAIN && patience-- > 0) {
			usleep(10000);
		} else {
			break;
		}
	}
	free(data);
	return sent;
}

long drain(int fd)
{
	char byte;
	long got = 0;

	while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0)
		got++;
	return got;
}

void be_nobody(void)
{
	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		no_good("setuid");
}

void may_open(int count)
{
	struct rlimit files = { .rlim_cur = count + 16, .rlim_max = count + 16 };

	if (setrlimit(RLIMIT_NOFILE, &files))
		no_good("setrlimit");
}

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 2 && i < sizeof(cases) / sizeof(*cases); i++) {
		if (strcmp(cases[i].name, argv[2]) || argc - 3 < cases[i].least)
			continue;
		family = atoi(argv[1]);
		return cases[i].run(argc - 3, argv + 3);
	}
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		printf("rds_shares FAMILY %s %s\n", cases[i].name, cases[i].arguments);
	return 2;
}
