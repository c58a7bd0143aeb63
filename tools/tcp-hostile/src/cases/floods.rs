// SPDX-License-Identifier: GPL-2.0

//! Much of something.

use super::messages::{data, whole};
use crate::case::{done, said, Case, End};
use crate::header::{extensions, Header, HELLO, LONGEST, MAP};

/// How often something small is said.
const OFTEN: u32 = 2000;

pub fn cases(reader: u16) -> Vec<Case> {
    let mut cases = Vec::new();
    let small = [
        (
            "empty messages for a reader",
            Header::message(4001, reader, 0),
        ),
        ("empty messages for nobody", Header::message(4001, 4999, 0)),
        ("answers", Header::message(0, reader, 0)),
        ("nothing, from nobody to nobody", Header::message(0, 0, 0)),
    ];
    for (name, header) in small {
        cases.push(said(name, End::Kept, move |s| {
            (0..OFTEN).try_for_each(|_| s.say(header, &[]))
        }));
    }
    cases.push(said("long messages for a reader", End::Kept, move |s| {
        (0..20).try_for_each(|_| whole(s, Header::message(4001, reader, LONGEST)))
    }));
    cases.push(said("maps", End::Kept, |s| {
        // With the last one no port is congested.
        for round in 0..200 {
            let byte = if round % 2 == 0 { 0xff } else { 0 };
            s.say(Header::map(MAP), &[byte; MAP as usize])?;
        }
        Ok(())
    }));
    cases.push(said("pings whose answers are not read", End::Any, |s| {
        let mut bytes = Vec::new();
        for _ in 0..20_000 {
            bytes.extend(s.message(Header::ping(4001), &[]));
        }
        s.stuff(&bytes)
    }));
    cases.push(said("hellos whose answers are not read", End::Any, |s| {
        let hello = Header::hello(extensions(Some(8), Some(1), true));
        let mut bytes = Vec::new();
        for _ in 0..20_000 {
            bytes.extend(s.message(hello, &[]));
        }
        s.stuff(&bytes)
    }));
    cases.push(done("connections that say nothing", |victim| {
        let all = (0..3)
            .map(|_| victim.connect(0))
            .collect::<Result<Vec<_>, _>>()?;
        victim.greet()?.ask()?;
        drop(all);
        Ok(())
    }));
    cases.push(done("connections that say half a message each", |victim| {
        let mut all = Vec::new();
        for _ in 0..3 {
            let mut stream = victim.connect(0)?;
            let bytes = stream.message(Header::message(4001, HELLO, 5000), &data(5000));
            stream.stuff(&bytes[..2500])?;
            all.push(stream);
        }
        victim.greet()?.ask()
    }));
    cases
}
