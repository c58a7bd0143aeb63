/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What one user, socket or peer can take from the others. main.c says which
 * cases there are.
 */
#ifndef SHARES_H
#define SHARES_H

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define SOL_RDS 276
#define RDS_CANCEL_SENT_TO 1
#define RDS_CONG_MONITOR 6
#define SO_RDS_TRANSPORT 8
#define SO_RDS_MSG_RXPATH_LATENCY 10
#define RDS_CMSG_RXPATH_LATENCY 11

/* What a message takes at least beside its data: two structs. */
#define BESIDE 448
/* Memory of earlier messages, which was charged to whoever sent these. */
#define SPARE (4L << 20)

/* An address of either family, and how long it is. */
struct at {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

extern int family;

/* What went wrong; it is the first thing that a failing case prints. */
#define wrong(...) (printf("# " __VA_ARGS__), printf("\n"), fflush(stdout), 1)

/* An address given as text. Ends the program if it is none. */
struct at at(const char *text, int port);
/* The same address with another port. */
struct at with_port(struct at address, int port);
int port_of(const struct at *address);

/*
 * These end the program with status 3 if there is no memory for what they do,
 * which is no fault where allocations are made to fail, and with 2 if they fail
 * otherwise.
 */
int opened(void);
int bound(struct at address);
void set(int fd, int level, int option, int value);
/* The address that a socket is bound to. */
struct at name_of(int fd);

/* An error of a call, as a positive number, or 0. */
int bind_error(int fd, struct at address);
int connect_error(int fd, struct at address);
/* Sends without waiting. */
int send_error(int fd, struct at to, const void *data, size_t len);

/*
 * Sends until that fails, or `most` are sent; returns how many, and the error.
 * EAGAIN is one only if it stays.
 */
long fill(int fd, struct at to, size_t len, long most, int *error);
/* Reads all that there is; returns how many messages. */
long drain(int fd);

/* Gives up root's rights. */
void be_nobody(void);

/* Lets the program have so many sockets. */
void may_open(int count);

/*
 * A memory cgroup: joined, and what is charged to it. They end the program with
 * status 2 if there is none.
 */
void join(const char *cgroup);
long charged(const char *cgroup);

/* The cases. Each returns the program's status. */
int case_bind(int argc, char **argv);
int case_scope(int argc, char **argv);
int case_links(int argc, char **argv);
int case_unread(int argc, char **argv);
int case_waits(int argc, char **argv);
int case_subuid(int argc, char **argv);
int case_cancels(int argc, char **argv);
int case_times(int argc, char **argv);
int case_ports(int argc, char **argv);
int case_sockets(int argc, char **argv);
int case_maps(int argc, char **argv);
int case_queued(int argc, char **argv);
int case_lists(int argc, char **argv);
int case_full(int argc, char **argv);

#endif
