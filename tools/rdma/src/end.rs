// SPDX-License-Identifier: GPL-2.0

//! What both ends have: a socket, and the messages and statuses that have come.

use rds::rdma::{Operation, RdmaSocket, Token};
use rds::{Control, Family, RdmaOutcome, SendFlags, Socket, Transport};
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// More than the longest message of the two.
const LONGEST: usize = 4096;

/// A message that came.
pub struct Message {
    pub from: SocketAddr,
    pub data: Vec<u8>,
    /// The cookie that came with it.
    pub cookie: Option<u64>,
}

/// A socket bound to an address, over RDMA unless another transport is said.
pub fn bound(family: Family, transport: Transport, local: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(family)?;
    socket.set_transport(transport)?;
    socket.bind(local)?;
    Ok(socket)
}

/// A socket, and what has come there.
pub struct End {
    pub socket: RdmaSocket,
    messages: VecDeque<Message>,
    statuses: HashMap<Token, RdmaOutcome>,
    /// Statuses of a token that had one already.
    pub doubled: u64,
}

impl End {
    pub fn new(socket: Socket) -> Self {
        Self {
            socket: RdmaSocket::new(socket),
            messages: VecDeque::new(),
            statuses: HashMap::new(),
            doubled: 0,
        }
    }

    /// Receives once, if something comes before `end`. `false` if nothing did.
    pub fn step(&mut self, end: Instant) -> io::Result<bool> {
        let left = end.saturating_duration_since(Instant::now());
        // The kernel takes a timeout of 0 as none.
        let wait = left.max(Duration::from_millis(1));
        self.socket.socket().set_recv_timeout(Some(wait))?;
        let mut buffer = vec![0; LONGEST];
        let received = match self.socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::TimedOut
                        | io::ErrorKind::WouldBlock
                        | io::ErrorKind::Interrupted
                ) =>
            {
                return Ok(false)
            }
            Err(error) => return Err(error),
        };
        let mut cookie = None;
        for control in received.control {
            match control {
                Control::RdmaStatus { token, outcome } => {
                    if self.statuses.insert(token, outcome).is_some() {
                        self.doubled += 1;
                    }
                }
                Control::RdmaDest(number) => cookie = Some(number),
                _ => {}
            }
        }
        if let Some(from) = received.from {
            buffer.truncate(received.len);
            self.messages.push_back(Message {
                from,
                data: buffer,
                cookie,
            });
        }
        Ok(true)
    }

    /// The next message, if one comes before `end`.
    pub fn message(&mut self, end: Instant) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Ok(Some(message));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            self.step(end)?;
        }
    }

    /// The status of an operation, if it comes before `end`. Each is given once.
    pub fn status(&mut self, token: Token, end: Instant) -> io::Result<Option<RdmaOutcome>> {
        loop {
            if let Some(outcome) = self.statuses.remove(&token) {
                return Ok(Some(outcome));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            self.step(end)?;
        }
    }

    /// Forgets messages that have come.
    pub fn forget(&mut self) {
        self.messages.clear();
    }

    /// Sends a message with an operation.
    pub fn operate(&self, to: SocketAddr, operation: &Operation, data: &[u8]) -> io::Result<Token> {
        let pieces = [IoSlice::new(data)];
        // No pieces are no bytes, too.
        let pieces = if data.is_empty() { &[] } else { &pieces[..] };
        self.socket
            .operate(pieces, Some(to), operation, SendFlags::NONE)
    }
}

/// kB of this process' memory that are pinned, and locked.
pub fn pinned() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (field(&text, "VmPin:"), field(&text, "VmLck:"))
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn counters() {
        let status = "Name:\tx\nVmLck:\t      64 kB\nVmPin:\t     128 kB\n";
        assert_eq!(super::field(status, "VmPin:"), 128);
        assert_eq!(super::field(status, "VmLck:"), 64);
        assert_eq!(super::field(status, "VmRSS:"), 0);
    }
}
