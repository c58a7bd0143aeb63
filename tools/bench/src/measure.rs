// SPDX-License-Identifier: GPL-2.0

//! What is measured, and how.

use raw_calls::{mark, Mark};
use rds::{must_wait, Family, RecvFlags, SendFlags, Socket, Transport, MAX_MESSAGE};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The buffers of each socket: more than is ever under way, however it is counted.
const BUFFER: usize = 16 << 20;

/// How long a message may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Round trips before the time is taken.
const WARM_UP: usize = 8;

/// How often all that is under way at a time has to arrive at least while the time is taken: they come in
/// waves, of which parts would be measured.
const WINDOWS: usize = 8;

/// Times that are kept of one measurement.
const TIMES: usize = 1 << 16;

/// What was tried, and why it failed.
#[derive(Debug)]
pub struct Failure {
    what: String,
    why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

fn failed(family: u16, what: &str) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure {
        what: format!("family {family}: {what}"),
        why: error.to_string(),
    }
}

/// How long a measurement goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// So long; and what is under way at a time arrives [`WINDOWS`] times at least.
    Time(Duration),
    /// Until so many messages have arrived, or round trips are made. Its ends are [marked](mark).
    Count(usize),
}

impl Window {
    fn begin(self) -> Instant {
        if let Self::Count(_) = self {
            mark(Mark::Begin);
        }
        Instant::now()
    }

    fn end(self) {
        if let Self::Count(_) = self {
            mark(Mark::End);
        }
    }

    /// Whether it is over when `count` have arrived, of which `under_way` are at a time.
    fn is_over(self, passed: Duration, count: usize, under_way: usize) -> bool {
        match self {
            Self::Time(time) => passed >= time && count >= WINDOWS * under_way,
            Self::Count(wanted) => count >= wanted,
        }
    }
}

/// What came of a measurement one way.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Messages that arrived.
    pub messages: usize,
    /// How long it took.
    pub time: Duration,
}

/// Two sockets that are connected to each other, one of each address.
struct Pair {
    near: Socket,
    far: Socket,
    /// Messages from `near` that `far` has not received.
    under_way: usize,
}

/// Measures between two addresses.
pub struct Bench {
    from: IpAddr,
    to: IpAddr,
    data: Vec<u8>,
    room: Vec<u8>,
    times: Vec<Duration>,
}

impl Bench {
    /// Measures between two addresses of this host.
    pub fn new(from: IpAddr, to: IpAddr) -> Self {
        Self {
            from,
            to,
            data: vec![0x5a; MAX_MESSAGE],
            room: vec![0; MAX_MESSAGE],
            times: Vec::with_capacity(TIMES),
        }
    }

    /// A socket at one of the addresses. Without a choice of the transport C would take loopback.
    fn socket(&self, family: u16, at: IpAddr, tos: u8) -> Result<Socket, Failure> {
        let failed = |what| failed(family, what);
        let socket = Socket::new(Family::new(family)).map_err(failed("socket"))?;

        socket
            .set_transport(Transport::Rdma)
            .map_err(failed("transport"))?;
        socket
            .bind(SocketAddr::new(at, 0))
            .map_err(failed("bind"))?;
        socket
            .set_send_buffer(BUFFER)
            .map_err(failed("send buffer"))?;
        socket
            .set_recv_buffer(BUFFER)
            .map_err(failed("receive buffer"))?;
        socket
            .set_recv_timeout(Some(PATIENCE))
            .map_err(failed("timeout"))?;
        if tos != 0 {
            socket.set_tos(tos).map_err(failed("type of service"))?;
        }
        Ok(socket)
    }

    fn pair(&self, family: u16, tos: u8) -> Result<Pair, Failure> {
        let near = self.socket(family, self.from, tos)?;
        let far = self.socket(family, self.to, tos)?;
        for (socket, peer) in [(&near, &far), (&far, &near)] {
            let at = peer.local_addr().map_err(failed(family, "address"))?;
            let at = at.ok_or_else(|| Failure {
                what: format!("family {family}: address"),
                why: "a bound socket has none".into(),
            })?;
            socket.connect(at).map_err(failed(family, "connect"))?;
        }
        Ok(Pair {
            near,
            far,
            under_way: 0,
        })
    }

    /// Sends messages of `size` bytes there and back, one at a time. Returns their times, sorted.
    pub fn round_trips(
        &mut self,
        family: u16,
        size: usize,
        window: Window,
    ) -> Result<&[Duration], Failure> {
        let pair = self.pair(family, 0)?;
        let data = &self.data[..size];
        let trip = |room: &mut [u8]| -> io::Result<()> {
            send(&pair.near, data, SendFlags::NONE)?;
            receive(&pair.far, room, size, RecvFlags::NONE)?;
            send(&pair.far, data, SendFlags::NONE)?;
            receive(&pair.near, room, size, RecvFlags::NONE)
        };
        let failed = failed(family, "round trip");
        for _ in 0..WARM_UP {
            trip(&mut self.room).map_err(&failed)?;
        }

        self.times.clear();
        let begun = window.begin();
        let mut last = begun;
        while !window.is_over(last - begun, self.times.len(), 0) && self.times.len() < TIMES {
            trip(&mut self.room).map_err(&failed)?;
            let now = Instant::now();
            self.times.push(now - last);
            last = now;
        }
        window.end();
        self.times.sort_unstable();
        Ok(&self.times)
    }

    /// Sends messages of `size` bytes one way, over `sockets` pairs of sockets with `depth` messages of
    /// each under way. What is under way at first has arrived once before the window begins.
    pub fn one_way(
        &mut self,
        family: u16,
        size: usize,
        depth: usize,
        sockets: usize,
        window: Window,
    ) -> Result<Flow, Failure> {
        let pairs = (0..sockets).map(|_| self.pair(family, 0));
        let mut pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        let data = &self.data[..size];
        let failed = |what| failed(family, what);
        let mut received = 0;
        let mut begun = None;
        let mut turn = 0;

        let flow = loop {
            for pair in &mut pairs {
                fill(pair, data, depth).map_err(failed("send"))?;
            }
            // All go over one connection: if anything is under way, some of this socket is.
            turn = (turn + 1) % sockets;
            for (at, pair) in pairs.iter_mut().enumerate() {
                received +=
                    take(pair, &mut self.room, size, at == turn).map_err(failed("receive"))?;
            }

            match begun {
                None if received >= depth * sockets => begun = Some((window.begin(), received)),
                None => {}
                Some((start, before)) => {
                    let (time, messages) = (start.elapsed(), received - before);
                    if window.is_over(time, messages, depth * sockets) {
                        window.end();
                        break Flow { messages, time };
                    }
                }
            }
        };
        for pair in &mut pairs {
            while pair.under_way > 0 {
                take(pair, &mut self.room, size, true).map_err(failed("receive"))?;
            }
        }
        Ok(flow)
    }

    /// Sends the first message of a type of service, and returns after what time it arrived.
    pub fn first_message(&mut self, family: u16, tos: u8) -> Result<Duration, Failure> {
        let pair = self.pair(family, tos)?;
        let begun = Instant::now();

        send(&pair.near, &self.data[..64], SendFlags::NONE).map_err(failed(family, "send"))?;
        receive(&pair.far, &mut self.room, 64, RecvFlags::NONE)
            .map_err(failed(family, "first message"))?;
        Ok(begun.elapsed())
    }
}

fn send(socket: &Socket, data: &[u8], flags: SendFlags) -> io::Result<()> {
    socket
        .send_message(&[IoSlice::new(data)], None, &[], flags)
        .map(drop)
}

/// Receives a message, which must have `size` bytes.
fn receive(socket: &Socket, room: &mut [u8], size: usize, flags: RecvFlags) -> io::Result<()> {
    let got = socket.recv_message(&mut [IoSliceMut::new(room)], flags)?;

    if got.len == size && got.from.is_some() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} bytes instead of {size}",
        got.len
    )))
}

/// Sends until `depth` messages are under way, or no more can be sent now.
fn fill(pair: &mut Pair, data: &[u8], depth: usize) -> io::Result<()> {
    while pair.under_way < depth {
        // With nothing under way there would be nothing to wait for later.
        let flags = if pair.under_way == 0 {
            SendFlags::NONE
        } else {
            SendFlags::DONTWAIT
        };
        match send(&pair.near, data, flags) {
            Ok(()) => pair.under_way += 1,
            Err(error) if must_wait(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Receives what has come, or waits for one message if `wait`. Returns how many came.
fn take(pair: &mut Pair, room: &mut [u8], size: usize, wait: bool) -> io::Result<usize> {
    let mut flags = if wait {
        RecvFlags::NONE
    } else {
        RecvFlags::DONTWAIT
    };
    let mut count = 0;

    while pair.under_way > 0 {
        match receive(&pair.far, room, size, flags) {
            Ok(()) => {
                pair.under_way -= 1;
                count += 1;
                flags = RecvFlags::DONTWAIT;
            }
            Err(error) if flags == RecvFlags::DONTWAIT && must_wait(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// The time that `percent` of the sorted times are not above; zero if there are none.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let at = (times.len() * percent).div_ceil(100).max(1) - 1;

    times.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_times_themselves() {
        let times: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        let micros = |percent| percentile(&times, percent).as_micros();

        assert_eq!((micros(50), micros(90), micros(99)), (100, 180, 198));
        assert_eq!(percentile(&times[..1], 99), times[0]);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
