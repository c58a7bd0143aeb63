// SPDX-License-Identifier: GPL-2.0

//! The bottleneck: a queue that a line empties at its rate, and what may happen on the line.

use crate::random::Random;
use crate::SECOND;
use std::collections::VecDeque;

/// What a line loses.
#[derive(Clone, Copy, Debug, Default)]
pub enum Loss {
    /// Nothing.
    #[default]
    None,
    /// Packets at random, in parts per million.
    Random(u32),
    /// Packets in bursts (Gilbert and Elliott): in the bad state `loss` of them.
    Burst {
        /// Chance to enter the bad state with a packet, in parts per million.
        enter: u32,
        /// Chance to leave it.
        leave: u32,
        /// Chance to lose a packet in it.
        loss: u32,
    },
}

/// A token bucket that drops what exceeds its rate, in front of the queue.
#[derive(Clone, Copy, Debug)]
pub struct Policer {
    /// Bytes a second.
    pub rate: u64,
    /// Bytes that may pass at once.
    pub burst: u64,
}

/// A link as it is set up.
#[derive(Clone, Copy, Debug)]
pub struct LinkConfig {
    /// Bytes a second.
    pub rate: u64,
    /// Time there and back without a queue, in nanoseconds.
    pub rtt: u64,
    /// Bytes that the queue holds.
    pub buffer: u64,
    /// What the line loses.
    pub loss: Loss,
    /// Acknowledgements that are lost, in parts per million.
    pub ack_loss: u32,
    /// Packets that come twice, in parts per million.
    pub duplicate: u32,
    /// Packets that are overtaken, in parts per million,
    pub reorder: u32,
    /// by so much, in nanoseconds.
    pub reorder_ns: u64,
    /// Packets that find so many bytes in the queue get a congestion mark.
    pub mark_above: Option<u64>,
    /// A policer.
    pub policer: Option<Policer>,
    /// Acknowledgements come in lumps, so many nanoseconds apart.
    pub lump_ns: u64,
}

impl LinkConfig {
    /// A clean link, whose queue holds as much as the link.
    pub const fn new(rate: u64, rtt: u64) -> Self {
        let mut config = Self {
            rate,
            rtt,
            buffer: 0,
            loss: Loss::None,
            ack_loss: 0,
            duplicate: 0,
            reorder: 0,
            reorder_ns: 0,
            mark_above: None,
            policer: None,
            lump_ns: 0,
        };
        config.buffer = config.bdp();
        config
    }

    /// The volume of the link: what is on its way at full rate, in bytes.
    pub const fn bdp(&self) -> u64 {
        (self.rate as u128 * self.rtt as u128 / SECOND as u128) as u64
    }

    /// The same link with a queue of `percent` hundredths of its volume.
    #[must_use]
    pub const fn with_buffer(mut self, percent: u64) -> Self {
        self.buffer = self.bdp() * percent / 100;
        self
    }

    /// The same link that loses `ppm` of a million packets at random.
    #[must_use]
    pub const fn with_loss(mut self, ppm: u32) -> Self {
        self.loss = Loss::Random(ppm);
        self
    }
}

/// A packet on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) flow: usize,
    pub(crate) number: u64,
    pub(crate) chunk: u64,
    pub(crate) size: u32,
    pub(crate) at_once: bool,
    pub(crate) marked: bool,
}

/// What has become of a packet on the line.
pub(crate) enum Fate {
    Lost,
    Arrives { after: u64, twice: bool },
}

/// See the [module](self).
pub(crate) struct Link {
    pub(crate) config: LinkConfig,
    queue: VecDeque<Packet>,
    queued: u64,
    largest_queue: u64,
    dropped: u64,
    is_bad: bool,
    tokens: u64,
    tokens_at: u64,
}

impl Link {
    pub(crate) fn new(config: &LinkConfig) -> Self {
        Self {
            config: *config,
            queue: VecDeque::new(),
            queued: 0,
            largest_queue: 0,
            dropped: 0,
            is_bad: false,
            tokens: config.policer.map_or(0, |p| p.burst),
            tokens_at: 0,
        }
    }

    /// Bytes in the queue.
    pub(crate) const fn queued(&self) -> u64 {
        self.queued
    }

    /// Packets that found no room, or no token.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The longest queue since this was asked last, in bytes.
    pub(crate) fn take_largest_queue(&mut self) -> u64 {
        std::mem::replace(&mut self.largest_queue, self.queued)
    }

    fn has_token(&mut self, now: u64, size: u64) -> bool {
        let Some(policer) = self.config.policer else {
            return true;
        };
        let elapsed = u128::from(now - self.tokens_at);
        let new = (u128::from(policer.rate) * elapsed / u128::from(SECOND)) as u64;
        if new > 0 {
            self.tokens = (self.tokens + new).min(policer.burst);
            self.tokens_at = now;
        }
        if self.tokens < size {
            return false;
        }
        self.tokens -= size;
        true
    }

    /// Takes a packet in; whether the line was idle and has to be started.
    pub(crate) fn enqueue(&mut self, now: u64, mut packet: Packet) -> bool {
        let size = u64::from(packet.size);
        // A queue takes one packet whatever its size.
        let full = !self.queue.is_empty() && self.queued + size > self.config.buffer;
        if full || !self.has_token(now, size) {
            self.dropped += 1;
            return false;
        }
        packet.marked = self.config.mark_above.is_some_and(|k| self.queued > k);
        let idle = self.queue.is_empty();
        self.queue.push_back(packet);
        self.queued += size;
        self.largest_queue = self.largest_queue.max(self.queued);
        idle
    }

    /// How long the line takes for the packet at the head of the queue.
    pub(crate) fn serialization(&self) -> Option<u64> {
        let size = u128::from(self.queue.front()?.size);
        Some((size * u128::from(SECOND)).div_ceil(u128::from(self.config.rate.max(1))) as u64)
    }

    /// Takes out the packet that the line has sent.
    pub(crate) fn dequeue(&mut self) -> Option<Packet> {
        let packet = self.queue.pop_front()?;
        self.queued -= u64::from(packet.size);
        Some(packet)
    }

    /// Decides what becomes of a packet on the line.
    pub(crate) fn fate(&mut self, random: &mut Random) -> Fate {
        let lost = match self.config.loss {
            Loss::None => false,
            Loss::Random(ppm) => random.chance(ppm),
            Loss::Burst { enter, leave, loss } => {
                let flips = random.chance(if self.is_bad { leave } else { enter });
                self.is_bad ^= flips;
                self.is_bad && random.chance(loss)
            }
        };
        if lost {
            return Fate::Lost;
        }
        let late = random.chance(self.config.reorder);
        Fate::Arrives {
            after: self.config.rtt / 2 + if late { self.config.reorder_ns } else { 0 },
            twice: random.chance(self.config.duplicate),
        }
    }

    /// When an acknowledgement that is sent at `now` comes; `None` if it is lost.
    pub(crate) fn ack_arrives(&self, now: u64, random: &mut Random) -> Option<u64> {
        if random.chance(self.config.ack_loss) {
            return None;
        }
        let at = now + self.config.rtt - self.config.rtt / 2;
        match self.config.lump_ns {
            0 => Some(at),
            lump => Some(at.div_ceil(lump) * lump),
        }
    }
}
