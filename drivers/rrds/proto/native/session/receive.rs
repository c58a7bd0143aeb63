// SPDX-License-Identifier: GPL-2.0

//! Taking packets in.

use super::{Peer, Session, Types, Way};
use crate::native::arrivals::{Arrival, Arrivals, Mark, Packet};
use crate::native::inbox::{Refusal, Upper as _};
use crate::native::is_newer;
use crate::native::outbox::MIN_QUOTA;
use crate::native::wire::{
    Ack, Frame, FrameType, Frames, Hello, LaneKind, PacketFlags, PacketHeader, Reason, Reset,
};
use crate::time::Instant;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Its frames had their effect.
    Taken,
    /// It came before.
    Duplicate,
    /// It is for no session of ours, or for none any more.
    Stray,
    /// Some of it could not be taken: there was no memory, or it does not show who sent it. It will come
    /// again.
    Refused,
    /// The session has ended, see [`Session::ended`].
    Ended,
}

/// How a packet's frames went.
#[derive(Clone, Copy, Default)]
struct Frames_ {
    /// One of them wants an acknowledgement.
    wanted: bool,
    /// One of them wants it at once.
    at_once: bool,
    /// There was no memory for one of them.
    refused: bool,
    /// One of them changes the congestion map.
    mapped: bool,
}

/// What a hello is to what is known of the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kin {
    /// No peer is known.
    Unknown,
    /// It is of the session that is known.
    Same,
    /// It is of that session, since which the peer has taken us for somebody else: it knows nothing of what
    /// was before.
    Newer,
    /// It is of that session, before the peer took us for somebody else.
    Older,
    /// It is of another session of the same life.
    Other,
    /// It is of another life.
    Life,
}

/// Whether the first frame of a packet is a hello.
#[inline]
fn begins_with_hello(frames: &[u8]) -> bool {
    frames.first() == Some(&FrameType::Hello.number())
}

impl<T: Types> Session<T> {
    /// Takes in a packet that came on a lane, marked by the network.
    #[inline]
    pub fn on_packet(
        &mut self,
        now: Instant,
        lane: u8,
        mark: Mark,
        packet: &[u8],
        upper: &mut T::Upper,
    ) -> Received {
        let at = usize::from(lane);
        if self.ended.is_some() {
            return Received::Ended;
        }
        let Some(mut way) = self.lanes.get_mut(at).and_then(Option::take) else {
            return Received::Stray;
        };
        let received = if way.dead {
            Received::Stray
        } else {
            self.take_packet(now, lane, &mut way, (mark, packet), upper)
        };
        if let Some(slot) = self.lanes.get_mut(at) {
            *slot = Some(way);
        }
        if self.shifted {
            self.share_out(now);
        }
        received
    }

    #[inline]
    fn take_packet(
        &mut self,
        now: Instant,
        lane: u8,
        way: &mut Way<T::Medium>,
        (mark, packet): (Mark, &[u8]),
        upper: &mut T::Upper,
    ) -> Received {
        let Ok((header, frames)) = PacketHeader::parse(packet) else {
            // Whose it is cannot be told.
            return Received::Stray;
        };
        let named = header.session == self.number;
        if header.lane != lane || !(named || header.session == 0) {
            return Received::Stray;
        }
        match way.lane.kind() {
            // The peer does not know our number before our hello has come, and may repeat its own until then.
            LaneKind::Reliable if !named && way.open && !self.is_repeated(frames) => {
                return Received::Stray;
            }
            LaneKind::Datagram if !named || begins_with_hello(frames) => {
                if let Some(doubted) = self.vet(lane, way, named, frames, header.number) {
                    return doubted;
                }
            }
            _ => {}
        }
        let is_anyones = !named && way.lane.kind() == LaneKind::Datagram;
        if way.received.look(header.number) != Arrival::New {
            way.received.demand(now);
            return Received::Duplicate;
        }
        let mut went = Frames_::default();
        let mut frames = Frames::new(frames);
        loop {
            if way.open && !is_anyones {
                while let Some((message, data)) = frames.message() {
                    went.wanted = true;
                    match self
                        .inbox
                        .message(&self.settings.limits, upper, &message, data)
                    {
                        Ok(()) => {}
                        Err(Refusal::Memory) => went.refused = true,
                        Err(Refusal::Violation) => {
                            self.end(Reason::Violation);
                            return Received::Ended;
                        }
                    }
                }
            }
            let Some(frame) = frames.next() else {
                break;
            };
            let frame = match frame {
                Ok(frame) => frame,
                // Anybody may have sent it.
                Err(_) if is_anyones => return Received::Refused,
                Err(_) => {
                    self.end(Reason::Violation);
                    return Received::Ended;
                }
            };
            if is_anyones && !matches!(frame, Frame::Hello(_) | Frame::Ack(_) | Frame::Ping) {
                went.refused = true;
                continue;
            }
            went.wanted |= frame.wants_ack();
            if matches!(frame, Frame::Map(_)) && core::mem::replace(&mut went.mapped, true) {
                // One is under way at a time.
                self.end(Reason::Violation);
                return Received::Ended;
            }
            match self.take_frame(now, lane, way, frame, upper) {
                Ok(at_once) => went.at_once |= at_once,
                Err(Refusal::Memory) => went.refused = true,
                Err(Refusal::Violation) if is_anyones => went.refused = true,
                Err(Refusal::Violation) => self.end(Reason::Violation),
            }
            if self.ended.is_some() {
                return Received::Ended;
            }
        }
        // A datagram that comes before the hello may be by an earlier life of the peer, whose numbers are not
        // those of the one that says it.
        let is_unknown = !way.open && way.lane.kind() == LaneKind::Datagram;
        if went.refused || is_unknown {
            return Received::Refused;
        }
        let packet = Packet {
            number: header.number,
            wanted: went.wanted,
            at_once: went.at_once || header.flags.contains(PacketFlags::ACK_NOW),
            mark,
        };
        way.received.on_packet(now, &self.settings.ack, &packet);
        // The peer may have come to wait for quota.
        let freed = self.inbox.released().saturating_sub(self.told);
        if freed >= self.settings.limits.quota / 4 {
            way.received.demand(now);
        }
        Received::Taken
    }

    /// Looks at who has sent a packet with a hello, or without our number, on a datagram lane; says what
    /// becomes of it if it is not to be taken.
    ///
    /// Anybody can send a datagram. Who puts our number into the header has received our hello; and who
    /// knows the peer's number and incarnation is the peer. Any other hello is answered with ours, by the
    /// number that it tells, so that its sender can answer with our number.
    fn vet(
        &mut self,
        lane: u8,
        way: &mut Way<T::Medium>,
        named: bool,
        frames: &[u8],
        number: u64,
    ) -> Option<Received> {
        let hello = match Frames::new(frames).next() {
            Some(Ok(Frame::Hello(hello))) => hello,
            Some(Ok(Frame::Reset(reset))) if !named && self.knows_by(&reset) => {
                self.end(reset.reason);
                return Some(Received::Ended);
            }
            _ => return (!named).then_some(Received::Stray),
        };
        let kin = self.kin(&hello);
        match kin {
            Kin::Same => {
                if !named && way.open && way.received.look(number) == Arrival::New {
                    // The peer's end of the lane may be a new one, which has not got our hello.
                    self.answer = (lane, hello.session);
                    way.lane.on_peer_anew();
                }
                return None;
            }
            Kin::Unknown if !named => {
                if !self.is_acceptable(&hello) {
                    // It may be nobody's: who gets the answer says it with our number.
                    self.answer = (lane, hello.session);
                    return Some(Received::Refused);
                }
                return None;
            }
            Kin::Older => return Some(Received::Stray),
            Kin::Other if named => {
                // The numbers of its packets have started over, and nothing else would be looked at.
                self.refused = (lane, hello.session);
                self.end(Reason::Conflict);
                return Some(Received::Ended);
            }
            _ => {}
        }
        self.answer = (lane, hello.session);
        if !named {
            return Some(Received::Refused);
        }
        if kin != Kin::Unknown {
            self.leave_life(lane, way, kin);
        }
        None
    }

    /// Whether frames begin with a hello of the peer's session that is known.
    fn is_repeated(&self, frames: &[u8]) -> bool {
        match Frames::new(frames).next() {
            Some(Ok(Frame::Hello(hello))) => self.kin(&hello) == Kin::Same,
            _ => false,
        }
    }

    /// What a hello is to what is known of the peer.
    fn kin(&self, hello: &Hello) -> Kin {
        let Some(peer) = self.peer else {
            return Kin::Unknown;
        };
        if peer.incarnation != hello.incarnation {
            return Kin::Life;
        }
        match hello.session.wrapping_sub(peer.session) {
            0 => Kin::Same,
            ahead if ahead & super::LIFE.wrapping_sub(1) != 0 => Kin::Other,
            // CAST: the difference of counts that wrap, as a signed number.
            ahead if ahead as i32 > 0 => Kin::Newer,
            _ => Kin::Older,
        }
    }

    /// Takes in a frame; returns whether it is to be acknowledged at once.
    #[inline]
    fn take_frame(
        &mut self,
        now: Instant,
        lane: u8,
        way: &mut Way<T::Medium>,
        frame: Frame<'_>,
        upper: &mut T::Upper,
    ) -> Result<bool, Refusal> {
        let limits = &self.settings.limits;
        match frame {
            Frame::Message(message, data) if way.open => {
                self.inbox.message(limits, upper, &message, data)?;
            }
            Frame::Hello(hello) => {
                self.take_hello(lane, way, &hello)?;
                return Ok(true);
            }
            Frame::Ack(ack) if way.open => self.take_ack(now, lane, way, &ack)?,
            Frame::Part(part, data) if way.open => {
                self.inbox.part(limits, upper, &part, data)?;
            }
            Frame::Gone(gone) if way.open => {
                for entry in gone.entries() {
                    self.inbox.gone(limits, upper, &entry)?;
                }
            }
            Frame::Map(update) if way.open => {
                if let Some(clear) = self.peer_maps.accept(&update) {
                    upper.map(&update, clear);
                }
            }
            Frame::Ping => return Ok(true),
            Frame::Reset(reset) => {
                if self.is_named_by(&reset) {
                    self.end(reset.reason);
                }
            }
            Frame::Bye(bye) => {
                if way.open {
                    self.outbox.acknowledge_below(bye.base);
                }
                self.end(bye.reason);
            }
            Frame::Lanes(list) if way.open => {
                let is_news = |heard| is_newer(list.serial, heard);
                if self.addresses_heard.is_none_or(is_news) {
                    self.addresses_heard = Some(list.serial);
                    upper.addresses(&list);
                }
            }
            Frame::Skipped(_) => {}
            Frame::Message(..)
            | Frame::Part(..)
            | Frame::Gone(_)
            | Frame::Ack(_)
            | Frame::Map(_)
            | Frame::Lanes(_) => {
                // Before the hello nothing else may come, but datagrams overtake each other.
                return Err(match way.lane.kind() {
                    LaneKind::Reliable => Refusal::Violation,
                    LaneKind::Datagram => Refusal::Memory,
                });
            }
        }
        Ok(false)
    }

    /// Whether a hello is one that anybody can say.
    const fn is_possible(hello: &Hello) -> bool {
        hello.max_packet >= super::MIN_PACKET && hello.quota >= MIN_QUOTA
    }

    /// Whether a hello of a peer that nothing is known of can be followed.
    fn is_acceptable(&self, hello: &Hello) -> bool {
        Self::is_possible(hello) && hello.base <= self.outbox.next()
    }

    fn take_hello(
        &mut self,
        lane: u8,
        way: &mut Way<T::Medium>,
        hello: &Hello,
    ) -> Result<(), Refusal> {
        if hello.peer.is_some_and(|us| us.get() != self.number) {
            // It takes us for who we were, and says another hello when ours has come.
            return Ok(());
        }
        if !Self::is_possible(hello) {
            self.refused = (lane, hello.session);
            return Err(Refusal::Violation);
        }
        let told = Peer {
            session: hello.session,
            incarnation: hello.incarnation,
            features: hello.features & super::FEATURES,
            max_packet: hello.max_packet,
        };
        let kin = self.kin(hello);
        if kin == Kin::Older || (kin == Kin::Same && way.open) {
            // It says nothing new of who the peer is.
            if kin == Kin::Same {
                self.hear(hello.serial, hello.room);
            }
            return Ok(());
        }
        // A lane is between two lives, and one session of theirs; each side remembers what was sent,
        // and what was handed up. One that comes late says what held then, perhaps to somebody else.
        let is_late = kin == Kin::Same && !is_newer(hello.serial, self.heard);
        let differs = (kin == Kin::Same && hello.first > self.inbox.base())
            || hello.base > self.outbox.next();
        if kin == Kin::Other || way.open || (differs && !is_late) {
            self.refused = (lane, hello.session);
            self.end(Reason::Conflict);
            return Ok(());
        }
        if kin == Kin::Same {
            self.hear(hello.serial, hello.room);
        } else {
            if self.peer.is_some() {
                self.leave_life(lane, way, kin);
            }
            self.inbox.restart(hello.first);
            self.peer_maps.restart();
            self.maps_wanted = true;
            self.addresses_due = true;
            self.heard = hello.serial;
            self.addresses_heard = None;
            self.room = hello.room;
        }
        self.peer = Some(told);
        way.open = true;
        self.shifted = true;
        way.lane
            .set_ack_delay(u32::from(hello.ack_delay).saturating_mul(1000));
        self.outbox.set_window(hello.window);
        self.outbox.set_quota(hello.quota);
        self.outbox.acknowledge_below(hello.base);
        Ok(())
    }

    /// The peer is in another life, as a lane has told. Other lanes are to its last life, or wait for its
    /// hello.
    fn leave_life(&mut self, lane: u8, way: &mut Way<T::Medium>, kin: Kin) {
        for other in (0..super::MAX_LANES).filter(|n| *n != usize::from(lane)) {
            let lost = self.lanes.get_mut(other).and_then(Option::take);
            if let Some(mut lost) = lost {
                lost.dead |= lost.open;
                self.start_over(&mut lost);
                if let Some(slot) = self.lanes.get_mut(other) {
                    *slot = Some(lost);
                }
            }
        }
        if core::mem::take(&mut way.open) {
            way.received = Arrivals::default();
        }
        self.start_over(way);
        self.outbox.restart();
        // Nothing is known of what the next life sends.
        self.inbox.restart(0);
        self.told = 0;
        self.peer = None;
        if kin == Kin::Life {
            // What the last life sent does not count any more, whenever it comes.
            self.number = self.number.wrapping_add(super::LIFE);
        }
        self.shifted = true;
    }

    /// What was said on a lane holds no longer.
    fn start_over(&mut self, way: &mut Way<T::Medium>) {
        self.give_up(way);
        way.lane.on_peer_anew();
        way.hello_sent = false;
        way.greeted = false;
    }

    /// Whether a reset is about the session of a peer that is known.
    fn knows_by(&self, reset: &Reset) -> bool {
        self.peer.is_some() && self.is_named_by(reset)
    }

    /// Whether a reset is about what we call the peer's session.
    fn is_named_by(&self, reset: &Reset) -> bool {
        self.peer.map_or(0, |peer| peer.session) == reset.session
    }

    /// Takes what the peer says of its room, unless it said something newer before.
    #[inline]
    fn hear(&mut self, serial: u32, room: u16) {
        if is_newer(serial, self.heard) {
            self.heard = serial;
            self.room = room;
        }
    }

    #[inline]
    fn take_ack(
        &mut self,
        now: Instant,
        lane: u8,
        way: &mut Way<T::Medium>,
        ack: &Ack,
    ) -> Result<(), Refusal> {
        let at = usize::from(ack.lane);
        if ack.lane == lane {
            self.settle_ack(now, way, ack)?;
        } else if let Some(mut other) = self.lanes.get_mut(at).and_then(Option::take) {
            let settled = self.settle_ack(now, &mut other, ack);
            if let Some(slot) = self.lanes.get_mut(at) {
                *slot = Some(other);
            }
            settled?;
        } else if ack.largest >= self.next {
            return Err(Refusal::Violation);
        }
        self.hear(ack.serial, ack.room);
        self.outbox.set_quota(ack.quota);
        Ok(())
    }

    /// Takes in what has become of packets of a lane.
    #[inline]
    fn settle_ack(
        &mut self,
        now: Instant,
        way: &mut Way<T::Medium>,
        ack: &Ack,
    ) -> Result<(), Refusal> {
        let was_silent = way.lane.detector().timeouts() != 0;
        let told = way.lane.on_ack(self.outbox.records(), now, ack);
        let Ok(told) = told else {
            return Err(Refusal::Violation);
        };
        if was_silent && way.lane.detector().timeouts() == 0 {
            // It has come back.
            way.lane.quarantined = false;
            way.asks = false;
            self.shifted = true;
        }
        self.settle(way, told);
        Ok(())
    }
}
