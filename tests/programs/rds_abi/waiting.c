// SPDX-License-Identifier: GPL-2.0
/* What comes with a message; poll, time limits and signals; what a close leaves. */
#include "abi.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/wait.h>

static void came_with(void)
{
	int port, s = bound(&port), on = 1;
	char control[256], got[16];
	struct iovec iov = { got, sizeof(got) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *c;
	struct timeval tv, now;
	unsigned char traces[4] = { 3, 0, 1, 2 };

#define RECEIVE(room) do {						\
		send_to(s, "hello", 5, port, 0);			\
		memset(control, 0, sizeof(control));			\
		msg.msg_controllen = room;				\
		row("receive", res(recvmsg(s, &msg, 0)), 5);		\
	} while (0)

	RECEIVE(sizeof(control));
	row("nothing comes with it", msg.msg_controllen, 0);
	row("SO_TIMESTAMP", res(setsockopt(s, SOL_SOCKET, SO_TIMESTAMP, &on, 4)), 0);
	RECEIVE(sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	row("a time stamp", c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMP, 1);
	if (c) {
		gettimeofday(&now, NULL);
		memcpy(&tv, CMSG_DATA(c), sizeof(tv));
		row("its length", c->cmsg_len, CMSG_LEN(sizeof(tv)));
		row("of about now", now.tv_sec - tv.tv_sec >= 0 && now.tv_sec - tv.tv_sec < 60, 1);
		row("its microseconds", tv.tv_usec >= 0 && tv.tv_usec < 1000000, 1);
	}
	row("RXPATH_LATENCY", res(setsockopt(s, SOL_RDS, 10, traces, 4)), 0);
	RECEIVE(sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	c = c ? CMSG_NXTHDR(&msg, c) : NULL;
	row("latencies", c && c->cmsg_level == SOL_RDS && c->cmsg_type == 11, 1);
	if (c) {
		row("their length", c->cmsg_len, CMSG_LEN(32));
		row("their parts", memcmp(CMSG_DATA(c), traces, 4), 0);
	}
	row("CTRUNC is not told", msg.msg_flags & MSG_CTRUNC, 0);
	RECEIVE(8);
	row("CTRUNC is told", msg.msg_flags & MSG_CTRUNC, MSG_CTRUNC);
	RECEIVE(CMSG_SPACE(sizeof(tv)));
	row("CTRUNC is told of the second", msg.msg_flags & MSG_CTRUNC, MSG_CTRUNC);
	send_to(s, "hello", 5, port, 0);
	msg.msg_control = (void *)8;
	msg.msg_controllen = 64;
	row("cmsg to a bad pointer", res(recvmsg(s, &msg, 0)), -EFAULT);
	row("the message is gone", res(recv(s, got, 1, MSG_DONTWAIT)), -EAGAIN);
	close(s);
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void waits(void)
{
	struct timeval tv = { .tv_usec = 200000 };
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval timer = { .it_value = { .tv_usec = 200000 } };
	int port, s = bound(&port), e = epoll_create1(0), status;
	struct pollfd p = { .fd = s, .events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM };
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u32 = 7 }, out;
	char got[10];
	pid_t pid;

	p.fd = sock();
	row("poll, unbound", res(poll(&p, 1, 0)), 1);
	row("writable", p.revents & ~(OURS_C(0, POLLIN | POLLRDNORM)), POLLOUT | POLLWRNORM);
	close(p.fd);
	p.fd = s;
	poll(&p, 1, 0);
	row("poll, empty", res(poll(&p, 1, 0)), 1);
	row("writable only", p.revents, POLLOUT | POLLWRNORM);
	send_to(s, "x", 1, port, 0);
	row("poll, a message", res(poll(&p, 1, 0)), 1);
	row("readable, too", p.revents, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
	row("receive it", res(recv(s, got, 1, 0)), 1);

	row("SO_RCVTIMEO", res(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv))), 0);
	row("receive nothing for a while", res(recv(s, got, 1, 0)), -ETIMEDOUT);
	tv.tv_usec = 0;
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	row("receive until a signal comes", res(recv(s, got, 1, 0)), -EINTR);
	fcntl(s, F_SETFL, O_NONBLOCK);
	row("receive nothing, O_NONBLOCK", res(recv(s, got, 1, 0)), -EAGAIN);
	fcntl(s, F_SETFL, 0);

	epoll_ctl(e, EPOLL_CTL_ADD, s, &event);
	while (epoll_wait(e, &out, 1, 0) == 1)
		recv(s, got, 1, MSG_DONTWAIT);
	pid = fork();
	if (!pid) {
		usleep(300000);
		_exit(send_to(s, "late", 4, port, 0) != 4);
	}
	row("epoll_wait", res(epoll_wait(e, &out, 1, 10000)), 1);
	row("its data", out.data.u32, 7);
	row("receive what came late", res(recv(s, got, 10, 0)), 4);
	waitpid(pid, &status, 0);
	row("the sender", status, 0);
	pid = fork();
	if (!pid) {
		usleep(300000);
		_exit(send_to(s, "later", 5, port, 0) != 5);
	}
	row("wait in recv", res(recv(s, got, 10, 0)), 5);
	waitpid(pid, &status, 0);
	row("its sender", status, 0);
	close(e);
	close(s);
}

/* What a socket sent before it was closed arrives; what it had not read is gone. */
static void closing(void)
{
	int port, s = bound(&port), other, t = bound(&other), i;
	char got[10];

	for (i = 0; i < 100; i++)
		if (send_to(s, "x", 1, other, 0) != 1)
			break;
	row("a hundred messages", i, 100);
	for (i = 0; i < 100; i++)
		if (send_to(t, "x", 1, port, 0) != 1)
			break;
	row("a hundred back", i, 100);
	close(s);
	for (i = 0; i < 100; i++)
		if (recv(t, got, 10, MSG_DONTWAIT) != 1)
			break;
	row("all arrived", i, 100);
	row("send to who is gone", send_to(t, "x", 1, port, 0), 1);
	close(t);
}

void waiting(void)
{
	came_with();
	waits();
	closing();
}
