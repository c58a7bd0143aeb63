// SPDX-License-Identifier: GPL-2.0

//! Keys, what they are set to, and which of two values is the later one.

use core::cmp::Ordering;
use kernel::prelude::*;

/// The bytes that a key may have: 1 to this many, each a visible character of ASCII.
pub(super) const KEY_MAX: usize = 32;

/// The bytes that a value may have, whatever they are.
pub(super) const VALUE_MAX: usize = 1024;

/// The keys that programs may set.
const KEYS: usize = 256;

/// There is room for more: others may have taken the last places at the same time, and what they have taken
/// is stored everywhere.
const ROOM: usize = 2 * KEYS;

/// When a key was set: by Lamport's clock. A node's clock is never behind what the node has seen, so what is
/// set on a node is later than all that was there.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) counter: u64,
    /// By whom. It decides where two nodes did not know of one another.
    pub(super) node: u32,
}

/// A key, and what it is set to.
pub(super) struct Entry {
    pub(super) key: KVec<u8>,
    pub(super) value: KVec<u8>,
    pub(super) stamp: Stamp,
    /// The number of the change that made it so, on this node.
    pub(super) change: u64,
}

/// All keys. They are few enough to look at each.
pub(super) struct Store {
    entries: KVec<Entry>,
    clock: u64,
    changes: u64,
}

pub(super) fn check_key(key: &[u8]) -> Result<(), &'static str> {
    if key.is_empty() || key.len() > KEY_MAX || !key.iter().all(u8::is_ascii_graphic) {
        return Err("a key is 1 to 32 visible characters of ASCII: choose another one");
    }
    Ok(())
}

pub(super) fn check_value(value: &[u8]) -> Result<(), &'static str> {
    if value.len() > VALUE_MAX {
        return Err("a value has at most 1024 bytes: store it in parts, under several keys");
    }
    Ok(())
}

impl Store {
    /// Sleeps. The only error is [`ENOMEM`].
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            entries: KVec::with_capacity(ROOM, GFP_KERNEL)?,
            clock: 0,
            changes: 0,
        })
    }

    fn find(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.iter().find(|entry| *entry.key == *key)
    }

    /// Returns what a key is set to.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.find(key).map(|entry| entry.value.as_slice())
    }

    /// Sets a key, for a program of this node.
    pub(super) fn put(&mut self, node: u32, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if self.find(key).is_none() && self.entries.len() >= KEYS {
            return Err("256 keys are set, and there is room for no more: set one of these");
        }
        let counter = self.clock.checked_add(1).ok_or(
            "some node has set the clock to its end: load rds_kv again on all nodes at once",
        )?;

        self.take(Stamp { counter, node }, key, value)
            .map_err(|_| "there is no memory now: try again")?;
        Ok(())
    }

    /// Sets a key to what some node has set it to, unless what it is set to is later.
    ///
    /// Errors: [`ENOMEM`], [`ENOSPC`] if there are too many keys.
    pub(super) fn take(&mut self, stamp: Stamp, key: &[u8], value: &[u8]) -> Result {
        self.clock = self.clock.max(stamp.counter);
        let old = self.entries.iter_mut().find(|entry| *entry.key == *key);
        if let Some(old) = &old {
            // No two values have the same stamp, unless a node has lost its memory and nobody could tell it.
            let order = (stamp, value).cmp(&(old.stamp, &old.value));
            if order != Ordering::Greater {
                return Ok(());
            }
        }

        // OVERFLOW: No node lives to see so many.
        let change = self.changes.wrapping_add(1);
        match old {
            Some(old) => {
                old.value = copy(value)?;
                old.stamp = stamp;
                old.change = change;
            }
            None => {
                let entry = Entry {
                    key: copy(key)?,
                    value: copy(value)?,
                    stamp,
                    change,
                };
                self.entries
                    .push_within_capacity(entry)
                    .map_err(|_| ENOSPC)?;
            }
        }
        self.changes = change;
        Ok(())
    }

    /// Returns the number of the last change.
    pub(super) fn last_change(&self) -> u64 {
        self.changes
    }

    /// Returns the first that was changed after the change `after`, of those that `wanted` names.
    pub(super) fn next(&self, after: u64, wanted: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.change > after && wanted(entry))
            .min_by_key(|entry| entry.change)
    }
}

fn copy(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::with_capacity(bytes.len(), GFP_ATOMIC)?;

    copy.extend_from_slice(bytes, GFP_ATOMIC)?;
    Ok(copy)
}
