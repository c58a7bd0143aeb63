// SPDX-License-Identifier: GPL-2.0

//! The side that has the memory: it does what it is asked for, and knows nothing of checks.

use crate::end::{self, End, Message};
use crate::pattern::{self, Layout};
use crate::protocol::{self, Answer, Command, Method};
use rds::rdma::{Cookie, Memory, Operation, Piece, Region, RegionFlags, Remote};
use rds::{RdmaOutcome, SendControl, SendFlags, Socket};
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long something may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Memory of someone who asked.
struct Entry {
    owner: SocketAddr,
    memory: Memory,
    layout: Layout,
    region: Option<Region>,
}

/// Region flags from their number: the ones there are.
pub fn flags(number: u64) -> RegionFlags {
    let all = [
        (0x01, RegionFlags::WRITABLE),
        (0x04, RegionFlags::INVALIDATE),
        (0x08, RegionFlags::USE_ONCE),
    ];
    let set = all.into_iter().filter(|(bit, _)| number & bit != 0);
    set.fold(RegionFlags::NONE, |sum, (_, flag)| sum | flag)
}

fn errno(error: &io::Error) -> Answer {
    match error.raw_os_error() {
        Some(errno) => Answer::Errno(errno),
        None => Answer::No(error.to_string()),
    }
}

struct Server {
    end: End,
    entries: HashMap<u64, Entry>,
    last: u64,
    counts: HashMap<SocketAddr, u64>,
}

impl Server {
    fn entry(&mut self, id: u64) -> Result<&mut Entry, Answer> {
        let entry = self.entries.get_mut(&id);
        entry.ok_or_else(|| Answer::No(format!("there is no memory {id}")))
    }

    fn send(&self, to: SocketAddr, data: &[u8], control: &[SendControl]) {
        let pieces = [IoSlice::new(data)];
        let socket = self.end.socket.socket();
        if let Err(error) = socket.send_message(&pieces, Some(to), control, SendFlags::NONE) {
            eprintln!("rds-rdma: answer to {to}: {error}");
        }
    }

    /// Registers memory and answers. With `Map` the answer is what registers it.
    fn make(
        &mut self,
        to: SocketAddr,
        number: u64,
        method: Method,
        region: RegionFlags,
        total: usize,
        layout: Layout,
    ) -> Result<(), Answer> {
        let memory = Memory::new(total).map_err(|error| errno(&error))?;
        layout.put(&memory).map_err(Answer::No)?;
        let piece = memory
            .piece(layout.range())
            .map_err(|error| errno(&error))?;
        let id = self.last + 1;
        let text = |cookie: u64| protocol::message(number, &Answer::Done(vec![id, cookie]));
        let socket = &self.end.socket;
        let made = match method {
            Method::Map => self.map(to, &text(0), &piece, region),
            Method::OptionForDest => socket.register_for(to, piece, region),
            Method::Option | Method::Dest => socket.register(piece, region),
        };
        let region = made.map_err(|error| errno(&error))?;
        let cookie = region.cookie().0;
        match method {
            Method::Map => {}
            Method::Dest => self.send(to, &text(0), &[SendControl::RdmaDest(cookie)]),
            Method::Option | Method::OptionForDest => self.send(to, &text(cookie), &[]),
        }
        self.last = id;
        let entry = Entry {
            owner: to,
            memory,
            layout,
            region: Some(region),
        };
        self.entries.insert(id, entry);
        Ok(())
    }

    /// Tries again while the connection is being made.
    fn map(
        &self,
        to: SocketAddr,
        text: &[u8],
        piece: &Piece,
        region: RegionFlags,
    ) -> io::Result<Region> {
        let end = Instant::now() + PATIENCE;
        loop {
            let pieces = [IoSlice::new(text)];
            let socket = &self.end.socket;
            match socket.send_map(&pieces, to, piece.clone(), region, SendFlags::NONE) {
                Err(error)
                    if error.raw_os_error() == Some(libc::EAGAIN) && Instant::now() < end =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                result => return result,
            }
        }
    }

    /// Operates on memory of the host that asks.
    fn reach(&mut self, to: SocketAddr, reach: &Reach) -> io::Result<Answer> {
        let memory = Memory::new(reach.len.max(1))?;
        memory.write(0, &pattern::bytes(reach.seed, reach.len))?;
        let remote = Remote {
            cookie: Cookie(reach.cookie),
            offset: 0,
        };
        let pieces = vec![memory.piece(0..reach.len)?];
        let operation = if reach.write {
            Operation::write(remote, pieces)
        } else {
            Operation::read(remote, pieces)
        }
        .notify();
        let mut ends = [0_u64; 3];
        for _ in 0..reach.count {
            let token = self.end.operate(to, &operation, &[])?;
            let outcome = self.end.status(token, Instant::now() + PATIENCE)?;
            let kind = match outcome {
                Some(RdmaOutcome::Success) => 0,
                Some(RdmaOutcome::RemoteError) => 1,
                _ => 2,
            };
            ends[kind] += 1;
        }
        if !reach.write && ends[0] > 0 {
            let got = memory.to_vec(0..reach.len)?;
            if got != pattern::bytes(reach.seed, reach.len) {
                return Ok(Answer::No("what was read is wrong".into()));
            }
        }
        Ok(Answer::Done(ends.to_vec()))
    }

    fn answer(&mut self, from: SocketAddr, command: Command) -> Result<Answer, Answer> {
        let failed = |error: io::Error| errno(&error);
        let done = |numbers: &[u64]| Ok(Answer::Done(numbers.to_vec()));
        match command {
            Command::Echo => done(&[]),
            Command::Make { .. } => Err(Answer::No("made elsewhere".into())),
            Command::Compare { id, layout } => {
                layout
                    .check(&self.entry(id)?.memory)
                    .map_err(|why| Answer::No(format!("at the peer {why}")))?;
                done(&[])
            }
            Command::Fill { id, layout } => {
                layout.put(&self.entry(id)?.memory).map_err(Answer::No)?;
                done(&[])
            }
            Command::Hash { id } => {
                let entry = self.entry(id)?;
                let bytes = entry.memory.to_vec(entry.layout.range()).map_err(failed)?;
                done(&[pattern::hash(&bytes)])
            }
            Command::Number { id, at } => {
                done(&[self.entry(id)?.memory.number(at).map_err(failed)?])
            }
            Command::Set { id, at, value } => {
                let memory = &self.entry(id)?.memory;
                memory.write(at, &value.to_ne_bytes()).map_err(failed)?;
                done(&[])
            }
            Command::Free { id, invalidate } => match self.entry(id)?.region.take() {
                None => Err(Answer::No(format!("memory {id} is given up already"))),
                Some(region) => {
                    region.free(invalidate).map_err(failed)?;
                    done(&[])
                }
            },
            Command::Flush => {
                self.end.socket.flush_regions().map_err(failed)?;
                done(&[])
            }
            Command::Drop { id } => {
                self.entries.remove(&id);
                done(&[])
            }
            Command::Clear { port } => {
                let mut owner = from;
                if port != 0 {
                    owner.set_port(port);
                }
                self.entries.retain(|_, entry| entry.owner != owner);
                done(&[])
            }
            Command::Count => done(&[self.counts.get(&from).copied().unwrap_or(0)]),
            Command::Reach {
                port,
                cookie,
                write,
                len,
                seed,
                count,
            } => {
                let mut to = from;
                to.set_port(port);
                let reach = Reach {
                    cookie,
                    write,
                    len,
                    seed,
                    count,
                };
                self.reach(to, &reach).map_err(failed)
            }
            Command::Pinned => done(&[end::pinned().0]),
        }
    }

    fn message(&mut self, message: &Message) {
        let from = message.from;
        *self.counts.entry(from).or_default() += 1;
        // All others only go with an operation.
        let Some((number, text)) = protocol::read(&message.data) else {
            return;
        };
        let answer = match text.parse() {
            Err(why) => Answer::No(why),
            Ok(Command::Make {
                method,
                flags: set,
                total,
                layout,
            }) => match self.make(from, number, method, flags(set), total, layout) {
                Ok(()) => return,
                Err(answer) => answer,
            },
            Ok(command) => self.answer(from, command).unwrap_or_else(|answer| answer),
        };
        self.send(from, &protocol::message(number, &answer), &[]);
    }
}

/// What [`Command::Reach`] asks for.
struct Reach {
    cookie: u64,
    write: bool,
    len: usize,
    seed: u64,
    count: u64,
}

/// Serves until it is killed.
pub fn run(socket: Socket) -> io::Result<()> {
    if let Some(at) = socket.local_addr()? {
        println!("serving at {at}");
    }
    let mut server = Server {
        end: End::new(socket),
        entries: HashMap::new(),
        last: 0,
        counts: HashMap::new(),
    };
    loop {
        let end = Instant::now() + PATIENCE;
        if let Some(message) = server.end.message(end)? {
            server.message(&message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_by_their_number() {
        assert_eq!(flags(0), RegionFlags::NONE);
        let all = RegionFlags::WRITABLE | RegionFlags::INVALIDATE | RegionFlags::USE_ONCE;
        assert_eq!(flags(u64::MAX), all);
        assert_eq!(flags(4), RegionFlags::INVALIDATE);
    }
}
