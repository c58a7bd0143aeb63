// SPDX-License-Identifier: GPL-2.0

//! Lanes of a stream beside the first one, and what the first one knows for them.

use super::*;
use crate::consts::{PING_PORT, PROBE_PORT};
use crate::recv::Ignored;
use crate::tcp::Hello;

/// A node whose path is up, over a stream; `extra` says whether it is another lane.
fn up(extra: bool) -> Node {
    let mut a = Node::new(1, 2, 100);
    a.path.set_stream(own());
    if extra {
        a.path.set_extra();
    }
    establish(&mut a);
    a
}

fn establish(a: &mut Node) {
    a.path.connect(a.now);
    let Some(Action::Dial { conn, .. }) = a.poll() else {
        panic!("no dial");
    };
    assert!(a.path.on_established(conn, None));
}

/// Closes the connection that was given up, and has the next one as soon as it may be dialed.
fn reconnect(a: &mut Node) {
    a.close();
    a.now = a.path.next_timeout().unwrap();
    establish(a);
}

/// What the node is to say of itself.
fn own() -> Hello {
    Hello {
        lanes: Some(8),
        generation: NonZeroU32::new(100),
        ports_tell: true,
    }
}

/// What a peer says of itself in life `generation`.
fn hello(seq: u64, lanes: Option<u8>, generation: u32) -> Header {
    hello_of(
        seq,
        Hello {
            lanes,
            generation: NonZeroU32::new(generation),
            ports_tell: true,
        },
    )
}

fn hello_of(seq: u64, told: Hello) -> Header {
    Header {
        seq,
        sport: PROBE_PORT,
        dport: PING_PORT,
        ext: told.extensions(),
        ..Header::default()
    }
}

fn message(seq: u64) -> Header {
    Header {
        seq,
        len: 1,
        sport: 1,
        dport: 2,
        flags: Flags::RETRANSMITTED,
        ..Header::default()
    }
}

#[test]
fn only_the_first_lane_says_hello_and_sends_maps() {
    let is_map = |out: &Out| out.header.flags.contains(Flags::CONG_BITMAP);
    let is_hello = |out: &Out| out.header.sport == PROBE_PORT && out.header.dport == PING_PORT;

    let first = up(false).drain();
    assert!(first.iter().any(is_map) && first.iter().any(is_hello));

    let mut extra = up(true);
    assert!(!extra.path.queue_map());
    assert_eq!(extra.drain(), []);
    extra.send(1, 10);
    let sent = extra.drain();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].of, Some((1, 0)));
    // Nor is a map awaited.
    extra.congested = true;
    extra.now = extra.now.after(1 << 40);
    assert!(extra.poll().is_none() && extra.drain().is_empty());
}

#[test]
fn a_hello_counts_for_its_connection() {
    let mut a = up(false);
    assert!(!a.path.is_told() && !a.path.take_news_of_peer());
    a.receive_header(hello(5, Some(8), 7), 0).unwrap();
    assert!(a.path.is_told());
    assert_eq!(
        Header {
            ext: a.path.told().extensions(),
            ..hello(5, None, 0)
        },
        hello(5, Some(8), 7)
    );
    assert!(a.path.take_news_of_peer() && !a.path.take_news_of_peer());
    // The same once more is no news, but something else is.
    a.receive_header(hello(6, Some(8), 7), 0).unwrap();
    assert!(!a.path.take_news_of_peer());
    a.receive_header(hello(7, Some(8), 8), 0).unwrap();
    assert!(a.path.take_news_of_peer());

    // What it has said stays, but who it is on the next connection is not known yet.
    let told = a.path.told();
    a.lose();
    assert!(!a.path.is_told());
    establish(&mut a);
    assert!(!a.path.is_told());
    assert_eq!(a.path.told(), told);
    // Who says nothing of lanes has as many as it had.
    a.receive_header(hello(8, None, 8), 0).unwrap();
    assert!(a.path.is_told() && a.path.take_news_of_peer());
    assert_eq!(a.path.told(), told);
}

/// The lanes that the hellos tell that a node sends.
fn told(a: &mut Node) -> Vec<Option<u8>> {
    let out = a.drain();
    let hellos = out
        .iter()
        .filter(|out| crate::tcp::Greeting::of(&out.header).is_some());
    hellos.map(|out| Hello::told(&out.header).lanes).collect()
}

#[test]
fn lanes_are_offered_to_who_tells_which_is_which() {
    let mut a = up(false);
    // It may have lanes to us.
    assert_eq!(told(&mut a), [None]);
    assert_eq!(a.path.lanes(), 1);
    // One that has lanes, but does not tell: there is one to it.
    let silent = Hello {
        lanes: Some(8),
        ..Hello::default()
    };
    a.receive_header(hello_of(5, silent), 0).unwrap();
    assert_eq!((a.path.lanes(), told(&mut a)), (1, [Some(1)].to_vec()));
    // One that does is told at once, and what it asks is answered with as many.
    a.receive_header(hello(6, Some(3), 7), 0).unwrap();
    a.path.queue_pong(PROBE_PORT);
    assert_eq!((a.path.lanes(), told(&mut a)), (3, [Some(8); 2].to_vec()));
    a.receive_header(hello(7, Some(3), 7), 0).unwrap();
    assert_eq!(told(&mut a), []);
    // And on the next connection.
    a.lose();
    establish(&mut a);
    // Three are sent again, and the answer.
    assert_eq!(told(&mut a), [Some(8); 5]);
}

#[test]
fn what_is_shut_is_not_dialed_nor_accepted() {
    let mut a = Node::new(1, 2, 100);
    a.path.set_shut(true);
    a.path.connect(a.now);
    assert_eq!(a.path.dials_at(), Some(a.now));
    assert!(a.poll().is_none() && a.path.next_timeout().is_none());
    a.path.set_shut(false);
    assert_eq!(a.path.next_timeout(), Some(a.now));
    assert!(matches!(a.poll(), Some(Action::Dial { .. })));
    assert_eq!(a.path.dials_at(), None);

    let mut b = Node::new(1, 2, 100);
    b.path.set_shut(true);
    let verdict = b.path.on_request(&b.settings, b.now, &c_private(2, 1));
    assert!(matches!(verdict, Verdict::Hold { .. }));
    assert!(b.poll().is_none());
    b.path.set_shut(false);
    assert!(matches!(b.poll(), Some(Action::Accept { .. })));

    // It does not wait for ever.
    let mut c = Node::new(1, 2, 100);
    c.path.set_shut(true);
    c.path.on_request(&c.settings, c.now, &c_private(2, 1));
    c.now = c.path.next_timeout().unwrap();
    assert!(matches!(c.poll(), Some(Action::Close { .. })));
}

#[test]
fn a_lane_is_told_of_the_peers_life() {
    let mut a = up(true);
    a.path.renew(NonZeroU32::new(7).unwrap());
    assert_eq!(a.path.state(), State::Up);
    assert_eq!(a.receive_header(message(5), 1), Ok(Received::Message));
    let duplicate = Ok(Received::Ignored(Ignored::Duplicate));
    assert_eq!(a.receive_header(message(5), 1), duplicate);

    // The same life changes nothing.
    a.path.renew(NonZeroU32::new(7).unwrap());
    assert_eq!(a.path.state(), State::Up);
    assert_eq!(a.receive_header(message(5), 1), duplicate);

    // Of another one nothing was received; the connection is of the old one.
    a.path.renew(NonZeroU32::new(8).unwrap());
    assert_eq!(a.path.state(), State::Closing);
    reconnect(&mut a);
    assert_eq!(a.receive_header(message(5), 1), Ok(Received::Message));
}

#[test]
fn what_comes_on_the_old_life_s_connection_is_forgotten() {
    let mut a = up(true);
    a.path.renew(NonZeroU32::new(7).unwrap());
    a.path.renew(NonZeroU32::new(8).unwrap());
    // It is read to its end.
    assert_eq!(a.receive_header(message(5), 1), Ok(Received::Message));
    reconnect(&mut a);
    assert_eq!(a.receive_header(message(5), 1), Ok(Received::Message));

    // Once.
    a.path.fail(DropReason::Transport);
    reconnect(&mut a);
    let duplicate = Ok(Received::Ignored(Ignored::Duplicate));
    assert_eq!(a.receive_header(message(5), 1), duplicate);
}

#[test]
fn what_is_read_while_a_connection_of_the_old_life_is_closed_is_forgotten() {
    let mut a = up(true);
    a.path.renew(NonZeroU32::new(7).unwrap());
    a.path.fail(DropReason::Transport);
    a.path.renew(NonZeroU32::new(8).unwrap());
    assert_eq!(a.receive_header(message(5), 1), Ok(Received::Message));
    reconnect(&mut a);
    assert_eq!(a.receive_header(message(5), 1), Ok(Received::Message));
}

#[test]
fn a_dial_under_way_survives_the_news_of_another_life() {
    let mut a = Node::new(1, 2, 100);
    a.path.set_stream(own());
    a.path.set_extra();
    a.path.renew(NonZeroU32::new(7).unwrap());
    a.path.connect(a.now);
    let Some(Action::Dial { conn, .. }) = a.poll() else {
        panic!("no dial");
    };
    a.path.renew(NonZeroU32::new(8).unwrap());
    assert!(a.path.on_established(conn, None));
}

#[test]
fn a_request_that_waits_survives_the_news_of_another_life() {
    let mut a = Node::new(1, 2, 100);
    a.path.renew(NonZeroU32::new(7).unwrap());
    a.path.set_shut(true);
    a.path.on_request(&a.settings, a.now, &c_private(2, 1));
    a.path.renew(NonZeroU32::new(8).unwrap());
    a.path.set_shut(false);
    assert!(matches!(a.poll(), Some(Action::Accept { .. })));
}

#[test]
fn hello_is_said_again_to_who_is_suspect() {
    let mut a = up(false);
    a.drain();
    a.receive_header(hello(5, Some(8), 7), 0).unwrap();
    assert_eq!(told(&mut a), [Some(8)]);
    assert!(a.path.take_news_of_peer());
    assert!(a.path.greet_again() && !a.path.is_told());
    assert!(a.path.say_hello() && a.path.say_hello());
    assert_eq!(told(&mut a), [Some(8)]);
    // The answer is news, whatever it says.
    a.receive_header(hello(6, Some(8), 7), 0).unwrap();
    assert!(a.path.is_told() && a.path.take_news_of_peer());

    assert!(!up(true).path.greet_again());
    a.lose();
    assert!(!a.path.greet_again());
}

#[test]
fn what_waits_at_the_barrier_is_known() {
    let mut a = up(false);
    a.drain();
    let first = a.send(1, 10);
    let second = a.send(2, 10);
    a.path.set_barrier();
    let third = a.send(3, 10);
    let conn = a.path.current();
    a.drain();
    for (seq, past) in [(first, false), (second, true), (third, true)] {
        a.path.on_acked(conn, seq).unwrap();
        a.reap();
        assert_eq!(a.path.sender().queue.is_past_barrier(), past);
    }
}
