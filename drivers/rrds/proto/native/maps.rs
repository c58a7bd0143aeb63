// SPDX-License-Identifier: GPL-2.0

//! Telling the peer which ports of the local address are congested.
//!
//! One update is under way at a time. What changes meanwhile is noted by port, or by block of 4096 ports
//! if there is too much of it, and sent as it is by then.

use super::is_newer;
use super::wire::{MapUpdate, BLOCK_LEN};

/// Ports that are noted one by one.
const PORTS: usize = 8;

/// Ports and blocks to tell the peer of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changes {
    ports: [u16; PORTS],
    count: u8,
    blocks: u16,
    rest_clear: bool,
}

/// The block that a port belongs to, as a bit.
const fn block(port: u16) -> u16 {
    1 << (port >> 12)
}

impl Changes {
    fn ports(&self) -> &[u16] {
        self.ports.get(..usize::from(self.count)).unwrap_or(&[])
    }

    const fn is_empty(&self) -> bool {
        self.count == 0 && self.blocks == 0 && !self.rest_clear
    }

    fn add(&mut self, port: u16) {
        if self.blocks & block(port) != 0 || self.ports().contains(&port) {
            return;
        }
        match self.ports.get_mut(usize::from(self.count)) {
            Some(to) => {
                *to = port;
                self.count = self.count.wrapping_add(1);
            }
            None => {
                self.blocks |= block(port);
                for port in self.ports {
                    self.blocks |= block(port);
                }
                self.count = 0;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.blocks |= other.blocks;
        self.rest_clear |= other.rest_clear;
        for port in other.ports() {
            self.add(*port);
        }
    }
}

/// The sending side of the congestion map.
#[derive(Clone, Copy, Debug, Default)]
pub struct MapSender {
    pending: Changes,
    flight: Option<Changes>,
    serial: u32,
}

/// An update to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Update {
    pub(super) serial: u32,
    changes: Changes,
}

impl MapSender {
    /// The serial of the last update.
    pub(super) const fn serial(&self) -> u32 {
        self.serial
    }

    /// A sender whose updates follow that of `serial`.
    pub(super) fn go_on(serial: u32) -> Self {
        Self {
            serial,
            ..Self::default()
        }
    }

    /// A session with a new life of the peer begins, which knows nothing: tells it of the blocks that
    /// have a bit in `map`, which may be empty.
    pub fn start(&mut self, map: &[u8]) {
        let mut blocks = 0_u16;
        for (n, bytes) in map.chunks_exact(BLOCK_LEN).take(16).enumerate() {
            if bytes.iter().any(|byte| *byte != 0) {
                blocks |= 1_u16.wrapping_shl(u32::try_from(n).unwrap_or(0));
            }
        }
        self.flight = None;
        self.pending = Changes {
            blocks,
            rest_clear: true,
            ..Changes::default()
        };
    }

    /// The state of a port has changed.
    pub fn change(&mut self, port: u16) {
        self.pending.add(port);
    }

    /// Whether there is an update to send.
    pub const fn is_pending(&self) -> bool {
        self.flight.is_none() && !self.pending.is_empty()
    }

    /// Takes the next update, of at most `room` bytes.
    pub(super) fn take(&mut self, room: usize) -> Option<Update> {
        if !self.is_pending() {
            return None;
        }
        let mut changes = Changes::default();
        if self.pending.blocks != 0 || self.pending.rest_clear {
            let mut left = room.checked_sub(MapUpdate::blocks_len(0))?;
            for n in 0..16 {
                let bit = 1 << n;
                if self.pending.blocks & bit != 0 && left >= BLOCK_LEN {
                    changes.blocks |= bit;
                    left = left.saturating_sub(BLOCK_LEN);
                }
            }
            changes.rest_clear = self.pending.rest_clear;
            if changes.is_empty() {
                return None;
            }
            self.pending.blocks &= !changes.blocks;
            self.pending.rest_clear = false;
        } else {
            if room < MapUpdate::ports_len(usize::from(self.pending.count)) {
                return None;
            }
            changes = core::mem::take(&mut self.pending);
        }
        self.flight = Some(changes);
        self.serial = self.serial.wrapping_add(1);
        Some(Update {
            serial: self.serial,
            changes,
        })
    }

    /// The update that is under way has arrived.
    pub fn on_acked(&mut self) {
        self.flight = None;
    }

    /// The update that is under way is lost.
    pub fn on_lost(&mut self) {
        if let Some(changes) = self.flight.take() {
            self.pending.merge(&changes);
        }
    }
}

impl Update {
    /// The bytes of the update, piece by piece. `map` is the map as it is now, or empty if no port is
    /// congested.
    pub(super) fn emit(&self, map: &[u8], mut put: impl FnMut(&[u8])) -> usize {
        let changes = &self.changes;
        if changes.blocks == 0 && !changes.rest_clear {
            let mut room = [0; MapUpdate::ports_len(PORTS)];
            let mut w = super::wire::Writer::new(&mut room);
            let mut ports = [(0, false); PORTS];
            for (to, port) in ports.iter_mut().zip(changes.ports()) {
                let bits = map.get(usize::from(*port >> 3)).copied().unwrap_or(0);
                *to = (*port, bits & (1 << (port & 7)) != 0);
            }
            let ports = ports.get(..usize::from(changes.count)).unwrap_or(&[]);
            MapUpdate::emit_ports(self.serial, ports, &mut w);
            put(w.written());
            return w.len();
        }
        put(&MapUpdate::blocks_head(
            self.serial,
            changes.blocks,
            changes.rest_clear,
        ));
        let mut blocks = map.chunks_exact(BLOCK_LEN);
        for n in 0..16 {
            let block = blocks.next().unwrap_or(&[0; BLOCK_LEN]);
            if changes.blocks & (1 << n) != 0 {
                put(block);
            }
        }
        MapUpdate::blocks_len(changes.blocks)
    }
}

/// The receiving side of the congestion map.
#[derive(Clone, Copy, Debug, Default)]
pub struct MapReceiver {
    last: Option<u32>,
    /// Blocks in which a bit may be set.
    set: u16,
}

impl MapReceiver {
    /// The peer is in another life, and starts over; what it is known to have congested stays so until
    /// it says otherwise.
    pub fn restart(&mut self) {
        self.last = None;
    }

    /// Whether an update is to be applied: if so, the blocks that are to be cleared beyond those that it
    /// has, which are not clear yet.
    pub fn accept(&mut self, update: &MapUpdate<'_>) -> Option<u16> {
        let serial = update.serial();
        if !self.last.is_none_or(|last| is_newer(serial, last)) {
            return None;
        }
        self.last = Some(serial);
        match update {
            MapUpdate::Ports { ports, .. } => {
                for (port, congested) in ports.entries() {
                    self.set |= if congested { block(port) } else { 0 };
                }
                Some(0)
            }
            MapUpdate::Blocks {
                mask, rest_clear, ..
            } => {
                let clear = if *rest_clear { self.set & !mask } else { 0 };
                self.set = (self.set & !clear) | mask;
                Some(clear)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Frame, Frames};
    use super::*;
    use std::vec::Vec;

    /// Applies an update to a map, as a receiver does.
    fn apply(map: &mut [u8; 8192], update: &MapUpdate<'_>, clear: u16) {
        match update {
            MapUpdate::Ports { ports, .. } => {
                for (port, congested) in ports.entries() {
                    let (byte, bit) = (usize::from(port / 8), 1 << (port % 8));
                    map[byte] = (map[byte] & !bit) | if congested { bit } else { 0 };
                }
            }
            MapUpdate::Blocks { mask, blocks, .. } => {
                let mut from = blocks.chunks(512);
                for (n, to) in map.chunks_mut(512).enumerate() {
                    if mask & (1 << n) != 0 {
                        to.copy_from_slice(from.next().unwrap());
                    } else if clear & (1 << n) != 0 {
                        to.fill(0);
                    }
                }
            }
        }
    }

    /// Whatever changes, is lost, and comes late, the peer's map is the same in the end.
    #[test]
    fn the_peer_learns_every_change() {
        for seed in 1..200_u32 {
            let mut seed = seed.wrapping_mul(2_654_435_761);
            let mut random = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed >> 8
            };
            let (mut map, mut peer) = ([0_u8; 8192], [0_u8; 8192]);
            let spread = 1 + random() % 8;
            map[1] = 1;
            let mut sender = MapSender::default();
            let mut receiver = MapReceiver::default();
            sender.start(&map);
            let mut late: Vec<Vec<u8>> = Vec::new();
            for step in 0..300 {
                if step < 250 && random() % 3 != 0 {
                    let port = (random() % spread * 8209 + random() % 20) as u16;
                    map[usize::from(port / 8)] ^= 1 << (port % 8);
                    sender.change(port);
                }
                let room = [12, 16, 44, 600, 9000][random() as usize % 5];
                let room = if step < 250 { room } else { 9000 };
                if let Some(update) = sender.take(room) {
                    assert!(!sender.is_pending(), "one at a time");
                    let mut bytes = Vec::new();
                    let len = update.emit(&map, |b| bytes.extend_from_slice(b));
                    assert!(len == bytes.len() && len <= room);
                    late.push(bytes);
                    let lost = step < 280 && random() % 3 == 0;
                    if lost {
                        sender.on_lost();
                    }
                    // What was taken for lost may come all the same, later.
                    let mut arrive = Vec::new();
                    if lost {
                        if random() % 2 == 0 && late.len() > 1 {
                            arrive.push(late.swap_remove(0));
                        }
                    } else {
                        arrive.push(late.pop().unwrap());
                        sender.on_acked();
                    }
                    for bytes in arrive {
                        let Some(Ok(Frame::Map(update))) = Frames::new(&bytes).next() else {
                            panic!("not a map");
                        };
                        if let Some(clear) = receiver.accept(&update) {
                            apply(&mut peer, &update, clear);
                        }
                    }
                }
            }
            assert!(!sender.is_pending());
            assert_eq!(map, peer);
        }
    }

    #[test]
    fn few_changes_are_told_by_port_and_many_by_block() {
        let mut sender = MapSender::default();
        assert!(!sender.is_pending());
        for port in 0..8 {
            sender.change(port);
            sender.change(port);
        }
        let update = sender.take(1000).unwrap();
        assert_eq!(update.emit(&[], |_| {}), 44);
        for port in 0..9 {
            sender.change(port * 4096);
        }
        assert_eq!(sender.take(1000), None, "one is under way");
        sender.on_acked();
        let update = sender.take(9000).unwrap();
        assert_eq!(update.emit(&[], |_| {}), 12 + 9 * 512);
    }

    /// What costs the peer twelve bytes costs no more than what it spent before.
    #[test]
    fn only_what_was_set_is_cleared() {
        let mut receiver = MapReceiver::default();
        let mut accept = |serial, ports: &[(u16, bool)], mask: u16, clear: bool| {
            let mut room = [0; 2000];
            let mut w = crate::native::wire::Writer::new(&mut room);
            if ports.is_empty() {
                assert!(MapUpdate::emit_blocks(
                    serial, mask, clear, &[1; 8192], &mut w
                ));
            } else {
                assert!(MapUpdate::emit_ports(serial, ports, &mut w));
            }
            let Some(Ok(Frame::Map(update))) = Frames::new(w.written()).next() else {
                panic!("not a map");
            };
            receiver.accept(&update)
        };
        assert_eq!(accept(1, &[], 0, true), Some(0));
        assert_eq!(accept(2, &[(4096, true), (9000, false)], 0, false), Some(0));
        assert_eq!(accept(3, &[], 0b1000, false), Some(0));
        assert_eq!(accept(3, &[], 0, true), None);
        assert_eq!(accept(4, &[], 0b1000, true), Some(0b10));
        assert_eq!(accept(5, &[], 0, true), Some(0b1000));
        assert_eq!(accept(6, &[], 0, true), Some(0));
    }
}
