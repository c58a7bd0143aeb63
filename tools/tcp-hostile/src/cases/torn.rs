// SPDX-License-Identifier: GPL-2.0

//! Streams that are cut somewhere.

use super::messages::data;
use crate::case::{done, said, Case, End};
use crate::header::{Header, HEADER};
use crate::stream::Stream;
use std::thread::sleep;
use std::time::Duration;

/// A message that takes two fragments of the victim's.
const LEN: u32 = 5000;

/// Lets the victim see what was said so far.
pub fn pause() {
    sleep(Duration::from_millis(10));
}

/// Where streams are cut.
fn cuts() -> impl Iterator<Item = usize> {
    let edges = [
        HEADER + 1,
        HEADER + 4095,
        HEADER + 4096,
        HEADER + 4097,
        HEADER + LEN as usize - 1,
    ];
    (1..=HEADER).chain(edges)
}

fn message(stream: &mut Stream, reader: u16) -> Vec<u8> {
    stream.message(Header::message(4001, reader, LEN), &data(LEN))
}

pub fn in_pieces(reader: u16) -> Vec<Case> {
    let at = |cut: usize| {
        said(format!("at byte {cut}"), End::Kept, move |s| {
            let bytes = message(s, reader);
            let (one, other) = bytes.split_at(cut);
            s.bytes(one)?;
            pause();
            s.bytes(other)
        })
    };
    cuts().map(at).collect()
}

/// Every fifth of them, beside the edges.
fn some_cuts() -> impl Iterator<Item = usize> {
    cuts().filter(|cut| cut % 5 == 0 || (46..50).contains(cut) || *cut > 50)
}

pub fn ended(reader: u16) -> Vec<Case> {
    let at = |cut: usize| {
        said(format!("after byte {cut}"), End::Ended, move |s| {
            let bytes = message(s, reader);
            s.bytes(&bytes[..cut])?;
            s.end()
        })
    };
    let mut cases: Vec<_> = some_cuts().map(at).collect();
    cases.push(said("behind a message", End::Ended, move |s| {
        let bytes = message(s, reader);
        s.bytes(&bytes)?;
        s.end()
    }));
    cases.push(done("before a word", |victim| {
        let mut stream = victim.connect(0)?;
        stream.end()?;
        stream.await_end()
    }));
    cases
}

pub fn reset(reader: u16) -> Vec<Case> {
    let at = |cut: usize| {
        done(format!("after byte {cut}"), move |victim| {
            let mut stream = victim.greet()?;
            let bytes = message(&mut stream, reader);
            stream.bytes(&bytes[..cut])?;
            stream.reset()
        })
    };
    let mut cases: Vec<_> = some_cuts().map(at).collect();
    cases.push(done("before a word", |victim| victim.connect(0)?.reset()));
    cases
}

pub fn slow(reader: u16) -> Vec<Case> {
    vec![
        said("a header, byte by byte", End::Kept, move |s| {
            let bytes = message(s, reader);
            let (header, data) = bytes.split_at(HEADER);
            for byte in header {
                s.bytes(&[*byte])?;
                pause();
            }
            s.bytes(data)
        }),
        said("data, byte by byte", End::Kept, move |s| {
            let bytes = s.message(Header::message(4001, reader, 100), &data(100));
            let (header, data) = bytes.split_at(HEADER);
            s.bytes(header)?;
            for byte in data {
                s.bytes(&[*byte])?;
                pause();
            }
            Ok(())
        }),
        said(
            "a header of a message that never comes",
            End::Any,
            move |s| s.bytes(&Header::message(4001, reader, LEN).bytes(2)),
        ),
        said("urgent data", End::Any, |s| s.urgent()),
    ]
}
