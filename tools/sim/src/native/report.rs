// SPDX-License-Identifier: GPL-2.0

//! What happened in worlds.

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Events handled.
    pub steps: u64,
    /// Messages received.
    pub messages: u64,
    /// Packets built.
    pub packets: u64,
    /// Packets that were refused for lack of memory.
    pub refused: u64,
    /// Lanes killed.
    pub kills: u64,
    /// Lanes that fell silent.
    pub silences: u64,
    /// Times that a lane was found in quarantine.
    pub quarantined: u64,
    /// Datagrams lost.
    pub lost: u64,
    /// Datagrams that came twice.
    pub doubled: u64,
    /// Crashes.
    pub crashes: u64,
    /// Messages cancelled.
    pub cancelled: u64,
    /// Packets of a hostile node changed.
    pub changed: u64,
    /// Sessions with a hostile node that ended.
    pub ended: u64,
    /// Sessions that were put away while they had no lane.
    pub parked: u64,
    /// Lanes of datagrams of which one end was made anew.
    pub remade: u64,
    /// Lanes of datagrams that one end still had when the other had lost it.
    pub outlived: u64,
}

impl Report {
    /// Adds what another run did.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.messages += other.messages;
        self.packets += other.packets;
        self.refused += other.refused;
        self.kills += other.kills;
        self.silences += other.silences;
        self.quarantined += other.quarantined;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.crashes += other.crashes;
        self.cancelled += other.cancelled;
        self.changed += other.changed;
        self.ended += other.ended;
        self.parked += other.parked;
        self.remade += other.remade;
        self.outlived += other.outlived;
    }
}
