// SPDX-License-Identifier: GPL-2.0

//! Memory of messages that are sent, which the kernel may read in place (`rds send --zerocopy`).

use crate::failure::Failure;
use rds::{Control, Interest, RecvFlags, SendControl, SendFlags, Socket};
use rustix::io::Errno;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How many messages the kernel may have the memory of at once.
const LENT: usize = 16;

/// How often the kernel is asked for memory, if it does not say that there is any.
const LOOK: Duration = Duration::from_millis(200);

/// How messages are sent.
#[derive(Clone, Copy)]
pub struct How {
    /// The kernel reads them in place.
    pub lends: bool,
    /// Each is given to the kernel in so many pieces of memory.
    pub pieces: usize,
}

/// Sends messages to a peer, from memory of its own. What comes for the socket is dropped.
pub struct Lender<'a> {
    socket: &'a Socket,
    to: SocketAddr,
    how: How,
    memory: Vec<Vec<u8>>,
    /// What the kernel does not have, by number: that is the cookie. Empty only while some is waited for.
    free: Vec<usize>,
}

impl<'a> Lender<'a> {
    /// Sends messages of at most `longest` bytes.
    pub fn new(
        socket: &'a Socket,
        to: SocketAddr,
        longest: usize,
        how: How,
    ) -> Result<Self, Failure> {
        if how.lends {
            socket
                .set_zerocopy(true)
                .map_err(|error| Failure::system("--zerocopy", &error))?;
        }
        let count = if how.lends { LENT } else { 1 };
        Ok(Self {
            socket,
            to,
            how,
            memory: vec![vec![0; longest]; count],
            free: (0..count).collect(),
        })
    }

    /// Sends a message that `fill` makes: it returns how many bytes it is, or `None` for no message. Waits as long as it
    /// takes, for memory that the kernel does not have, too. Returns the length.
    pub fn send(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Result<Option<usize>, Failure>,
    ) -> Result<Option<usize>, Failure> {
        let number = loop {
            match self.free.pop() {
                Some(number) => break number,
                None => self.take_back(LOOK)?,
            }
        };
        let sent = fill(&mut self.memory[number])?;
        match sent {
            // What is empty takes no memory, and is refused.
            Some(len) if self.how.lends && len > 0 => {
                self.lend(number, len)?;
                return Ok(sent);
            }
            Some(len) => self
                .call(number, len, &[], SendFlags::NONE)
                .map_err(|error| self.failed(&error))?,
            None => {}
        }
        self.free.push(number);
        Ok(sent)
    }

    /// Sends memory that the kernel reads in place.
    fn lend(&mut self, number: usize, len: usize) -> Result<(), Failure> {
        let cookie = [SendControl::ZerocopyCookie(number as u32)];
        loop {
            let error = match self.call(number, len, &cookie, SendFlags::ZEROCOPY) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let hint = match Errno::from_io_error(&error) {
                // There is more when it has given some back.
                Some(Errno::NOMEM | Errno::NOBUFS) if self.free.len() + 1 < self.memory.len() => {
                    self.take_back(LOOK)?;
                    continue;
                }
                Some(Errno::NOMEM) => {
                    "What the kernel reads in place counts as locked memory: see `ulimit -l`."
                }
                Some(Errno::OPNOTSUPP) => "--zerocopy needs TCP: see --transport.",
                _ => return Err(self.failed(&error)),
            };
            return Err(self.failed(&error).hint(hint));
        }
    }

    fn call(
        &self,
        number: usize,
        len: usize,
        control: &[SendControl],
        flags: SendFlags,
    ) -> io::Result<()> {
        let piece = len.div_ceil(self.how.pieces).max(1);
        let data = self.memory[number][..len].chunks(piece);
        let data: Vec<_> = data.map(IoSlice::new).collect();
        loop {
            match self
                .socket
                .send_message(&data, Some(self.to), control, flags)
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::system(format!("send to {}", self.to), error)
    }

    /// Waits until the kernel has no memory any more, until then at most.
    pub fn finish(&mut self, end: Option<Instant>) -> Result<(), Failure> {
        while self.free.len() < self.memory.len() {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                let count = self.memory.len() - self.free.len();
                return Err(Failure::other(format!(
                    "the kernel has the memory of {count} messages to {} still",
                    self.to
                )));
            }
            self.take_back(left.unwrap_or(LOOK).min(LOOK))?;
        }
        Ok(())
    }

    /// Takes back what the kernel is done with, or waits for that, so long at most.
    fn take_back(&mut self, wait: Duration) -> Result<(), Failure> {
        let failed = |error| Failure::system("what was sent with --zerocopy", &error);
        match self
            .socket
            .recv_message(&mut [IoSliceMut::new(&mut [])], RecvFlags::DONTWAIT)
        {
            Ok(received) => {
                for control in &received.control {
                    if let Control::ZerocopyCompletion(cookies) = control {
                        self.on_returned(cookies)?;
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.socket
                    .wait(Interest::READABLE, Some(wait))
                    .map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }

    /// Notes memory that is ours again.
    fn on_returned(&mut self, cookies: &[u32]) -> Result<(), Failure> {
        for &cookie in cookies {
            let number = cookie as usize;
            if number >= self.memory.len() || self.free.contains(&number) {
                return Err(Failure::other(format!(
                    "the kernel gives back memory that it does not have: cookie {cookie}"
                )));
            }
            self.free.push(number);
        }
        Ok(())
    }
}
