// SPDX-License-Identifier: GPL-2.0

//! What a peer says of itself.

use crate::case::{said, Case, End};
use crate::header::{extensions, Header, AGAIN, HELLO};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // By 3 and by 7 the port of the connection would be that of another lane.
    for lanes in [0, 1, 2, 4, 8, 9, 255, 256, 65_535] {
        for ports_tell in [false, true] {
            let tells = if ports_tell { ", ports tell" } else { "" };
            let name = format!("{lanes} lanes{tells}");
            cases.push(said(name, End::Kept, move |s| {
                s.say(
                    Header::hello(extensions(Some(lanes), Some(7), ports_tell)),
                    &[],
                )
            }));
        }
    }
    for (life, name) in [
        (None, "no life"),
        (Some(0), "life 0"),
        (Some(u32::MAX), "the last life"),
    ] {
        cases.push(said(name, End::Kept, move |s| {
            s.say(Header::hello(extensions(Some(1), life, true)), &[])
        }));
    }
    cases.push(said("another life with each hello", End::Kept, |s| {
        for life in 1..100 {
            s.say(Header::hello(extensions(Some(1), Some(life), true)), &[])?;
        }
        Ok(())
    }));
    cases.push(said("8 lanes, then 1, then 8", End::Kept, |s| {
        for lanes in [8, 1, 8] {
            s.say(Header::hello(extensions(Some(lanes), None, true)), &[])?;
        }
        Ok(())
    }));
    for lanes in [1, 8] {
        cases.push(said(
            format!("an answer that nobody asked for, {lanes} lanes"),
            End::Kept,
            move |s| {
                let answer = Header {
                    ext: extensions(Some(lanes), Some(9), true),
                    ..Header::message(0, HELLO, 0)
                };
                s.say(answer, &[])
            },
        ));
    }
    cases.push(said("a hello with data", End::Kept, |s| {
        let hello = Header {
            len: 5000,
            ..Header::hello(extensions(Some(8), Some(9), true))
        };
        s.say(hello, &[0; 5000])
    }));
    cases.push(said("a hello sent again", End::Kept, |s| {
        let hello = Header {
            flags: AGAIN,
            seq: Some(1),
            ..Header::hello(extensions(Some(8), Some(9), true))
        };
        s.say(hello, &[])
    }));
    let odd: [(&str, [u8; 16]); 4] = [
        ("nothing but ones", [0xff; 16]),
        ("a number of lanes at the end, cut short", end(&[5, 0])),
        ("a life at the end, cut short", end(&[6, 1, 2])),
        (
            "lanes five times",
            [5, 0, 8, 5, 0, 1, 5, 0, 8, 5, 0, 1, 5, 0, 8, 0],
        ),
    ];
    for (name, ext) in odd {
        cases.push(said(name, End::Kept, move |s| {
            s.say(Header::hello(ext), &[])
        }));
    }
    cases
}

/// Extensions of which the last ones are these, behind some that mean nothing.
fn end(last: &[u8]) -> [u8; 16] {
    let mut ext = [8, 0].repeat(8);
    let at = ext.len() - last.len();
    ext[at..].copy_from_slice(last);
    ext.try_into().unwrap_or_default()
}
