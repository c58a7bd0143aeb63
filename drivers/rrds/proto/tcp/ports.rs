// SPDX-License-Identifier: GPL-2.0

//! Which lane a message takes, and which source ports the lanes have.
//!
//! spec-tcp-ports and spec-tcp-lanes; C: `rds_tcp_conn_path_connect()`, `rds_tcp_accept_one_path()` and
//! `RDS_MPATH_HASH`.

use super::MAX_LANES;

/// The lane of what is sent from a port, of `lanes`, which is a power of two.
///
/// That is `jhash_1word(port, 0)` of C. The receiver takes messages on any lane.
pub const fn lane_of_port(port: u16, lanes: u8) -> u8 {
    const START: u32 = 0xdead_beef_u32.wrapping_add(1 << 2);
    // CAST: It gets larger.
    let (mut a, mut b, mut c) = (START.wrapping_add(port as u32), START, START);

    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    // CAST: The lower byte is enough for what is left of it.
    c as u8 & lanes.wrapping_sub(1) & (MAX_LANES - 1)
}

/// The lane of a connection with this source port, of `lanes`, if its peer says that the port tells.
pub const fn lane_of_source(port: u16, lanes: u8) -> u8 {
    // CAST: The remainder is below a `u8`.
    match port.checked_rem(lanes as u16) {
        Some(lane) => lane as u8,
        None => 0,
    }
}

/// The source ports to try for a connection of a lane, each once.
#[derive(Clone, Copy, Debug)]
pub struct LocalPorts {
    low: u32,
    groups: u32,
    lane: u8,
    group: u32,
    left: u32,
}

impl LocalPorts {
    /// The ports of `range`, both ends included, that tell of `lane`; the first one to try follows from `start`.
    pub const fn new(range: (u16, u16), lane: u8, start: u32) -> Self {
        const STEP: u32 = MAX_LANES as u32;
        // CAST: They get larger.
        let low = (range.0 as u32).next_multiple_of(STEP);
        let groups = match (range.1 as u32 + 1).checked_sub(low) {
            Some(ports) => ports / STEP,
            None => 0,
        };
        let group = match start.checked_rem(groups) {
            Some(group) => group,
            None => 0,
        };

        Self {
            low,
            groups,
            lane: lane % MAX_LANES,
            group,
            left: groups,
        }
    }
}

impl Iterator for LocalPorts {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        self.left = self.left.checked_sub(1)?;
        let group = self.group.saturating_add(1);
        self.group = if group < self.groups { group } else { 0 };
        let first = self.group.saturating_mul(u32::from(MAX_LANES));

        let port = self.low.saturating_add(first);
        u16::try_from(port.saturating_add(u32::from(self.lane))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_hash_is_that_of_the_spec() {
        let lanes = [4000, 4001, 10000, 20000, 40000].map(|port| lane_of_port(port, 8));
        assert_eq!(lanes, [1, 2, 3, 5, 2]);
        for port in 0..=u16::MAX {
            assert_eq!(lane_of_port(port, 1), 0);
            assert_eq!(lane_of_port(port, 2), lane_of_port(port, 8) & 1);
            assert!(lane_of_port(port, 0) < MAX_LANES);
        }
    }

    #[test]
    fn a_source_port_tells_its_lane() {
        assert_eq!(lane_of_source(32777, 8), 1);
        assert_eq!(lane_of_source(32777, 1), 0);
        assert_eq!(lane_of_source(32777, 0), 0);
        for lane in 0..MAX_LANES {
            let ports: BTreeSet<u16> = LocalPorts::new((32768, 60999), lane, 0).collect();
            assert_eq!(ports.len(), 3529);
            assert!(ports.iter().all(|&port| lane_of_source(port, 8) == lane));
            assert!(ports.iter().all(|port| (32768..=60999).contains(port)));
        }
    }

    #[test]
    fn ports_are_tried_from_anywhere() {
        let mut first = LocalPorts::new((32768, 60999), 3, 0);
        assert_eq!((first.next(), first.next()), (Some(32779), Some(32787)));
        let mut last = LocalPorts::new((32768, 60999), 0, 3527);
        assert_eq!((last.next(), last.next()), (Some(60992), Some(32768)));
        let mut odd = LocalPorts::new((1001, 1016), 7, u32::MAX);
        assert_eq!((odd.next(), odd.next()), (Some(1015), None));
    }

    #[test]
    fn a_range_without_a_whole_group_has_no_port() {
        for range in [(1001, 1014), (9, 8), (65535, 65535), (65529, 65535)] {
            assert_eq!(LocalPorts::new(range, 0, 7).next(), None, "{range:?}");
        }
        assert_eq!(LocalPorts::new((65528, 65535), 7, 0).last(), Some(65535));
        assert_eq!(LocalPorts::new((0, 7), 0, 0).last(), Some(0));
    }
}
