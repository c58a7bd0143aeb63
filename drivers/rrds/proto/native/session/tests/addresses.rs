// SPDX-License-Identifier: GPL-2.0

//! Telling the peer at which addresses this host can be reached.

use super::*;

/// Two sessions with a lane, whose first end has these addresses.
fn pair(addresses: &[u8]) -> Pair {
    let mut p = Pair::new();
    p.addresses[0] = addresses.to_vec();
    p.up(0, Role::Any);
    p.settle();
    p
}

fn change(p: &mut Pair, addresses: &[u8]) {
    p.addresses[0] = addresses.to_vec();
    p.ends[0].addresses_changed();
}

#[test]
fn a_new_peer_is_told() {
    let p = pair(&[1, 2]);
    assert_eq!(p.ups[1].lists, [[1, 2]]);
    assert!(p.ups[0].lists.is_empty(), "it has none");
}

#[test]
fn who_has_no_peer_tells_nobody() {
    let mut p = Pair::new();
    change(&mut p, &[1]);
    p.up(0, Role::Any);
    let hello = p.take(0, 0);
    assert_eq!(hello.len(), 1);
    assert!(matches!(frames(&hello[0]).1[..], [Frame::Hello(_)]));
}

#[test]
fn each_change_is_told_once() {
    let mut p = pair(&[1]);
    change(&mut p, &[1, 2]);
    p.settle();
    p.send(0, 1, 64);
    p.settle();
    assert_eq!(p.ups[1].lists, [&[1][..], &[1, 2]]);
    // That there are none any more is told, too.
    change(&mut p, &[]);
    p.settle();
    assert_eq!(p.ups[1].lists, [&[1][..], &[1, 2], &[]]);
}

#[test]
fn what_else_is_said_meanwhile_does_not_count() {
    let mut p = pair(&[1]);
    for end in &mut p.ends {
        end.serial = end.serial.wrapping_add(1 << 31);
        end.heard = end.heard.wrapping_add(1 << 31);
    }
    change(&mut p, &[2]);
    p.settle();
    assert_eq!(p.ups[1].lists, [[1], [2]]);
}

#[test]
fn a_list_may_be_older_than_the_hello() {
    let mut p = Pair::new();
    p.addresses[0] = [1].to_vec();
    p.up(0, Role::Any);
    p.up(1, Role::Any);
    let hellos = [p.take(0, 0), p.take(0, 1)];
    for packet in p.take(1, 0) {
        p.give(0, 0, &packet);
    }
    let list = p.take(0, 0);
    // The hello of the other lane was said later, and comes first.
    p.give(1, 1, &hellos[1][0]);
    p.give(1, 0, &hellos[0][0]);
    for packet in &list {
        p.give(1, 0, packet);
    }
    assert_eq!(p.ups[1].lists, [[1]]);
}

#[test]
fn as_many_as_a_list_has() {
    let p = pair(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(p.ups[1].lists, [[1, 2, 3, 4, 5, 6, 7, 8]]);
}

#[test]
fn a_list_that_was_overtaken_does_not_count() {
    let mut p = pair(&[1]);
    change(&mut p, &[2]);
    let older = p.take(0, 0);
    change(&mut p, &[3]);
    let newer = p.take(0, 0);
    assert_eq!((older.len(), newer.len()), (1, 1));
    // A reliable lane keeps the order of packets, but a list that is lost leaves again on another lane.
    for packet in [&newer[0], &older[0]] {
        p.give(1, 0, packet);
    }
    assert_eq!(p.ups[1].lists, [[1], [3]]);
}

#[test]
fn what_was_lost_is_told_again_as_it_is_then() {
    let mut p = pair(&[1]);
    p.up(1, Role::Any);
    p.settle();
    change(&mut p, &[2]);
    let lost = p.take(0, 0);
    assert_eq!(lost.len(), 1);
    p.addresses[0] = [3].to_vec();
    assert!(p.ends[0].lane_down(p.now, 0).is_some());
    assert!(p.ends[1].lane_down(p.now, 0).is_some());
    p.settle();
    assert_eq!(p.ups[1].lists, [[1], [3]]);
}

#[test]
fn a_session_that_is_resumed_tells_again() {
    let mut p = pair(&[1]);
    for end in &mut p.ends {
        assert!(end.lane_down(p.now, 0).is_some());
    }
    for end in [0, 1] {
        let memory = p.ends[end].park().expect("nothing is under way");
        let fresh = session(1, 1);
        p.ends[end] = Session::resume(&memory, fresh.outbox, fresh.lanes);
    }
    p.addresses[0] = [2].to_vec();
    p.up(0, Role::Any);
    p.settle();
    assert_eq!(p.ups[1].lists, [[1], [2]]);
}

#[test]
fn before_a_hello_it_is_a_violation() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    let hello = p.take(0, 0);
    let (header, _) = frames(&hello[0]);
    let packet = packet_of(header, |w| LaneAddresses::emit(1, &[LaneAddress::NONE], w));
    assert_eq!(p.give(1, 0, &packet), PacketResult::Ended);
    assert_eq!(p.ends[1].ended(), Some(Reason::Violation));
}
