// SPDX-License-Identifier: GPL-2.0

//! An RDMA operation with each reply: the server writes to memory of the client's, or reads it.
//!
//! As many places as there may be requests under way take turns. Each request carries the cookie of its
//! place. The server writes for requests with an even number, and reads for others; the reply is the message
//! that goes with the operation.

use super::pattern::Pattern;
use super::plan::Plan;
use rds::rdma::{Cookie, Memory, Operation, OperationFlags, RdmaSocket, Region, RegionFlags};
use rds::rdma::{Remote, Token};
use rds::{RdmaOutcome, SendControl, SendFlags};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

/// Bytes before and behind a place that nobody may change.
const GUARD: usize = 64;

/// What they are.
const GUARDS: [u8; GUARD] = [0xa5; GUARD];

/// Whether the operation of a request writes to the client's memory.
pub const fn writes(number: u64) -> bool {
    number % 2 == 0
}

/// Memory with guards.
struct Place {
    memory: Memory,
    len: usize,
}

impl Place {
    fn new(len: usize) -> io::Result<Self> {
        let memory = Memory::new(GUARD + len + GUARD)?;
        memory.write(0, &GUARDS)?;
        memory.write(GUARD + len, &GUARDS)?;
        Ok(Self { memory, len })
    }

    fn piece(&self) -> io::Result<rds::rdma::Piece> {
        self.memory.piece(GUARD..GUARD + self.len)
    }

    fn fill(&self, pattern: Pattern) -> io::Result<()> {
        let mut data = vec![0; self.len];
        pattern.fill(&mut data);
        self.memory.write(GUARD, &data)
    }

    fn check(&self, pattern: Pattern) -> Result<(), String> {
        let all = self
            .memory
            .to_vec(0..self.memory.len())
            .map_err(|error| error.to_string())?;
        let (before, rest) = all.split_at(GUARD);
        let (data, behind) = rest.split_at(self.len);
        if before != GUARDS || behind != GUARDS {
            return Err("bytes beside it have changed".into());
        }
        pattern.check(data)
    }
}

/// The client's memory.
pub struct Target {
    places: Vec<(Place, Option<Region>)>,
    verify: bool,
}

impl Target {
    /// For a run with RDMA.
    pub fn new(plan: &Plan) -> io::Result<Option<Self>> {
        if plan.rdma == 0 {
            return Ok(None);
        }
        let places = (0..plan.depth).map(|_| Ok((Place::new(plan.rdma)?, None)));
        Ok(Some(Self {
            places: places.collect::<io::Result<_>>()?,
            verify: plan.verify,
        }))
    }

    fn at(&self, number: u64) -> usize {
        (number % self.places.len().max(1) as u64) as usize
    }

    /// Puts into a place what is to be read from there.
    pub fn prepare(&self, number: u64, pattern: Pattern) -> io::Result<()> {
        if !self.verify || writes(number) {
            return Ok(());
        }
        self.places[self.at(number)].0.fill(pattern)
    }

    /// Sends a request with the cookie of its place, which is registered with the first one.
    pub fn send(
        &mut self,
        socket: &RdmaSocket,
        number: u64,
        data: &[u8],
        to: SocketAddr,
    ) -> io::Result<()> {
        let at = self.at(number);
        let (place, region) = &mut self.places[at];
        let data = [IoSlice::new(data)];
        if let Some(region) = region {
            let dest = [SendControl::RdmaDest(region.cookie().0)];
            let plain = socket.socket();
            plain.send_message(&data, Some(to), &dest, SendFlags::DONTWAIT)?;
            return Ok(());
        }
        let made = socket.send_map(
            &data,
            to,
            place.piece()?,
            RegionFlags::WRITABLE,
            SendFlags::DONTWAIT,
        );
        if matches!(&made, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            // The connection is being made, and the socket is writable meanwhile.
            std::thread::sleep(Duration::from_millis(1));
        }
        *region = Some(made?);
        Ok(())
    }

    /// Looks, when a reply has come, whether what the server wrote is there.
    pub fn check(&self, number: u64, pattern: Pattern) -> Result<(), String> {
        if !self.verify || !writes(number) {
            return Ok(());
        }
        let place = &self.places[self.at(number)].0;
        place.check(pattern).map_err(|why| format!("WRITE: {why}"))
    }
}

/// A place of the server's.
struct Source {
    place: Place,
    cookie: Option<Cookie>,
    /// The operation that is under way, and of which request.
    under_way: Option<(Token, u64)>,
}

/// The server's memory, and its operations.
pub struct Initiator {
    sources: Vec<Source>,
    verify: bool,
}

impl Initiator {
    /// For a run with RDMA.
    pub fn new(plan: &Plan) -> io::Result<Option<Self>> {
        if plan.rdma == 0 {
            return Ok(None);
        }
        let sources = (0..plan.depth).map(|_| {
            Ok(Source {
                place: Place::new(plan.rdma)?,
                cookie: None,
                under_way: None,
            })
        });
        Ok(Some(Self {
            sources: sources.collect::<io::Result<_>>()?,
            verify: plan.verify,
        }))
    }

    fn at(&self, number: u64) -> usize {
        (number % self.sources.len().max(1) as u64) as usize
    }

    /// Takes the cookie that came with a request.
    pub fn heard(&mut self, number: u64, cookie: Option<u64>) -> Result<(), String> {
        let at = self.at(number);
        let cookie = cookie.ok_or("has no cookie")?;
        self.sources[at].cookie = Some(Cookie(cookie));
        Ok(())
    }

    /// Whether the place's last operation is over.
    pub fn is_free(&self, number: u64) -> bool {
        self.sources[self.at(number)].under_way.is_none()
    }

    /// Whether all operations are over.
    pub fn is_idle(&self) -> bool {
        self.sources.iter().all(|source| source.under_way.is_none())
    }

    /// Sends a reply with the operation of its request.
    pub fn send(
        &mut self,
        socket: &RdmaSocket,
        number: u64,
        pattern: Pattern,
        data: &[u8],
        to: SocketAddr,
    ) -> io::Result<()> {
        let at = self.at(number);
        let source = &mut self.sources[at];
        let Some(cookie) = source.cookie else {
            // That has been told as an error: the reply goes without.
            let plain = socket.socket();
            plain.send_message(&[IoSlice::new(data)], Some(to), &[], SendFlags::DONTWAIT)?;
            return Ok(());
        };
        let remote = Remote { cookie, offset: 0 };
        let pieces = vec![source.place.piece()?];
        let operation = if writes(number) {
            if self.verify {
                source.place.fill(pattern)?;
            }
            Operation::write(remote, pieces)
        } else {
            Operation::read(remote, pieces).with(OperationFlags::FENCE)
        };
        let data = [IoSlice::new(data)];
        let token = socket.operate(&data, Some(to), &operation.notify(), SendFlags::DONTWAIT)?;
        source.under_way = Some((token, number));
        Ok(())
    }

    /// Takes a status. What is wrong, of which request; `pattern` is asked for what was to be read.
    pub fn status(
        &mut self,
        token: Token,
        outcome: RdmaOutcome,
        pattern: impl Fn(u64) -> Pattern,
    ) -> Result<(), String> {
        let is_it = |source: &&mut Source| matches!(source.under_way, Some((t, _)) if t == token);
        let source = self.sources.iter_mut().find(is_it);
        let source = source.ok_or_else(|| format!("a status of nothing: {outcome:?}"))?;
        let Some((_, number)) = source.under_way.take() else {
            return Ok(());
        };
        let what = if writes(number) { "WRITE" } else { "READ" };
        if outcome != RdmaOutcome::Success {
            return Err(format!("{what} of request {number}: {outcome:?}"));
        }
        if !self.verify {
            return Ok(());
        }
        source
            .place
            .check(pattern(number))
            .map_err(|why| format!("{what} of request {number}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_and_contents_are_looked_at() {
        let pattern = Pattern::new(1, 2, 3);
        for len in [1, 16, 5000] {
            let place = Place::new(len).unwrap();
            assert!(place.check(pattern).is_err());
            place.fill(pattern).unwrap();
            assert_eq!(place.check(pattern), Ok(()));
            for at in [0, GUARD - 1, GUARD + len, 2 * GUARD + len - 1] {
                place.memory.write(at, &[0]).unwrap();
                let why = place.check(pattern).unwrap_err();
                assert!(why.contains("beside"), "{why}");
                place.memory.write(at, &GUARDS[..1]).unwrap();
            }
            assert_eq!(place.check(pattern), Ok(()));
        }
    }
}
