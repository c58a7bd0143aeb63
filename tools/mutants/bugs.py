# SPDX-License-Identifier: GPL-2.0
"""The mutants: each is one protocol bug that a person could have written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One bug: in the function `where`, the code `before`, which is there once, becomes `after`.

    How the function is named, and what counts as the same code, is said in anchor.py.
    """

    name: str
    bug: str
    where: str
    before: str
    after: str


MUTANTS = [
    Mutant(
        "fragment-size",
        "fragments of 4095 bytes",
        "Sender::fragment",
        "let len = min(total.saturating_sub(offset), FRAGMENT_LEN);",
        "let len = min(total.saturating_sub(offset), FRAGMENT_LEN - 1);",
    ),
    Mutant(
        "fragment-count",
        "an empty last fragment after a multiple of 4096 bytes",
        "Sender::fragment",
        "let last = end >= total;",
        "let last = end > total || len < FRAGMENT_LEN;",
    ),
    Mutant(
        "fragment-short",
        "a fragment may lack its last byte",
        "Reassembly::on_frame",
        "if data_len < len {",
        "if data_len + 1 < len {",
    ),
    Mutant(
        "fragment-identity",
        "the length of continuation fragments is not compared",
        "Reassembly::on_frame",
        "|| header.len != first.len\n",
        "",
    ),
    Mutant(
        "ack-too-high",
        "one more is acknowledged than was received",
        "AckState::complete",
        "self.value = seq;",
        "self.value = seq + 1;",
    ),
    Mutant(
        "ack-early",
        "a message is acknowledged when its first fragment has come",
        "Reassembly::on_frame",
        "_ if !done => (Received::Partial, None),",
        "_ if !done => (Received::Partial, Some(completed)),",
    ),
    Mutant(
        "ack-stale",
        "a C peer gets the acknowledgement of the last connection",
        "Path::settle",
        "        self.ack = AckState::new(if handshake.has_true_ack() {\n"
        "            self.reassembly.received()\n"
        "        } else {\n"
        "            0\n"
        "        });",
        "        self.ack = AckState::new(self.reassembly.received());",
    ),
    Mutant(
        "ack-duplicate",
        "duplicates are not acknowledged again",
        "Reassembly::on_frame",
        "(Received::Ignored(Ignored::Duplicate), Some(completed))",
        "(Received::Ignored(Ignored::Duplicate), None)",
    ),
    Mutant(
        "ack-stuck",
        "after one acknowledgement that is waited for there is none any more",
        "Sender::on_sent",
        "self.bare = self.bare.filter(|&id| !self.slots.is_complete(id));",
        "let _ = self.bare.filter(|&id| !self.slots.is_complete(id));",
    ),
    Mutant(
        "refused-gap",
        "after a message that was refused the next one is taken",
        "Reassembly::on_frame",
        "self.refuses = true;",
        "self.refuses = false;",
    ),
    Mutant(
        "refused-restart",
        "a peer that starts over is forgotten if its first message is refused",
        "Reassembly::on_frame",
        "self.expected = min(self.expected, header.seq);",
        "let _ = min(self.expected, header.seq);",
    ),
    Mutant(
        "refused-forever",
        "a connection on which a message was refused goes on for ever",
        "Refusal::poll",
        "self.due.is_some_and(|due| due <= now)",
        "self.due.is_some_and(|due| due < now) && self.stay == 0",
    ),
    Mutant(
        "refused-at-once",
        "the time after a refused message does not get longer",
        "Refusal::poll",
        ".saturating_mul(2)",
        ".saturating_mul(1)",
    ),
    Mutant(
        "ack-unchecked",
        "acknowledgements of unsent messages are believed",
        "SendQueue::on_ack",
        "if ack > self.sent_high {",
        "if ack > self.next_seq + 1000 {",
    ),
    Mutant(
        "ack-frees-next",
        "an acknowledgement frees the message after it, too",
        "SendQueue::is_front_done",
        "front.item.is_none() || front.ended.is_some() || front.seq <= self.acked\n",
        "front.item.is_none() || front.ended.is_some() || front.seq <= self.acked + 1\n",
    ),
    Mutant(
        "ack-not-bare",
        "no frame is sent for an acknowledgement alone",
        "Sender::bare_ack",
        "let due = cx.ack.is_wanted();",
        "let due = false;",
    ),
    Mutant(
        "retransmit-unflagged",
        "what is sent again is not flagged RETRANSMITTED",
        "Sender::first_flags",
        "flags = flags.with(Flags::RETRANSMITTED).with(Flags::ACK_REQUIRED);",
        "flags = flags.with(Flags::ACK_REQUIRED);",
    ),
    Mutant(
        "retransmit-no-demand",
        "what is sent again demands no acknowledgement",
        "Sender::first_flags",
        "flags = flags.with(Flags::RETRANSMITTED).with(Flags::ACK_REQUIRED);",
        "flags = flags.with(Flags::RETRANSMITTED);",
    ),
    Mutant(
        "retransmit-flags-new",
        "messages that were never sent are flagged RETRANSMITTED",
        "SendQueue::rewind",
        "self.resend_below = self.started_high.wrapping_add(1);",
        "self.resend_below = self.next_seq;",
    ),
    Mutant(
        "retransmit-forgotten",
        "after a reconnect sending goes on where it was",
        "SendQueue::rewind",
        "        self.sent = 0;\n",
        "",
    ),
    Mutant(
        "retransmit-middle",
        "the message on its way goes on in the middle",
        "Sender::reset",
        "        self.demand = AckDemand::reset(settings);\n        self.current = None;\n",
        "        self.demand = AckDemand::reset(settings);\n",
    ),
    Mutant(
        "duplicate-unflagged",
        "low numbers are dropped without the flag, too",
        "is_duplicate",
        "seq < expected && flags.contains(Flags::RETRANSMITTED)",
        "seq < expected || flags.contains(Flags::CONG_BITMAP)",
    ),
    Mutant(
        "duplicate-off-by-one",
        "the message expected next is a duplicate",
        "is_duplicate",
        "seq < expected && flags.contains(Flags::RETRANSMITTED)",
        "seq <= expected && flags.contains(Flags::RETRANSMITTED)",
    ),
    Mutant(
        "duplicate-accepted",
        "duplicates are delivered",
        "is_duplicate",
        "seq < expected && flags.contains(Flags::RETRANSMITTED)",
        "seq < expected && flags.bits() == 0xff",
    ),
    Mutant(
        "solicited-message",
        "the last fragment does not wake the receiver",
        "Sender::send",
        "solicited: shape.last,",
        "solicited: shape.last && header.seq == 0,",
    ),
    Mutant(
        "solicited-ack",
        "bare acknowledgements do not wake the receiver",
        "Sender::send",
        "solicited: shape.last,",
        "solicited: shape.last && header.len + header.seq as u32 > 0,",
    ),
    Mutant(
        "bitmap-order",
        "bits of the map are numbered from the most significant one",
        "place",
        "((port >> 3) as usize, 1 << (port & 7))",
        "((port >> 3) as usize, 0x80 >> (port & 7))",
    ),
    Mutant(
        "bitmap-mask",
        "the mask tells of ports that got congested",
        "Map::overwrite",
        "freed |= was & !is;",
        "freed |= is & !was;",
    ),
    Mutant(
        "bitmap-not-first",
        "a connection does not start with the map",
        "Path::on_established",
        "        if !self.loopback {\n            self.sender.queue_map();\n        }\n",
        "",
    ),
    Mutant(
        "bitmap-coalesced-away",
        "a change while the map is being sent is lost",
        "Sender::map",
        "        self.current = if last { None } else { Some(Current::Map(end)) };\n"
        "        if offset == 0 {",
        "        self.current = if last { None } else { Some(Current::Map(end)) };\n"
        "        if last {\n            self.map_pending = false;\n        }\n"
        "        if offset == 0 {",
    ),
    Mutant(
        "bitmap-flags",
        "a bitmap is known by its bit, not by the whole byte",
        "Reassembly::judge",
        "Ok(if header.flags == Flags::CONG_BITMAP {",
        "Ok(if header.flags.contains(Flags::CONG_BITMAP) {",
    ),
    Mutant(
        "congestion-flaps",
        "a port gets free as soon as it is below the limit",
        "RecvAccount::update",
        "let low = self.bytes < limit / 2 && self.true_size < wide / 2;",
        "let low = self.bytes < limit && self.true_size < wide;",
    ),
    Mutant(
        "monitor-deaf",
        "a freed port is not told to the socket that asked",
        "Monitor::on_update",
        "self.fired |= self.armed & mask;",
        "self.fired |= self.armed & mask & 1;",
    ),
    Mutant(
        "race-stubborn",
        "a C peer's request does not end our own attempt",
        "Machine::on_request",
        "if met == State::Dialing && request.own.is_some() && identity.local < identity.peer {",
        "if met == State::Dialing {",
    ),
    Mutant(
        "incarnation-ignored",
        "a rebooted peer of our own kind is taken for its former self",
        "Path::settle",
        "        if self.life.is_replaced_by(life) {\n"
        "            self.reassembly.forget();\n"
        "        }\n",
        "",
    ),
    Mutant(
        "incarnation-reply",
        "the reply acknowledges what another life sent",
        "Path::poll",
        "identity.reply(h, if known { received } else { 0 })",
        "identity.reply(h, received)",
    ),
    Mutant(
        "emit-advances",
        "a frame that could not be posted counts as posted",
        "Sender::send",
        "            fence: shape.fence,\n        })?;",
        "            fence: shape.fence,\n        })\n        .unwrap_or(());",
    ),
    Mutant(
        "cancel-half-sent",
        "a message on its way out is cut off",
        "SendQueue::cancel",
        "let busy = self.sending && index == self.sent;\n        let acked",
        "let busy = false;\n        let acked",
    ),
    Mutant(
        "operation-repeated",
        "an RDMA operation is executed again after a reconnect",
        "SendQueue::pick",
        "op.work_requests > ring || !op.repeatable && entry.seq < resend_below",
        "op.work_requests > ring",
    ),
    Mutant(
        "signal-never",
        "no completion is asked for at the end of a batch",
        "Slots::must_signal",
        "        !follows\n            || self.unsignaled",
        "        self.unsignaled",
    ),
    Mutant(
        "demand-cadence",
        "an acknowledgement is demanded one message late",
        "AckDemand::charge",
        "if self.packets == 0 || self.bytes < len {",
        "if self.bytes < len {",
    ),
    Mutant(
        "probe-never",
        "a dead peer that is waited for is never found out",
        "Path::poll",
        "if self.probe.poll(settings, now, up && awaited, frames) {",
        "if self.probe.poll(settings, now, up && awaited, frames) && self.identity.tos == 255 {",
    ),
    Mutant(
        "news-of-acks",
        "an acknowledgement that is demanded waits until something else is to be sent",
        "Path::has_news",
        "self.state() != State::Up || self.refusal.is_new() || self.has_work()\n",
        "self.state() != State::Up || self.refusal.is_new() || self.sender.has_work()\n",
    ),
    Mutant(
        "news-of-refusals",
        "that a message was refused is noticed when something else is to be done",
        "Path::has_news",
        "|| self.refusal.is_new() || self.has_work()\n",
        "|| self.has_work()\n",
    ),
    Mutant(
        "news-of-ends",
        "the end of a message that was cancelled is noticed when the first one is done",
        "SendQueue::is_reapable",
        "self.ended > 0 || self.is_front_done()\n",
        "self.is_front_done()\n",
    ),
    Mutant(
        "held-forgotten",
        "a request that waits for the end of a connection is not accepted",
        "Machine::on_closed",
        "match self.held.take() {",
        "match self.held.take().filter(|_| false) {",
    ),
    Mutant(
        "no-retry",
        "a lost connection is not tried again",
        "Machine::on_closed",
        "(self.timer, self.rest) = if self.wanted || pending {",
        "(self.timer, self.rest) = if !(self.wanted || pending) {",
    ),
    Mutant(
        "native-order",
        "a message is handed up although its predecessor is not",
        "Inbox::predecessor",
        "Ok((pred >= self.base && !self.is_done(pred)).then_some(pred))",
        "Ok((pred > self.base && !self.is_done(pred)).then_some(pred))",
    ),
    Mutant(
        "native-predecessor",
        "a message names no predecessor that is the oldest one under way",
        "Outbox::take_new",
        "entry.pred = if last > first { last } else { 0 };",
        "entry.pred = if last > first + 1 { last } else { 0 };",
    ),
    Mutant(
        "native-quota",
        "a message may be charged more than the quota",
        "Inbox::admit",
        "charged > self.quota(limits)",
        "self.charged > self.quota(limits)",
    ),
    Mutant(
        "native-window",
        "a number just beyond the window is taken",
        "Inbox::expand",
        "if ahead < u32::from(limits.window) =>",
        "if ahead <= u32::from(limits.window) =>",
    ),
    Mutant(
        "native-ack-hole",
        "the packet in the hole is acknowledged with those below it",
        "wire::ack::Ack::covers",
        "match below.wrapping_sub(run).checked_sub(2) {",
        "match below.wrapping_sub(run).checked_sub(1) {",
    ),
    Mutant(
        "native-refused",
        "a packet is acknowledged although there was no memory for it",
        "Session::take_packet",
        "if went.refused {",
        "if went.refused && !went.wanted {",
    ),
    Mutant(
        "native-piece-lost",
        "the rest of a lost piece starts where the piece did",
        "Outbox::take_piece",
        "rest.offset = rest.offset.saturating_add(len);",
        "",
    ),
    Mutant(
        "native-numbers",
        "a lane that comes again counts its packets from 0",
        "Session::lane_up",
        "*slot = Some(Way {",
        "self.next[at] = 0;\n                *slot = Some(Way {",
    ),
    Mutant(
        "early-loss",
        "a packet that is two numbers behind is lost",
        "Detector::is_lost",
        "if behind >= u64::from(self.packet_threshold) || late <= now {",
        "if behind + 1 >= u64::from(self.packet_threshold) || late <= now {",
    ),
    Mutant(
        "lost-for-ever",
        "a packet that arrives after it was deemed lost is not noticed",
        "Flow::lose",
        "packet.fate = Fate::Lost;",
        "packet.fate = Fate::Settled;",
    ),
    Mutant(
        "eager-probes",
        "the time until the next probe does not double",
        "Detector::next_timeout",
        "let pto = self.pto_ns().saturating_mul(1 << doublings);",
        "let pto = self.pto_ns().saturating_mul(1 << (doublings & 0));",
    ),
    Mutant(
        "rate-of-lumps",
        "a lump of acknowledgements makes the path look faster",
        "Delivery::finish",
        "let interval = sending.max(acknowledging);",
        "let interval = sending.min(acknowledging);",
    ),
    Mutant(
        "old-marks",
        "an acknowledgement that was overtaken counts its congestion marks again",
        "Flow::take_marks",
        "if new == 0 || new > u32::MAX >> 1 {",
        "if new == 0 {",
    ),
    Mutant(
        "no-gap-filled",
        "a packet that fills a gap is not acknowledged",
        "Received::on_packet",
        "self.bitmap.insert(below);",
        "",
    ),
    Mutant(
        "no-pacing",
        "packets leave as fast as the window lets them",
        "Pacer::wait",
        "if self.next <= now {",
        "if self.next <= now || quantum > 0 {",
    ),
    Mutant(
        "halved-cubic",
        "CUBIC halves its window",
        "Cubic::congested",
        "self.window.shrink(BETA.of_bytes(cwnd));",
        "self.window.shrink(cwnd >> 1);",
    ),
]
