// SPDX-License-Identifier: GPL-2.0

//! The rows: what is measured with the connections up.

use crate::pair::Place;

/// What is done.
#[derive(Clone, Copy)]
pub enum What {
    /// Messages of so many bytes there and back, one at a time: percentiles of the time.
    RoundTrip { size: usize },
    /// Messages one way, so many of each socket under way.
    OneWay {
        size: usize,
        depth: usize,
        sockets: usize,
    },
    /// Messages of 64 bytes there and back, while so many of 1 MiB are under way between other sockets. With
    /// `tos` that is the type of service of the small ones.
    Beside { depth: usize, tos: u8 },
}

/// A row.
#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    pub place: Place,
    pub what: What,
}

/// A type of service that nothing else here has.
const OTHER_TOS: u8 = 255;

const fn round_trip(name: &'static str, place: Place) -> Row {
    let what = What::RoundTrip { size: 64 };
    Row { name, place, what }
}

const fn one_way(name: &'static str, place: Place, what: (usize, usize, usize)) -> Row {
    let (size, depth, sockets) = what;
    let what = What::OneWay {
        size,
        depth,
        sockets,
    };
    Row { name, place, what }
}

const fn beside(name: &'static str, depth: usize, tos: u8) -> Row {
    let place = Place::Wire;
    let what = What::Beside { depth, tos };
    Row { name, place, what }
}

/// All of them.
pub const ROWS: &[Row] = &[
    round_trip("rtt-64", Place::Wire),
    one_way("rate-64-d1-s1", Place::Wire, (64, 1, 1)),
    one_way("rate-64-d16-s1", Place::Wire, (64, 16, 1)),
    one_way("rate-64-d256-s1", Place::Wire, (64, 256, 1)),
    one_way("rate-64-d1-s16", Place::Wire, (64, 1, 16)),
    one_way("rate-64-d16-s16", Place::Wire, (64, 16, 16)),
    one_way("rate-64-d256-s16", Place::Wire, (64, 256, 16)),
    one_way("rate-64-d1-s1000", Place::Wire, (64, 1, 1000)),
    one_way("flow-64K", Place::Wire, (64 << 10, 16, 1)),
    one_way("flow-1M", Place::Wire, (1 << 20, 4, 1)),
    beside("hol-1M-d1", 1, 0),
    beside("hol-1M-d4", 4, 0),
    beside("hol-1M-d1-tos", 1, OTHER_TOS),
    beside("hol-1M-d4-tos", 4, OTHER_TOS),
    round_trip("own-rtt-64", Place::Own),
    one_way("own-rate-64-d16-s1", Place::Own, (64, 16, 1)),
    one_way("own-flow-1M", Place::Own, (1 << 20, 4, 1)),
    round_trip("lo-rtt-64", Place::Loopback),
    one_way("lo-rate-64-d16-s1", Place::Loopback, (64, 16, 1)),
    one_way("lo-flow-1M", Place::Loopback, (1 << 20, 4, 1)),
];

impl Row {
    /// Whether one of the words is in its name, or there are none.
    pub fn is_wanted(&self, words: &[String]) -> bool {
        words.is_empty() || words.iter().any(|word| self.name.contains(word.as_str()))
    }

    /// Whether there is the row over TCP, where each end has a namespace and there is one type of service.
    pub fn is_of_tcp(&self) -> bool {
        let has_tos = matches!(self.what, What::Beside { tos, .. } if tos != 0);
        self.place == Place::Wire && !has_tos
    }

    /// Whether its figure is data in a time, and not messages.
    pub fn is_flow(&self) -> bool {
        self.name.contains("flow")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_have_one_name() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..at].iter().all(|other| other.name != row.name));
        }
    }

    #[test]
    fn words_choose_rows() {
        let chosen = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| String::from(*word)).collect();
            ROWS.iter().filter(|row| row.is_wanted(&words)).count()
        };
        assert_eq!(chosen(&[]), ROWS.len());
        assert_eq!(chosen(&["hol", "own-flow"]), 5);
        assert_eq!(chosen(&["none"]), 0);
    }
}
