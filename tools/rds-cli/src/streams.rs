// SPDX-License-Identifier: GPL-2.0

//! `rds recv --streams`: the patterns of several senders, each verified by itself.
//!
//! A receiver that was started again hears of a sender in the middle: so a stream may begin with any
//! message. From there on it has to be complete and in order.

use crate::stress::pattern::{numbered, Pattern};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What came of one sender.
#[derive(Debug)]
struct Stream {
    first: u64,
    next: u64,
    ended: bool,
}

/// All senders that were heard of.
#[derive(Debug, Default)]
pub struct Streams {
    all: BTreeMap<SocketAddr, Stream>,
    ended: u64,
}

/// What a message says of its stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the first one that came, and has this number.
    Begins(u64),
    /// It is the next one, and has this number.
    Goes(u64),
    /// There are no more.
    Ends,
}

impl Streams {
    /// Takes a message; says what is wrong with it.
    pub fn take(&mut self, from: SocketAddr, data: &[u8]) -> Result<Step, String> {
        let Some(stream) = self.all.get_mut(&from) else {
            if data.is_empty() {
                let stream = Stream {
                    first: 0,
                    next: 0,
                    ended: true,
                };
                self.all.insert(from, stream);
                self.ended += 1;
                return Ok(Step::Ends);
            }
            let first = numbered(data).ok_or("the first message is too short to have a number")?;
            Pattern::of_message(first).check(data)?;
            let stream = Stream {
                first,
                next: first + 1,
                ended: false,
            };
            self.all.insert(from, stream);
            return Ok(Step::Begins(first));
        };
        if stream.ended {
            return Err("comes after the end".into());
        }
        if data.is_empty() {
            stream.ended = true;
            self.ended += 1;
            return Ok(Step::Ends);
        }
        let number = stream.next;
        Pattern::of_message(number)
            .check(data)
            .map_err(|why| format!("instead of message {number}: {why}"))?;
        stream.next += 1;
        Ok(Step::Goes(number))
    }

    /// How many have ended.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// A line for each.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.all.iter().map(|(from, stream)| {
            let end = if stream.ended { "ended" } else { "no end" };
            let Stream { first, next, .. } = stream;
            let count = next - first;
            format!("{from}: {count} messages from number {first} on, {end}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64) -> Vec<u8> {
        let mut data = vec![0; 64];
        Pattern::of_message(number).fill(&mut data);
        data
    }

    fn from(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    #[test]
    fn senders_do_not_disturb_one_another() {
        let mut streams = Streams::default();
        assert_eq!(streams.take(from(1), &message(7)), Ok(Step::Begins(7)));
        assert_eq!(streams.take(from(2), &message(0)), Ok(Step::Begins(0)));
        assert_eq!(streams.take(from(1), &message(8)), Ok(Step::Goes(8)));
        assert_eq!(streams.take(from(2), &message(1)), Ok(Step::Goes(1)));
        assert_eq!(streams.take(from(1), &[]), Ok(Step::Ends));
        assert_eq!(streams.ended(), 1);
        let lines: Vec<_> = streams.lines().collect();
        assert_eq!(
            lines,
            [
                "10.0.0.1:1: 2 messages from number 7 on, ended",
                "10.0.0.1:2: 2 messages from number 0 on, no end"
            ]
        );
    }

    #[test]
    fn what_is_lost_doubled_or_late_is_wrong() {
        for wrong in [5, 7, 9, 0] {
            let mut streams = Streams::default();
            assert_eq!(streams.take(from(1), &message(7)), Ok(Step::Begins(7)));
            let why = streams.take(from(1), &message(wrong)).unwrap_err();
            assert!(why.contains("instead of message 8"), "{why}");
        }
        let mut streams = Streams::default();
        assert_eq!(streams.take(from(1), &[]), Ok(Step::Ends));
        assert!(streams.take(from(1), &message(0)).is_err());
        assert!(streams.take(from(2), &message(0)[..8]).is_err());
        let mut broken = message(3);
        broken[20] ^= 1;
        assert!(streams.take(from(3), &broken).is_err());
    }
}
