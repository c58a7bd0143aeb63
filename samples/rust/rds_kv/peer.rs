// SPDX-License-Identifier: GPL-2.0

//! What a peer is still to be sent.
//!
//! No messages are kept for it, only how far in the order of changes it is. So what a peer is sent is always
//! the newest, a peer that is not there costs nothing, and to send it everything is to begin at the first
//! change again.

use super::{
    store::{
        Entry,
        Store, //
    },
    wire::Said, //
};
use core::net::SocketAddrV4;
use rrds::api::Turn;

/// The messages that may be under way to a peer: more would be memory without use.
const WINDOW: u32 = 32;

/// Another node.
pub(super) struct Peer {
    pub(super) at: SocketAddrV4,
    /// Whether it can be reached. What can't arrive would take the room of what can.
    pub(super) is_up: bool,
    /// It is to be asked for all that it has.
    pub(super) asks: bool,
    /// It is to be told where what it has asked for ends.
    ends: bool,
    /// The change up to which it has been sent what it needs.
    sent: u64,
    /// The change up to which it needs all; of later ones it needs what was set here: others send theirs.
    whole: u64,
    under_way: u32,
}

impl Peer {
    pub(super) fn new(at: SocketAddrV4) -> Self {
        Self {
            at,
            is_up: false,
            asks: false,
            ends: false,
            sent: 0,
            whole: 0,
            under_way: 0,
        }
    }

    /// It is to be sent all that there is.
    pub(super) fn begin(&mut self, store: &Store) {
        self.sent = 0;
        self.whole = store.last_change();
        self.ends = true;
    }

    /// One of the messages has ended.
    pub(super) fn on_sent(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Sends what can be sent now. `us` is our node; a message that has ended is told with `token`.
    ///
    /// It is called again when one has ended, when there is room again, and when there is something new.
    pub(super) fn feed(&mut self, turn: &Turn<'_>, store: &Store, us: u32, token: u64) {
        while self.is_up && self.under_way < WINDOW {
            let whole = self.whole;
            let entry = store.next(self.sent, |entry| {
                entry.change <= whole || entry.stamp.node == us
            });
            let said = match entry {
                Some(entry) if entry.change <= whole || !self.ends => said(entry),
                _ if self.ends => Said::End,
                _ if self.asks => Said::Ask,
                _ => {
                    self.sent = store.last_change();
                    return;
                }
            };

            let sent = said.write(|parts| {
                let data = turn.copy(parts)?;
                turn.send_data(Some(self.at.into()), data, Some(token))
                    .map_err(|(err, _)| err)
            });
            if sent.is_err() {
                return;
            }
            self.under_way = self.under_way.saturating_add(1);
            match (said, entry) {
                (Said::Entry { .. }, Some(entry)) => self.sent = entry.change,
                (Said::End, _) => self.ends = false,
                _ => self.asks = false,
            }
        }
    }
}

fn said(entry: &Entry) -> Said<'_> {
    Said::Entry {
        stamp: entry.stamp,
        key: &entry.key,
        value: &entry.value,
    }
}
