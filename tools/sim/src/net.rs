// SPDX-License-Identifier: GPL-2.0

//! Connections between nodes, as reliable connections behave.
//!
//! Frames of one direction arrive in order or not at all. A completion tells that a frame and all
//! before it arrived. When a connection breaks, some of the frames on their way still arrive, and the
//! two ends hear of it at different times, an idle end perhaps never.

use crate::queue::{At, Cm, End, Event, Queue};
use crate::rng::Rng;
use rds_proto::wire::PrivateBytes;
use std::collections::VecDeque;

/// Stands for "no message" in a frame.
pub const NO_MSG: u32 = u32::MAX;

/// The data of a frame, by name instead of by bytes, except for maps.
#[derive(Clone, Debug)]
pub enum Data {
    /// None.
    None,
    /// A piece of a message.
    Message {
        /// Number of the message.
        msg: u32,
        /// Where the piece starts.
        offset: u32,
        /// Its length.
        len: u32,
    },
    /// A piece of a congestion map.
    Map(Box<[u8; 4096]>),
}

/// A frame on its way.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Number of the work request at the sender.
    pub id: u32,
    /// The header's bytes.
    pub header: [u8; 48],
    /// Message that the header belongs to, or [`NO_MSG`].
    pub msg: u32,
    /// The data.
    pub data: Data,
    /// Whether the sender wants to hear of its completion.
    pub signaled: bool,
    /// Whether it wakes a receiver that waits for solicited events only.
    pub solicited: bool,
    /// It stands for an RDMA operation, which the peer's software does not see.
    pub operation: bool,
}

impl Frame {
    /// Number of data bytes.
    pub fn data_len(&self) -> u32 {
        match &self.data {
            Data::None => 0,
            Data::Message { len, .. } => *len,
            Data::Map(_) => 4096,
        }
    }
}

/// One side of a connection.
#[derive(Debug)]
pub struct Side {
    /// Whose it is.
    pub at: At,
    /// The owner's number for the connection.
    pub conn: u32,
    /// The owner has not closed it.
    pub open: bool,
    /// The owner knows that it is established.
    pub up: bool,
    /// Frames on their way to the other side.
    flight: VecDeque<(u64, Frame)>,
    last_arrival: u64,
    deliver_due: bool,
    /// Frames that arrived and were not looked at.
    pub arrived: VecDeque<Frame>,
    process_due: bool,
    /// Highest work request whose completion was asked for and that arrived.
    pub completed: Option<u32>,
    complete_due: bool,
    /// Frames posted that have not arrived.
    pub unarrived: u32,
    lost_due: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Link {
    /// The two sides; 0 dialed.
    pub sides: [Side; 2],
    /// Nothing gets through any more.
    pub broken: bool,
}

/// An attempt to connect.
#[derive(Debug)]
pub struct Attempt {
    /// Who dials.
    pub from: At,
    /// The dialer's number for the connection.
    pub conn: u32,
    /// Node that is dialed.
    pub to: u8,
    /// Type of service.
    pub tos: u8,
    /// Private data of the request.
    pub request: PrivateBytes,
    /// Private data of the reply.
    pub reply: Option<PrivateBytes>,
    /// The connection, once there is a reply.
    pub link: Option<u32>,
    /// The dialer gave it up.
    pub abandoned: bool,
    /// The dialed side gave it up.
    pub refused: bool,
    /// The dialer has its answer.
    pub answered: bool,
}

/// All connections and attempts.
#[derive(Debug)]
pub struct Net {
    /// Connections, dead ones included.
    pub links: Vec<Link>,
    /// Attempts, dead ones included.
    pub attempts: Vec<Attempt>,
    delay: u64,
}

impl Net {
    /// A network with frame delays up to `delay` nanoseconds.
    pub fn new(delay: u64) -> Self {
        Self {
            links: Vec::new(),
            attempts: Vec::new(),
            delay,
        }
    }

    /// Creates a connection; the passive side may receive at once.
    pub fn link(&mut self, active: (At, u32), passive: (At, u32)) -> u32 {
        let side = |(at, conn): (At, u32)| Side {
            at,
            conn,
            open: true,
            up: false,
            flight: VecDeque::new(),
            last_arrival: 0,
            deliver_due: false,
            arrived: VecDeque::new(),
            process_due: false,
            completed: None,
            complete_due: false,
            unarrived: 0,
            lost_due: false,
        };
        self.links.push(Link {
            sides: [side(active), side(passive)],
            broken: false,
        });
        self.links.len() as u32 - 1
    }

    /// One side of a connection.
    pub fn side(&mut self, end: End) -> &mut Side {
        &mut self.links[end.link as usize].sides[usize::from(end.side)]
    }

    /// Sends a frame from `end` to the other side.
    pub fn post(&mut self, q: &mut Queue, rng: &mut Rng, end: End, frame: Frame) {
        let delay = rng.range(500, self.delay);
        let link = &mut self.links[end.link as usize];
        let broken = link.broken;
        let side = &mut link.sides[usize::from(end.side)];
        side.unarrived += 1;
        if broken {
            // The retries run out, and the sender hears of it.
            self.lose(q, rng, end);
            return;
        }
        // In order, and never two at the same time of an earlier one.
        let arrival = side.last_arrival.max(q.now + delay);
        side.last_arrival = arrival;
        side.flight.push_back((arrival, frame));
        if !side.deliver_due {
            side.deliver_due = true;
            let peer = other(end);
            q.at(arrival, Event::Deliver(peer));
        }
    }

    /// Frames arrive at `end`. Returns how many, and whether the receiver is to be woken; `eager` means
    /// that it wants to hear of every frame.
    pub fn deliver(&mut self, q: &mut Queue, rng: &mut Rng, end: End, eager: bool) -> u64 {
        let link = &mut self.links[end.link as usize];
        let [a, b] = &mut link.sides;
        let (to, from) = if end.side == 0 { (a, b) } else { (b, a) };
        from.deliver_due = false;
        let mut count = 0;
        let mut wake = false;
        while from.flight.front().is_some_and(|(at, _)| *at <= q.now) {
            let Some((_, frame)) = from.flight.pop_front() else {
                break;
            };
            count += 1;
            from.unarrived -= 1;
            if frame.signaled {
                from.completed = Some(frame.id);
            }
            wake |= eager || frame.solicited;
            if to.open && !frame.operation {
                to.arrived.push_back(frame);
            }
        }
        if let Some((at, _)) = from.flight.front() {
            from.deliver_due = true;
            q.at(*at, Event::Deliver(end));
        }
        if from.completed.is_some() && !from.complete_due {
            from.complete_due = true;
            q.after(rng.range(200, 3000), Event::Complete(other(end)));
        }
        if wake && !to.process_due && !to.arrived.is_empty() {
            to.process_due = true;
            q.after(rng.range(100, 2000), Event::Process(end));
        }
        count
    }

    /// The software of `end` takes the frames that arrived.
    pub fn take_arrived(&mut self, end: End) -> VecDeque<Frame> {
        let side = self.side(end);
        side.process_due = false;
        std::mem::take(&mut side.arrived)
    }

    /// The software of `end` takes the news of completed sends.
    pub fn take_completed(&mut self, end: End) -> Option<u32> {
        let side = self.side(end);
        side.complete_due = false;
        side.completed.take()
    }

    /// Lets `end` hear that the connection is broken.
    pub fn lose(&mut self, q: &mut Queue, rng: &mut Rng, end: End) {
        let side = self.side(end);
        if side.open && !side.lost_due {
            side.lost_due = true;
            q.after(rng.range(1_000, 2_000_000), Event::Lost(end));
        }
    }

    /// Breaks a connection. Some frames on their way still arrive; ends that wait for an arrival hear
    /// of the loss for certain, others by chance.
    pub fn kill(&mut self, q: &mut Queue, rng: &mut Rng, link: u32, quiet: bool) {
        if self.links[link as usize].broken {
            return;
        }
        self.links[link as usize].broken = true;
        for side in 0..2 {
            let end = End { link, side };
            let s = self.side(end);
            let lost = if s.flight.is_empty() {
                0
            } else {
                rng.below(s.flight.len() as u64 + 1) as usize
            };
            let keep = s.flight.len() - lost;
            s.flight.truncate(keep);
            if lost > 0 || s.unarrived as usize > keep || !quiet || rng.one_in(2) {
                self.lose(q, rng, end);
            }
        }
    }

    /// The owner of `end` closes it; the other side hears of it.
    pub fn close(&mut self, q: &mut Queue, rng: &mut Rng, end: End, crashed: bool) {
        let side = self.side(end);
        side.open = false;
        side.arrived.clear();
        self.kill(q, rng, end.link, true);
        // A crash tells nobody.
        if !crashed {
            self.lose(q, rng, other(end));
        }
    }

    /// Starts an attempt to connect.
    pub fn dial(
        &mut self,
        q: &mut Queue,
        rng: &mut Rng,
        attempt: Attempt,
        fails: bool,
        slow: bool,
    ) {
        let number = self.attempts.len() as u32;
        self.attempts.push(attempt);
        if fails {
            q.after(rng.range(10_000, 5_000_000), Event::Cm(number, Cm::Fail));
        } else {
            self.cm(q, rng, number, Cm::Request, slow);
        }
    }

    /// Lets the next step of a handshake happen.
    pub fn cm(&mut self, q: &mut Queue, rng: &mut Rng, number: u32, step: Cm, slow: bool) {
        let most = if slow { 20_000_000 } else { 200_000 };
        q.after(rng.range(5_000, most), Event::Cm(number, step));
    }
}

/// The other end of a connection.
pub fn other(end: End) -> End {
    End {
        side: 1 - end.side,
        ..end
    }
}
