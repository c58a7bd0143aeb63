/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints of rrds. They are C, because the kernel makes events of macros
 * only; rust/trace/ has what Rust calls.
 *
 * Addresses are 16 bytes in network order, IPv4 in its mapped form.
 * Documentation/observing.rst says what each event means.
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM rrds

#if !defined(_RRDS_TRACEPOINTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RRDS_TRACEPOINTS_H

#include <linux/tracepoint.h>
#include <linux/types.h>
#include <linux/unaligned.h>

/* States of a connection. */
#define RRDS_STATE_DOWN			0
#define RRDS_STATE_DIALING		1
#define RRDS_STATE_ACCEPTING		2
#define RRDS_STATE_UP			3
#define RRDS_STATE_CLOSING		4

#define rrds_show_state(state)						\
	__print_symbolic(state,						\
		{ RRDS_STATE_DOWN, "down" },				\
		{ RRDS_STATE_DIALING, "dialing" },			\
		{ RRDS_STATE_ACCEPTING, "accepting" },			\
		{ RRDS_STATE_UP, "up" },				\
		{ RRDS_STATE_CLOSING, "closing" })

/* Why a connection is given up, a message dropped or a request refused. */
#define RRDS_WHY_NONE			0
#define RRDS_WHY_TRUNCATED		1
#define RRDS_WHY_CHECKSUM		2
#define RRDS_WHY_FRAGMENT_MISMATCH	3
#define RRDS_WHY_FRAGMENT_SHORT		4
#define RRDS_WHY_TOO_LONG		5
#define RRDS_WHY_ACK_BEYOND_SENT	6
#define RRDS_WHY_OPCODE			7
#define RRDS_WHY_TRANSPORT		8
#define RRDS_WHY_REJECTED		9
#define RRDS_WHY_VERSION		10
#define RRDS_WHY_TIMEOUT		11
#define RRDS_WHY_SUPERSEDED		12
#define RRDS_WHY_NO_MEMORY		13
#define RRDS_WHY_LOCAL			14
#define RRDS_WHY_NO_SOCK		15
#define RRDS_WHY_DEAD_SOCK		16
#define RRDS_WHY_DUPLICATE		17
#define RRDS_WHY_PING_WITHOUT_PORT	18
#define RRDS_WHY_MAP_LENGTH		19
#define RRDS_WHY_CANCELLED		20
#define RRDS_WHY_UNSENDABLE		21
#define RRDS_WHY_PRIVATE_DATA		22
#define RRDS_WHY_WRONG_ADDRESS		23
#define RRDS_WHY_NO_DEVICE		24
#define RRDS_WHY_RACE			25

#define rrds_show_why(why)						\
	__print_symbolic(why,						\
		{ RRDS_WHY_NONE, "none" },				\
		{ RRDS_WHY_TRUNCATED, "truncated" },			\
		{ RRDS_WHY_CHECKSUM, "checksum" },			\
		{ RRDS_WHY_FRAGMENT_MISMATCH, "fragment_mismatch" },	\
		{ RRDS_WHY_FRAGMENT_SHORT, "fragment_short" },		\
		{ RRDS_WHY_TOO_LONG, "too_long" },			\
		{ RRDS_WHY_ACK_BEYOND_SENT, "ack_beyond_sent" },	\
		{ RRDS_WHY_OPCODE, "opcode" },				\
		{ RRDS_WHY_TRANSPORT, "transport" },			\
		{ RRDS_WHY_REJECTED, "rejected" },			\
		{ RRDS_WHY_VERSION, "version" },			\
		{ RRDS_WHY_TIMEOUT, "timeout" },			\
		{ RRDS_WHY_SUPERSEDED, "superseded" },			\
		{ RRDS_WHY_NO_MEMORY, "no_memory" },			\
		{ RRDS_WHY_LOCAL, "local" },				\
		{ RRDS_WHY_NO_SOCK, "no_sock" },			\
		{ RRDS_WHY_DEAD_SOCK, "dead_sock" },			\
		{ RRDS_WHY_DUPLICATE, "duplicate" },			\
		{ RRDS_WHY_PING_WITHOUT_PORT, "ping_without_port" },	\
		{ RRDS_WHY_MAP_LENGTH, "map_length" },			\
		{ RRDS_WHY_CANCELLED, "cancelled" },			\
		{ RRDS_WHY_UNSENDABLE, "unsendable" },			\
		{ RRDS_WHY_PRIVATE_DATA, "private_data" },		\
		{ RRDS_WHY_WRONG_ADDRESS, "wrong_address" },		\
		{ RRDS_WHY_NO_DEVICE, "no_device" },			\
		{ RRDS_WHY_RACE, "race" })

/* What happened to a port. */
#define RRDS_PORT_CONGESTED		0
#define RRDS_PORT_FREED			1
#define RRDS_PORT_REFUSED		2
#define RRDS_PORT_BLOCKED		3

#define rrds_show_port(what)						\
	__print_symbolic(what,						\
		{ RRDS_PORT_CONGESTED, "congested" },			\
		{ RRDS_PORT_FREED, "freed" },				\
		{ RRDS_PORT_REFUSED, "refused" },			\
		{ RRDS_PORT_BLOCKED, "blocked" })

#define rrds_show_role(initiator)					\
	__print_symbolic(initiator, { 0, "acceptor" }, { 1, "initiator" })

#define rrds_show_flags(flags)						\
	__print_flags(flags, "|",					\
		{ 0x01, "cong_bitmap" },				\
		{ 0x02, "ack_required" },				\
		{ 0x04, "retransmitted" },				\
		{ 0x20, "extension" })

TRACE_EVENT(rrds_connect,

	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u32 conn,
		 bool initiator, u32 qp, u32 attempts),

	TP_ARGS(local, peer, tos, conn, initiator, qp, attempts),

	TP_STRUCT__entry(
		__array(u8, local, 16)
		__array(u8, peer, 16)
		__field(u32, conn)
		__field(u32, qp)
		__field(u32, attempts)
		__field(u8, tos)
		__field(u8, initiator)
	),

	TP_fast_assign(
		memcpy(__entry->local, local, 16);
		memcpy(__entry->peer, peer, 16);
		__entry->conn = conn;
		__entry->qp = qp;
		__entry->attempts = attempts;
		__entry->tos = tos;
		__entry->initiator = initiator;
	),

	TP_printk("local=%pI6c peer=%pI6c tos=%u conn=%u role=%s qp=%u attempts=%u",
		  __entry->local, __entry->peer, __entry->tos, __entry->conn,
		  rrds_show_role(__entry->initiator), __entry->qp,
		  __entry->attempts)
);

TRACE_EVENT(rrds_state,

	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u32 conn, u32 from,
		 u32 to, u32 why),

	TP_ARGS(local, peer, tos, conn, from, to, why),

	TP_STRUCT__entry(
		__array(u8, local, 16)
		__array(u8, peer, 16)
		__field(u32, conn)
		__field(u8, tos)
		__field(u8, from)
		__field(u8, to)
		__field(u8, why)
	),

	TP_fast_assign(
		memcpy(__entry->local, local, 16);
		memcpy(__entry->peer, peer, 16);
		__entry->conn = conn;
		__entry->tos = tos;
		__entry->from = from;
		__entry->to = to;
		__entry->why = why;
	),

	TP_printk("local=%pI6c peer=%pI6c tos=%u conn=%u %s->%s reason=%s",
		  __entry->local, __entry->peer, __entry->tos, __entry->conn,
		  rrds_show_state(__entry->from), rrds_show_state(__entry->to),
		  rrds_show_why(__entry->why))
);

TRACE_EVENT(rrds_refuse,

	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u32 why),

	TP_ARGS(local, peer, tos, why),

	TP_STRUCT__entry(
		__array(u8, local, 16)
		__array(u8, peer, 16)
		__field(u8, tos)
		__field(u8, why)
	),

	TP_fast_assign(
		memcpy(__entry->local, local, 16);
		memcpy(__entry->peer, peer, 16);
		__entry->tos = tos;
		__entry->why = why;
	),

	TP_printk("local=%pI6c peer=%pI6c tos=%u reason=%s",
		  __entry->local, __entry->peer, __entry->tos,
		  rrds_show_why(__entry->why))
);

DECLARE_EVENT_CLASS(rrds_message,

	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u16 sport, u16 dport,
		 u64 seq, u32 len),

	TP_ARGS(local, peer, tos, sport, dport, seq, len),

	TP_STRUCT__entry(
		__array(u8, local, 16)
		__array(u8, peer, 16)
		__field(u64, seq)
		__field(u32, len)
		__field(u16, sport)
		__field(u16, dport)
		__field(u8, tos)
	),

	TP_fast_assign(
		memcpy(__entry->local, local, 16);
		memcpy(__entry->peer, peer, 16);
		__entry->seq = seq;
		__entry->len = len;
		__entry->sport = sport;
		__entry->dport = dport;
		__entry->tos = tos;
	),

	TP_printk("local=%pI6c peer=%pI6c tos=%u sport=%u dport=%u seq=%llu len=%u",
		  __entry->local, __entry->peer, __entry->tos, __entry->sport,
		  __entry->dport, __entry->seq, __entry->len)
);

#define DEFINE_RRDS_MESSAGE_EVENT(name)					\
DEFINE_EVENT(rrds_message, name,					\
	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u16 sport,	\
		 u16 dport, u64 seq, u32 len),				\
	TP_ARGS(local, peer, tos, sport, dport, seq, len))

DEFINE_RRDS_MESSAGE_EVENT(rrds_send);
DEFINE_RRDS_MESSAGE_EVENT(rrds_retransmit);
DEFINE_RRDS_MESSAGE_EVENT(rrds_receive);

TRACE_EVENT(rrds_drop,

	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u16 sport, u16 dport,
		 u64 seq, u32 len, u32 why),

	TP_ARGS(local, peer, tos, sport, dport, seq, len, why),

	TP_STRUCT__entry(
		__array(u8, local, 16)
		__array(u8, peer, 16)
		__field(u64, seq)
		__field(u32, len)
		__field(u16, sport)
		__field(u16, dport)
		__field(u8, tos)
		__field(u8, why)
	),

	TP_fast_assign(
		memcpy(__entry->local, local, 16);
		memcpy(__entry->peer, peer, 16);
		__entry->seq = seq;
		__entry->len = len;
		__entry->sport = sport;
		__entry->dport = dport;
		__entry->tos = tos;
		__entry->why = why;
	),

	TP_printk("local=%pI6c peer=%pI6c tos=%u sport=%u dport=%u seq=%llu len=%u reason=%s",
		  __entry->local, __entry->peer, __entry->tos, __entry->sport,
		  __entry->dport, __entry->seq, __entry->len,
		  rrds_show_why(__entry->why))
);

/* A frame; header is its first 48 bytes (struct rds_header of net/rds). */
DECLARE_EVENT_CLASS(rrds_frame,

	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u32 conn,
		 const u8 *header, u32 data_len),

	TP_ARGS(local, peer, tos, conn, header, data_len),

	TP_STRUCT__entry(
		__array(u8, local, 16)
		__array(u8, peer, 16)
		__field(u64, seq)
		__field(u64, ack)
		__field(u32, conn)
		__field(u32, len)
		__field(u32, data_len)
		__field(u16, sport)
		__field(u16, dport)
		__field(u8, tos)
		__field(u8, flags)
		__field(u8, credit)
	),

	TP_fast_assign(
		memcpy(__entry->local, local, 16);
		memcpy(__entry->peer, peer, 16);
		__entry->seq = get_unaligned_be64(header);
		__entry->ack = get_unaligned_be64(header + 8);
		__entry->conn = conn;
		__entry->len = get_unaligned_be32(header + 16);
		__entry->data_len = data_len;
		__entry->sport = get_unaligned_be16(header + 20);
		__entry->dport = get_unaligned_be16(header + 22);
		__entry->tos = tos;
		__entry->flags = header[24];
		__entry->credit = header[25];
	),

	TP_printk("local=%pI6c peer=%pI6c tos=%u conn=%u sport=%u dport=%u seq=%llu ack=%llu len=%u data_len=%u flags=%s credit=%u",
		  __entry->local, __entry->peer, __entry->tos, __entry->conn,
		  __entry->sport, __entry->dport, __entry->seq, __entry->ack,
		  __entry->len, __entry->data_len,
		  rrds_show_flags(__entry->flags), __entry->credit)
);

#define DEFINE_RRDS_FRAME_EVENT(name)					\
DEFINE_EVENT(rrds_frame, name,						\
	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u32 conn,	\
		 const u8 *header, u32 data_len),			\
	TP_ARGS(local, peer, tos, conn, header, data_len))

DEFINE_RRDS_FRAME_EVENT(rrds_frame_send);
DEFINE_RRDS_FRAME_EVENT(rrds_frame_receive);

TRACE_EVENT(rrds_ack,

	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u64 from, u64 to),

	TP_ARGS(local, peer, tos, from, to),

	TP_STRUCT__entry(
		__array(u8, local, 16)
		__array(u8, peer, 16)
		__field(u64, from)
		__field(u64, to)
		__field(u8, tos)
	),

	TP_fast_assign(
		memcpy(__entry->local, local, 16);
		memcpy(__entry->peer, peer, 16);
		__entry->from = from;
		__entry->to = to;
		__entry->tos = tos;
	),

	TP_printk("local=%pI6c peer=%pI6c tos=%u from=%llu to=%llu",
		  __entry->local, __entry->peer, __entry->tos, __entry->from,
		  __entry->to)
);

TRACE_EVENT(rrds_congestion,

	TP_PROTO(const u8 *addr, u16 port, u32 what),

	TP_ARGS(addr, port, what),

	TP_STRUCT__entry(
		__array(u8, addr, 16)
		__field(u16, port)
		__field(u8, what)
	),

	TP_fast_assign(
		memcpy(__entry->addr, addr, 16);
		__entry->port = port;
		__entry->what = what;
	),

	TP_printk("addr=%pI6c port=%u %s", __entry->addr, __entry->port,
		  rrds_show_port(__entry->what))
);

TRACE_EVENT(rrds_map,

	TP_PROTO(const u8 *local, const u8 *peer, u8 tos, u32 offset, u32 len),

	TP_ARGS(local, peer, tos, offset, len),

	TP_STRUCT__entry(
		__array(u8, local, 16)
		__array(u8, peer, 16)
		__field(u32, offset)
		__field(u32, len)
		__field(u8, tos)
	),

	TP_fast_assign(
		memcpy(__entry->local, local, 16);
		memcpy(__entry->peer, peer, 16);
		__entry->offset = offset;
		__entry->len = len;
		__entry->tos = tos;
	),

	TP_printk("local=%pI6c peer=%pI6c tos=%u offset=%u len=%u",
		  __entry->local, __entry->peer, __entry->tos, __entry->offset,
		  __entry->len)
);

#endif /* _RRDS_TRACEPOINTS_H */

/* This part must be outside protection. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE tracepoints
#include <trace/define_trace.h>
