// SPDX-License-Identifier: GPL-2.0

//! What was given to TCP and is not acknowledged.
//!
//! spec-tcp-ack; C: `rds_tcp_is_acked()`. C leaves the number that a message is compared with as it was on the
//! last connection, so that one that is sent again can be freed too early; here each connection begins with
//! nothing in flight.

use crate::ring::{Ring, Storage};

/// A frame that was given to TCP as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// TCP's number of the byte behind it.
    pub end: u32,
    /// What the path knows the frame by, see [`Frame`](crate::send::Frame).
    pub id: u32,
    /// The number of the message that ends with it.
    pub seq: Option<u64>,
}

/// What was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// The last frame.
    pub id: u32,
    /// The last message, if it is another one than before.
    pub seq: Option<u64>,
}

/// The frames of a connection that are not acknowledged, in order.
pub struct InFlight<S> {
    marks: Ring<Mark, S>,
}

impl<S: Storage<Mark>> InFlight<S> {
    /// Nothing, with room for as many frames as there are `slots`.
    pub fn new(slots: S) -> Self {
        Self {
            marks: Ring::new(slots),
        }
    }

    /// Whether all is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Whether one more can be given to TCP.
    pub fn has_room(&self) -> bool {
        self.marks.len() < self.marks.capacity()
    }

    /// Notes a frame.
    ///
    /// # Errors
    ///
    /// Gives it back if there is no room.
    pub fn push(&mut self, mark: Mark) -> Result<(), Mark> {
        self.marks.push_back(mark)
    }

    /// Notes that TCP has acknowledged all bytes before `una`, and returns what that is news for. Amortised O(1).
    ///
    /// Numbers wrap: what is in flight is less than half of them.
    pub fn on_una(&mut self, una: u32) -> Option<Acked> {
        let mut acked = None;

        while let Some(mark) = self.marks.get(0).filter(|mark| is_reached(mark.end, una)) {
            let seq = mark.seq.or(acked.and_then(|acked: Acked| acked.seq));
            acked = Some(Acked { id: mark.id, seq });
            self.marks.pop_front();
        }
        acked
    }

    /// Forgets the connection.
    pub fn reset(&mut self) {
        while self.marks.pop_front().is_some() {}
    }
}

/// Whether all before `end` is acknowledged.
const fn is_reached(end: u32, una: u32) -> bool {
    // CAST: The sign of the distance is what counts.
    (una.wrapping_sub(end) as i32) >= 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn mark(end: u32, id: u32, seq: Option<u64>) -> Mark {
        Mark { end, id, seq }
    }

    #[test]
    fn a_message_is_acknowledged_with_its_last_byte() {
        let mut f = InFlight::new(vec![None; 4]);
        assert_eq!(f.on_una(u32::MAX), None);
        f.push(mark(4144, 1, None)).unwrap();
        f.push(mark(5048, 2, Some(7))).unwrap();
        f.push(mark(5096, 3, Some(8))).unwrap();
        assert_eq!(f.on_una(4143), None);
        assert_eq!(f.on_una(5047), Some(Acked { id: 1, seq: None }));
        assert_eq!(f.on_una(5047), None);
        let seq = Some(7);
        assert_eq!(f.on_una(5048), Some(Acked { id: 2, seq }));
        let seq = Some(8);
        assert_eq!(f.on_una(9000), Some(Acked { id: 3, seq }));
    }

    #[test]
    fn one_acknowledgement_may_be_for_many() {
        let mut f = InFlight::new(vec![None; 4]);
        f.push(mark(100, 1, Some(7))).unwrap();
        f.push(mark(200, 2, None)).unwrap();
        let seq = Some(7);
        assert_eq!(f.on_una(250), Some(Acked { id: 2, seq }));
    }

    #[test]
    fn numbers_wrap() {
        let mut f = InFlight::new(vec![None; 4]);
        f.push(mark(u32::MAX, 1, Some(1))).unwrap();
        f.push(mark(47, 2, Some(2))).unwrap();
        assert_eq!(f.on_una(u32::MAX - 1), None);
        let seq = Some(1);
        assert_eq!(f.on_una(46), Some(Acked { id: 1, seq }));
        let seq = Some(2);
        assert_eq!(f.on_una(47), Some(Acked { id: 2, seq }));
    }

    #[test]
    fn there_is_only_so_much_room() {
        let mut f = InFlight::new(vec![None; 1]);
        assert!(f.has_room() && f.is_empty());
        f.push(mark(1, 1, None)).unwrap();
        assert!(!f.has_room() && !f.is_empty());
        assert_eq!(f.push(mark(2, 2, None)), Err(mark(2, 2, None)));
        f.reset();
        assert!(f.has_room());
        assert_eq!(f.on_una(100), None);
    }
}
