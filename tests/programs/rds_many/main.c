// SPDX-License-Identifier: GPL-2.0
/*
 * A process with very many RDS sockets: each watches for congestion, is bound,
 * sends one message to the next one, and receives one.
 *
 *   rds_many FAMILY ADDRESS COUNT
 *
 * Before, a small limit on open files is run into. Prints how far it came;
 * fails if anything is not as it should be.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FEW 64
#define SOL_RDS 276
#define RDS_CONG_MONITOR 6

static int family;
static struct in_addr address;

struct many {
	int fd;
	struct sockaddr_in at;
};

static int fail(const char *what, int number)
{
	printf("# %s of socket %d: %s\n", what, number, strerror(errno));
	return 1;
}

static int limit(rlim_t files)
{
	struct rlimit l = { .rlim_cur = files, .rlim_max = files };

	return setrlimit(RLIMIT_NOFILE, &l);
}

static int make(struct many *m)
{
	socklen_t len = sizeof(m->at);
	int on = 1;

	m->at.sin_family = AF_INET;
	m->at.sin_addr = address;
	m->fd = socket(family, SOCK_SEQPACKET, 0);
	if (m->fd < 0)
		return -1;
	if (setsockopt(m->fd, SOL_RDS, RDS_CONG_MONITOR, &on, sizeof(on)))
		return -1;
	if (bind(m->fd, (void *)&m->at, sizeof(m->at)))
		return -1;
	return getsockname(m->fd, (void *)&m->at, &len);
}

/* Sockets until there are no more: it is the limit that says so. */
static int run_out(void)
{
	struct many m[FEW];
	int i, made, error;

	for (made = 0; made < FEW; made++) {
		memset(&m[made], 0, sizeof(m[made]));
		if (make(&m[made]))
			break;
	}
	error = errno;
	for (i = 0; i < made; i++)
		close(m[i].fd);
	if (made == FEW || made < FEW / 2 || error != EMFILE) {
		printf("# %d sockets with a limit of %d files, then: %s\n", made, FEW,
		       strerror(error));
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct many *all;
	int count, i;

	if (argc != 4 || inet_pton(AF_INET, argv[2], &address) != 1)
		return 2;
	family = atoi(argv[1]);
	count = atoi(argv[3]);
	all = calloc(count, sizeof(*all));
	if (!all || count < 2)
		return 2;

	/* The hard limit goes up again as this is root's. */
	if (limit(FEW))
		return fail("limit", 0);
	if (run_out())
		return 1;
	if (limit(count + FEW))
		return fail("limit", count);

	for (i = 0; i < count; i++) {
		if (make(&all[i]))
			return fail("bind", i);
	}
	for (i = 0; i < count; i++) {
		struct sockaddr_in *to = &all[(i + 1) % count].at;

		if (sendto(all[i].fd, &i, sizeof(i), MSG_DONTWAIT, (void *)to, sizeof(*to)) !=
		    sizeof(i))
			return fail("send", i);
	}
	for (i = 0; i < count; i++) {
		int from = -1, wanted = (i + count - 1) % count;
		struct sockaddr_in at;
		socklen_t len = sizeof(at);

		if (recvfrom(all[i].fd, &from, sizeof(from), 0, (void *)&at, &len) !=
		    sizeof(from))
			return fail("receive", i);
		if (from != wanted || at.sin_port != all[wanted].at.sin_port) {
			printf("# socket %d has the message of %d\n", i, from);
			return 1;
		}
		if (recv(all[i].fd, &from, sizeof(from), MSG_DONTWAIT) >= 0 || errno != EAGAIN)
			return fail("second receive", i);
	}
	printf("# %d sockets\n", count);
	/* Half of them is closed by hand, the rest by the end. */
	for (i = 0; i < count; i += 2)
		close(all[i].fd);
	return 0;
}
