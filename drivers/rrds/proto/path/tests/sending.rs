// SPDX-License-Identifier: GPL-2.0

//! What goes out, in what order, and with which flags.

use super::*;

/// A node connected to a C peer, its bitmap out.
fn up() -> Node {
    let mut a = Node::new(1, 2, 100);
    accept_c(&mut a);
    a
}

#[test]
fn a_connection_starts_with_the_bitmap() {
    let mut a = Node::new(1, 2, 100);
    a.send(1, 10);
    let out = accept_c(&mut a);
    assert_eq!(out.len(), 3);
    for (i, frame) in out[..2].iter().enumerate() {
        let h = frame.header;
        assert_eq!((h.seq, h.len, h.sport, h.dport), (0, 8192, 0, 0));
        assert_eq!(h.flags, Flags::CONG_BITMAP);
        assert_eq!((frame.data, frame.solicited), (4096, i == 1));
    }
    assert_eq!(out[2].of, Some((1, 0)));
}

#[test]
fn fragments_are_4096_bytes_and_the_last_one_wakes() {
    let mut a = up();
    a.send(1, 5000);
    a.send(2, 0);
    a.send(3, 4096);
    let out = a.drain();
    let seen: Vec<_> = out
        .iter()
        .map(|f| (f.header.seq, f.header.len, f.data, f.of, f.solicited))
        .collect();
    assert_eq!(
        seen,
        [
            (16, 5000, 4096, Some((1, 0)), false),
            (16, 5000, 904, Some((1, 4096)), true),
            (17, 0, 0, Some((2, 0)), true),
            (18, 4096, 4096, Some((3, 0)), true),
        ]
    );
    // The first message of a path demands an acknowledgement, the next eight do not.
    assert!(out
        .iter()
        .all(|f| f.header.flags.contains(Flags::ACK_REQUIRED) == (f.header.seq == 16)));
    assert!(out
        .iter()
        .all(|f| (f.header.sport, f.header.dport) == (4001, 4002)));
    // One completion for all, as nothing follows the last.
    assert_eq!(out.iter().filter(|f| f.signaled).count(), 1);
    assert!(out[3].signaled);
}

#[test]
fn a_failed_post_changes_nothing() {
    let mut a = up();
    a.send(1, 9000);
    for fail_at in 0..3 {
        let mut count = 0;
        let result = a.path.transmit(&a.settings, 99, |_| {
            count += 1;
            if count > 1 || fail_at == 0 {
                Err(fail_at)
            } else {
                Ok(())
            }
        });
        assert_eq!(result, Transmit::Stopped(fail_at));
    }
    // Two of three fragments went out; the last goes on where it was.
    let out = a.drain();
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].of, out[0].data), (Some((1, 8192)), 808));
    assert!(a.drain().is_empty());
}

#[test]
fn the_budget_ends_a_batch_anywhere() {
    let mut a = up();
    a.send(1, 9000);
    a.send(2, 1);
    let mut offsets = Vec::new();
    loop {
        let (out, end) = a.transmit(1);
        offsets.extend(out.iter().map(|f| (f.header.seq, f.of.unwrap().1)));
        assert!(
            out.iter().all(|f| f.signaled),
            "nothing follows in the batch"
        );
        if end == Transmit::Idle {
            break;
        }
        assert_eq!(end, Transmit::Budget);
        assert!(a.path.has_work());
    }
    assert_eq!(offsets, [(16, 0), (16, 4096), (16, 8192), (17, 0)]);
    assert!(!a.path.has_work());
}

#[test]
fn a_full_ring_waits_for_completions() {
    let mut a = up();
    a.settings.send_ring = 4;
    a.settings.max_unsignaled = 16;
    a.path.on_sent(a.path.current(), 1);
    a.send(1, 6 * 4096);
    let (out, end) = a.transmit(99);
    assert_eq!((out.len(), end), (4, Transmit::RingFull));
    // Half of the ring may go without a completion.
    let signaled: Vec<_> = out.iter().map(|f| f.signaled).collect();
    assert_eq!(signaled, [false, false, true, true]);
    assert_eq!(a.path.stats().tx_ring_full, 1);
    a.path.on_sent(a.path.current(), out[2].id);
    let (out, end) = a.transmit(99);
    assert_eq!((out.len(), end), (2, Transmit::Idle));
    // A completion that was told before, or of another connection, counts for nothing.
    a.path.on_sent(a.path.current(), 0);
    a.path.on_sent(ConnId(77), out[1].id);
    assert_eq!(a.path.sender().slots.in_flight(), 3);
}

#[test]
fn what_keeps_nothing_need_not_complete_at_once() {
    let mut a = up();
    a.settings.max_unsignaled = 3;
    a.settings.copied = 100;
    a.drain();
    let mut signaled = |len| {
        a.send(1, len);
        a.drain().iter().map(|f| f.signaled).collect::<Vec<_>>()
    };
    // The frames before have left none without a completion that keeps something.
    assert_eq!(signaled(101), [true], "memory is to be freed");
    assert_eq!(signaled(100), [false]);
    assert_eq!(signaled(0), [false]);
    assert_eq!(signaled(100), [false]);
    assert_eq!(signaled(1), [true], "the fourth");
    assert_eq!(signaled(1), [false]);
    assert_eq!(signaled(101), [true], "on behalf of the one before, too");
    // The last one stands for the first, which keeps its piece of the message.
    assert_eq!(signaled(4096 + 1), [false, true]);
}

#[test]
fn a_map_goes_between_messages_and_once_for_many_changes() {
    let mut a = up();
    a.send(1, 9000);
    a.send(2, 1);
    a.transmit(1);
    assert!(a.path.queue_map());
    assert!(!a.path.queue_map(), "coalesced");
    let kinds: Vec<_> = a.drain().iter().map(|f| f.header.seq).collect();
    assert_eq!(kinds, [16, 16, 0, 0, 17]);
    // A change after the first piece went out is sent again.
    a.path.queue_map();
    assert_eq!(a.transmit(1).0.len(), 1);
    assert!(a.path.queue_map());
    assert_eq!(a.drain().len(), 3);
    assert_eq!(a.path.stats().cong_update_sent, 4);
}

#[test]
fn no_map_goes_out_where_both_ends_are_local() {
    let mut a = Node::new(1, 2, 100);
    a.path.set_loopback();
    assert!(accept_c(&mut a).is_empty());
    assert!(!a.path.queue_map());
    a.congested = true;
    a.poll();
    assert_eq!(a.path.next_timeout(), None);
}

#[test]
fn without_a_connection_nobody_is_probed() {
    let mut a = Node::new(1, 2, 100);
    a.congested = true;
    assert_eq!((a.poll(), a.path.next_timeout()), (None, None));
}

#[test]
fn without_a_connection_no_map_is_queued() {
    let mut a = Node::new(1, 2, 100);
    assert!(!a.path.queue_map());
    assert_eq!(a.transmit(1), (Vec::new(), Transmit::NotUp));
    assert!(!a.path.has_work());
}

#[test]
fn acknowledgements_ride_on_whatever_goes_out() {
    let (mut a, mut b) = pair();
    a.send(1, 10);
    let frame = a.drain()[0];
    b.receive(frame).unwrap();
    assert!(b.path.has_work(), "an acknowledgement is wanted");
    b.send(2, 5000);
    let out = b.drain();
    assert_eq!(out.len(), 2, "no frame for the acknowledgement alone");
    assert!(out.iter().all(|f| f.header.ack == 16));
    a.receive(out[0]).unwrap();
    assert_eq!(a.reap(), [(1, Outcome::Done)]);
    assert_eq!(b.path.stats().ack_sent, 0);
}

#[test]
fn a_bare_acknowledgement_goes_out_when_nothing_else_can() {
    let (mut a, mut b) = pair();
    b.settings.send_ring = 2;
    b.path.on_sent(b.path.current(), 1);
    b.send(9, 5 * 4096);
    let (out, end) = b.transmit(99);
    assert_eq!((out.len(), end), (2, Transmit::RingFull));
    a.send(1, 10);
    let frame = a.drain()[0];
    b.receive(frame).unwrap();
    let (out, end) = b.transmit(99);
    assert_eq!((out.len(), end), (1, Transmit::RingFull));
    let h = out[0].header;
    assert_eq!((h.seq, h.sport, h.dport, h.len, h.ack), (0, 0, 0, 0, 16));
    assert_eq!(h.flags, Flags::NONE);
    assert!(out[0].solicited);
    assert_eq!(out[0].data, 0);
    // Its own place in the ring is taken now.
    a.send(2, 10);
    let frames = a.drain();
    let flagged = Header {
        flags: Flags::ACK_REQUIRED,
        ..frames[0].header
    };
    b.receive_header(flagged, 10).unwrap();
    assert!(b.transmit(99).0.is_empty());
    assert!(b.path.has_work());
}

#[test]
fn pongs_are_messages_from_port_0() {
    let mut a = up();
    assert!(a.path.queue_pong(777));
    let out = a.drain();
    let h = out[0].header;
    assert_eq!((h.seq, h.sport, h.dport, h.len), (16, 0, 777, 0));
    assert!(out[0].solicited && out[0].of.is_none());
    // A flood of pings gets a bounded number of answers.
    a.path.grow(slots(100)).unwrap();
    let answered = (0..100).filter(|_| a.path.queue_pong(1)).count();
    assert_eq!(answered, 63);
    let out = a.drain();
    a.receive_header(
        Header {
            ack: out[62].header.seq,
            ..Header::default()
        },
        0,
    )
    .unwrap();
    assert_eq!(a.reap(), []);
    assert!(a.path.queue_pong(1));
    assert_eq!(a.path.stats().send_pong, 65);
}

#[test]
fn a_full_queue_gives_the_message_back() {
    let mut a = Node::new(1, 2, 100);
    for i in 0..8 {
        a.send(i, 1);
    }
    assert_eq!(a.path.queue(Msg::new(8, 1), false), Err(Msg::new(8, 1)));
    assert!(!a.path.queue_pong(1));
    assert_eq!(a.path.grow(slots(4)).map_err(|s| s.len()).err(), Some(4));
    let old = a.path.grow(slots(16)).unwrap();
    assert_eq!(old.len(), 8);
    assert_eq!(a.send(8, 1), 24);
    assert_eq!(a.path.sender().queue.next_seq(), 25);
    assert_eq!(a.path.stats().send_queued, 9);
    // Storage that another caller made meanwhile does not shrink.
    for count in [12, 16] {
        let back = a.path.grow(slots(count));
        assert_eq!(back.map_err(|s| s.len()).err(), Some(count));
    }
    assert_eq!(a.path.sender().queue.capacity(), 16);
}

#[test]
fn cancelled_messages_are_not_sent() {
    let mut a = up();
    for i in 0..3 {
        a.send(i, 10);
    }
    assert_eq!(a.cancel(17), Cancel::Removed(Msg::new(1, 10)));
    assert_eq!(a.cancel(17), Cancel::Gone);
    assert_eq!(a.cancel(99), Cancel::Gone);
    let seqs: Vec<_> = a.drain().iter().map(|f| f.header.seq).collect();
    assert_eq!(seqs, [16, 18], "the gap is normal");
    // Sent and not acknowledged: not sent again.
    assert_eq!(a.cancel(18), Cancel::Removed(Msg::new(2, 10)));
    a.lose();
    let seqs: Vec<_> = accept_c(&mut a).iter().map(|f| f.header.seq).collect();
    assert_eq!(seqs, [0, 0, 16]);
}

#[test]
fn a_message_on_its_way_out_is_finished_before_it_is_cancelled() {
    let mut a = up();
    a.send(1, 9000);
    a.send(2, 1);
    a.transmit(1);
    assert_eq!(a.cancel(16), Cancel::Sending);
    assert_eq!(a.cancel(16), Cancel::Gone);
    assert_eq!(a.reap(), []);
    let seqs: Vec<_> = a.drain().iter().map(|f| f.header.seq).collect();
    assert_eq!(seqs, [16, 16, 17]);
    assert_eq!(a.reap(), [(1, Outcome::Cancelled)]);
    // On a new connection it is not begun again.
    a.send(3, 9000);
    a.transmit(1);
    assert_eq!(a.cancel(18), Cancel::Sending);
    a.lose();
    assert_eq!(a.reap(), [(3, Outcome::Cancelled)]);
    let seqs: Vec<_> = accept_c(&mut a).iter().map(|f| f.header.seq).collect();
    assert_eq!(seqs, [0, 0, 17]);
}

#[test]
fn slots_of_cancelled_messages_are_used_again() {
    let mut a = up();
    // The first message stays, all others come and go: a dead peer and an application that cancels.
    a.send(0, 1);
    for i in 1..1000 {
        let seq = a.send(i, 1);
        assert_eq!(a.cancel(seq), Cancel::Removed(Msg::new(i, 1)));
    }
    assert!(a.path.sender().queue.len() <= 8);
    let seqs: Vec<_> = a.drain().iter().map(|f| f.header.seq).collect();
    assert_eq!(seqs, [16]);
    // Slots removed before the mark do not move it past messages still to be sent.
    for i in 0..6 {
        a.send(i, 1);
    }
    a.transmit(5);
    for seq in 1016..1019 {
        a.cancel(seq);
    }
    a.send(7, 1);
    a.send(8, 1);
    let rest: Vec<_> = a.drain().iter().map(|f| f.of.unwrap().0).collect();
    assert_eq!(rest, [5, 7, 8]);
}

#[test]
fn a_message_is_refused_if_and_only_if_all_slots_are_occupied() {
    let mut a = up();
    a.path.grow(slots(16)).unwrap();
    let first = a.path.sender().queue.next_seq();
    for i in 0..16 {
        a.send(i, 1);
    }
    // Behind one that waits, as long as they are too few to be taken out.
    for seq in first + 5..first + 8 {
        a.cancel(seq);
        assert_eq!(a.path.sender().queue.occupied(), 16);
        assert!(a.path.queue(Msg::new(16, 1), false).is_err());
    }
    assert_eq!(a.path.sender().queue.live(), 13);
    a.cancel(first + 8);
    assert_eq!(a.path.sender().queue.occupied(), 12);
    assert!(a.path.queue(Msg::new(16, 1), false).is_ok());
}

#[test]
fn a_half_full_socket_and_the_budget_demand_acknowledgements() {
    let mut a = up();
    a.settings.max_unacked_packets = 8;
    a.path.grow(slots(32)).unwrap();
    for i in 0..20 {
        a.path.queue(Msg::new(i, 1), i == 5).unwrap();
    }
    let flagged: Vec<_> = a
        .drain()
        .iter()
        .filter(|f| f.header.flags.contains(Flags::ACK_REQUIRED))
        .map(|f| f.of.unwrap().0)
        .collect();
    assert_eq!(flagged, [0, 5, 9, 18]);
    assert_eq!(a.path.stats().send_ack_required, 3);
}

#[test]
fn credits_of_a_peer_have_no_effect() {
    let (mut a, mut b) = (Node::new(1, 2, 100), Node::new(2, 1, 200));
    a.path.grow(slots(200)).unwrap();
    connect(&mut a, &mut b);
    let credits = Header {
        credit: 3,
        ..Header::default()
    };
    a.receive_header(credits, 0).unwrap();
    assert_eq!(a.path.stats().rx_credit_updates, 1);
    for i in 0..100 {
        a.send(i, 1);
    }
    let (out, end) = a.transmit(999);
    // The first frames are the map.
    assert_eq!(end, Transmit::Idle);
    assert!(out.len() >= 100 && out.iter().all(|frame| frame.header.credit == 0));
}

#[test]
fn a_silent_peer_is_probed_while_it_is_waited_for() {
    let mut a = up();
    assert_eq!(a.poll(), None);
    assert_eq!(a.path.next_timeout(), None, "nothing is awaited");
    a.send(1, 1);
    a.drain();
    assert!(a.poll().is_none());
    let due = a.path.next_timeout().unwrap();
    assert_eq!(due, Instant(1_000_000_000));
    a.now = due;
    assert!(a.poll().is_none());
    assert!(a.path.has_work());
    assert!(a.drain().is_empty());
    assert_eq!((a.probes, a.path.stats().probe_sent), (1, 1));
    assert!(a.drain().is_empty());
    assert_eq!(a.probes, 1);
    // Another frame serves as well.
    a.now = a.path.next_timeout().unwrap();
    a.poll();
    a.send(2, 1);
    assert_eq!(a.drain().len(), 1);
    assert_eq!(a.probes, 1);
    // The acknowledgement ends it.
    let ack = Header {
        ack: 17,
        ..Header::default()
    };
    a.receive_header(ack, 0).unwrap();
    a.poll();
    assert_eq!(a.path.next_timeout(), None);
    // A map is waited for as well, as long as a port is congested in the last one.
    a.congested = true;
    a.poll();
    a.now = a.path.next_timeout().unwrap();
    a.poll();
    a.drain();
    assert_eq!(a.probes, 2);
    a.congested = false;
    a.poll();
    assert_eq!(a.path.next_timeout(), None);
}

#[test]
fn what_senders_have_given_up_is_waited_for_in_time() {
    let (mut a, _) = pair();
    let first = a.send(1, 9000);
    let second = a.send(2, 9000);
    a.drain();
    assert!(!a.path.wants_poll());
    assert!(matches!(a.cancel(first), Cancel::Removed(_)));
    assert!(a.path.wants_poll());
    assert_eq!(a.poll(), None);
    assert!(!a.path.wants_poll());
    // It is not put off by another one.
    a.now = a.now.after(a.settings.linger_ns / 2);
    assert!(matches!(a.cancel(second), Cancel::Removed(_)));
    assert_eq!(a.poll(), None);
    a.now = a.now.after(a.settings.linger_ns / 2);
    let reason = DropReason::Timeout;
    assert_eq!(a.path.stats().linger_timeout, 0);
    assert!(matches!(a.poll(), Some(Action::Close { reason: r, .. }) if r == reason));
    assert_eq!(a.path.stats().linger_timeout, 1);

    // What is completed is not waited for, nor is what was never sent.
    let (mut a, _) = pair();
    let first = a.send(1, 9000);
    let out = a.drain();
    a.cancel(first);
    assert_eq!(a.poll(), None);
    a.path.on_sent(a.path.current(), out.last().unwrap().id);
    let unsent = a.send(2, 9000);
    a.cancel(unsent);
    a.now = a.now.after(2 * a.settings.linger_ns);
    assert_eq!((a.poll(), a.path.state()), (None, State::Up));
    assert_eq!(a.path.linger.next_timeout(), None);
}
