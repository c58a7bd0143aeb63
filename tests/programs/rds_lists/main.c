// SPDX-License-Identifier: GPL-2.0
/*
 * Each list of RDS_INFO_*, byte by byte.
 *
 *   rds_lists [FAMILY]
 *
 * Prints a line for each record: the number of the list, and the record in
 * hexadecimal. Lists that do not exist are left out. Memory for a list is
 * filled with other bytes before, and a record that is not written fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOL_RDS 276
#define RDS_INFO_FIRST 10000
#define RDS_INFO_LAST 10017

static unsigned char data[1 << 20];

static int list(int fd, int number)
{
	socklen_t at, i, len = sizeof(data);
	int size;

	memset(data, 0xa5, sizeof(data));
	size = getsockopt(fd, SOL_RDS, number, data, &len);
	if (size < 0 && errno == ENOPROTOOPT)
		return 0;
	if (size < 0 || (len && !size) || (size && len % size)) {
		printf("%d: %s, %u bytes, %d each\n", number, strerror(errno), len, size);
		return 1;
	}
	for (at = 0; at < len; at += size) {
		printf("%d ", number);
		for (i = 0; i < (socklen_t)size; i++)
			printf("%02x", data[at + i]);
		printf("\n");
	}
	return 0;
}

int main(int argc, char **argv)
{
	int fd = socket(argc > 1 ? atoi(argv[1]) : 21, SOCK_SEQPACKET, 0);
	int number, failed = 0;

	if (fd < 0) {
		printf("no socket: %s\n", strerror(errno));
		return 1;
	}
	for (number = RDS_INFO_FIRST; number <= RDS_INFO_LAST; number++)
		failed |= list(fd, number);
	return failed;
}
