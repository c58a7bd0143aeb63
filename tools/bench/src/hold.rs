// SPDX-License-Identifier: GPL-2.0

//! Keeps many of one thing, so that somebody else can look at how much memory they take.
//!
//! All that the program needs itself is there when it says `ready`. It goes on with each line that it reads:
//! makes the things and says `held`, and ends.

use crate::kind::Kind;
use crate::measure::Bench;
use crate::pair::{failed, Failure, Place};
use rds::must_wait;
use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// The port of a peer that need not be there.
const PORT: u16 = 4000;

/// A thing to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A bound socket.
    Socket,
    /// A message of so many bytes that cannot be delivered.
    Queued(usize),
    /// A message of so many bytes that nobody reads.
    Unread(usize),
}

impl FromStr for Thing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is none of socket, queued-BYTES, unread-BYTES");
        let (name, size) = text.split_once('-').unwrap_or((text, ""));
        match (name, size.parse()) {
            ("socket", _) if size.is_empty() => Ok(Self::Socket),
            ("queued", Ok(size)) => Ok(Self::Queued(size)),
            ("unread", Ok(size)) => Ok(Self::Unread(size)),
            _ => Err(wrong()),
        }
    }
}

fn turn(kind: Kind, word: &str) -> Result<(), Failure> {
    println!("{word}");
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map(drop).map_err(failed(kind, "the next turn"))
}

/// Sends as soon as there is room.
fn patiently(kind: Kind, mut send: impl FnMut() -> io::Result<()>) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        match send() {
            Ok(()) => return Ok(()),
            Err(error) if must_wait(&error) && tries < 1000 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(failed(kind, "send")(error)),
        }
    }
}

/// Keeps `count` of a thing, of an implementation of RDS.
pub fn hold(bench: &Bench, family: u16, thing: Thing, count: usize) -> Result<(), Failure> {
    let kind = Kind::Rds(family);
    let rds = || bench.site.rds(family, Place::Wire, 0, 0);
    match thing {
        Thing::Socket => {
            // The memory of the list is there before.
            let mut sockets: Vec<_> = (0..count).map(|_| None).collect();
            turn(kind, "ready")?;
            for socket in &mut sockets {
                *socket = Some(rds()?);
            }
            turn(kind, "held")
        }
        Thing::Queued(size) => {
            let socket = rds()?;
            let to = SocketAddr::new(bench.site.addresses[1], PORT);
            turn(kind, "ready")?;
            for _ in 0..count {
                patiently(kind, || socket.send_to(bench.data(size), to).map(drop))?;
            }
            turn(kind, "held")
        }
        Thing::Unread(size) => {
            let mut pair = bench.site.pair(kind, Place::Wire, 0)?;
            turn(kind, "ready")?;
            for _ in 0..count {
                let data = bench.data(size);
                patiently(kind, || pair.near.send(data, false).map(drop))?;
            }
            turn(kind, "held")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_have_names() {
        assert_eq!("socket".parse(), Ok(Thing::Socket));
        assert_eq!("queued-64".parse(), Ok(Thing::Queued(64)));
        assert_eq!("unread-4096".parse(), Ok(Thing::Unread(4096)));
        for wrong in ["", "sockets", "socket-1", "queued", "unread-", "unread-x"] {
            assert!(wrong.parse::<Thing>().is_err(), "{wrong}");
        }
    }
}
