/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of rds_abi share. */
#ifndef RDS_ABI_H
#define RDS_ABI_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOL_RDS 276
#define SETTOS 0x89e0
#define GETTOS 0x89e1
#define LEN(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* The number of the address family, and whether the kernel's own RDS is expected. */
extern int family, c_rds;
extern char name[256];

/* The value for the implementation that runs. */
#define OURS_C(ours, c) (c_rds ? (c) : (ours))

/* The name of a row, made of a format and its arguments. */
#define NAMED(...) (snprintf(name, sizeof(name), __VA_ARGS__), name)

/* A row: a result, as the value or the negative errno. */
void row(const char *what, long got, long want);

/* The result of a call that may have failed. */
long res(long ret);

int sock(void);
struct sockaddr_in v4(const char *ip, int port);
struct sockaddr_in6 v6(const char *ip, int port, int scope);

/* A socket that is bound to 127.0.0.1, and its port. */
int bound(int *port);

/* Sends to a port of 127.0.0.1. */
long send_to(int fd, const void *data, size_t len, int port, int flags);

/* The parts. */
void addresses(void);
void sending(void);
void controls(void);
void options(void);
void lists(void);
void waiting(void);

#endif
