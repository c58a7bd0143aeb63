// SPDX-License-Identifier: GPL-2.0

//! Cases that are more than frames on one connection: floods, many connections, and connections that are
//! left at every step.

use crate::{
    link::{
        Link,
        Manners,
        Plan,
        Stage,
        Until,
        MANNERS, //
    },
    run::{
        Act,
        Case,
        Fault,
        Run,
        Verdict,
        TOS_OF_DEEDS, //
    },
    wire::{
        Frame,
        Seq,
        ACK,
        ACK_REQUIRED,
        HONEST,
        MAP,
        MSG,
        PING,
        RETRANSMITTED, //
    },
    SINK, //
};
use core::ops::Range;
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Types of service of connections that are held at one time.
const MANY: Range<u8> = 32..48;

/// Cases: `"name": function;`.
macro_rules! deeds {
    ($($name:literal: $deed:expr;)*) => {
        &[$(Case {
            name: $name,
            act: Act::Deed($deed),
        }),*]
    };
}

pub(crate) const CASES: &[Case] = deeds! {
    "every flags byte": every_flag;
    "flood of messages for nobody": |run| flood(run, &[MSG]);
    "flood of messages for a socket": |run| flood(run, &[MSG.body(4096, 4096).to(SINK)]);
    "flood of empty messages for a socket": |run| flood(run, &[MSG.to(SINK)]);
    "flood of messages to be acknowledged": |run| flood(run, &[MSG.flags(ACK_REQUIRED)]);
    "flood of messages sent again": |run| {
        flood(run, &[MSG.seq(Seq::Is(1)).flags(RETRANSMITTED | ACK_REQUIRED)])
    };
    "flood of pings": |run| flood(run, &[PING]);
    "flood of pings of 4096 bytes": |run| flood(run, &[PING.body(4096, 4096)]);
    "flood of answers": |run| flood(run, &[MSG.ports(0, SINK)]);
    "flood of acknowledgements": |run| flood(run, &[ACK]);
    "flood of credits": |run| flood(run, &[ACK.credit(255)]);
    "flood of maps": |run| {
        flood(run, &[MAP.fill(0xff), MAP.fill(0xff), MAP, MAP])
    };
    "the longest message, to a socket": |run| long(run, SINK);
    "the longest message, to nobody": |run| long(run, 4999);
    "an unfinished message is not finished by the next connection": unfinished;
    "unfinished messages on many connections": many_unfinished;
    "left when the address is known": |run| left(run, Until::Address, None);
    "left when the path is known": |run| left(run, Until::Route, None);
    "left when the request is sent": |run| left(run, Until::Asked, None);
    "left without confirming": |run| left(run, Until::Asked, Some(Stage::Stopped));
    "left without confirming, though ready": |run| left(run, Until::Ready, Some(Stage::Stopped));
    "left by refusing what was accepted": |run| left(run, Until::Refused, Some(Stage::Stopped));
    "left at once": |run| left(run, Until::Up, Some(Stage::Up));
    "disconnected, and not left": disconnected;
    "data before the confirmation": early;
    "data before a confirmation that does not come": never;
    "many connections that are never confirmed": half_open;
    "the queue pair fails under pings": |run| broken(run, |link| link.fail_qp());
    "the queue pair goes under pings": |run| broken(run, |link| {
        link.drop_qp();
        Ok(())
    });
    "no receives for the answers": no_receives;
    "one receive for the answers": one_receive;
    "asked again while connected": again;
    "asked often while connected": often;
    "flood of requests": request_flood;
    "floods of requests, all left before they are answered": requests_left;
    "connected and disconnected, often": revolving;
    "every type of service": every_tos;
    "too long for the buffers, again and again": |run| wrong_again(run, MSG.body(0, 4097));
    "too long for a message, again and again": |run| {
        wrong_again(run, MSG.body((1 << 20) + 1, 4096).to(SINK))
    };
    // Last: what is not read counts as this node's, and little more is taken of it.
    "a socket that is not read": stuck;
};

/// The usual end: an honest connection works.
fn still_there(run: &mut Run) -> Verdict {
    let link = run.honest(TOS_OF_DEEDS)?;

    run.ping(&link)
}

fn flood(run: &mut Run, frames: &[Frame]) -> Verdict {
    let link = run.honest(TOS_OF_DEEDS)?;

    for _ in 0..run.config.flood {
        for frame in frames {
            run.send(&link, frame)?;
        }
    }
    run.ping(&link)
}

fn every_flag(run: &mut Run) -> Verdict {
    let link = run.honest(TOS_OF_DEEDS)?;

    for flags in 0..=u8::MAX {
        run.send(&link, &MSG.flags(flags))?;
    }
    run.ping(&link)
}

/// Sends a message of a mebibyte.
fn send_long(run: &mut Run, link: &Link, dport: u16) -> Result {
    let first = MSG.body(1 << 20, 4096).to(dport);

    run.send(link, &first)?;
    for _ in 1..256 {
        run.send(link, &first.seq(Seq::Same))?;
    }
    Ok(())
}

fn long(run: &mut Run, dport: u16) -> Verdict {
    let link = run.honest(TOS_OF_DEEDS)?;

    send_long(run, &link, dport)?;
    run.ping(&link)
}

fn unfinished(run: &mut Run) -> Verdict {
    let first = MSG.body(5000, 4096).to(SINK);
    let link = run.honest(TOS_OF_DEEDS)?;

    run.send(&link, &first)?;
    drop(link);
    let link = run.honest(TOS_OF_DEEDS)?;
    run.send(&link, &first.body(5000, 904).seq(Seq::Same))?;
    // It is the first of another message, and too short for that.
    run.down(&link)
}

/// Makes connections of these types of service.
fn many(
    run: &Run,
    types: impl Iterator<Item = u8>,
    until: Until,
    stage: Stage,
) -> core::result::Result<KVec<Link>, Fault> {
    let mut links = KVec::new();

    for tos in types {
        links
            .push(run.ask(tos, until)?, GFP_KERNEL)
            .map_err(Error::from)?;
    }
    for link in &links {
        run.come_to(link, stage, "one of many connections is not made")?;
    }
    Ok(links)
}

fn many_unfinished(run: &mut Run) -> Verdict {
    let links = many(run, MANY, Until::Up, Stage::Up)?;
    let fragment = MSG.body(1 << 20, 4096).to(SINK);

    for link in &links {
        run.send(link, &fragment)?;
        for _ in 1..16 {
            run.send(link, &fragment.seq(Seq::Same))?;
        }
    }
    still_there(run)?;
    drop(links);
    still_there(run)
}

/// A port of a socket that nobody reads.
const STUCK: u16 = SINK + 1;

/// There is an end to what the other node takes: more than that it refuses by ending the connection, also the
/// next one. What is there of the socket is not lost.
fn stuck(run: &mut Run) -> Verdict {
    let link = run.honest(TOS_OF_DEEDS)?;

    for _ in 0..run.config.mebibytes {
        if send_long(run, &link, STUCK).is_err() {
            break;
        }
    }
    run.down(&link)?;
    still_there(run)?;
    let link = run.honest(TOS_OF_DEEDS)?;
    let _ = send_long(run, &link, STUCK);
    run.down(&link)?;
    still_there(run)
}

fn left(run: &mut Run, until: Until, stage: Option<Stage>) -> Verdict {
    for _ in 0..4 {
        let link = run.ask(TOS_OF_DEEDS, until)?;
        // Where no stage tells, the call that makes the connection has come so far, or soon will.
        let (there, facts) = run.wait(&link, |facts| {
            facts.is_over() || stage.is_none_or(|stage| facts.stage == stage)
        });

        if !there || facts.is_over() {
            return Err(Fault("it does not come so far", Some(facts)));
        }
        if stage.is_none() {
            fsleep(Delta::from_millis(5));
        }
    }
    still_there(run)
}

fn disconnected(run: &mut Run) -> Verdict {
    let link = run.honest(TOS_OF_DEEDS)?;

    run.ping(&link)?;
    link.disconnect();
    run.down(&link)?;
    still_there(run)
}

/// Makes a connection that works on this side, and is not confirmed.
fn ready(run: &Run) -> core::result::Result<Link, Fault> {
    let link = run.ask(TOS_OF_DEEDS, Until::Ready)?;

    run.come_to(&link, Stage::Stopped, "it is not accepted")?;
    Ok(link)
}

fn early(run: &mut Run) -> Verdict {
    let link = ready(run)?;

    for _ in 0..8 {
        run.send(&link, &MSG.body(4096, 4096).to(SINK))?;
    }
    link.confirm()?;
    run.ping(&link)
}

fn never(run: &mut Run) -> Verdict {
    let link = ready(run)?;

    for _ in 0..8 {
        run.send(&link, &MSG.body(1 << 20, 4096).to(SINK).seq(Seq::Is(5)))?;
        run.send(&link, &PING)?;
    }
    drop(link);
    still_there(run)
}

fn half_open(run: &mut Run) -> Verdict {
    let links = many(run, MANY, Until::Asked, Stage::Stopped)?;

    still_there(run)?;
    drop(links);
    still_there(run)
}

fn broken(run: &mut Run, how: impl Fn(&Link) -> Result) -> Verdict {
    let link = run.honest(TOS_OF_DEEDS)?;

    for _ in 0..32 {
        run.send(&link, &PING)?;
    }
    how(&link)?;
    // The old connection is still there, for all that the other node knows.
    still_there(run)?;
    drop(link);
    still_there(run)
}

/// Makes a connection with so many receives.
fn with_receives(run: &Run, receives: u32) -> core::result::Result<Link, Fault> {
    let link = Link::ask(
        &run.config,
        false,
        Plan {
            tos: TOS_OF_DEEDS,
            private: HONEST,
            manners: Manners {
                receives,
                ..MANNERS
            },
            until: Until::Up,
        },
    )?;

    run.come_to(&link, Stage::Up, "it is not accepted")?;
    Ok(link)
}

fn no_receives(run: &mut Run) -> Verdict {
    let link = with_receives(run, 0)?;

    for _ in 0..run.config.flood {
        run.send(&link, &PING)?;
    }
    let facts = link.seen.facts();
    if facts.is_over() {
        return Err(Fault("the connection is taken down", Some(facts)));
    }
    still_there(run)
}

fn one_receive(run: &mut Run) -> Verdict {
    let link = with_receives(run, 1)?;

    for _ in 0..32 {
        run.send(&link, &PING)?;
    }
    run.ping(&link)
}

fn again(run: &mut Run) -> Verdict {
    let first = run.honest(TOS_OF_DEEDS)?;

    run.ping(&first)?;
    let second = run.honest(TOS_OF_DEEDS)?;
    run.down(&first)?;
    run.ping(&second)
}

fn often(run: &mut Run) -> Verdict {
    let mut links = KVec::new();

    for _ in 0..8 {
        let link = run.honest(TOS_OF_DEEDS)?;

        run.ping(&link)?;
        links.push(link, GFP_KERNEL).map_err(Error::from)?;
    }
    let last = links.pop();
    for link in &links {
        run.down(link)?;
    }
    match last {
        Some(link) => run.ping(&link),
        None => Ok(()),
    }
}

fn request_flood(run: &mut Run) -> Verdict {
    let mut links = KVec::new();

    for _ in 0..(run.config.flood / 4).max(1) {
        links
            .push(run.ask(TOS_OF_DEEDS, Until::Up)?, GFP_KERNEL)
            .map_err(Error::from)?;
    }
    // One of them is left over, at most.
    for link in &links {
        let (told, facts) = run.wait(link, |facts| facts.stage == Stage::Up || facts.is_over());

        if !told {
            return Err(Fault("a request is not answered", Some(facts)));
        }
    }
    still_there(run)
}

/// Requests that come while a connection is up, which they end, and all of which are left: before they are answered,
/// or while some are. What waited for that end waits for nobody.
fn requests_left(run: &mut Run) -> Verdict {
    for wait in [0, 1, 2, 5, 20, 100] {
        let first = run.honest(TOS_OF_DEEDS)?;
        let mut links = KVec::new();

        run.ping(&first)?;
        for _ in 0..(run.config.flood / 4).max(1) {
            links
                .push(run.ask(TOS_OF_DEEDS, Until::Up)?, GFP_KERNEL)
                .map_err(Error::from)?;
        }
        fsleep(Delta::from_millis(wait));
        drop(links);
        drop(first);
        still_there(run)?;
    }
    Ok(())
}

fn revolving(run: &mut Run) -> Verdict {
    for _ in 0..run.config.cycles {
        still_there(run)?;
    }
    Ok(())
}

/// The same frame on each of many connections: each time the connection ends, and that is all.
fn wrong_again(run: &mut Run, frame: Frame) -> Verdict {
    for _ in 0..run.config.cycles {
        let link = run.honest(TOS_OF_DEEDS)?;

        run.send(&link, &frame)?;
        run.down(&link)?;
    }
    still_there(run)
}

/// All of them, as many at one time as we were told.
fn every_tos(run: &mut Run) -> Verdict {
    let mut left = 0..=u8::MAX;

    loop {
        let types = left.by_ref().take(u32_as_usize(run.config.at_once.max(1)));
        let links = many(run, types, Until::Up, Stage::Up)?;

        if links.is_empty() {
            return Ok(());
        }
        for link in &links {
            run.ping(link)?;
        }
    }
}
