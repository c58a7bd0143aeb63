// SPDX-License-Identifier: GPL-2.0

//! What is measured, and how.

use crate::end::Moved;
use crate::kind::Kind;
use crate::pair::{failed, send_all, wait_for, Failure, Pair, Place, Site};
use raw_calls::{mark, Mark};
use rds::{must_wait, MAX_MESSAGE};
use rustix::event::{PollFd, PollFlags};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Round trips before the time is taken.
const WARM_UP: usize = 8;

/// How often all that is under way at a time has to arrive at least while the time is taken: they come in
/// waves, of which parts would be measured.
const WINDOWS: usize = 8;

/// Times that are kept of one measurement.
const TIMES: usize = 1 << 16;

/// The most bytes whose instructions are counted.
const COUNTED_BYTES: usize = 64 << 20;

/// The bytes of a round trip's message beside large ones.
const SMALL: usize = 64;

/// How long a measurement goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// So long; and what is under way at a time arrives [`WINDOWS`] times at least.
    Time(Duration),
    /// Until so many messages have arrived, or round trips are made; and as often as with `Time`. Its ends
    /// are [marked](mark).
    Count(usize),
}

impl Window {
    /// The window for messages of so many bytes.
    fn of_size(self, size: usize) -> Self {
        match self {
            Self::Count(count) => Self::Count(count.min(COUNTED_BYTES / size.max(1))),
            Self::Time(_) => self,
        }
    }

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
        let enough = match self {
            Self::Time(time) => passed >= time,
            Self::Count(wanted) => count >= wanted,
        };
        enough && count >= WINDOWS * under_way
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

/// Measures between two addresses.
pub struct Bench {
    pub site: Site,
    data: Vec<u8>,
    room: Vec<u8>,
    times: Vec<Duration>,
    /// All messages that have arrived, measured or not.
    arrived: u64,
}

impl Bench {
    /// Measures between two addresses of this host.
    pub fn new(site: Site) -> Self {
        Self {
            site,
            data: vec![0x5a; MAX_MESSAGE],
            room: vec![0; MAX_MESSAGE],
            times: Vec::with_capacity(TIMES),
            arrived: 0,
        }
    }

    /// The packets that went over the wire so far, and the messages. `None` if the devices are not known.
    pub fn so_far(&self) -> io::Result<Option<(u64, u64)>> {
        let packets = self.site.devices.as_ref().map(|devices| devices.packets());
        Ok(packets.transpose()?.map(|packets| (packets, self.arrived)))
    }

    /// Some bytes to send.
    pub fn data(&self, size: usize) -> &[u8] {
        &self.data[..size]
    }

    fn warm_up(&mut self, kind: Kind, pair: &mut Pair, size: usize) -> Result<(), Failure> {
        for _ in 0..WARM_UP {
            pair.round_trip(&self.data[..size], &mut self.room)
                .map_err(failed(kind, "round trip"))?;
        }
        self.arrived += 2 * WARM_UP as u64;
        Ok(())
    }

    /// Sends messages of `size` bytes there and back, one at a time. Returns their times, sorted.
    pub fn round_trips(
        &mut self,
        kind: Kind,
        place: Place,
        size: usize,
        window: Window,
    ) -> Result<&[Duration], Failure> {
        let mut pair = self.site.pair(kind, place, 0)?;
        self.warm_up(kind, &mut pair, size)?;
        let data = &self.data[..size];

        self.times.clear();
        let begun = window.begin();
        let mut last = begun;
        while !window.is_over(last - begun, self.times.len(), 0) && self.times.len() < TIMES {
            pair.round_trip(data, &mut self.room)
                .map_err(failed(kind, "round trip"))?;
            let now = Instant::now();
            self.times.push(now - last);
            last = now;
        }
        window.end();
        self.arrived += 2 * self.times.len() as u64;
        self.times.sort_unstable();
        Ok(&self.times)
    }

    /// The same with messages of 64 bytes, while `depth` of the largest are kept under way between two
    /// other sockets. With `tos` the small ones have a type of service of their own.
    pub fn round_trips_beside(
        &mut self,
        kind: Kind,
        depth: usize,
        tos: u8,
        window: Window,
    ) -> Result<&[Duration], Failure> {
        let mut large = self.site.pair(kind, Place::Wire, 0)?;
        let mut small = self.site.pair(kind, Place::Wire, tos)?;
        self.warm_up(kind, &mut small, SMALL)?;
        let failed = |what| failed::<io::Error>(kind, what);
        let mut received = 0;
        while received < 2 * depth {
            large
                .fill(&self.data, depth)
                .map_err(failed("large message"))?;
            received += large
                .take(&mut self.room, MAX_MESSAGE, true)
                .map_err(failed("large message"))?;
        }

        self.times.clear();
        let begun = window.begin();
        let mut last = begun;
        while !window.is_over(last - begun, self.times.len(), 1) && self.times.len() < TIMES {
            received += beside(&mut large, depth, &mut small, &self.data, &mut self.room)
                .map_err(failed("round trip beside large messages"))?;
            let now = Instant::now();
            self.times.push(now - last);
            last = now;
        }
        window.end();
        received += self.drain(kind, &mut large, MAX_MESSAGE)?;
        self.arrived += (received + 2 * self.times.len()) as u64;
        self.times.sort_unstable();
        Ok(&self.times)
    }

    /// Receives all that is under way.
    fn drain(&mut self, kind: Kind, pair: &mut Pair, size: usize) -> Result<usize, Failure> {
        let mut count = 0;
        while pair.under_way > 0 {
            pair.fill(&self.data[..size], 0)
                .map_err(failed(kind, "send"))?;
            count += pair
                .take(&mut self.room, size, true)
                .map_err(failed(kind, "receive"))?;
        }
        Ok(count)
    }

    /// Sends messages of `size` bytes one way, over `sockets` pairs of sockets with `depth` messages of
    /// each under way. What is under way at first has arrived once before the window begins.
    pub fn one_way(
        &mut self,
        (kind, place): (Kind, Place),
        size: usize,
        depth: usize,
        sockets: usize,
        window: Window,
    ) -> Result<Flow, Failure> {
        let window = window.of_size(size);
        let pairs = (0..sockets).map(|_| self.site.pair(kind, place, 0));
        let mut pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        let mut received = 0;
        let mut begun = None;
        let mut turn = 0;

        let flow = loop {
            for pair in &mut pairs {
                pair.fill(&self.data[..size], depth)
                    .map_err(failed(kind, "send"))?;
            }
            // If anything is under way, some of this socket is.
            turn = (turn + 1) % sockets;
            for (at, pair) in pairs.iter_mut().enumerate() {
                received += pair
                    .take(&mut self.room, size, at == turn)
                    .map_err(failed(kind, "receive"))?;
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
            received += self.drain(kind, pair, size)?;
        }
        self.arrived += received as u64;
        Ok(flow)
    }

    /// Sends the first message of a type of service, and returns after what time it arrived.
    pub fn first_message(&mut self, kind: Kind, tos: u8) -> Result<Duration, Failure> {
        let mut pair = self.site.pair(kind, Place::Wire, tos)?;
        let begun = Instant::now();

        send_all(&mut pair.near, &self.data[..64]).map_err(failed(kind, "send"))?;
        pair.far
            .receive(&mut self.room, 64, true)
            .map_err(failed(kind, "first message"))?;
        Ok(begun.elapsed())
    }
}

/// One round trip, with so many large messages kept under way. Returns how many of these arrived.
fn beside(
    large: &mut Pair,
    depth: usize,
    small: &mut Pair,
    data: &[u8],
    room: &mut [u8],
) -> io::Result<usize> {
    let message = &data[..SMALL];
    let (mut received, mut is_back) = (0, false);
    large.fill(data, depth)?;
    send_all(&mut small.near, message)?;
    loop {
        let count = large.take(room, MAX_MESSAGE, false)?;
        received += count;
        large.fill(data, depth)?;
        let end = if is_back {
            &mut small.near
        } else {
            &mut small.far
        };
        match end.receive(room, SMALL, false) {
            Ok(Moved::Whole) if is_back => return Ok(received),
            Ok(Moved::Whole) => {
                is_back = true;
                send_all(&mut small.far, message)?;
            }
            Ok(Moved::Part) => {}
            Err(error) if must_wait(&error) => {
                if count == 0 {
                    let [come, room] = large.interest();
                    let end = PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN);
                    wait_for(&mut [come, room, end])?;
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The time that `percent` of the sorted times are not above; zero if there are none.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let at = (times.len() * percent).div_ceil(100).max(1) - 1;

    times.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn percentiles_are_of_the_times_themselves() {
        let times: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        let micros = |percent| percentile(&times, percent).as_micros();

        assert_eq!((micros(50), micros(90), micros(99)), (100, 180, 198));
        assert_eq!(percentile(&times[..1], 99), times[0]);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn whole_waves_are_measured() {
        let second = Duration::from_secs(1);
        for window in [Window::Count(20), Window::Time(second)] {
            assert!(!window.is_over(second, 19, 4), "{window:?}");
            assert!(!window.is_over(second, 8 * 4 - 1, 4), "{window:?}");
            assert!(window.is_over(second, 8 * 4, 4), "{window:?}");
        }
        assert!(!Window::Time(second).is_over(second / 2, 1000, 1));
        assert_eq!(
            Window::Count(1000).of_size(MAX_MESSAGE),
            Window::Count(COUNTED_BYTES / MAX_MESSAGE)
        );
        assert_eq!(Window::Count(1000).of_size(64), Window::Count(1000));
    }

    #[test]
    fn what_is_asked_for_is_sent() {
        let addresses = [Ipv4Addr::LOCALHOST.into(); 2];
        let mut bench = Bench::new(Site {
            addresses,
            devices: None,
            spaces: None,
        });
        let tcp = Kind::Tcp { nodelay: true };
        let flow = bench
            .one_way((tcp, Place::Loopback), 64 << 10, 4, 2, Window::Count(50))
            .unwrap();
        assert!(flow.messages >= 64, "{flow:?}");
        let before = bench.arrived;
        assert!(before >= flow.messages as u64 + 8);
        let window = Window::Count(20);
        let times = bench.round_trips(Kind::Unix, Place::Wire, 64, window);
        assert_eq!(times.unwrap().len(), 20);
        assert_eq!(bench.arrived, before + 2 * (20 + WARM_UP as u64));
        // Large messages go in parts here.
        let window = Window::Count(3);
        let times = bench.round_trips_beside(Kind::Unix, 2, 0, window).unwrap();
        assert_eq!(times.len(), WINDOWS);
    }
}
