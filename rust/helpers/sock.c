// SPDX-License-Identifier: GPL-2.0

#include <net/sock.h>

__rust_helper void rust_helper_sock_hold(struct sock *sk)
{
	sock_hold(sk);
}

__rust_helper void rust_helper_sock_put(struct sock *sk)
{
	sock_put(sk);
}

__rust_helper void rust_helper_sock_orphan(struct sock *sk)
{
	sock_orphan(sk);
}

__rust_helper wait_queue_head_t *rust_helper_sk_sleep(struct sock *sk)
{
	return sk_sleep(sk);
}

__rust_helper void rust_helper_sock_poll_wait(struct file *filp,
					      struct socket *sock, poll_table *p)
{
	sock_poll_wait(filp, sock, p);
}

__rust_helper bool rust_helper_sock_flag(const struct sock *sk,
					 enum sock_flags flag)
{
	return sock_flag(sk, flag);
}

__rust_helper void rust_helper_sock_valbool_flag(struct sock *sk,
						 enum sock_flags bit, int valbool)
{
	sock_valbool_flag(sk, bit, valbool);
}

__rust_helper u64 rust_helper_sock_i_ino(const struct sock *sk)
{
	return sock_i_ino(sk);
}

/*
 * Not inlines of the header. The callbacks look at sk->sk_wq under RCU, so they
 * may be called when the socket is closed already.
 */
__rust_helper void rust_helper_krdma_sk_data_ready(struct sock *sk)
{
	sk->sk_data_ready(sk);
}

__rust_helper void rust_helper_krdma_sk_write_space(struct sock *sk)
{
	sk->sk_write_space(sk);
}

/* Types of sockets are numbers to Rust. */
__rust_helper int rust_helper_krdma_sock_create_kern(struct net *net, int family,
						     int type, struct socket **res)
{
	return sock_create_kern(net, family, type, 0, res);
}

/* The kernel's bindings do not have it. */
__rust_helper void rust_helper_krdma_sock_release(struct socket *sock)
{
	sock_release(sock);
}
