// SPDX-License-Identifier: GPL-2.0

//! Somebody who has nothing to do with all this: he sends messages to himself, as many as he may, looks
//! whether he is stopped, and reads them all. Whatever others do, this goes on.

use crate::options::Options;
use crate::world::BYSTANDER;
use rds::{Family, Interest, Socket};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The size of a message, and of the buffer that they are received in.
const MESSAGE: usize = 1000;
const BUFFER: usize = 8192;
/// Who sends more than this is not stopped: over loopback many times the buffer may be received. Over a
/// device, where it takes a while to hear of it, any number that is no flood.
const LOOPBACK_MOST: u64 = 64 * 2 * (BUFFER / MESSAGE) as u64;
const DEVICE_MOST: u64 = 20_000;
/// How often he tries to send while he may not.
const TRIES: u32 = 40;

/// A sender and a receiver.
struct Pair {
    from: Socket,
    to: Socket,
    source: SocketAddr,
    dest: SocketAddr,
    most: u64,
    /// While nothing is read, nothing more may be sent.
    strict: bool,
    sent: u64,
    received: u64,
}

/// What is wrong.
type Wrong = String;

fn told(what: &str, error: &io::Error) -> Wrong {
    format!("{what}: {error}")
}

impl Pair {
    fn new(family: Family, ip: [IpAddr; 2], ports: [u16; 2], most: u64) -> io::Result<Self> {
        let (source, dest) = (
            SocketAddr::new(ip[0], ports[0]),
            SocketAddr::new(ip[1], ports[1]),
        );
        let (from, to) = (Socket::new(family)?, Socket::new(family)?);
        to.set_recv_buffer(BUFFER)?;
        from.bind(source)?;
        to.bind(dest)?;
        from.set_nonblocking(true)?;
        to.set_nonblocking(true)?;
        Ok(Self {
            from,
            to,
            source,
            dest,
            most,
            strict: ip[0].is_loopback(),
            sent: 0,
            received: 0,
        })
    }

    /// Sends the next message. False if it may not.
    fn send(&mut self) -> Result<bool, Wrong> {
        match self.from.send_to(&message(self.sent), self.dest) {
            Ok(MESSAGE) => {
                self.sent += 1;
                Ok(true)
            }
            Ok(len) => Err(format!("{len} bytes of a message were sent")),
            Err(error) if rds::must_wait(&error) => Ok(false),
            Err(error) => Err(told("send", &error)),
        }
    }

    /// Receives the next message. False if there is none.
    fn receive(&mut self) -> Result<bool, Wrong> {
        let mut buffer = [0; MESSAGE + 1];
        let received = match self.to.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if rds::must_wait(&error) => return Ok(false),
            Err(error) => return Err(told("receive", &error)),
        };
        let Some(from) = received.from else {
            return Ok(false);
        };
        if from != self.source {
            return Err(format!("a message of somebody else: {from}"));
        }
        if buffer[..received.len] != message(self.received) {
            return Err(format!("message {} is not what was sent", self.received));
        }
        self.received += 1;
        Ok(true)
    }

    /// Fills, is stopped, and drains.
    fn look(&mut self, patience: u64, over: impl Fn() -> bool) -> Result<(), Wrong> {
        while self.send()? {
            if self.sent - self.received > self.most {
                return Err(format!("not stopped after {} messages", self.most));
            }
        }
        for _ in 0..TRIES {
            std::thread::sleep(Duration::from_millis(5));
            if self.send()? {
                let under_way = self.sent - self.received;
                if self.strict || under_way > self.most {
                    return Err(format!(
                        "not stopped any more, {under_way} messages are not read"
                    ));
                }
            }
        }
        while self.received < self.sent {
            self.until(patience, Self::receive, "nothing comes")?;
        }
        if !over() {
            self.until(patience, Self::send, "nothing can be sent any more")?;
        }
        Ok(())
    }

    /// Tries for a minute, or many.
    fn until(
        &mut self,
        patience: u64,
        mut what: impl FnMut(&mut Self) -> Result<bool, Wrong>,
        otherwise: &str,
    ) -> Result<(), Wrong> {
        let end = Instant::now() + Duration::from_secs(60 * patience);
        while !what(self)? {
            if Instant::now() > end {
                let (sent, received) = (self.sent, self.received);
                return Err(format!("{otherwise}: {received} of {sent}"));
            }
            let wait = Some(Duration::from_millis(5));
            self.to
                .wait(Interest::READABLE, wait)
                .map_err(|error| told("poll", &error))?;
        }
        Ok(())
    }
}

/// The bytes of a message.
fn message(number: u64) -> [u8; MESSAGE] {
    let mut bytes = [number as u8; MESSAGE];
    bytes[..8].copy_from_slice(&number.to_ne_bytes());
    bytes
}

/// Goes on until `stop`. Counts his looks and what is wrong, and says it.
pub fn live(options: &Options, stop: &AtomicU64, looks: &AtomicU64, wrong: &AtomicU64) -> i32 {
    let family = Family::new(options.family);
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST); 2];
    let [from, to, device_from, device_to] = BYSTANDER;
    let mut pairs = Vec::new();
    let mut add = |ips, ports, most| match Pair::new(family, ips, ports, most) {
        Ok(pair) => pairs.push(pair),
        Err(error) => {
            println!("bystander: {error}");
            wrong.fetch_add(1, Relaxed);
        }
    };
    add(loopback, [from, to], LOOPBACK_MOST);
    let [first, second] = &options.devices;
    if options.given == 2 {
        add([first.v4, second.v4], [device_from, device_to], DEVICE_MOST);
    }
    let over = || stop.load(Relaxed) != 0;
    looks.fetch_add(1, Relaxed);
    while !over() && !pairs.is_empty() {
        pairs.retain_mut(|pair| match pair.look(options.patience, over) {
            Ok(()) => true,
            Err(what) => {
                println!(
                    "bystander NOT RIGHT: {} to {}: {what}",
                    pair.source, pair.dest
                );
                wrong.fetch_add(1, Relaxed);
                false
            }
        });
        looks.fetch_add(1, Relaxed);
    }
    0
}
