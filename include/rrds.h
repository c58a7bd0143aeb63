/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reliable datagrams for other kernel modules, in C.
 *
 * The same as rrds::api for modules in Rust. A module opens a socket of its own,
 * binds it and sends. What comes is handed to a callback, or waits to be taken.
 * Nothing is copied on the way in, but for messages of up to 1 KiB.
 *
 * A module that uses this keeps rrds, which can't be unloaded before it. Plain
 * sockets in the kernel (sock_create_kern(), kernel_sendmsg()) work as well.
 */
#ifndef RRDS_H
#define RRDS_H

#include <linux/limits.h>
#include <linux/socket.h>
#include <linux/types.h>
#include <linux/uio.h>

struct net;
struct rrds_socket;
struct rrds_message;

/* The bytes that one frame carries, and that each buffer has but the last. */
#define RRDS_FRAGMENT	4096

/* As a time in milliseconds: for ever. */
#define RRDS_FOREVER	UINT_MAX

/**
 * enum rrds_outcome - how a message ended
 * @RRDS_DELIVERED: the peer's host has acknowledged it
 * @RRDS_CANCELLED: it was cancelled; it may have arrived
 * @RRDS_DROPPED: the way to the peer is gone for good; it may have arrived
 */
enum rrds_outcome {
	RRDS_DELIVERED,
	RRDS_CANCELLED,
	RRDS_DROPPED,
};

/**
 * struct rrds_ops - what a module does with what comes to a socket
 * @received: a message has come; it is the module's, to be given to
 *	rrds_message_free() or rrds_send_message(), now or later
 * @sent: a message that was sent with a token has ended
 * @room: sending failed with -EAGAIN or -ENOBUFS, and may work now
 * @peer: the connection to a peer has come up or is lost; what is under way is
 *	sent again when it is up again
 *
 * All but @received may be NULL. They are called in softirq context, without a
 * lock, and those of one socket never at the same time. They may use the
 * functions that do not sleep, and may not close the socket.
 */
struct rrds_ops {
	void (*received)(struct rrds_socket *sock, void *context,
			 struct rrds_message *message);
	void (*sent)(struct rrds_socket *sock, void *context, u64 token,
		     enum rrds_outcome outcome);
	void (*room)(struct rrds_socket *sock, void *context);
	void (*peer)(struct rrds_socket *sock, void *context,
		     const struct sockaddr_storage *peer, u8 tos, bool is_up);
};

/**
 * rrds_open() - open a socket
 * @net: its network namespace, which it keeps
 * @ops: what to call, which must stay as long as the socket; NULL: messages wait
 *	for rrds_receive()
 * @context: passed to the callbacks
 *
 * Context: Sleeps.
 * Return: The socket, or ERR_PTR(): -EINVAL without @net or the callback for
 *	messages, -EAFNOSUPPORT, -ENOMEM.
 */
struct rrds_socket *rrds_open(struct net *net, const struct rrds_ops *ops,
			      void *context);

/**
 * rrds_close() - close a socket
 * @sock: the socket, or NULL
 * @timeout_ms: how long to wait until all that was sent is acknowledged; 0
 *	cancels it
 *
 * No callback runs when this is done, and none is told how messages ended that
 * were cancelled.
 *
 * Context: Sleeps. Not in a callback.
 * Return: 0, or -ETIMEDOUT or -ERESTARTSYS if something was cancelled after
 *	a wait. The socket is closed in any case.
 */
int rrds_close(struct rrds_socket *sock, unsigned int timeout_ms);

/**
 * rrds_choose_transport() - choose what carries a socket's messages
 * @sock: the socket, not bound
 * @transport: RDS_TRANS_IB or RDS_TRANS_TCP, see <linux/rds.h>
 *
 * If nothing is chosen it is RDMA if a device of that has the address that the
 * socket is bound to, then TCP.
 *
 * Context: Sleeps.
 * Return: 0, -EINVAL, -EOPNOTSUPP if the socket is bound or something was
 *	chosen, -ENOPROTOOPT if rrds was loaded without it.
 */
int rrds_choose_transport(struct rrds_socket *sock, int transport);

/**
 * rrds_bind() - bind a socket to a local address
 * @sock: the socket
 * @addr: a sockaddr_in or sockaddr_in6; port 0 is any that is free
 * @len: its length
 *
 * Context: Sleeps.
 * Return: 0, -EINVAL, -EADDRNOTAVAIL, -EADDRINUSE, -ENOMEM.
 */
int rrds_bind(struct rrds_socket *sock, const struct sockaddr *addr, int len);

/**
 * rrds_local() - tell the address that a socket is bound to
 * @sock: the socket
 * @addr: where to write it
 *
 * Context: Any.
 * Return: Its length, or -ENOTCONN.
 */
int rrds_local(struct rrds_socket *sock, struct sockaddr_storage *addr);

/**
 * rrds_connect() - set where messages go that are sent without an address
 * @sock: the socket
 * @addr: a sockaddr_in or sockaddr_in6
 * @len: its length
 *
 * Context: Any.
 * Return: 0, -EINVAL.
 */
int rrds_connect(struct rrds_socket *sock, const struct sockaddr *addr, int len);

/**
 * rrds_set_tos() - set the type of service of what is sent from here on
 * @sock: the socket, bound to an address of a device
 * @tos: the type of service: each has connections of its own. TCP has one only,
 *	0, whatever is asked for
 *
 * Context: Any.
 * Return: 0, -EOPNOTSUPP.
 */
int rrds_set_tos(struct rrds_socket *sock, u8 tos);

/**
 * rrds_set_limits() - limit what a socket stores
 * @sock: the socket
 * @send: bytes that may be under way
 * @receive: bytes that may be received and not taken before senders are held up
 *
 * Context: Any.
 */
void rrds_set_limits(struct rrds_socket *sock, u32 send, u32 receive);

/**
 * rrds_prepare() - make a path to a peer and dial it
 * @sock: the socket, bound
 * @addr: the peer
 * @len: length of the address
 *
 * Afterwards, and after a message with the socket's type of service has come from
 * there, rrds_send_atomic() works.
 *
 * Context: Sleeps, but does not wait for the connection.
 * Return: 0, -EINVAL, -ENOTCONN, -EOPNOTSUPP, -ENETDOWN, -ENOMEM.
 */
int rrds_prepare(struct rrds_socket *sock, const struct sockaddr *addr, int len);

/**
 * rrds_send() - send a copy of pieces of memory as one message
 * @sock: the socket, bound
 * @addr: where to; NULL: where it is connected to
 * @len: length of the address
 * @parts: the pieces
 * @nr: how many there are
 * @timeout_ms: how long to wait for room
 *
 * Context: Sleeps.
 * Return: 0, -EINVAL, -ENOTCONN, -EOPNOTSUPP, -EMSGSIZE, -ENOMEM; if there is no
 *	room -ETIMEDOUT or -ERESTARTSYS, or at once, if @timeout_ms is 0, -EAGAIN
 *	(too much under way) or -ENOBUFS (the peer's socket is full).
 */
int rrds_send(struct rrds_socket *sock, const struct sockaddr *addr, int len,
	      const struct kvec *parts, unsigned int nr, unsigned int timeout_ms);

/**
 * rrds_send_atomic() - send a copy of pieces of memory where nothing may sleep
 * @sock: the socket, bound
 * @addr: where to; NULL: where it is connected to
 * @len: length of the address
 * @parts: the pieces
 * @nr: how many there are
 *
 * Context: Any but hard interrupts.
 * Return: As rrds_send() with a @timeout_ms of 0; -EHOSTUNREACH if there is no
 *	path yet.
 */
int rrds_send_atomic(struct rrds_socket *sock, const struct sockaddr *addr,
		     int len, const struct kvec *parts, unsigned int nr);

/**
 * rrds_send_buffers() - send memory without copying it
 * @sock: the socket, bound
 * @addr: where to; NULL: where it is connected to
 * @len: length of the address
 * @buffers: memory of kmalloc(), %RRDS_FRAGMENT bytes each
 * @bytes: how many bytes they have, all in all: the last may have fewer
 * @token: passed to &rrds_ops.sent
 *
 * If this succeeds the buffers belong to the socket, which frees them when they
 * are sent; if it fails they are the caller's still.
 *
 * Context: Any but hard interrupts.
 * Return: As rrds_send_atomic().
 */
int rrds_send_buffers(struct rrds_socket *sock, const struct sockaddr *addr,
		      int len, void *const *buffers, size_t bytes, u64 token);

/**
 * rrds_send_message() - send a message on that was received, without copying it
 * @sock: the socket, bound
 * @addr: where to; NULL: where it is connected to
 * @len: length of the address
 * @message: the message; it is gone afterwards, also if this fails
 *
 * Context: Any but hard interrupts.
 * Return: As rrds_send_atomic().
 */
int rrds_send_message(struct rrds_socket *sock, const struct sockaddr *addr,
		      int len, struct rrds_message *message);

/**
 * rrds_cancel() - cancel what was sent and is not acknowledged
 * @sock: the socket
 * @addr: what is for this address; NULL: all of it
 * @len: length of the address
 *
 * It may have arrived.
 *
 * Context: Any but hard interrupts.
 * Return: 0, -EINVAL.
 */
int rrds_cancel(struct rrds_socket *sock, const struct sockaddr *addr, int len);

/**
 * rrds_receive() - take the next message
 * @sock: a socket without callbacks
 * @timeout_ms: how long to wait for one
 *
 * Context: Sleeps.
 * Return: The message, to be given to rrds_message_free(), or ERR_PTR():
 *	-ETIMEDOUT (-EAGAIN if it was not to wait), -ERESTARTSYS, -EOPNOTSUPP if the
 *	socket has callbacks.
 */
struct rrds_message *rrds_receive(struct rrds_socket *sock,
				  unsigned int timeout_ms);

/**
 * rrds_message_source() - tell where a message comes from
 * @message: the message
 * @addr: where to write the address
 *
 * Context: Any.
 * Return: The length of the address.
 */
int rrds_message_source(const struct rrds_message *message,
			struct sockaddr_storage *addr);

/**
 * rrds_message_tos() - tell the type of service that a message was sent with
 * @message: the message
 *
 * Context: Any.
 */
u8 rrds_message_tos(const struct rrds_message *message);

/**
 * rrds_message_len() - tell how long a message is
 * @message: the message
 *
 * Context: Any.
 */
size_t rrds_message_len(const struct rrds_message *message);

/**
 * rrds_message_at() - look at a message
 * @message: the message
 * @offset: where to begin
 * @len: set to how many bytes there are in one piece: up to the next multiple of
 *	%RRDS_FRAGMENT, or to the end
 *
 * Context: Any.
 * Return: The bytes, which stay as long as the message, or NULL behind its end.
 */
const void *rrds_message_at(const struct rrds_message *message, size_t offset,
			    size_t *len);

/**
 * rrds_message_free() - give a message back
 * @message: the message, or NULL
 *
 * Context: Any but hard interrupts.
 */
void rrds_message_free(struct rrds_message *message);

#endif /* RRDS_H */
