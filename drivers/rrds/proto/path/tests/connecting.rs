// SPDX-License-Identifier: GPL-2.0

//! Who dials, who gives way, and when it is tried again.

use super::*;
use crate::wire::RejectDatum;

const RETRY: Verdict = Verdict::Reject(RejectDatum::RETRY);

fn dial(node: &mut Node) -> (ConnId, PrivateData) {
    node.path.connect(node.now);
    match node.poll() {
        Some(Action::Dial { conn, private }) => (conn, private),
        other => panic!("{other:?}"),
    }
}

fn hold(node: &mut Node, request: &PrivateData) -> ConnId {
    match node.path.on_request(&node.settings, node.now, request) {
        Verdict::Hold { conn } => conn,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_dialed_without_need() {
    let mut a = Node::new(1, 2, 100);
    assert_eq!((a.poll(), a.path.next_timeout()), (None, None));
    let (conn, private) = dial(&mut a);
    assert_eq!(a.path.state(), State::Dialing);
    assert!(private.matches(a.path.identity().local, a.path.identity().peer));
    // Asking again changes nothing.
    a.path.connect(a.now);
    assert_eq!(a.poll(), None);
    assert_eq!(a.path.current(), conn);
}

#[test]
fn a_c_peer_gets_its_way() {
    let mut a = Node::new(1, 2, 100);
    let (ours, _) = dial(&mut a);
    let theirs = hold(&mut a, &c_private(2, 1));
    let reason = DropReason::Superseded;
    assert_eq!(a.poll(), Some(Action::Close { conn: ours, reason }));
    assert_eq!(a.poll(), None);
    // Whatever becomes of our attempt is stale.
    assert!(!a.path.on_established(ours, None));
    a.path.on_lost(ours, DropReason::Rejected);
    a.path.on_closed(&a.settings, a.now, ours, 0).unwrap();
    let Some(Action::Accept { conn, private }) = a.poll() else {
        panic!("no accept");
    };
    assert_eq!((conn, private.version), (theirs, Version::V3_1));
    assert!(a.path.on_established(theirs, None));
    assert_eq!(a.path.stats().connect_raced, 1);
    assert_eq!(a.path.stats().connected, 1);
}

#[test]
fn of_our_own_kind_the_smaller_address_wins() {
    let (mut a, mut b) = (Node::new(1, 2, 100), Node::new(2, 1, 200));
    let (conn, from_a) = dial(&mut a);
    let (_, from_b) = dial(&mut b);
    assert_eq!(a.path.on_request(&a.settings, a.now, &from_b), RETRY);
    let theirs = hold(&mut b, &from_a);
    b.close();
    let Some(Action::Accept { private, .. }) = b.poll() else {
        panic!("no accept");
    };
    assert!(a.path.on_established(conn, Some(&private)));
    assert!(b.path.on_established(theirs, None));
    assert_eq!((a.path.state(), b.path.state()), (State::Up, State::Up));
}

#[test]
fn a_request_that_meets_a_connection_takes_its_place() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    let old = a.path.current();
    let first = hold(&mut a, &c_private(2, 1));
    assert_eq!(a.path.state(), State::Closing);
    // A newer one takes the place of the one that waits.
    let second = hold(&mut a, &c_private(2, 1));
    assert_eq!(a.path.connections().count(), 3);
    assert_eq!(a.poll(), Some(Action::Release { conn: first }));
    a.close();
    assert!(matches!(a.poll(), Some(Action::Accept { conn, .. }) if conn == second));
    assert_ne!(old, second);
    assert_eq!(a.path.stats().listen_closed_stale, 1);
    assert_eq!(a.path.stats().conn_reset, 1);
}

#[test]
fn a_request_that_meets_one_being_accepted_takes_its_place() {
    let mut a = Node::new(1, 2, 100);
    let first = hold(&mut a, &c_private(2, 1));
    a.poll();
    let second = hold(&mut a, &c_private(2, 1));
    assert!(!a.path.on_established(first, None));
    a.close();
    assert!(matches!(a.poll(), Some(Action::Accept { conn, .. }) if conn == second));
}

#[test]
fn a_held_request_may_become_void() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    let held = hold(&mut a, &c_private(2, 1));
    a.path.on_lost(ConnId(999), DropReason::Transport);
    a.path.on_lost(held, DropReason::Transport);
    // Whoever has it is told, once.
    assert_eq!(a.poll(), Some(Action::Release { conn: held }));
    a.path.on_lost(held, DropReason::Transport);
    a.close();
    assert_eq!(a.path.state(), State::Down);
    assert_eq!(a.poll(), None);
}

#[test]
fn requests_that_come_while_a_close_lasts_are_bounded() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    let old = a.path.current();
    let first = hold(&mut a, &c_private(2, 1));
    let Some(Action::Close { .. }) = a.poll() else {
        panic!("no close");
    };
    let second = hold(&mut a, &c_private(2, 1));
    // Nobody can be told meanwhile.
    for _ in 0..100 {
        assert_eq!(
            a.path.on_request(&a.settings, a.now, &c_private(2, 1)),
            RETRY
        );
    }
    let all: Vec<_> = a.path.connections().collect();
    assert_eq!(all, [old, second, first]);
    // Nor does it help to give them up.
    a.path.on_lost(second, DropReason::Transport);
    assert_eq!(
        a.path.on_request(&a.settings, a.now, &c_private(2, 1)),
        RETRY
    );
    assert!(a.path.wants_poll());
    a.path.on_closed(&a.settings, a.now, old, 0).unwrap();
    assert_eq!(a.poll(), Some(Action::Release { conn: first }));
    assert_eq!(a.poll(), Some(Action::Release { conn: second }));
    assert_eq!((a.poll(), a.path.connections().count()), (None, 0));
    hold(&mut a, &c_private(2, 1));
}

#[test]
fn a_request_is_not_established_before_it_is_accepted() {
    let mut a = Node::new(1, 2, 100);
    let conn = hold(&mut a, &c_private(2, 1));
    assert!(!a.path.on_established(conn, None));
    // It may fail before it is accepted; it is to be closed, that is, rejected.
    a.path.on_lost(conn, DropReason::Transport);
    a.close();
    assert_eq!(a.path.state(), State::Down);
}

#[test]
fn requests_without_a_common_version_are_rejected() {
    let mut a = Node::new(1, 2, 100);
    let request = PrivateData {
        version: Version { major: 2, minor: 0 },
        ..c_private(2, 1)
    };
    assert_eq!(a.path.on_request(&a.settings, a.now, &request), RETRY);
    assert_eq!(a.path.state(), State::Down);
}

#[test]
fn a_reply_of_an_old_version_ends_the_attempt() {
    let mut a = Node::new(1, 2, 100);
    let (conn, _) = dial(&mut a);
    let reply = PrivateData {
        version: Version { major: 3, minor: 0 },
        ..c_private(2, 1)
    };
    assert!(!a.path.on_established(conn, Some(&reply)));
    let reason = DropReason::Version;
    assert_eq!(a.poll(), Some(Action::Close { conn, reason }));
    assert_eq!(a.path.stats().conn_reset, 0, "it was never up");
}

#[test]
fn attempts_are_repeated_with_growing_delays() {
    let mut a = Node::new(1, 2, 100);
    dial(&mut a);
    let mut delays = Vec::new();
    for _ in 0..5 {
        a.path.on_lost(a.path.current(), DropReason::Rejected);
        let before = a.now;
        a.close();
        a.now = a.path.next_timeout().unwrap();
        delays.push(a.now.0 - before.0);
        // Asking does not make it earlier.
        a.path.connect(before);
        assert_eq!(a.path.next_timeout(), Some(a.now));
        assert!(matches!(a.poll(), Some(Action::Dial { .. })));
    }
    // 2^63 modulo the limits.
    let limits = [1_u64, 2, 4, 8].map(|ms| (1_u64 << 63) % (ms * 1_000_000));
    assert_eq!(delays[0], 0);
    assert_eq!(delays[1..], limits);
    // A connection that lasts starts over.
    let conn = a.path.current();
    assert!(a.path.on_established(conn, Some(&c_private(2, 1))));
    assert_eq!(a.poll(), None);
    a.now = a.now.after(a.settings.reconnect_max_ns);
    let before = a.now;
    a.lose();
    assert_eq!(a.now, before);
}

#[test]
fn a_peer_that_breaks_a_rule_each_time_is_dialed_ever_more_seldom() {
    let mut a = Node::new(1, 2, 100);
    dial(&mut a);
    let mut delays = Vec::new();
    for round in 1..=12_u64 {
        let conn = a.path.current();
        assert!(a.path.on_established(conn, Some(&c_private(2, 1))));
        assert_eq!(a.poll(), None);
        // One frame that is not right, and no more than one reason for it.
        let header = Header {
            seq: 1,
            len: (1 << 20) + 1,
            dport: 4001,
            ..Header::default()
        };
        let refused = a.receive_header(header, 4096);
        assert_eq!(refused, Err(Refused::Violation(Violation::TooLong)));
        assert_eq!(
            a.receive_header(header, 4096),
            Ok(Received::Stale),
            "nothing more is taken from it"
        );
        let (before, reason) = (a.now, DropReason::Violation(Violation::TooLong));
        assert_eq!(a.poll(), Some(Action::Close { conn, reason }));
        a.path
            .on_closed(&a.settings, a.now, conn, u64::MAX - 1)
            .unwrap();
        assert_eq!(a.path.stats().conn_reset, round);
        a.now = a.path.next_timeout().unwrap();
        delays.push(a.now.0 - before.0);
        assert!(matches!(a.poll(), Some(Action::Dial { .. })));
    }
    // The limits double up to the most there is.
    let limits = (0..12_u32).map(|i| (1_000_000_u64 << i).min(1_000_000_000));
    let wanted: Vec<u64> = limits.map(|limit| (u64::MAX - 1) % limit).collect();
    assert_eq!(delays[0], 0);
    assert_eq!(delays[1..], wanted[..11]);
}

#[test]
fn what_only_the_peer_wanted_is_not_dialed_again() {
    let (mut a, mut b) = pair();
    b.lose();
    assert_eq!(b.path.next_timeout(), None);
    assert_eq!(b.poll(), None);
    // Whoever asked for the connection makes it again.
    a.lose();
    assert!(matches!(a.poll(), Some(Action::Dial { .. })));

    // So does who has something left to send, and from the first wish on who ever had.
    let (_, mut b) = pair();
    b.send(1, 10);
    b.lose();
    assert!(matches!(b.poll(), Some(Action::Dial { .. })));
    // An answer to a ping is not worth it: whoever has asked asks again.
    let (_, mut b) = pair();
    assert!(b.path.queue_pong(7));
    b.lose();
    assert_eq!((b.poll(), b.path.next_timeout()), (None, None));
    assert!(b.path.is_idle());
    let (_, mut b) = pair();
    b.path.connect(b.now);
    b.lose();
    assert!(matches!(b.poll(), Some(Action::Dial { .. })));
}

#[test]
fn what_is_asked_for_and_given_up_while_a_close_lasts_is_not_dialed() {
    let (mut a, _b) = pair();
    a.path.on_lost(a.path.current(), DropReason::Transport);
    a.path.connect(a.now);
    a.path.release();
    a.close();
    assert_eq!((a.poll(), a.path.next_timeout()), (None, None));
    assert!(a.path.is_idle());
}

#[test]
fn what_nobody_wants_any_more_is_not_dialed() {
    // While it is dialed,
    let mut a = Node::new(1, 2, 100);
    dial(&mut a);
    let seq = a.send(1, 10);
    a.path.release();
    assert_eq!(a.poll(), None, "a message waits");
    assert!(matches!(a.cancel(seq), Cancel::Removed(_)));
    a.path.release();
    assert_eq!(a.poll(), None, "the attempt goes on");
    a.path.on_lost(a.path.current(), DropReason::Rejected);
    a.close();
    assert_eq!((a.poll(), a.path.next_timeout()), (None, None));
    assert!(a.path.is_idle());
    // while it waits for the next attempt,
    dial(&mut a);
    a.path.on_lost(a.path.current(), DropReason::Rejected);
    a.close();
    let next = a.path.next_timeout().unwrap();
    assert!(next > a.now && !a.path.is_idle());
    a.path.release();
    assert!(a.path.is_idle());
    // which nobody makes come sooner by asking anew,
    a.path.connect(a.now);
    assert_eq!(a.path.next_timeout(), Some(next));
    // and while it is up, where it stays.
    let (mut a, _) = pair();
    a.path.release();
    assert_eq!((a.poll(), a.path.state()), (None, State::Up));
    assert!(!a.path.is_idle());
    a.lose();
    assert!(a.path.is_idle());
}

#[test]
fn a_handshake_that_does_not_end_is_given_up() {
    let mut a = Node::new(1, 2, 100);
    for accept in [false, true] {
        if accept {
            hold(&mut a, &c_private(2, 1));
            a.poll();
        } else {
            dial(&mut a);
        }
        let conn = a.path.current();
        a.now = a.path.next_timeout().unwrap();
        let reason = DropReason::Timeout;
        assert_eq!(a.poll(), Some(Action::Close { conn, reason }));
        a.path.on_closed(&a.settings, a.now, conn, 0).unwrap();
    }
}

#[test]
fn frames_before_the_end_of_our_handshake_are_early() {
    let (mut a, mut b) = (Node::new(1, 2, 100), Node::new(2, 1, 200));
    let (conn, private) = dial(&mut a);
    let theirs = hold(&mut b, &private);
    let Some(Action::Accept { private, .. }) = b.poll() else {
        panic!("no accept");
    };
    // The peer is up first, and sends.
    assert!(b.path.on_established(theirs, None));
    b.send(1, 10);
    let out = b.drain();
    assert_eq!(a.receive(out[0]), Ok(Received::Early));
    assert!(a.path.on_established(conn, Some(&private)));
    let offset = 0;
    assert_eq!(
        a.receive(out[0]),
        Ok(Received::CongMap { offset, len: 4096 })
    );
}

#[test]
fn frames_before_the_end_of_the_peers_handshake_are_taken() {
    let (mut a, mut b) = (Node::new(1, 2, 100), Node::new(2, 1, 200));
    let (conn, private) = dial(&mut a);
    let theirs = hold(&mut b, &private);
    let Some(Action::Accept { private, .. }) = b.poll() else {
        panic!("no accept");
    };
    assert!(a.path.on_established(conn, Some(&private)));
    a.send(1, 10);
    let out = a.drain();
    assert!(matches!(b.receive(out[0]), Ok(Received::CongMap { .. })));
    b.receive(out[1]).unwrap();
    assert!(matches!(b.receive(out[2]), Ok(Received::Message)));
    assert!(b.path.on_established(theirs, None));
    assert_eq!(b.drain()[0].header.ack, 16);
}

#[test]
fn a_stopped_path_stays_down() {
    let mut a = Node::new(1, 2, 100);
    a.path.connect(a.now);
    a.path.stop();
    assert_eq!((a.poll(), a.path.next_timeout()), (None, None));
    a.path.connect(a.now);
    assert_eq!(a.poll(), None);
    assert_eq!(
        a.path.on_request(&a.settings, a.now, &c_private(2, 1)),
        RETRY
    );
    // With a connection and a request that waits for its end.
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    let held = hold(&mut a, &c_private(2, 1));
    a.path.stop();
    assert_eq!(a.poll(), Some(Action::Release { conn: held }));
    a.close();
    assert_eq!((a.path.state(), a.path.next_timeout()), (State::Down, None));
    let now = a.now;
    assert_eq!(a.path.on_closed(&a.settings, now, held, 0), None);
}

#[test]
fn an_idle_path_is_small() {
    assert!(size_of::<Path<usize, Vec<Option<Entry<usize>>>>>() <= 800);
    let a = Node::new(1, 2, 100);
    let text = std::format!("{:?}", a.path);
    assert!(
        text.starts_with("Path { identity: Identity { local: 10.0.0.1"),
        "{text}"
    );
}
