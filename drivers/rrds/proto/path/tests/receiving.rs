// SPDX-License-Identifier: GPL-2.0

//! What comes in, and what becomes of a peer that breaks the rules.

use super::*;
use crate::recv::Ignored;
use crate::wire::WireError;

fn up() -> Node {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    a
}

fn data(seq: u64, len: u32) -> Header {
    Header {
        seq,
        len,
        sport: 5,
        dport: 6,
        ..Header::default()
    }
}

#[test]
fn messages_are_acknowledged_on_demand_only() {
    let mut a = up();
    let h = data(1, 10);
    assert_eq!(a.receive_header(h, 10), Ok(Received::Message));
    assert!(a.drain().is_empty());
    let h = Header {
        flags: Flags::ACK_REQUIRED,
        ..data(2, 10)
    };
    a.receive_header(h, 10).unwrap();
    let out = a.drain();
    assert_eq!((out.len(), out[0].header.ack), (1, 2));
    assert!(a.drain().is_empty(), "once");
    let s = a.path.stats();
    assert_eq!(
        (s.recv_messages, s.recv_ack_required, s.ack_sent),
        (2, 1, 1)
    );
    assert_eq!(a.path.expected(), 3);
}

#[test]
fn one_acknowledgement_serves_a_batch() {
    let mut a = up();
    for seq in 1..10 {
        let h = Header {
            flags: Flags::ACK_REQUIRED,
            ..data(seq, 10)
        };
        a.receive_header(h, 10).unwrap();
    }
    let out = a.drain();
    assert_eq!((out.len(), out[0].header.ack), (1, 9));
}

#[test]
fn who_only_acknowledges_has_one_in_flight() {
    let demand = |a: &mut Node, seq| {
        let h = Header {
            flags: Flags::ACK_REQUIRED,
            ..data(seq, 10)
        };
        a.receive_header(h, 10).unwrap();
    };
    let mut a = up();
    demand(&mut a, 1);
    assert!(!a.drain()[0].signaled, "the map went before it");
    demand(&mut a, 2);
    let second = a.drain();
    assert!(second[0].signaled, "its completion is waited for");
    demand(&mut a, 3);
    demand(&mut a, 4);
    assert!(!a.path.has_news() && a.drain().is_empty());
    // One for both.
    a.path.on_sent(a.path.current(), second[0].id);
    assert!(a.path.has_news());
    let third = a.drain();
    assert_eq!((third.len(), third[0].header.ack), (1, 4));
    // Whatever else is sent carries it meanwhile.
    demand(&mut a, 5);
    a.send(1, 10);
    assert_eq!(a.drain()[0].header.ack, 5);
    a.path.on_sent(a.path.current(), third[0].id);
    assert!(a.drain().is_empty());
    let s = a.path.stats();
    assert_eq!((s.ack_sent, s.ack_send_delayed), (3, 3));
    // And what is acknowledged behind it is not waited for.
    demand(&mut a, 6);
    assert!(!a.drain()[0].signaled);
    demand(&mut a, 7);
    assert!(a.drain()[0].signaled && a.path.sender().is_acking());
    // A new connection has none in flight.
    let conn = a.path.current();
    a.path.on_lost(conn, DropReason::Transport);
    assert!(matches!(a.poll(), Some(Action::Close { .. })));
    a.path
        .on_closed(&a.settings, a.now, conn, 0)
        .expect("it was to be closed");
    assert!(!a.path.sender().is_acking());
}

#[test]
fn acknowledgements_may_come_between_fragments() {
    let mut a = up();
    a.send(1, 1);
    a.drain();
    let h = data(1, 5000);
    assert_eq!(a.receive_header(h, 4096), Ok(Received::Partial));
    let ack = Header {
        ack: 16,
        ..Header::default()
    };
    assert_eq!(a.receive_header(ack, 0), Ok(Received::Ack));
    assert_eq!(a.reap(), [(1, Outcome::Done)]);
    assert_eq!(a.receive_header(h, 904), Ok(Received::Message));
    assert_eq!(a.path.stats().ack_received, 1);
    assert_eq!(a.path.stats().send_acked, 1);
}

#[test]
fn duplicates_and_pings_are_acknowledged_too() {
    let mut a = up();
    a.receive_header(data(5, 1), 1).unwrap();
    a.drain();
    let again = Header {
        flags: Flags::RETRANSMITTED.with(Flags::ACK_REQUIRED),
        ..data(5, 1)
    };
    let got = a.receive_header(again, 1);
    assert_eq!(got, Ok(Received::Ignored(Ignored::Duplicate)));
    assert_eq!(a.drain()[0].header.ack, 5);
    let ping = Header {
        dport: 0,
        flags: Flags::ACK_REQUIRED,
        ..data(6, 0)
    };
    assert_eq!(a.receive_header(ping, 0), Ok(Received::Ping(5)));
    assert_eq!(a.drain()[0].header.ack, 6);
    let s = a.path.stats();
    assert_eq!((s.recv_drop_old_seq, s.recv_ping), (1, 1));
}

/// Expects that a frame ends the connection for a reason.
fn refused(mut a: Node, frame: &[u8], len: u32, why: Violation) {
    let conn = a.path.current();
    let got = a
        .path
        .on_frame(&a.settings, conn, frame, len, |_| Ok::<(), ()>(()));
    assert_eq!(got, Err(Refused::Violation(why)));
    assert_eq!(a.path.state(), State::Closing);
    let reason = DropReason::Violation(why);
    assert_eq!(a.poll(), Some(Action::Close { conn, reason }));
    assert_eq!(a.poll(), None);
    assert_eq!(a.path.last_reason(), reason);
    assert_eq!(a.path.stats().conn_reset, 1);
    // Nothing of that connection is heard any more.
    let got = a
        .path
        .on_frame(&a.settings, conn, frame, len, |_| Ok::<(), ()>(()));
    assert_eq!(got, Ok(Received::Stale));
    a.path.on_closed(&a.settings, a.now, conn, 0).unwrap();
    assert_eq!(a.path.state(), State::Down);
}

#[test]
fn violations_end_the_connection() {
    let good = data(1, 10).emit();
    let mut bad = good;
    bad[3] ^= 1;
    let header = |h: Header| h.emit();
    refused(
        up(),
        &good[..47],
        47,
        Violation::Header(WireError::Truncated),
    );
    refused(up(), &good, 47, Violation::Header(WireError::Truncated));
    refused(up(), &bad, 58, Violation::Header(WireError::Checksum));
    refused(up(), &good, 57, Violation::FragmentShort);
    refused(up(), &header(data(1, 1 << 21)), 48, Violation::TooLong);
    let ack = header(Header {
        ack: 1,
        ..Header::default()
    });
    refused(up(), &ack, 48, Violation::AckBeyondSent);
    let mut a = up();
    a.receive_header(data(1, 5000), 4096).unwrap();
    refused(a, &header(data(2, 5000)), 4144, Violation::FragmentMismatch);
}

#[test]
fn checksum_errors_are_counted() {
    let mut a = up();
    let mut bad = data(1, 0).emit();
    bad[0] = 1;
    let conn = a.path.current();
    let _ = a
        .path
        .on_frame(&a.settings, conn, &bad, 48, |_| Ok::<(), ()>(()));
    assert_eq!(a.path.stats().recv_drop_bad_checksum, 1);
}

#[test]
fn an_odd_completion_ends_the_connection() {
    let mut a = up();
    a.path.on_bad_opcode(ConnId(99));
    assert_eq!(a.path.state(), State::Up);
    a.path.on_bad_opcode(a.path.current());
    assert_eq!(
        a.path.last_reason(),
        DropReason::Violation(Violation::Opcode)
    );
}

#[test]
fn an_acknowledgement_of_half_a_message_is_a_violation() {
    let mut a = up();
    a.send(1, 9000);
    a.transmit(2);
    let ack = Header {
        ack: 16,
        ..Header::default()
    }
    .emit();
    refused(a, &ack, 48, Violation::AckBeyondSent);
}

#[test]
fn what_a_stream_hands_in_again_is_counted_once() {
    for (is_stream, count) in [(true, 1), (false, 2)] {
        let mut a = up();
        if is_stream {
            a.path.set_stream(crate::tcp::Hello::default());
        }
        let before = a.path.stats().rx_frames;
        let conn = a.path.current();
        let frame = data(1, 10).emit();
        let got = a
            .path
            .on_frame(&a.settings, conn, &frame, 58, |_| Err("full"));
        assert_eq!(got, Err(Refused::Store("full")));
        let _ = a
            .path
            .on_frame(&a.settings, conn, &frame, 58, |_| Ok::<_, ()>(()));
        assert_eq!(a.path.stats().rx_frames - before, count);
    }
}

#[test]
fn lack_of_memory_ends_the_connection_after_a_while() {
    let mut a = up();
    let conn = a.path.current();
    let frame = data(1, 10).emit();
    let got = a
        .path
        .on_frame(&a.settings, conn, &frame, 58, |_| Err("full"));
    assert_eq!(got, Err(Refused::Store("full")));
    assert!(a.path.has_news() && a.path.wants_poll());
    assert_eq!(a.poll(), None);
    assert!(!a.path.has_news() && !a.path.wants_poll());

    // In the other direction all goes on.
    a.send(1, 10);
    assert_eq!(a.drain().len(), 1);
    let ack = Header {
        ack: 16,
        ..data(2, 10)
    };
    let ignored = Received::Ignored(Ignored::Refused);
    assert_eq!(a.receive_header(ack, 10), Ok(ignored));
    assert_eq!(a.reap(), [(1, Outcome::Done)]);
    assert_eq!(a.path.expected(), 0, "it was not received");

    let due = a.path.next_timeout().unwrap();
    assert_eq!(due.0, a.now.0 + 50_000_000);
    a.now = due;
    assert!(!a.close().discard_partial);
    assert_eq!(a.path.last_reason(), DropReason::NoMemory);
    assert_eq!(a.path.next_timeout(), None, "nothing is left to send");

    accept_c(&mut a);
    assert_eq!(a.receive_header(data(1, 10), 10), Ok(Received::Message));
    assert_eq!(a.path.expected(), 2);
}

#[test]
fn what_was_stored_of_a_message_is_dropped_with_the_connection() {
    let mut a = up();
    a.receive_header(data(1, 5000), 4096).unwrap();
    assert!(a.lose().discard_partial);
    accept_c(&mut a);
    assert!(!a.lose().discard_partial);
}

#[test]
fn frames_of_other_connections_are_stale() {
    let mut a = up();
    let frame = data(1, 10).emit();
    let got = a
        .path
        .on_frame(&a.settings, ConnId(7), &frame, 58, |_| Ok::<(), ()>(()));
    assert_eq!(got, Ok(Received::Stale));
}
