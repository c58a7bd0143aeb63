// SPDX-License-Identifier: GPL-2.0

//! Cases of single frames: every field of the header, the extensions, the length, and what carries them.

use crate::{
    run::{
        frames,
        Case, //
    },
    wire::{
        Ack,
        Carrier,
        Seq,
        Sum,
        ACK,
        ACK_REQUIRED,
        CONG_BITMAP,
        MSG,
        PING,
        RETRANSMITTED, //
    },
    SINK, //
};

/// An address and a key that nobody has given us.
const ADDR: u64 = 0xffff_8880_0000_0000;
const KEY: u32 = 0x1234;

pub(crate) const CASES: &[Case] = frames! {
    // The checksum.
    "checksum: right", Up: [MSG];
    "checksum: none", Up: [MSG.sum(Sum::Is(0))];
    "checksum: all bits", Down: [MSG.sum(Sum::Is(0xffff))];
    "checksum: off by a bit, low", Down: [MSG.sum(Sum::Xor(1))];
    "checksum: off by a bit, high", Down: [MSG.sum(Sum::Xor(0x8000))];
    "checksum: complement", Down: [MSG.sum(Sum::Xor(0xffff))];
    "checksum: one", Down: [MSG.sum(Sum::Is(1))];
    "checksum: none on a ping", Up: [PING.sum(Sum::Is(0))];
    "checksum: wrong on a bare acknowledgement", Down: [ACK.sum(Sum::Xor(2))];
    "changed: first byte of the number", Down: [MSG.sum(Sum::Flip(0))];
    "changed: last byte of the number", Down: [MSG.sum(Sum::Flip(7))];
    "changed: first byte of the acknowledgement", Down: [MSG.sum(Sum::Flip(8))];
    "changed: last byte of the acknowledgement", Down: [MSG.sum(Sum::Flip(15))];
    "changed: first byte of the length", Down: [MSG.sum(Sum::Flip(16))];
    "changed: last byte of the length", Down: [MSG.sum(Sum::Flip(19))];
    "changed: source port", Down: [MSG.sum(Sum::Flip(20))];
    "changed: destination port", Down: [MSG.sum(Sum::Flip(23))];
    "changed: flags", Down: [MSG.sum(Sum::Flip(24))];
    "changed: credit", Down: [MSG.sum(Sum::Flip(25))];
    "changed: first byte of the padding", Down: [MSG.sum(Sum::Flip(26))];
    "changed: last byte of the padding", Down: [MSG.sum(Sum::Flip(29))];
    "changed: checksum", Down: [MSG.sum(Sum::Flip(31))];
    "changed: first byte of the extensions", Down: [MSG.sum(Sum::Flip(32))];
    "changed: last byte of the extensions", Down: [MSG.sum(Sum::Flip(47))];

    // The number of the message.
    "number: 0", Up: [MSG.seq(Seq::Is(0))];
    "number: 1", Up: [MSG.seq(Seq::Is(1))];
    "number: 2^63", Up: [MSG.seq(Seq::Is(1 << 63))];
    "number: 2^64-2", Up: [MSG.seq(Seq::Is(u64::MAX - 1))];
    "number: 2^64-1", Up: [MSG.seq(Seq::Is(u64::MAX))];
    "number: 2^64-1 and then 0", Up: [MSG.seq(Seq::Is(u64::MAX)), MSG.seq(Seq::Is(0))];
    "number: the same twice", Up: [MSG, MSG.seq(Seq::Same)];
    "number: far ahead", Up: [MSG.seq(Seq::Ahead(1 << 40))];
    "number: far back", Up: [MSG.seq(Seq::Back(900))];
    "number: backwards", Up: [MSG, MSG.seq(Seq::Back(1)), MSG.seq(Seq::Back(2))];
    "number: sent again", Up: [MSG, MSG.seq(Seq::Same).flags(RETRANSMITTED)];
    "number: sent again, to be acknowledged", Up:
        [MSG, MSG.seq(Seq::Same).flags(RETRANSMITTED | ACK_REQUIRED)];
    "number: old, sent again", Up: [MSG, MSG.seq(Seq::Is(1)).flags(RETRANSMITTED)];
    "number: 0, sent again", Up: [MSG.seq(Seq::Is(0)).flags(RETRANSMITTED)];
    "number: 2^64-1, sent again", Up: [MSG.seq(Seq::Is(u64::MAX)).flags(RETRANSMITTED), MSG];

    // What is acknowledged.
    "acknowledged: nothing", Up: [ACK];
    "acknowledged: what came last", Up: [ACK.ack(Ack::Last)];
    "acknowledged: what came last, again", Up: [ACK.ack(Ack::Last), ACK.ack(Ack::Last)];
    "acknowledged: what came before", Up: [ACK.ack(Ack::Last), ACK.ack(Ack::Back(1))];
    "acknowledged: 1", Up: [ACK.ack(Ack::Is(1))];
    "acknowledged: one that was not sent", Down: [ACK.ack(Ack::Ahead(1))];
    "acknowledged: one far ahead", Down: [ACK.ack(Ack::Ahead(1 << 32))];
    "acknowledged: 2^63", Down: [ACK.ack(Ack::Is(1 << 63))];
    "acknowledged: 2^64-1", Down: [ACK.ack(Ack::Is(u64::MAX))];
    "acknowledged: one that was not sent, by a message", Down: [MSG.ack(Ack::Ahead(1))];
    "acknowledged: one that was not sent, by a ping", Down: [PING.ack(Ack::Ahead(5))];
    "acknowledged: with a number", Up: [ACK.seq(Seq::Next).ack(Ack::Last)];
    "acknowledged: to be acknowledged", Up: [ACK.flags(ACK_REQUIRED)];

    // Lengths, of one fragment.
    "length: 1 of 1", Up: [MSG.body(1, 1)];
    "length: 1 of 1, to a socket", Up: [MSG.body(1, 1).to(SINK)];
    "length: 0, to a socket", Up: [MSG.to(SINK)];
    "length: 4096 of 4096, to a socket", Up: [MSG.body(4096, 4096).to(SINK)];
    "length: 4095 of 4095, to a socket", Up: [MSG.body(4095, 4095).to(SINK)];
    "length: 1024 of 1024, to a socket", Up: [MSG.body(1024, 1024).to(SINK)];
    "length: 1025 of 1025, to a socket", Up: [MSG.body(1025, 1025).to(SINK)];
    "length: 0 of 1", Up: [MSG.body(0, 1)];
    "length: 0 of 4096, to a socket", Up: [MSG.body(0, 4096).to(SINK)];
    "length: 1 of 2, to a socket", Up: [MSG.body(1, 2).to(SINK)];
    "length: 1 of 4096, to a socket", Up: [MSG.body(1, 4096).to(SINK)];
    "length: 4095 of 4096, to a socket", Up: [MSG.body(4095, 4096).to(SINK)];
    "length: 1 of nothing", Down: [MSG.body(1, 0)];
    "length: 1 of nothing, to a socket", Down: [MSG.body(1, 0).to(SINK)];
    "length: 2 of 1, to a socket", Down: [MSG.body(2, 1).to(SINK)];
    "length: 4096 of 4095, to a socket", Down: [MSG.body(4096, 4095).to(SINK)];
    "length: 1 MiB of nothing", Down: [MSG.body(1 << 20, 0)];
    "length: 1 MiB and 1", Down: [MSG.body((1 << 20) + 1, 4096)];
    "length: 1 MiB and 1, to a socket", Down: [MSG.body((1 << 20) + 1, 4096).to(SINK)];
    "length: 2^31-1", Down: [MSG.body(i32::MAX as u32, 4096)];
    "length: 2^31", Down: [MSG.body(1 << 31, 4096)];
    "length: 2^32-1", Down: [MSG.body(u32::MAX, 4096)];
    "length: 2^32-1 of nothing", Down: [MSG.body(u32::MAX, 0)];
    "length: 2^32-1, to a socket", Down: [MSG.body(u32::MAX, 4096).to(SINK)];
    "length: of a bare acknowledgement, 2^32-1", Up: [ACK.body(u32::MAX, 0)];
    "length: too long and sent again", Down: [MSG.body(u32::MAX, 4096).flags(RETRANSMITTED)];

    // How much of it is there.
    "frame of no bytes", Down: [MSG.cut(0)];
    "frame of 1 byte", Down: [MSG.cut(1)];
    "frame of 8 bytes", Down: [MSG.cut(8)];
    "frame of 24 bytes", Down: [MSG.cut(24)];
    "frame of 32 bytes", Down: [MSG.cut(32)];
    "frame of 47 bytes", Down: [MSG.cut(47)];
    "frame of 47 bytes, an acknowledgement", Down: [ACK.cut(47)];
    "frame of 48 bytes", Up: [MSG.cut(48)];
    "frame of 49 bytes", Up: [MSG.body(0, 1)];
    "frame of 4143 bytes", Up: [MSG.body(0, 4095)];
    "frame of 4144 bytes", Up: [MSG.body(0, 4096)];
    "frame of 4145 bytes", Down: [MSG.body(0, 4097)];
    "frame of 4145 bytes, to a socket", Down: [MSG.body(4096, 4097).to(SINK)];
    "frame of 8192 bytes", Down: [MSG.body(0, 8192 - 48)];
    "frame of 8240 bytes, a whole map", Down: [ACK.flags(CONG_BITMAP).body(8192, 8192)];
    "frame of 64 KiB", Down: [MSG.body(0, 65536 - 48)];

    // Ports.
    "ports: from 0", Up: [MSG.ports(0, 4999)];
    "ports: from 1", Up: [MSG.ports(1, 4999)];
    "ports: from 65535 to 65535", Up: [MSG.ports(65535, 65535)];
    "ports: the same", Up: [MSG.ports(4999, 4999)];
    "ports: to 1", Up: [MSG.ports(4001, 1)];
    "ports: 0 and 0 with data", Up: [MSG.ports(0, 0).body(1, 1)];
    "ports: 0 and 0 with data that do not count", Up: [MSG.ports(0, 0).body(0, 1)];
    "ports: 0 and 0 with 4096 bytes", Up: [MSG.ports(0, 0).body(4096, 4096)];
    "ports: 0 to 0 with too little data", Down: [MSG.ports(0, 0).body(2, 1)];
    "ports: from 0 to a socket", Up: [MSG.ports(0, SINK).body(9, 9)];
    "ports: an answer that was not asked for", Up: [MSG.ports(0, SINK)];
    "ports: an answer for nobody", Up: [MSG.ports(0, 65000)];

    // Flags.
    "flags: 0x01", Up: [MSG.flags(0x01)];
    "flags: 0x02", Up: [MSG.flags(0x02)];
    "flags: 0x04", Up: [MSG.flags(0x04)];
    "flags: 0x08", Up: [MSG.flags(0x08)];
    "flags: 0x10", Up: [MSG.flags(0x10)];
    "flags: 0x20", Up: [MSG.flags(0x20)];
    "flags: 0x40", Up: [MSG.flags(0x40)];
    "flags: 0x80", Up: [MSG.flags(0x80)];
    "flags: 0x03", Up: [MSG.flags(0x03)];
    "flags: 0x05", Up: [MSG.flags(0x05)];
    "flags: 0x06", Up: [MSG.flags(0x06)];
    "flags: 0xfe", Up: [MSG.flags(0xfe)];
    "flags: 0xff", Up: [MSG.flags(0xff)];
    "flags: 0xff, to a socket", Up: [MSG.flags(0xff).body(100, 100).to(SINK)];
    "flags: 0x20 without the extension, to a socket", Up: [MSG.flags(0x20).body(100, 100).to(SINK)];

    // Credits and padding, which nobody has asked for.
    "credit: 1", Up: [MSG.credit(1)];
    "credit: 255", Up: [ACK.credit(255)];
    "credit: 255, often", Up: [ACK.credit(255), ACK.credit(255), ACK.credit(255), ACK.credit(255)];
    "padding: all bits", Up: [MSG.padding(u32::MAX)];
    "padding: one bit", Up: [ACK.padding(1)];

    // Extension headers.
    "extension: version", Up: [MSG.to(SINK).ext([1, 0, 0, 0, 3])];
    "extension: use of a key", Up: [MSG.to(SINK).flags(0x20).ext([2, 1, 2, 3, 4])];
    "extension: use of key 0", Up: [MSG.to(SINK).ext([2, 0, 0, 0, 0])];
    "extension: use of key 2^32-1", Up: [MSG.to(SINK).ext([2, 255, 255, 255, 255])];
    "extension: cookie", Up: [MSG.to(SINK).ext([3, 1, 2, 3, 4, 5, 6, 7, 8])];
    "extension: two cookies, the second cut off", Up:
        [MSG.to(SINK).ext([3, 1, 2, 3, 4, 5, 6, 7, 8, 3, 1, 2, 3, 4, 5, 6])];
    "extension: bytes written", Up: [MSG.to(SINK).ext([4, 0, 0, 1, 0, 1])];
    "extension: bytes read", Up: [MSG.to(SINK).ext([4, 255, 255, 255, 255, 2])];
    "extension: bytes moved no way", Up: [MSG.to(SINK).ext([4, 0, 0, 0, 1, 255])];
    "extension: key and bytes, as they are used", Up:
        [MSG.to(SINK).flags(0x20).ext([2, 0x12, 0x34, 0xab, 0xcd, 4, 0, 1, 0, 0, 1])];
    "extension: paths, none", Up: [MSG.to(SINK).ext([5, 0, 0])];
    "extension: paths, 65535", Up: [MSG.to(SINK).ext([5, 255, 255])];
    "extension: generation 0", Up: [MSG.to(SINK).ext([6, 0, 0, 0, 0])];
    "extension: generation", Up: [MSG.to(SINK).ext([6, 9, 8, 7, 6])];
    "extension: 7", Up: [MSG.to(SINK).ext([7])];
    "extension: index of a port", Up: [MSG.to(SINK).ext([8, 255])];
    "extension: 9 to 15", Up: [MSG.to(SINK).ext([9, 10, 11, 12, 13, 14, 15])];
    "extension: 7, sixteen times", Up: [MSG.to(SINK).ext([7; 16])];
    "extension: 8, sixteen times", Up: [MSG.to(SINK).ext([8; 16])];
    "extension: 16", Up: [MSG.to(SINK).ext([16, 1, 2, 3])];
    "extension: 255", Up: [MSG.to(SINK).ext([255; 16])];
    "extension: cut off in its first byte", Up:
        [MSG.to(SINK).ext([7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 3])];
    "extension: version cut off", Up:
        [MSG.to(SINK).ext([7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 1, 0, 0, 0])];
    "extension: after the end", Up: [MSG.to(SINK).ext([0, 3, 1, 2, 3, 4, 5, 6, 7, 8])];
    "extension: multipath probe", Up:
        [PING.ports(1, 0).ext([5, 0, 8, 6, 1, 2, 3, 4, 8, 0])];
    "extension: answer to a multipath probe", Up:
        [MSG.ports(0, 1).ext([5, 0, 8, 6, 1, 2, 3, 4, 8, 0])];
    "extension: key and cookie, to the last byte", Up:
        [MSG.to(SINK).ext([2, 1, 2, 3, 4, 3, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1])];
    "extension: bytes before their key, as 7.3.4 does not send them", Up:
        [MSG.to(SINK).flags(0x20).ext([4, 0, 0, 16, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4])];
    "extension: bytes without their key, blank", Up:
        [MSG.to(SINK).flags(0x20).ext([4, 0, 0, 0, 0, 0, 0, 0, 0])];
    "extension: three keys", Up:
        [MSG.to(SINK).ext([2, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3])];
    "extension: all that are short, in a row", Up:
        [MSG.to(SINK).ext([1, 0, 0, 0, 3, 5, 0, 8, 8, 1, 6, 0, 0, 0, 9])];
    "extension: a cookie after one that ends the list", Up:
        [MSG.to(SINK).ext([16, 3, 1, 2, 3, 4, 5, 6, 7, 8])];
    "extension: on each of two fragments, another", Up: [
        MSG.body(5000, 4096).to(SINK).ext([3, 1, 2, 3, 4, 5, 6, 7, 8]),
        MSG.body(5000, 904).to(SINK).seq(Seq::Same).ext([255; 16]),
    ];
    "extension: on a bare acknowledgement", Up: [ACK.ext([3, 1, 2, 3, 4, 5, 6, 7, 8])];

    // What carries it.
    "carried with immediate data", Up: [MSG.by(Carrier::Immediate(0xffff_ffff))];
    "carried with immediate data, to a socket", Up:
        [MSG.body(4096, 4096).to(SINK).by(Carrier::Immediate(0))];
    "carried with the order to revoke key 0", Down: [MSG.by(Carrier::Invalidate(0))];
    "carried with the order to revoke a key", Down: [MSG.by(Carrier::Invalidate(KEY))];
    "carried with the order to revoke key 2^32-1", Down: [MSG.by(Carrier::Invalidate(u32::MAX))];
    "write of nothing", Up: [MSG.by(Carrier::EmptyWrite(0, 0))];
    "write of nothing, somewhere", Up: [MSG.by(Carrier::EmptyWrite(ADDR, KEY))];
    "write of nothing with immediate data", Down: [MSG.by(Carrier::EmptyWriteImmediate(0, 0))];
    "write of nothing with immediate data after a message", Down:
        [MSG.body(100, 100).to(SINK), MSG.by(Carrier::EmptyWriteImmediate(ADDR, KEY))];
    "write by key 0", Down: [MSG.by(Carrier::Write(0, 0))];
    "write by a key", Down: [MSG.by(Carrier::Write(ADDR, KEY))];
    "write by key 2^32-1", Down: [MSG.by(Carrier::Write(u64::MAX, u32::MAX))];
    "write by key 1", Down: [MSG.by(Carrier::Write(ADDR, 1))];
    "write by key 0x100", Down: [MSG.by(Carrier::Write(ADDR, 0x100))];
    "write with immediate data", Down: [MSG.by(Carrier::WriteImmediate(ADDR, KEY))];
    "read by key 0", Down: [MSG.by(Carrier::Read(0, 0))];
    "read by a key", Down: [MSG.by(Carrier::Read(ADDR, KEY))];
    "read by key 0x100", Down: [MSG.by(Carrier::Read(ADDR, 0x100))];
    "read of nothing", Up: [MSG.by(Carrier::EmptyRead(0, 0))];
    "addition by a key", Down: [MSG.by(Carrier::FetchAdd(ADDR, KEY))];
    "addition by key 0x100", Down: [MSG.by(Carrier::FetchAdd(ADDR, 0x100))];
    "exchange by a key", Down: [MSG.by(Carrier::CompareSwap(ADDR, KEY))];
};
