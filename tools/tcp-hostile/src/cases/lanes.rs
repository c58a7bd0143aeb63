// SPDX-License-Identifier: GPL-2.0

//! Connections beside the first one (spec-tcp-lanes).

use super::torn::pause;
use crate::case::{done, Case};
use crate::header::{extensions, Header};
use crate::stream::{Stream, Victim, Wrong};

/// Connects another lane, and says something on it, before the first one is there.
fn early(victim: &mut Victim) -> Result<(), Wrong> {
    let mut other = victim.connect(3)?;
    other.bytes(&Header::ping(9).bytes(1))?;
    pause();
    victim.greet_with(8)?.ask()?;
    other.await_port(9)
}

/// What has to come first: what a host does whom the victim does not know.
pub fn of_a_stranger() -> Vec<Case> {
    vec![done("another lane before the first", early)]
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for lane in 1..8 {
        cases.push(done(format!("lane {lane} of 8"), move |victim| {
            let mut first = victim.greet_with(8)?;
            let mut other = victim.connect(lane)?;
            other.ask()?;
            first.ask()
        }));
    }
    cases.push(done("all lanes", |victim| {
        let mut all = vec![victim.greet_with(8)?];
        for lane in 1..8 {
            all.push(victim.connect(lane)?);
        }
        all.iter_mut().rev().try_for_each(Stream::ask)
    }));
    cases.push(done("a hello on another lane", |victim| {
        let mut first = victim.greet_with(8)?;
        let mut other = victim.connect(3)?;
        let ext = extensions(Some(8), Some(victim.life), true);
        other.say(Header::hello(ext), &[])?;
        other.ask()?;
        first.ask()
    }));
    cases.push(done("a lane beyond those that there are", |victim| {
        let mut first = victim.greet_with(2)?;
        // Of two it is the second.
        let mut other = victim.connect(5)?;
        other.ask()?;
        first.ask()
    }));
    cases.push(done("another lane before the first, again", |victim| {
        // There is no connection before.
        let mut last = victim.greet_with(8)?;
        last.end()?;
        last.await_end()?;
        early(victim)
    }));
    cases.push(done("lanes that come and go", |victim| {
        let mut first = victim.greet_with(8)?;
        for round in 0..16 {
            let mut other = victim.connect(1 + round % 7)?;
            match round % 4 {
                0 => other.reset()?,
                1 => other.end()?,
                2 => other.ask()?,
                _ => {}
            }
        }
        first.ask()
    }));
    cases.push(done(
        "a lane again, while the last one is there",
        |victim| {
            let mut first = victim.greet_with(8)?;
            let _last = victim.connect(4)?;
            victim.connect(4)?.ask()?;
            first.ask()
        },
    ));
    cases
}
