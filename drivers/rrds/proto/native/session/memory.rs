// SPDX-License-Identifier: GPL-2.0

//! What is left of a session that is not in use.
//!
//! Two hosts count on each other to know which messages were handed up: a host that forgot would get
//! some of them twice, and others not at all. So a session lasts as long as the incarnations of both;
//! but when nothing is under way it is a few numbers.

use super::{Peer, Session, Settings, Types};
use crate::native::inbox::Inbox;
use crate::native::maps::{MapReceiver, MapSender};
use crate::native::outbox::{Numbers, Outbox};
use core::num::NonZeroU32;

/// What a session that is not in use keeps: numbers and incarnations.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    number: u32,
    incarnation: NonZeroU32,
    settings: Settings,
    peer: Option<Peer>,
    /// Above the numbers of all packets, on any lane.
    next: u64,
    sent: Numbers,
    base: u64,
    released: u64,
    map_serial: u32,
    peer_maps: MapReceiver,
    room: u16,
    serial: u32,
    heard: u32,
    addresses_told: u32,
    addresses_heard: Option<u32>,
}

impl<T: Types> Session<T> {
    /// What is to be kept when the session is dropped, if it may be: it has no lane, and no message is
    /// to be sent, or has come and waits.
    pub fn park(&self) -> Option<Memory> {
        let idle = self.lanes() == 0 && self.outbox.is_empty() && self.inbox.is_idle();
        idle.then_some(Memory {
            number: self.number,
            incarnation: self.incarnation,
            settings: self.settings,
            peer: self.peer,
            next: self.next,
            sent: self.outbox.numbers(),
            base: self.inbox.base(),
            released: self.inbox.released(),
            map_serial: self.maps.serial(),
            peer_maps: self.peer_maps,
            room: self.room,
            serial: self.serial,
            heard: self.heard,
            addresses_told: self.addresses_told,
            addresses_heard: self.addresses_heard,
        })
    }

    /// A session that goes on where it was when it was parked. `outbox` has had nothing to send yet, and
    /// `lanes` are empty. Its congestion map is told anew, and so are its addresses.
    pub fn resume(
        memory: &Memory,
        outbox: Outbox<T::Message, T::Entries, T::Records, T::Flows>,
        lanes: T::Lanes,
    ) -> Self {
        let mut session = Self::new(
            memory.number,
            memory.incarnation,
            memory.settings,
            outbox,
            lanes,
        );
        session.peer = memory.peer;
        session.next = memory.next;
        session.outbox.go_on(&memory.sent);
        session.inbox = Inbox::go_on(memory.base, memory.released);
        session.told = memory.released;
        session.maps = MapSender::go_on(memory.map_serial);
        session.peer_maps = memory.peer_maps;
        session.maps_wanted = memory.peer.is_some();
        session.room = memory.room;
        session.serial = memory.serial;
        session.heard = memory.heard;
        session.addresses_told = memory.addresses_told;
        session.addresses_heard = memory.addresses_heard;
        session.addresses_due = memory.peer.is_some();
        session
    }
}
