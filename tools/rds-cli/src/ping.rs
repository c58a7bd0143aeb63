// SPDX-License-Identifier: GPL-2.0

//! `rds ping`: how long a message takes to a host's kernel, or to a server that returns it, and back.

use crate::context::{source_argument, tos_argument, Context};
use crate::failure::{printed, reason, Failure, Outcome};
use crate::parse;
use crate::stress::histogram::Histogram;
use clap::{value_parser, Arg, ArgMatches, Command};
use rds::{Endpoint, RecvFlags, Socket, PING_PORT};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use serde_json::{json, Value};
use std::io::{self, IoSliceMut, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Pongs carry no number, so each ping that is under way has a socket of its own.
const SOCKETS: usize = 8;

/// How long to wait before a message is tried again for which there was no room.
const PATIENCE: Duration = Duration::from_millis(10);

/// `rds ping`
pub fn command() -> Command {
    Command::new("ping")
        .about("Send messages to a host's kernel, or to a server, which answers them")
        .arg(
            Arg::new("host")
                .required(true)
                .value_name("ADDRESS[:PORT]")
                .value_parser(rds::parse_endpoint),
        )
        .arg(
            Arg::new("count")
                .short('c')
                .long("count")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .default_value("5")
                .help("How many; 0 for no end"),
        )
        .arg(
            Arg::new("interval")
                .short('i')
                .long("interval")
                .value_name("TIME")
                .value_parser(parse::time)
                .default_value("1s")
                .help("Time from one to the next; with 0 the next is sent when one is back"),
        )
        .arg(
            Arg::new("size")
                .short('s')
                .long("size")
                .value_name("BYTES")
                .value_parser(parse::size)
                .default_value("0")
                .help("Bytes to send; the kernel's answers are empty"),
        )
        .arg(
            Arg::new("timeout")
                .short('W')
                .long("timeout")
                .value_name("TIME")
                .value_parser(parse::time)
                .default_value("10s")
                .help("How long to wait for room, and for what is still missing at the end"),
        )
        .arg(source_argument())
        .arg(tos_argument())
        .after_help(
            "The first ping also makes the connection, which takes longer.\n\
             RDS loses nothing: a ping that finds no way waits for one.\n\
             With a port, a server there is to answer with the same data, as the kernel module \
             rds_echo does.\n\n\
             Examples:\n  rds ping 10.0.0.2\n  rds ping -c 1000 -i 0 10.0.0.2\n  \
             rds ping -I 10.0.0.1 -Q 4 10.0.0.2\n  rds ping -s 4096 10.0.0.2:4600",
        )
}

struct Slot {
    socket: Socket,
    waits: Option<(u64, Instant)>,
}

struct Pinger<'a> {
    context: &'a Context,
    args: &'a ArgMatches,
    to: SocketAddr,
    payload: Vec<u8>,
    /// Room for an answer.
    answer: Vec<u8>,
    slots: Vec<Slot>,
    sent: u64,
    /// Answers that were not the same as what was sent.
    wrong: u64,
    times: Histogram,
    replies: Vec<Value>,
}

impl Pinger<'_> {
    fn socket(&self) -> Result<Socket, Failure> {
        let socket = self.context.bound_towards(self.args, self.to)?;
        self.context.set_tos(self.args, &socket)?;
        crate::context::set_buffers(&socket, None, self.payload.len())?;
        socket
            .set_nonblocking(true)
            .map_err(|error| Failure::system("socket", &error))?;
        Ok(socket)
    }

    /// Sends a ping; returns `false` if there is no room for it now.
    fn send(&mut self) -> Result<bool, Failure> {
        let at = (self.sent % SOCKETS as u64) as usize;
        // A late answer to the ping before would be taken for one to this.
        let fresh = match self.slots.get(at) {
            Some(slot) if slot.waits.is_none() => None,
            _ => Some(self.socket()?),
        };
        fill(&mut self.payload, self.sent + 1);
        let began = Instant::now();
        let socket = fresh.as_ref().unwrap_or_else(|| &self.slots[at].socket);
        match socket.send_to(&self.payload, self.to) {
            Ok(_) => {}
            // Its server is behind, or too much is under way.
            Err(error) if rds::must_wait(&error) => return Ok(false),
            Err(error) => return Err(Failure::system(format!("send to {}", self.to), &error)),
        }
        self.sent += 1;
        let waits = Some((self.sent, began));
        match (fresh, self.slots.get_mut(at)) {
            (Some(socket), Some(slot)) => *slot = Slot { socket, waits },
            (Some(socket), None) => self.slots.push(Slot { socket, waits }),
            (None, Some(slot)) => slot.waits = waits,
            (None, None) => {}
        }
        Ok(true)
    }

    /// Sends a ping as soon as there is room for it; returns `false` if there is none within `timeout`.
    fn send_when_there_is_room(&mut self, timeout: Duration) -> Result<bool, Failure> {
        let limit = Instant::now() + timeout;
        while Instant::now() < limit {
            self.collect(Instant::now() + PATIENCE, false)?;
            if self.send()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn waiting(&self) -> bool {
        self.slots.iter().any(|slot| slot.waits.is_some())
    }

    /// Waits for answers until `until`, or until the first that comes if `any`.
    fn collect(&mut self, until: Instant, any: bool) -> Result<(), Failure> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds: Vec<_> = self
                .slots
                .iter()
                .map(|slot| PollFd::new(&slot.socket, PollFlags::IN))
                .collect();
            let came = match poll(&mut fds, Some(&timeout)) {
                Ok(came) => came,
                Err(rustix::io::Errno::INTR) => 0,
                Err(error) => return Err(Failure::system("poll", &error.into())),
            };
            let got = if came > 0 { self.receive()? } else { 0 };
            if left.is_zero() || (any && got > 0) || (any && !self.waiting()) {
                return Ok(());
            }
        }
    }

    fn receive(&mut self) -> Result<usize, Failure> {
        let mut got = 0;
        for slot in &mut self.slots {
            let received = match slot.socket.recv_message(
                &mut [IoSliceMut::new(&mut self.answer)],
                RecvFlags::DONTWAIT,
            ) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => {
                    anstream::eprintln!("rds: receive: {}", reason(&error));
                    continue;
                }
            };
            let now = Instant::now();
            let from_peer = received
                .from
                .is_some_and(|from| from.ip() == self.to.ip() && from.port() == self.to.port());
            let Some((number, began)) = slot.waits.take_if(|_| from_peer) else {
                continue;
            };
            got += 1;
            if self.to.port() != PING_PORT {
                fill(&mut self.payload, number);
                if self.answer.get(..received.len) != Some(&self.payload) {
                    self.wrong += 1;
                    anstream::eprintln!("rds: seq {number}: the answer is not what was sent");
                    continue;
                }
            }
            let time = now.duration_since(began);
            self.times.record(time);
            let millis = time.as_secs_f64() * 1e3;
            if self.context.json {
                self.replies
                    .push(json!({ "seq": number, "rtt_ms": millis }));
            } else {
                let line = format!("{}: seq {number} time {millis:.3} ms", self.to.ip());
                printed(writeln!(anstream::stdout(), "{line}"))?;
            }
        }
        Ok(got)
    }

    fn report(&self) -> Result<Outcome, Failure> {
        let (sent, received) = (self.sent, self.times.count());
        let mut out = anstream::stdout();
        if self.context.json {
            let all = json!({
                "to": self.to.ip().to_string(),
                "bytes": self.payload.len(),
                "sent": sent,
                "received": received,
                "wrong": self.wrong,
                "rtt_us": self.times.json(),
                "replies": self.replies,
            });
            printed(writeln!(out, "{all:#}"))?;
        } else {
            let lost = sent - received - self.wrong;
            let wrong = match self.wrong {
                0 => String::new(),
                wrong => format!(", {wrong} wrong"),
            };
            printed(writeln!(
                out,
                "{}: {sent} sent, {received} came back, {lost} missing{wrong}",
                self.to.ip()
            ))?;
            if received > 0 {
                printed(writeln!(out, "rtt: {}", self.times))?;
            }
        }
        if received == 0 && self.to.port() != PING_PORT {
            anstream::eprintln!(
                "rds: nothing came back from {}: is a server there?",
                self.to
            );
        } else if received == 0 {
            anstream::eprintln!(
                "rds: nothing came back from {}: is RDS loaded there, and its \
                 net.rds.ping_enable 1? `rds info --connections` shows the connection's state.",
                self.to.ip()
            );
        }
        Ok(Outcome::from(received == sent && sent > 0))
    }
}

/// Makes the data of a ping, by its number.
fn fill(payload: &mut [u8], number: u64) {
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte = (at as u64 + number) as u8;
    }
}

/// Runs it.
pub fn run(context: &Context, args: &ArgMatches) -> Result<Outcome, Failure> {
    let value = |name| args.get_one::<Duration>(name).copied().unwrap_or_default();
    let to = args
        .get_one::<Endpoint>("host")
        .map(|end| end.or_port(PING_PORT))
        .ok_or_else(|| Failure::usage("ping whom?"))?;
    let size = args.get_one("size").copied().unwrap_or(0);
    let count = args.get_one("count").copied().unwrap_or(0_u64);
    let (interval, timeout) = (value("interval"), value("timeout"));
    let mut pinger = Pinger {
        context,
        args,
        to,
        payload: vec![0; size],
        // One more than is right.
        answer: vec![0; size + 1],
        slots: Vec::new(),
        sent: 0,
        wrong: 0,
        times: Histogram::new(),
        replies: Vec::new(),
    };
    let mut next = Instant::now();
    while count == 0 || pinger.sent < count {
        if !pinger.send()? {
            if !pinger.send_when_there_is_room(timeout)? {
                anstream::eprintln!(
                    "rds: {to} has had no room for a message for {timeout:?}: does the program there read?"
                );
                break;
            }
            // What was not sent meanwhile is not made up for.
            next = Instant::now();
        }
        if interval.is_zero() {
            pinger.collect(Instant::now() + timeout, true)?;
        } else {
            next += interval;
            pinger.collect(next, false)?;
            if pinger.sent == count {
                break;
            }
        }
    }
    let end = Instant::now() + timeout;
    while pinger.waiting() && Instant::now() < end {
        pinger.collect(end, true)?;
    }
    pinger.report()
}
