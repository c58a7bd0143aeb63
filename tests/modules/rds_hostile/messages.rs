// SPDX-License-Identifier: GPL-2.0

//! Cases of several frames: fragments of messages, congestion maps, pings.

use crate::{
    run::{
        frames,
        Case, //
    },
    wire::{
        Ack,
        Frame,
        Seq,
        Sum,
        ACK,
        ACK_REQUIRED,
        CONG_BITMAP,
        MAP,
        MSG,
        PING,
        RETRANSMITTED, //
    },
    SINK, //
};

/// A message of two fragments, to a socket.
const FIRST: Frame = MSG.body(5000, 4096).to(SINK);
const SECOND: Frame = FIRST.body(5000, 904).seq(Seq::Same);
/// The first fragment of the longest message.
const LONGEST: Frame = MSG.body(1 << 20, 4096).to(SINK);

pub(crate) const CASES: &[Case] = frames! {
    // Fragments.
    "two fragments", Up: [FIRST, SECOND];
    "two fragments, to nobody", Up: [FIRST.to(4999), SECOND.to(4999)];
    "two fragments, sent again", Up:
        [FIRST, SECOND, FIRST.seq(Seq::Same).flags(RETRANSMITTED), SECOND.flags(RETRANSMITTED)];
    "the first too short", Down: [FIRST.body(5000, 4095), SECOND];
    "the first without data", Down: [FIRST.body(5000, 0), SECOND];
    "the second too short", Down: [FIRST, SECOND.body(5000, 903)];
    "the second without data", Down: [FIRST, SECOND.body(5000, 0)];
    "the second too long", Up: [FIRST, SECOND.body(5000, 905)];
    "the second much too long", Up: [FIRST, SECOND.body(5000, 4096)];
    "the second missing", Down: [FIRST, MSG];
    "the second missing, before a ping", Down: [FIRST, PING];
    "the second missing, before another message", Down: [FIRST, FIRST];
    "the second twice", Down: [FIRST, SECOND, SECOND.body(5000, 4096), MSG];
    "the second without a first, which is a message too short", Down: [FIRST.body(5000, 904)];
    "the second of another number", Down: [FIRST, SECOND.seq(Seq::Ahead(1))];
    "the second of number 0", Down: [FIRST, SECOND.seq(Seq::Is(0))];
    "the second of another length", Down: [FIRST, SECOND.body(5001, 905)];
    "the second of another length, the longest", Down: [FIRST, SECOND.body(1 << 20, 4096)];
    "the second of length 2^32-1", Down: [FIRST, SECOND.body(u32::MAX, 4096)];
    "the second of another source", Down: [FIRST, SECOND.ports(4002, SINK)];
    "the second of another destination", Down: [FIRST, SECOND.to(4999)];
    "the second to port 0", Down: [FIRST, SECOND.to(0)];
    "the second with other flags", Up: [FIRST, SECOND.flags(0xfa)];
    "the second marked as sent again", Up: [FIRST, SECOND.flags(RETRANSMITTED)];
    "the second marked as a map", Up: [FIRST, SECOND.flags(CONG_BITMAP)];
    "the second with another acknowledgement", Up: [FIRST, SECOND.ack(Ack::Last)];
    "the second with an acknowledgement of the future", Down: [FIRST, SECOND.ack(Ack::Ahead(1))];
    "the second with another credit", Up: [FIRST, SECOND.credit(255)];
    "the second without a checksum", Up: [FIRST, SECOND.sum(Sum::Is(0))];
    "the second with a wrong checksum", Down: [FIRST, SECOND.sum(Sum::Xor(4))];
    "the second with other extensions", Up: [FIRST, SECOND.ext([3, 1, 2, 3, 4, 5, 6, 7, 8])];
    "the second too short to be a frame", Down: [FIRST, SECOND.cut(40)];
    "the second too long for a buffer", Down: [FIRST, SECOND.body(5000, 4097)];
    "an acknowledgement between", Up: [FIRST, ACK, SECOND];
    "four acknowledgements between", Up:
        [FIRST, ACK, ACK.ack(Ack::Last), ACK.credit(3), ACK.body(77, 0), SECOND];
    "an acknowledgement of the future between", Down: [FIRST, ACK.ack(Ack::Ahead(9)), SECOND];
    "half a map between", Down: [FIRST, MAP, SECOND];
    "a ping between", Down: [FIRST, PING, SECOND];
    "an answer between", Down: [FIRST, MSG.ports(0, 4001), SECOND];
    "a message between", Down: [FIRST, MSG, SECOND];
    "a message of the same number between", Down: [FIRST, MSG.seq(Seq::Same), SECOND];
    "the longest, its first fragment only", Down: [LONGEST, MSG];
    "the longest, its first fragment twice", Down:
        [LONGEST, LONGEST.seq(Seq::Same), LONGEST];
    "a message sent again, its first fragment only", Down:
        [MSG.seq(Seq::Is(u64::MAX)), LONGEST.seq(Seq::Is(7)).flags(RETRANSMITTED), MSG];

    // Congestion maps.
    "map: no port", Up: [MAP, MAP];
    "map: all ports", Mute: [MAP.fill(0xff), MAP.fill(0xff)];
    "map: no port any more", Up: [MAP, MAP];
    "map: every other port, and no port", Up: [MAP.fill(0xaa), MAP.fill(0xaa), MAP, MAP];
    "map: half", Down: [MAP, MSG];
    "map: half, and a ping", Down: [MAP.fill(0xff), PING];
    "map: three halves", Down: [MAP, MAP, MAP, MSG];
    "map: with a number", Up: [MAP.seq(Seq::Next), MAP.seq(Seq::Same)];
    "map: with ports", Up: [MAP.ports(4001, SINK), MAP.ports(4001, SINK)];
    "map: halves of different ports", Down: [MAP, MAP.ports(1, 1)];
    "map: second half too short", Down: [MAP, MAP.body(8192, 4095)];
    "map: first half too short", Down: [MAP.body(8192, 4095)];
    "map: without data", Down: [MAP.body(8192, 0).ports(0, 1)];
    "map: of no length", Up: [MAP.body(0, 1)];
    "map: of one byte", Up: [MAP.body(1, 1)];
    "map: of 4096 bytes", Up: [MAP.body(4096, 4096)];
    "map: of 8191 bytes", Up: [MAP.body(8191, 4096), MAP.body(8191, 4095)];
    "map: of 8193 bytes", Down: [MAP.body(8193, 4096)];
    "map: of 2^32-1 bytes", Down: [MAP.body(u32::MAX, 4096)];
    "map: with another flag", Up: [MAP.flags(0x03), MAP.flags(0x03)];
    "map: with an unknown flag", Up: [MAP.flags(0x81), MAP.flags(0x81)];
    "map: marked as sent again", Up: [MAP.flags(0x05), MAP.flags(0x05)];
    "map: flag gone in the second half", Up: [MAP, MAP.flags(0)];
    "map: without its flag", Up: [MAP.flags(0), MAP.flags(0)];
    "map: acknowledging the future", Down: [MAP.ack(Ack::Ahead(1))];
    "map: an acknowledgement between", Up: [MAP, ACK, MAP];
    "map: a message between", Down: [MAP, MSG, MAP];
    "map: all ports, six times", Mute: [
        MAP.fill(0xff), MAP.fill(0xff), MAP.fill(0xff), MAP.fill(0xff), MAP.fill(0xff),
        MAP.fill(0xff), MAP.fill(0xff), MAP.fill(0xff), MAP.fill(0xff), MAP.fill(0xff),
        MAP.fill(0xff), MAP.fill(0xff),
    ];
    "map: no port again", Up: [MAP, MAP];

    // Pings.
    "ping", Up: [PING];
    "ping from port 0", Up: [PING.ports(0, 0).body(3, 3)];
    "ping from port 1", Up: [PING.ports(1, 0)];
    "ping from port 65535", Up: [PING.ports(65535, 0)];
    "ping of a byte", Up: [PING.body(1, 1)];
    "ping of 4096 bytes", Up: [PING.body(4096, 4096)];
    "ping of two fragments", Up: [PING.body(5000, 4096), PING.seq(Seq::Same).body(5000, 904)];
    "ping of the longest length, its first fragment only", Down:
        [PING.body(1 << 20, 4096), MSG];
    "ping that is too long", Down: [PING.body((1 << 20) + 1, 4096)];
    "ping sent again", Up: [PING, PING.seq(Seq::Same).flags(RETRANSMITTED)];
    "ping marked as a map", Up: [PING.flags(CONG_BITMAP)];
    "ping with all flags", Up: [PING.flags(0xfe)];
    "ping that need not be acknowledged", Up: [PING.flags(0)];
    "ping with extensions", Up: [PING.ext([2, 1, 2, 3, 4, 4, 0, 0, 1, 0, 1])];
    "eight pings", Up: [PING, PING, PING, PING, PING, PING, PING, PING];
    "an answer with data", Up: [MSG.ports(0, 4001).body(100, 100)];
    "all messages to be acknowledged", Up: [
        MSG.flags(ACK_REQUIRED), MSG.flags(ACK_REQUIRED), MSG.flags(ACK_REQUIRED),
        MSG.flags(ACK_REQUIRED), MSG.flags(ACK_REQUIRED), MSG.flags(ACK_REQUIRED),
    ];
};
