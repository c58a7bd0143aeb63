// SPDX-License-Identifier: GPL-2.0

//! The map of a peer's address, as last received.
//!
//! There is one per address, shared by all paths to it, and most of them never have a bit set; so one
//! takes memory only when the first bit is. C: `rds_ib_cong_recv()`.

use super::{mask_bit, Map, MapBytes};
use core::fmt;

/// A bit is to be set and there is no storage yet: hand it in by [`RemoteMap::provide`] and repeat, or
/// leave it, in which case the port counts as free and messages to it are accepted beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedsStorage;

/// The congestion map of a peer.
#[derive(Clone)]
pub struct RemoteMap<B> {
    map: Option<Map<B>>,
}

impl<B: MapBytes> fmt::Debug for RemoteMap<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.map {
            Some(map) => map.fmt(f),
            None => f.write_str("Map {}"),
        }
    }
}

impl<B> Default for RemoteMap<B> {
    fn default() -> Self {
        Self { map: None }
    }
}

impl<B: MapBytes> RemoteMap<B> {
    /// Hands in storage.
    pub fn provide(&mut self, bytes: B) {
        if self.map.is_none() {
            self.map = Some(Map::new(bytes));
        }
    }

    /// Whether `port` is congested, so that a message to it is refused (ENOBUFS) or waits.
    pub fn is_congested(&self, port: u16) -> bool {
        self.map.as_ref().is_some_and(|map| map.is_congested(port))
    }

    /// Whether no port is congested. O(1).
    pub fn is_clear(&self) -> bool {
        self.map.as_ref().is_none_or(|map| map.congested() == 0)
    }

    /// Applies a piece of a map that was received, from `offset` on.
    ///
    /// Returns the mask of ports modulo 64 that got free, for [`Monitor`](super::Monitor). Whatever it
    /// is, senders blocked on this map are to be woken.
    ///
    /// # Errors
    ///
    /// [`NeedsStorage`]; the piece then had no effect.
    pub fn apply(&mut self, offset: u32, data: &[u8]) -> Result<u64, NeedsStorage> {
        match &mut self.map {
            // CAST: widening only.
            Some(map) => Ok(map.overwrite(offset as usize, data)),
            None if data.iter().all(|b| *b == 0) => Ok(0),
            None => Err(NeedsStorage),
        }
    }

    /// Whether a sender that was refused because of `port` may have been overtaken by the update that
    /// freed it, and is to try again.
    pub fn is_freed_by(&self, port: u16, mask: u64) -> bool {
        mask & mask_bit(port) != 0 && !self.is_congested(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;

    #[test]
    fn memory_is_taken_with_the_first_bit() {
        let mut m = RemoteMap::<Box<[u8; 8192]>>::default();
        assert_eq!(m.apply(0, &[0; 4096]), Ok(0));
        let mut data = [0; 4096];
        data[1] = 0x10;
        assert_eq!(m.apply(0, &data), Err(NeedsStorage));
        assert!(!m.is_congested(12) && m.is_clear());
        assert_eq!(std::format!("{m:?}"), "Map {}");
        m.provide(Box::new([0xff; 8192]));
        assert_eq!(m.apply(0, &data), Ok(0));
        assert!(m.is_congested(12));
        assert_eq!(std::format!("{m:?}"), "Map {12}");
        m.provide(Box::new([0; 8192]));
        assert!(m.is_congested(12), "storage is taken once");
        assert!(!m.is_freed_by(12, 1 << 12) && !m.is_clear());
        let mask = m.apply(0, &[0; 4096]).unwrap();
        assert_eq!(mask, 1 << 12);
        assert!(m.is_freed_by(12, mask) && m.is_clear());
        assert!(!m.is_freed_by(13, mask));
    }
}
