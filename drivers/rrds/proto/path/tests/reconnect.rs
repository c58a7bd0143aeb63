// SPDX-License-Identifier: GPL-2.0

//! What is sent again, what is not, and who is taken for whom.

use super::*;
use crate::recv::Ignored;

fn seqs(out: &[Out]) -> Vec<u64> {
    out.iter().map(|f| f.header.seq).collect()
}

#[test]
fn the_unacknowledged_go_first_and_flagged() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    for i in 0..3 {
        a.send(i, 10);
    }
    a.drain();
    let ack = Header {
        ack: 16,
        ..Header::default()
    };
    a.receive_header(ack, 0).unwrap();
    a.lose();
    a.send(3, 10);
    let out = accept_c(&mut a);
    assert_eq!(seqs(&out), [0, 0, 17, 18, 19]);
    let both = Flags::RETRANSMITTED.with(Flags::ACK_REQUIRED);
    assert_eq!(out[2].header.flags, both);
    assert_eq!(out[3].header.flags, both);
    // Never sent before: the budgets are full after a reconnect.
    assert_eq!(out[4].header.flags, Flags::NONE);
    assert_eq!(a.path.stats().send_retransmitted, 2);
    assert_eq!(a.reap(), [(0, Outcome::Done)]);
}

#[test]
fn the_message_on_its_way_starts_over() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    a.send(1, 9000);
    a.send(2, 10);
    a.transmit(2);
    a.lose();
    let out = accept_c(&mut a);
    assert_eq!(seqs(&out), [0, 0, 16, 16, 16, 17]);
    assert_eq!(out[2].of, Some((1, 0)));
    assert!(out[2].header.flags.contains(Flags::RETRANSMITTED));
    assert!(!out[5].header.flags.contains(Flags::RETRANSMITTED));
}

#[test]
fn a_c_peer_never_gets_an_old_acknowledgement() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    let h = Header {
        seq: 500,
        sport: 1,
        dport: 2,
        ..Header::default()
    };
    a.receive_header(h, 0).unwrap();
    a.lose();
    a.send(1, 10);
    let out = accept_c(&mut a);
    assert!(out.iter().all(|f| f.header.ack == 0));
    // Yet its duplicates are known.
    let again = Header {
        flags: Flags::RETRANSMITTED,
        ..h
    };
    let got = a.receive_header(again, 0);
    assert_eq!(got, Ok(Received::Ignored(Ignored::Duplicate)));
}

#[test]
fn our_own_kind_goes_on_where_it_was() {
    let (mut a, mut b) = pair();
    for i in 0..4 {
        a.send(i, 10);
    }
    let out = a.drain();
    // Two of four arrive, and no acknowledgement comes back.
    b.receive(out[0]).unwrap();
    b.receive(out[1]).unwrap();
    a.lose();
    b.lose();
    connect(&mut a, &mut b);
    // The reply told what was received, so only the rest is sent again.
    let out = a.drain();
    assert_eq!(seqs(&out), [0, 0, 18, 19]);
    assert_eq!(a.reap(), [(0, Outcome::Done), (1, Outcome::Done)]);
    // And the other way round, the first frame tells.
    assert_eq!(b.drain()[0].header.ack, 17);
    for frame in out {
        b.receive(frame).unwrap();
    }
    assert_eq!(b.path.stats().recv_drop_old_seq, 0);
    exchange(&mut a, &mut b);
    assert_eq!(a.reap(), [(2, Outcome::Done), (3, Outcome::Done)]);
}

#[test]
fn the_side_that_accepts_learns_from_the_first_frame() {
    let (mut a, mut b) = pair();
    b.send(1, 9000);
    b.send(2, 10);
    b.send(3, 10);
    let out = b.drain();
    for frame in &out[..4] {
        a.receive(*frame).unwrap();
    }
    a.lose();
    b.lose();
    connect(&mut a, &mut b);
    let map = a.drain();
    assert_eq!(map[0].header.ack, 17);
    // The acknowledgement comes while the first message is being sent again: it is finished all the
    // same, the others are not sent.
    let first: Vec<_> = b.transmit(3).0;
    assert_eq!(seqs(&first), [0, 0, 16]);
    b.receive(map[0]).unwrap();
    assert_eq!(b.reap(), []);
    let rest = b.drain();
    assert_eq!(seqs(&rest), [16, 16, 18]);
    assert_eq!(b.reap(), [(1, Outcome::Done), (2, Outcome::Done)]);
    for frame in first.into_iter().chain(rest) {
        a.receive(frame).unwrap();
    }
    assert_eq!(a.path.stats().recv_drop_old_seq, 1);
    assert_eq!(a.path.expected(), 19);
}

#[test]
fn a_rebooted_peer_is_known_by_its_incarnation() {
    let (mut a, mut b) = pair();
    b.send(1, 10);
    let out = b.drain();
    a.receive(out[0]).unwrap();
    assert_eq!(a.path.expected(), 17);
    a.send(7, 10);
    a.drain();
    a.lose();
    // The new life of b starts at a lower number; its first connection breaks before anything
    // arrives, so that its first message comes flagged.
    let mut b = Node::new(2, 1, 201);
    b.path = Path::new(identity(2, 1, 201), slots(8), 3);
    b.send(2, 10);
    connect(&mut b, &mut a);
    b.drain();
    b.lose();
    a.lose();
    connect(&mut a, &mut b);
    assert_eq!(a.path.expected(), 0, "another life");
    let out = b.drain();
    assert!(out[2].header.flags.contains(Flags::RETRANSMITTED));
    assert!(matches!(a.receive(out[2]), Ok(Received::Message)));
    // Nothing is acknowledged to the new life that the old one sent.
    assert!(a
        .drain()
        .iter()
        .all(|f| f.header.ack == 3 || f.header.seq == 0));
}

#[test]
fn a_new_life_is_not_acknowledged_in_the_reply() {
    let (mut a, mut b) = pair();
    b.send(1, 10);
    let out = b.drain();
    a.receive(out[0]).unwrap();
    a.lose();
    let mut b = Node::new(2, 1, 201);
    b.path.connect(b.now);
    let Some(Action::Dial { private, .. }) = b.poll() else {
        panic!("no dial");
    };
    a.path.on_request(&a.settings, a.now, &private);
    let Some(Action::Accept { private, .. }) = a.poll() else {
        panic!("no accept");
    };
    assert_eq!(private.ack_seq, 0);
    assert_eq!(
        a.path.life(),
        crate::incarnation::Life::told(NonZeroU32::new(200))
    );
}

#[test]
fn an_acknowledgement_in_a_reply_is_not_trusted_blindly() {
    let mut a = Node::new(1, 2, 100);
    a.send(1, 10);
    a.path.connect(a.now);
    let Some(Action::Dial { conn, .. }) = a.poll() else {
        panic!("no dial");
    };
    let reply = PrivateData {
        ack_seq: u64::MAX,
        own: Some(OwnKind {
            incarnation: NonZeroU32::MIN,
            capabilities: crate::wire::Capabilities::ALL,
        }),
        ..c_private(2, 1)
    };
    assert!(a.path.on_established(conn, Some(&reply)));
    assert_eq!(seqs(&a.drain()), [0, 0, 16]);
}

fn with_operation(id: u32, repeatable: bool, silent: bool, len: u32) -> Msg {
    Msg {
        operation: Some(Operation {
            work_requests: 2,
            repeatable,
            silent,
            fence: id == 9,
        }),
        ..Msg::new(id, len)
    }
}

#[test]
fn operations_go_ahead_of_their_message_and_are_not_repeated() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    a.path
        .queue(with_operation(9, false, true, 10), false)
        .unwrap();
    a.path
        .queue(with_operation(2, true, false, 0), false)
        .unwrap();
    a.path
        .queue(with_operation(3, false, false, 10), false)
        .unwrap();
    let (out, _) = a.transmit(4);
    assert_eq!(a.operations, [9, 2]);
    assert_eq!(seqs(&out), [16, 17]);
    assert!(out[0].fence && !out[1].fence);
    assert_eq!(a.path.sender().slots.in_flight(), 2 + 2 + 1 + 2 + 1);
    a.lose();
    let out = accept_c(&mut a);
    // The first is dropped, the second repeated, the third was never begun.
    assert_eq!(seqs(&out), [0, 0, 17, 18]);
    assert_eq!(a.operations, [9, 2, 2, 3]);
    assert!(!out[3].header.flags.contains(Flags::RETRANSMITTED));
    assert_eq!(a.reap(), [(9, Outcome::Dropped)]);
}

#[test]
fn a_silent_operation_is_done_when_it_completes() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    let conn = a.path.current();
    a.path.on_sent(conn, 1);
    a.send(1, 10);
    a.path
        .queue(with_operation(2, false, true, 0), false)
        .unwrap();
    a.send(3, 10);
    let out = a.drain();
    assert_eq!(seqs(&out), [16, 18], "nothing is sent for it");
    assert_eq!(a.reap(), []);
    a.path.on_sent(conn, 3);
    assert_eq!(a.reap(), [], "the first half is not the whole");
    a.path.on_sent(conn, 4);
    assert_eq!(a.reap(), [(2, Outcome::Done)]);
    let ack = Header {
        ack: 18,
        ..Header::default()
    };
    a.receive_header(ack, 0).unwrap();
    assert_eq!(a.reap(), [(1, Outcome::Done), (3, Outcome::Done)]);
    // If the connection breaks first, nobody knows whether it was executed.
    a.path
        .queue(with_operation(4, false, true, 0), false)
        .unwrap();
    a.drain();
    a.lose();
    accept_c(&mut a);
    assert_eq!(a.reap(), [(4, Outcome::Dropped)]);
}

#[test]
fn an_operation_that_can_not_be_posted_is_not_tried_for_ever() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    a.path
        .queue(with_operation(1, false, false, 10), false)
        .unwrap();
    a.send(2, 10);
    let refuse = |a: &mut Node| {
        a.path.transmit(&a.settings, 9, |frame| match frame.body {
            Body::Operation(_) => Err(()),
            _ => Ok(()),
        })
    };
    // It is tried again on the same connection: memory may have been short.
    for _ in 0..2 {
        assert_eq!(refuse(&mut a), Transmit::Stopped(()));
        assert_eq!(a.reap(), []);
    }
    a.path.fail(DropReason::Transport);
    a.lose();
    let out = accept_c(&mut a);
    assert_eq!(seqs(&out), [0, 0, 17]);
    assert_eq!(a.operations, []);
    assert_eq!(a.reap(), [(1, Outcome::Dropped)]);
}

#[test]
fn an_operation_too_large_for_the_ring_is_dropped() {
    let mut a = Node::new(1, 2, 100);
    a.settings.send_ring = 3;
    accept_c(&mut a);
    let mut message = with_operation(1, false, false, 10);
    if let Some(op) = &mut message.operation {
        op.work_requests = 4;
    }
    a.path.queue(message, false).unwrap();
    assert!(a.drain().is_empty());
    assert_eq!(a.reap(), [(1, Outcome::Dropped)]);
}

#[test]
fn pongs_in_the_way_of_an_operation_are_flushed() {
    let mut a = Node::new(1, 2, 100);
    a.settings.send_ring = 4;
    accept_c(&mut a);
    a.path.on_sent(a.path.current(), 1);
    for port in 1..3 {
        assert!(a.path.queue_pong(port));
        assert!(!a.drain()[0].signaled);
    }
    let mut message = with_operation(1, false, false, 10);
    if let Some(op) = &mut message.operation {
        op.work_requests = 3;
    }
    a.path.queue(message, false).unwrap();
    assert_eq!(a.transmit(9).1, Transmit::RingFull);
    assert_eq!(a.probes, 1, "something that completes");
    a.path.on_sent(a.path.current(), 4);
    assert_eq!(seqs(&a.drain()), [18]);
}

#[test]
fn a_path_that_is_stopped_gives_everything_back() {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    for i in 0..3 {
        a.send(i, 9000);
    }
    a.path.queue_pong(5);
    a.transmit(4);
    let ack = Header {
        ack: 16,
        ..Header::default()
    };
    a.receive_header(ack, 0).unwrap();
    a.cancel(17);
    a.path.stop();
    assert_eq!(a.path.stats().conn_reset, 1);
    a.close();
    let mut done = Vec::new();
    a.path.drain(|m, outcome| done.push((m.id, outcome)));
    let expected = [
        (0, Outcome::Done),
        (1, Outcome::Cancelled),
        (2, Outcome::Dropped),
    ];
    assert_eq!(done, expected);
    assert!(a.path.sender().queue.is_empty());
}

#[test]
fn a_path_that_is_made_anew_goes_on_where_it_was() {
    let (mut a, mut b) = pair();
    assert!(Node::new(1, 2, 100).path.memory().is_blank());
    b.send(1, 10);
    let again = b.drain()[0];
    assert_eq!(a.receive(again), Ok(Received::Message));
    let first = a.send(2, 10);
    exchange(&mut a, &mut b);
    a.path.release();
    a.lose();
    b.lose();
    let memory = a.path.memory();
    assert!(!memory.is_blank());

    let mut a = Node::new(1, 2, 100);
    a.path.resume(&memory);
    assert_eq!(a.path.memory(), memory);
    connect(&mut b, &mut a);
    a.drain();
    // What the peer sends again is old, and it may acknowledge what the earlier path sent.
    let resent = Header {
        flags: again.header.flags.with(Flags::RETRANSMITTED),
        ack: first,
        ..again.header
    };
    let received = a.receive_header(resent, 10);
    let old = Received::Ignored(crate::recv::Ignored::Duplicate);
    assert_eq!(received, Ok(old));
    // What is new is above all that was.
    assert!(a.send(3, 10) > first);
    assert_eq!(exchange(&mut a, &mut b).len(), 1);
}
