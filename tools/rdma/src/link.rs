// SPDX-License-Identifier: GPL-2.0

//! The side that checks: what it asks the server for, and how it does operations on its memory.

use crate::end::{self, End};
use crate::pattern::Layout;
use crate::protocol::{self, Answer, Command, Method};
use crate::table::{bad, named, Outcome, Wrong};
use crate::World;
use rds::rdma::{Cookie, Memory, Operation, OperationFlags, RegionFlags, Remote, Token};
use rds::{RdmaOutcome, Transport};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The bits of [`RegionFlags`] as they go over the wire.
pub const WRITABLE: u64 = 0x01;
pub const INVALIDATE: u64 = 0x04;
pub const USE_ONCE: u64 = 0x08;

/// How often a connection may be lost for a reason of its own before that is taken for the answer.
const LOSSES: usize = 5;

/// Memory at the server.
#[derive(Clone, Copy, Debug)]
pub struct Far {
    pub id: u64,
    pub cookie: Cookie,
    pub layout: Layout,
}

impl Far {
    /// A place in it.
    pub fn at(&self, offset: u64) -> Remote {
        Remote {
            cookie: self.cookie,
            offset,
        }
    }

    /// The command that looks whether it holds, in place of what it did, this within its registered bytes.
    pub fn holds(&self, seed: u64) -> Command {
        let layout = Layout {
            seed,
            ..self.layout
        };
        Command::Compare {
            id: self.id,
            layout,
        }
    }
}

/// A socket of ours, and the server.
pub struct Link {
    pub end: End,
    pub to: SocketAddr,
    patience: Duration,
    number: u64,
    /// Our socket is C's: statuses of silent operations come only with what follows, and that of a READ without FENCE may come
    /// before its bytes.
    is_c: bool,
}

impl Link {
    pub fn open(world: &World) -> Result<Self, Wrong> {
        let mut local = world.local;
        local.set_port(0);
        let socket = end::bound(world.family, Transport::Rdma, local)?;
        Ok(Self {
            end: End::new(socket),
            to: world.peer,
            patience: world.patience,
            number: 0,
            is_c: world.c_here,
        })
    }

    /// When what is waited for has to be there.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// A message of a command, and its number.
    pub fn command(&mut self, command: &Command) -> (u64, Vec<u8>) {
        self.number += 1;
        (self.number, protocol::message(self.number, command))
    }

    /// The answer to a request, and the cookie that came with it. Answers to others are stray: they belong to a
    /// check that is over.
    pub fn answer(&mut self, number: u64) -> Result<(Answer, Option<u64>), Wrong> {
        let end = self.deadline();
        while let Some(message) = self.end.message(end)? {
            if message.from != self.to {
                continue;
            }
            match protocol::read(&message.data) {
                Some((found, text)) if found == number => {
                    return Ok((text.parse()?, message.cookie))
                }
                _ => {}
            }
        }
        bad("the server does not answer")
    }

    fn asked(&mut self, command: &Command) -> Result<(Answer, Option<u64>), Wrong> {
        let (number, data) = self.command(command);
        self.end.socket.socket().send_to(&data, self.to)?;
        self.answer(number)
    }

    /// Asks for something, with any answer.
    pub fn ask_any(&mut self, command: &Command) -> Result<Answer, Wrong> {
        self.asked(command).map(|(answer, _)| answer)
    }

    /// Asks for something that has to be done.
    pub fn ask(&mut self, command: &Command) -> Result<Vec<u64>, Wrong> {
        done(self.ask_any(command)?)
    }

    /// Asks for one number.
    pub fn ask_one(&mut self, command: &Command) -> Result<u64, Wrong> {
        match self.ask(command)?[..] {
            [number] => Ok(number),
            _ => bad("the server gives not one number"),
        }
    }

    /// Has memory registered at the server, with bytes around it that are not.
    pub fn make(&mut self, flags: u64, offset: usize, len: usize, seed: u64) -> Result<Far, Wrong> {
        self.make_by(Method::Map, flags, offset, len, seed)
    }

    /// The same in some way. `offset` is where in a page it begins.
    pub fn make_by(
        &mut self,
        method: Method,
        flags: u64,
        offset: usize,
        len: usize,
        seed: u64,
    ) -> Result<Far, Wrong> {
        let (total, layout) = guarded(offset, len, seed);
        let command = Command::Make {
            method,
            flags,
            total,
            layout,
        };
        let (answer, came) = self.asked(&command)?;
        let (id, cookie) = match (&done(answer)?[..], came) {
            (&[id, 0], Some(cookie)) => (id, cookie),
            (&[id, cookie], None) if cookie != 0 => (id, cookie),
            _ => return bad("no cookie comes, or one too many"),
        };
        Ok(Far {
            id,
            cookie: Cookie(cookie),
            layout,
        })
    }

    /// Sends an operation with a message.
    pub fn start(&self, operation: &Operation, data: &[u8]) -> Result<Token, Wrong> {
        if self.is_c {
            let fenced = operation.clone().with(OperationFlags::FENCE);
            return Ok(self.end.operate(self.to, &fenced, data)?);
        }
        Ok(self.end.operate(self.to, operation, data)?)
    }

    /// How it ended.
    pub fn outcome(&mut self, token: Token) -> Result<RdmaOutcome, Wrong> {
        let end = self.deadline();
        let step = |end: Instant| end.min(Instant::now() + Duration::from_secs(1));
        loop {
            let until = if self.is_c { step(end) } else { end };
            match self.end.status(token, until)? {
                Some(outcome) => return Ok(outcome),
                None if Instant::now() >= end => return bad("no status comes"),
                None => _ = self.end.socket.socket().send_to(b"x", self.to)?,
            }
        }
    }

    /// It has to end so.
    pub fn ends(&mut self, token: Token, wanted: RdmaOutcome) -> Outcome {
        let outcome = self.outcome(token)?;
        if outcome == wanted {
            return Ok(());
        }
        bad(format!("the status is {outcome:?}, wanted {wanted:?}"))
    }

    /// An operation that works, without data.
    pub fn works(&mut self, operation: Operation) -> Outcome {
        let token = self.start(&operation.notify(), &[])?;
        self.ends(token, RdmaOutcome::Success)
    }

    /// An operation that works, with a command. The status has to come, and the command be done; either may
    /// come first.
    pub fn works_with(&mut self, operation: Operation, command: &Command) -> Outcome {
        let (number, data) = self.command(command);
        let token = self.start(&operation.notify(), &data)?;
        self.ends(token, RdmaOutcome::Success)?;
        let (answer, _) = self.answer(number)?;
        done(answer).map(drop)
    }

    /// An operation that the peer's device refuses. Messages flow again afterwards.
    pub fn fails(&mut self, operation: Operation) -> Outcome {
        self.refused(&operation.notify())?;
        self.flows()
    }

    /// The peer's device refuses an operation, whose token is returned. If the connection is lost for another reason it is tried
    /// again: then nothing is known of it.
    pub fn refused(&mut self, operation: &Operation) -> Result<Token, Wrong> {
        for _ in 0..LOSSES {
            let token = self.start(operation, &[])?;
            match self.outcome(token)? {
                RdmaOutcome::RemoteError => return Ok(token),
                RdmaOutcome::Dropped => self.flows()?,
                other => return bad(format!("the status is {other:?}, wanted RemoteError")),
            }
        }
        bad(format!(
            "{LOSSES} times the status is Dropped, wanted RemoteError"
        ))
    }

    /// Normal messages are answered.
    pub fn flows(&mut self) -> Outcome {
        self.ask(&Command::Echo).map(drop)
    }

    /// Forgets what belongs to a check that is over, and has the server do the same.
    pub fn clean(&mut self) -> Outcome {
        self.end.forget();
        self.ask(&Command::Clear { port: 0 }).map(drop)
    }
}

fn done(answer: Answer) -> Result<Vec<u64>, Wrong> {
    match answer {
        Answer::Done(numbers) => Ok(numbers),
        Answer::Errno(errno) => bad(format!("the server gets {}", named(errno))),
        Answer::No(why) => bad(why),
    }
}

/// How much memory it takes to have `len` bytes at this offset in a page, with a page of guards and more on
/// either side; and what it holds.
pub fn guarded(offset: usize, len: usize, seed: u64) -> (usize, Layout) {
    let at = 4096 + offset;
    let layout = Layout {
        guard: !seed,
        at,
        len,
        seed,
    };
    (at + len + 4096, layout)
}

/// The same here.
pub fn near(offset: usize, len: usize, seed: u64) -> Result<(Memory, Layout), Wrong> {
    let (total, layout) = guarded(offset, len, seed);
    let memory = Memory::new(total)?;
    layout.put(&memory)?;
    Ok((memory, layout))
}

/// Flags of a region here, by their bits.
pub fn region_flags(bits: u64) -> RegionFlags {
    crate::server::flags(bits)
}
