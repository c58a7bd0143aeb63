// SPDX-License-Identifier: GPL-2.0

//! Cases of requests for a connection: their private data and parameters.

use crate::{
    link::{
        Manners,
        MANNERS, //
    },
    run::{
        Act,
        Case,
        Welcome, //
    },
    wire::{
        Private,
        Who,
        HONEST, //
    },
};

/// Cases of requests: `"name", by IPv6, welcome, private data, manners;`.
macro_rules! requests {
    ($($name:literal, $v6:literal, $welcome:expr, $private:expr, $manners:expr;)*) => {
        &[$(Case {
            name: $name,
            act: Act::Request {
                v6: $v6,
                private: $private,
                manners: $manners,
                welcome: $welcome,
            },
        }),*]
    };
}

const NO: Welcome = Welcome::Refused;
const V3_1: Welcome = Welcome::Accepted(3, 1);
const V4_0: Welcome = Welcome::Accepted(4, 0);
const V4_1: Welcome = Welcome::Accepted(4, 1);
const LATER: Welcome = Welcome::InTheEnd;

/// As our own kind marks itself: with all capabilities that can be told, and an incarnation.
const OWN: Private = HONEST.mask(0xffff).tail(0x1111_1111);

const fn manners(reads: (u8, u8), retries: u8, rnr_retries: u8) -> Manners {
    Manners {
        reads,
        retries,
        rnr_retries,
        ..MANNERS
    }
}

const fn number(number: u32) -> Manners {
    Manners {
        qp_number: Some(number),
        ..MANNERS
    }
}

const BITS: Manners = Manners {
    flow_control: true,
    srq: true,
    ..MANNERS
};

pub(crate) const CASES: &[Case] = requests! {
    // How much there is. What is missing comes as zeros.
    "no private data", false, NO, HONEST.len(0), MANNERS;
    "1 byte", false, NO, HONEST.len(1), MANNERS;
    "4 bytes: one address", false, NO, HONEST.len(4), MANNERS;
    "7 bytes", false, NO, HONEST.len(7), MANNERS;
    "8 bytes: no version, which is taken for 4.0", false, V4_0, HONEST.len(8), MANNERS;
    "9 bytes: half a version", false, NO, HONEST.len(9), MANNERS;
    "10 bytes: no mask", false, V3_1, HONEST.tos(0).len(10), MANNERS;
    "31 bytes", false, V3_1, HONEST.len(31), MANNERS;
    "32 bytes", false, V3_1, HONEST, MANNERS;
    "33 bytes", false, V3_1, HONEST.fill(0xff).len(33), MANNERS;
    "56 bytes", false, V3_1, HONEST.fill(0xff).len(56), MANNERS;
    "all zero", false, NO, HONEST.from(Who::All(0)).to(Who::All(0)).version(0, 0).mask(0), MANNERS;
    "all ones", false, NO,
        HONEST.from(Who::All(255)).to(Who::All(255)).version(255, 255).mask(0xffff)
            .tos(255).reserved([255; 3]).ack_seq(u64::MAX).credit(u32::MAX).tail(u32::MAX)
            .fill(255).len(56),
        MANNERS;

    // Versions.
    "version 0.0", false, V4_0, HONEST.version(0, 0), MANNERS;
    "version 0.255", false, V4_0, HONEST.version(0, 255), MANNERS;
    "version 1.0", false, NO, HONEST.version(1, 0), MANNERS;
    "version 2.1", false, NO, HONEST.version(2, 1), MANNERS;
    "version 3.0", false, NO, HONEST.version(3, 0), MANNERS;
    "version 3.2", false, NO, HONEST.version(3, 2), MANNERS;
    "version 3.255", false, NO, HONEST.version(3, 255), MANNERS;
    "version 3.1 without minor versions", false, V3_1, HONEST.mask(0), MANNERS;
    "version 4, minor 0 only", false, V4_0, HONEST.version(4, 0).mask(1), MANNERS;
    "version 4, minor 1 only", false, V4_1, HONEST.version(4, 0).mask(2), MANNERS;
    "version 4.9", false, V4_1, HONEST.version(4, 9), MANNERS;
    "version 4.1 without minor versions", false, NO, HONEST.version(4, 1).mask(0), MANNERS;
    "version 4.1, unknown minor versions only", false, NO,
        HONEST.version(4, 1).mask(0xfffc), MANNERS;
    "version 5.1", false, NO, HONEST.version(5, 1), MANNERS;
    "version 255.255", false, NO, HONEST.version(255, 255), MANNERS;

    // Addresses that are not those of the request.
    "from another peer", false, NO, HONEST.from(Who::Other), MANNERS;
    "from another peer, of our own kind", false, NO, OWN.from(Who::Other), MANNERS;
    "from the other node itself", false, NO, HONEST.from(Who::Peer), MANNERS;
    "from nobody", false, NO, HONEST.from(Who::Is([10, 0, 0, 99])), MANNERS;
    "from 0.0.0.0", false, NO, HONEST.from(Who::All(0)), MANNERS;
    "from 255.255.255.255", false, NO, HONEST.from(Who::All(255)), MANNERS;
    "from 127.0.0.1", false, NO, HONEST.from(Who::Is([127, 0, 0, 1])), MANNERS;
    "from 224.0.0.1", false, NO, HONEST.from(Who::Is([224, 0, 0, 1])), MANNERS;
    "to another peer", false, NO, HONEST.to(Who::Other), MANNERS;
    "to ourselves", false, NO, HONEST.to(Who::Us), MANNERS;
    "to 0.0.0.0", false, NO, HONEST.to(Who::All(0)), MANNERS;
    "to 127.0.0.1", false, NO, HONEST.to(Who::Is([127, 0, 0, 1])), MANNERS;
    "to 255.255.255.255", false, NO, HONEST.to(Who::All(255)), MANNERS;
    "addresses exchanged", false, NO, HONEST.from(Who::Peer).to(Who::Us), MANNERS;
    "addresses of another peer and another peer", false, NO,
        HONEST.from(Who::Other).to(Who::Other), MANNERS;
    "private data of IPv6", false, NO, HONEST.other_family(), MANNERS;

    // The rest of it.
    "reserved bytes", false, V3_1, HONEST.reserved([255; 3]), MANNERS;
    "acknowledges 1", false, V3_1, HONEST.ack_seq(1), MANNERS;
    "acknowledges 2^63", false, V3_1, HONEST.ack_seq(1 << 63), MANNERS;
    "acknowledges 2^64-1", false, V3_1, HONEST.ack_seq(u64::MAX), MANNERS;
    "credit 1", false, V3_1, HONEST.credit(1), MANNERS;
    "credit 65535", false, V3_1, HONEST.credit(0xffff), MANNERS;
    "credit 2^32-1", false, V3_1, HONEST.credit(u32::MAX), MANNERS;
    "tail without the mark", false, V3_1, HONEST.tail(u32::MAX), MANNERS;
    "unknown bits in the mask", false, V3_1, HONEST.mask(0x7fff), MANNERS;
    "our own kind without an incarnation", false, V3_1, HONEST.mask(0x8003), MANNERS;
    "our own kind", false, LATER, OWN, MANNERS;
    "our own kind, of another incarnation", false, LATER, OWN.tail(0x2222_2222), MANNERS;
    "our own kind, acknowledging 2^64-1", false, LATER, OWN.ack_seq(u64::MAX), MANNERS;
    "not of our own kind any more", false, V3_1, HONEST, MANNERS;

    // Parameters.
    "no reads", false, V3_1, HONEST, manners((0, 0), 7, 7);
    "255 reads", false, V3_1, HONEST, manners((255, 255), 7, 7);
    "no retries", false, V3_1, HONEST, manners((1, 1), 0, 7);
    "one retry", false, V3_1, HONEST, manners((1, 1), 1, 7);
    "no receives, and no patience of ours", false, V3_1, HONEST,
        Manners { receives: 0, rnr_retries: 0, ..MANNERS };
    "no receives", false, V3_1, HONEST, Manners { receives: 0, ..MANNERS };
    "one receive", false, V3_1, HONEST, Manners { receives: 1, ..MANNERS };
    "flow control and a shared queue", false, V3_1, HONEST, BITS;
    "queue pair 0", false, V3_1, HONEST, number(0);
    "queue pair 1", false, V3_1, HONEST, number(1);
    "a queue pair of nobody", false, V3_1, HONEST, number(0xff_fff0);

    // IPv6, which need the address peer6.
    "IPv6", true, V3_1, HONEST, MANNERS;
    "IPv6, no private data", true, NO, HONEST.len(0), MANNERS;
    "IPv6, one address", true, NO, HONEST.len(16), MANNERS;
    "IPv6, 31 bytes", true, NO, HONEST.len(31), MANNERS;
    "IPv6, addresses only, which is taken for 4.0", true, V4_0, HONEST.len(32), MANNERS;
    "IPv6, 55 bytes", true, V3_1, HONEST.len(55), MANNERS;
    "IPv6, private data of IPv4", true, NO, HONEST.other_family(), MANNERS;
    "IPv6, from another peer of IPv4", true, NO, HONEST.from(Who::Other), MANNERS;
    "IPv6, from ::", true, NO, HONEST.from(Who::All(0)), MANNERS;
    "IPv6, from ff..ff", true, NO, HONEST.from(Who::All(255)), MANNERS;
    "IPv6, to ourselves", true, NO, HONEST.to(Who::Us), MANNERS;
    "IPv6, exchanged", true, NO, HONEST.from(Who::Peer).to(Who::Us), MANNERS;
    "IPv6, version 3.0", true, NO, HONEST.version(3, 0), MANNERS;
    "IPv6, version 4.9", true, V4_1, HONEST.version(4, 9), MANNERS;
};
