// SPDX-License-Identifier: GPL-2.0

//! How much a socket has queued in each direction, and what follows from it.
//!
//! spec-sendmsg row 16, spec-congestion and spec-ack-demand; C: `rds_send_queue_rm()` and
//! `rds_recv_rcvbuf_delta()`. C counts payload bytes only, so that messages of a byte, or of none, tie
//! up any amount of memory. Here the true size, the memory that a message really takes, is a second
//! limit beside the first: wider by [`TRUE_SIZE_FACTOR`], so that ordinary traffic never meets it.

/// How many times a socket's limit its messages may take in memory.
pub const TRUE_SIZE_FACTOR: u64 = 4;

/// How many times its limit they may take where nothing else bounds them: this is what `SO_RCVBUF` reads,
/// twice of what was set.
pub const CHARGED_FACTOR: u64 = 2;

/// How much memory beyond its limit a socket may have in messages that it has received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overhead {
    /// The messages come from a wire: all of a peer are bounded together, too.
    #[default]
    Wire,
    /// They come from this host, and are charged to whoever sends them.
    Charged,
}

impl Overhead {
    /// Returns the limits of a socket that may have so many bytes of data.
    pub fn limit(self, rcvbuf: u32) -> RecvLimit {
        let factor = match self {
            Self::Wire => TRUE_SIZE_FACTOR,
            Self::Charged => CHARGED_FACTOR,
        };

        RecvLimit {
            bytes: rcvbuf.into(),
            true_size: u64::from(rcvbuf).saturating_mul(factor),
        }
    }
}

/// What a socket may have received before its port becomes congested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvLimit {
    /// Bytes of data.
    bytes: u64,
    /// Bytes of memory.
    true_size: u64,
}

/// What a socket has sent and not had acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendAccount {
    bytes: u64,
    true_size: u64,
}

/// A message that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Whether the message is to demand an acknowledgement, because half of the space is used.
    pub ack_required: bool,
}

impl SendAccount {
    /// Payload bytes queued.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing is queued. Messages without data take memory too.
    pub const fn is_idle(&self) -> bool {
        self.true_size == 0
    }

    /// Whether the socket is writable, in the sense of poll: a message would be admitted.
    pub const fn is_writable(&self, sndbuf: u32) -> bool {
        // CAST: widening only.
        let limit = sndbuf as u64;
        // A buffer of no bytes admits nothing in C either.
        self.bytes < limit && self.true_size < limit.saturating_mul(TRUE_SIZE_FACTOR)
    }

    /// Admits a message, unless the space was full before it: one message may overshoot, so that a
    /// socket that polls writable never refuses.
    pub fn admit(&mut self, len: u32, true_size: u32, sndbuf: u32) -> Option<Admitted> {
        if !self.is_writable(sndbuf) {
            return None;
        }
        self.bytes = self.bytes.saturating_add(u64::from(len));
        self.true_size = self.true_size.saturating_add(u64::from(true_size));
        let half = u64::from(sndbuf / 2);
        Some(Admitted {
            ack_required: self.bytes >= half
                || self.true_size >= half.saturating_mul(TRUE_SIZE_FACTOR),
        })
    }

    /// Returns the space of a message that was acknowledged, cancelled or dropped.
    pub fn release(&mut self, len: u32, true_size: u32) {
        self.bytes = self.bytes.saturating_sub(u64::from(len));
        self.true_size = self.true_size.saturating_sub(u64::from(true_size));
    }
}

/// A change of a port's congestion, to be entered into the map of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The port has become congested.
    Congested,
    /// The port has become free.
    Free,
}

/// What a socket has received and not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvAccount {
    bytes: u64,
    true_size: u64,
    congested: bool,
}

impl RecvAccount {
    /// Payload bytes queued.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory that the queued messages take.
    pub const fn true_size(&self) -> u64 {
        self.true_size
    }

    /// Whether the port is congested.
    pub const fn is_congested(&self) -> bool {
        self.congested
    }

    /// Notes a message that was queued; it is accepted in any case.
    pub fn add(&mut self, len: u32, true_size: u32, limit: RecvLimit) -> Option<Change> {
        self.bytes = self.bytes.saturating_add(u64::from(len));
        self.true_size = self.true_size.saturating_add(u64::from(true_size));
        self.update(limit)
    }

    /// Notes a message that was read or dropped.
    pub fn remove(&mut self, len: u32, true_size: u32, limit: RecvLimit) -> Option<Change> {
        self.bytes = self.bytes.saturating_sub(u64::from(len));
        self.true_size = self.true_size.saturating_sub(u64::from(true_size));
        self.update(limit)
    }

    /// Decides anew, after a change of the limit for instance.
    ///
    /// A port becomes congested above the limit and free below half of it, so that it does not flap. An
    /// empty queue is free whatever the limit: C leaves the port of a socket with a tiny buffer
    /// congested for ever.
    pub fn update(&mut self, limit: RecvLimit) -> Option<Change> {
        let RecvLimit {
            bytes: limit,
            true_size: wide,
        } = limit;
        if !self.congested && (self.bytes > limit || self.true_size > wide) {
            self.congested = true;
            return Some(Change::Congested);
        }
        let empty = self.bytes == 0 && self.true_size == 0;
        let low = self.bytes < limit / 2 && self.true_size < wide / 2;
        if self.congested && (empty || low) {
            self.congested = false;
            return Some(Change::Free);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(rcvbuf: u32) -> RecvLimit {
        Overhead::Wire.limit(rcvbuf)
    }

    #[test]
    fn one_message_may_overshoot() {
        let mut a = SendAccount::default();
        assert_eq!(a.admit(60, 0, 100), Some(Admitted { ack_required: true }));
        assert!(a.is_writable(100));
        assert!(a.admit(60, 0, 100).is_some(), "40 bytes were left");
        assert!(!a.is_writable(100));
        assert_eq!(a.admit(0, 0, 100), None);
        a.release(60, 0);
        assert!(a.is_writable(100));
        assert_eq!(a.bytes(), 60);
    }

    #[test]
    fn half_full_demands_acknowledgements() {
        let mut a = SendAccount::default();
        for i in 1..10 {
            let admitted = a.admit(10, 0, 100).unwrap();
            assert_eq!(admitted.ack_required, i >= 5);
        }
    }

    #[test]
    fn empty_messages_are_limited_by_their_true_size() {
        let mut a = SendAccount::default();
        let mut count = 0;
        let mut flagged = 0;
        while let Some(admitted) = a.admit(0, 200, 1000) {
            count += 1;
            flagged += u32::from(admitted.ack_required);
        }
        assert_eq!((count, flagged), (20, 11));
        a.release(0, 200);
        assert!(a.admit(0, 200, 1000).is_some());
        assert_eq!(SendAccount::default().admit(1, 1, 0), None);
    }

    #[test]
    fn congestion_has_hysteresis() {
        let mut a = RecvAccount::default();
        assert_eq!(
            a.add(100, 0, wire(100)),
            None,
            "the limit itself is not above it"
        );
        assert_eq!(a.add(1, 0, wire(100)), Some(Change::Congested));
        assert_eq!(a.add(50, 0, wire(100)), None);
        assert_eq!(a.remove(101, 0, wire(100)), None, "50 is not below half");
        assert!(a.is_congested());
        assert_eq!(a.remove(1, 0, wire(100)), Some(Change::Free));
        assert_eq!(a.remove(49, 0, wire(100)), None);
        assert_eq!((a.bytes(), a.true_size()), (0, 0));
    }

    #[test]
    fn tiny_messages_congest_by_their_true_size() {
        let mut a = RecvAccount::default();
        for _ in 0..4 {
            assert_eq!(a.add(0, 100, wire(100)), None);
        }
        assert_eq!(a.add(0, 100, wire(100)), Some(Change::Congested));
        for _ in 0..3 {
            assert_eq!(a.remove(0, 100, wire(100)), None);
        }
        assert_eq!(a.remove(0, 100, wire(100)), Some(Change::Free));
    }

    #[test]
    fn an_empty_queue_is_free_whatever_the_limit() {
        let mut a = RecvAccount::default();
        assert_eq!(a.add(5, 5, wire(1)), Some(Change::Congested));
        assert_eq!(a.remove(5, 5, wire(1)), Some(Change::Free));
        // A limit that is raised frees as well.
        a.add(5, 5, wire(1));
        assert_eq!(a.update(wire(100)), Some(Change::Free));
    }

    #[test]
    fn what_is_charged_has_less_room() {
        let mut a = RecvAccount::default();
        let limit = Overhead::Charged.limit(100);
        assert_eq!(a.add(0, 200, limit), None);
        assert_eq!(a.add(0, 1, limit), Some(Change::Congested));
        assert_eq!(a.remove(0, 100, limit), None, "101 is not below half");
        assert_eq!(a.remove(0, 2, limit), Some(Change::Free));
        assert_eq!(a.add(101, 0, limit), Some(Change::Congested));
    }
}
