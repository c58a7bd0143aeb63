// SPDX-License-Identifier: GPL-2.0

#include <linux/bvec.h>
#include <linux/net.h>
#include <linux/sockptr.h>
#include <linux/uio.h>
#include <net/ip.h>
#include <net/sock.h>
#include <net/tcp.h>

__rust_helper void rust_helper_krdma_sk_callbacks_read_lock(struct sock *sk)
{
	read_lock_bh(&sk->sk_callback_lock);
}

__rust_helper void rust_helper_krdma_sk_callbacks_read_unlock(struct sock *sk)
{
	read_unlock_bh(&sk->sk_callback_lock);
}

__rust_helper void rust_helper_krdma_sk_callbacks_write_lock(struct sock *sk)
{
	write_lock_bh(&sk->sk_callback_lock);
}

__rust_helper void rust_helper_krdma_sk_callbacks_write_unlock(struct sock *sk)
{
	write_unlock_bh(&sk->sk_callback_lock);
}

/* Sequence numbers change under the lock of the socket; each is read as a whole. */
__rust_helper u32 rust_helper_krdma_tcp_write_seq(const struct sock *sk)
{
	return READ_ONCE(tcp_sk(sk)->write_seq);
}

__rust_helper u32 rust_helper_krdma_tcp_snd_una(const struct sock *sk)
{
	return READ_ONCE(tcp_sk(sk)->snd_una);
}

/*
 * Whether nothing has come from the peer for some milliseconds, though it was
 * asked: something was sent again, or several probes of a window that is closed.
 * Between probes minutes may pass. The times are read before the clock, which
 * they may be ahead of all the same.
 */
__rust_helper bool rust_helper_krdma_tcp_is_silent(const struct sock *sk, u32 ms)
{
	const struct inet_connection_sock *icsk = inet_csk(sk);
	u32 acked = READ_ONCE(tcp_sk(sk)->rcv_tstamp);
	u32 received = READ_ONCE(icsk->icsk_ack.lrcvtime);
	u32 now = tcp_jiffies32;
	s32 since = min_t(s32, now - acked, now - received);

	return (READ_ONCE(icsk->icsk_retransmits) || READ_ONCE(icsk->icsk_probes_out) > 2) &&
	       since >= (s32)msecs_to_jiffies(ms);
}

/* Not an inline: the message's header is of no use to Rust. */
__rust_helper int rust_helper_krdma_sock_send(struct socket *sock, struct kvec *vec,
					      size_t num, size_t len, int flags)
{
	struct msghdr msg = { .msg_flags = flags };

	return kernel_sendmsg(sock, &msg, vec, num, len);
}

/*
 * As above, of pages that the network refers to in place of a copy. Without
 * MSG_NO_SHARED_FRAGS: the buffers are marked, and nobody writes to the pages.
 */
__rust_helper int rust_helper_krdma_sock_send_pages(struct socket *sock, struct bio_vec *vec,
						    size_t num, size_t len, int flags)
{
	struct msghdr msg = { .msg_flags = flags | MSG_SPLICE_PAGES };

	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, vec, num, len);
	return sock_sendmsg(sock, &msg);
}

/* Not an inline: with its header bindgen meets types that the kernel's bindings lack. */
__rust_helper int rust_helper_krdma_tcp_read_sock(struct sock *sk, read_descriptor_t *desc,
						  sk_read_actor_t actor)
{
	return tcp_read_sock(sk, desc, actor);
}

__rust_helper int rust_helper_sock_error(struct sock *sk)
{
	return sock_error(sk);
}

/* Not an inline of the header: the callback is called when this bit is set only. */
__rust_helper void rust_helper_krdma_sock_want_space(struct socket *sock)
{
	/* What the caller has noted, the callback sees. */
	smp_mb__before_atomic();
	set_bit(SOCK_NOSPACE, &sock->flags);
	/* Pairs with that of tcp_check_space(): who looks after this misses nothing. */
	smp_mb__after_atomic();
}

__rust_helper bool rust_helper_krdma_sock_has_space(const struct sock *sk)
{
	return sk_stream_is_writeable(sk);
}

/* As kernel_getpeername(), of a connection that has ended, too: what came on it may be unread. */
__rust_helper int rust_helper_krdma_sock_peer_name(struct socket *sock, struct sockaddr *addr)
{
	return READ_ONCE(sock->ops)->getname(sock, addr, 2);
}

__rust_helper int rust_helper_krdma_sock_setsockopt(struct socket *sock, int level,
						    int name, void *value, int len)
{
	return do_sock_setsockopt(sock, false, level, name, KERNEL_SOCKPTR(value), len);
}

/*
 * Makes a socket of the kernel one that keeps its namespace, so that what is
 * sent last is not lost with it, and that does not use the task's fragment: the
 * caller may be in the middle of another socket's sendmsg().
 */
__rust_helper void rust_helper_krdma_tcp_adopt(struct sock *sk)
{
	sk_net_refcnt_upgrade(sk);
	sk->sk_use_task_frag = false;
}

/* Not an inline: its header is one that bindgen does not read. */
__rust_helper void rust_helper_krdma_tcp_port_range(const struct sock *sk, int *low, int *high)
{
	inet_sk_get_local_port_range(sk, low, high);
}
