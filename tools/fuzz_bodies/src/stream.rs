// SPDX-License-Identifier: GPL-2.0

//! A TCP stream into a path.

use crate::bytes::Choices;
use crate::frames::{accept, path};
use rds_proto::conn::State;
use rds_proto::path::Refused;
use rds_proto::recv::Received;
use rds_proto::settings::Settings;
use rds_proto::tcp::{head, Deframer, Fragment, Greeting, Hello};
use rds_proto::time::Instant;
use rds_proto::wire::{Flags, Header};

/// Longest stream.
const MOST: usize = 40_000;

/// A stream: messages whose headers the input chooses, and raw bytes of it.
fn stream(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut stream = Vec::new();

    while !choices.is_empty() && stream.len() < MOST {
        let kind = choices.byte();
        if kind % 4 == 0 {
            stream.extend((0..kind / 4).map(|_| choices.byte()));
            continue;
        }
        let header = Header {
            seq: u64::from(choices.byte()),
            len: [0, 1, 4095, 4096, 4097, 8192, 9000, (1 << 20) + 1][usize::from(kind / 4) % 8],
            sport: u16::from(choices.byte() % 3),
            dport: u16::from(choices.byte() % 3),
            flags: Flags::from_bits(choices.byte() % 8),
            ext: [choices.byte(); 16],
            ..Header::default()
        };
        stream.extend_from_slice(&head(&header));
        let len = match kind % 4 {
            1 => usize::from(choices.word()),
            _ => header.len as usize,
        };
        let first = choices.byte();
        stream.extend((0..len.min(MOST)).map(|at| first.wrapping_add(at as u8)));
    }
    stream
}

/// The fragments of a stream that comes in pieces of at most so many bytes.
fn fragments(stream: &[u8], piece: usize) -> Vec<(Header, Vec<u8>)> {
    let (mut deframer, mut found, mut data) = (Deframer::default(), Vec::new(), [0; 4096]);

    for mut bytes in stream.chunks(piece) {
        let mut source = |to: &mut [u8]| {
            let (head, rest) = bytes.split_at(to.len().min(bytes.len()));
            to[..head.len()].copy_from_slice(head);
            bytes = rest;
            head.len()
        };
        while let Some(Fragment { header, len }) = deframer.next(&mut data, &mut source) {
            found.push((header, data[..len as usize].to_vec()));
        }
        assert!(bytes.is_empty());
    }
    found
}

/// The fragments of a stream, as a description of them has it.
fn described(mut stream: &[u8]) -> Vec<(Header, Vec<u8>)> {
    let mut found = Vec::new();

    while let Some((bytes, rest)) = stream.split_first_chunk::<48>() {
        let mut bytes = *bytes;
        // Neither acknowledgement, credit, padding nor checksum counts, and only two flags do.
        bytes[8..16].fill(0);
        bytes[25..32].fill(0);
        if bytes[24] != 1 {
            bytes[24] &= 4;
        }
        let header = Header::parse(&bytes).expect("not to be checked");
        let mut left = header.len as usize;
        stream = rest;
        loop {
            let len = left.min(4096);
            if stream.len() < len {
                return found;
            }
            let (data, rest) = stream.split_at(len);
            stream = rest;
            found.push((header, data.to_vec()));
            left -= len;
            if left == 0 {
                break;
            }
        }
    }
    found
}

/// Feeds a stream that is cut as the input chooses.
pub fn tcp_stream(input: &[u8]) {
    let mut choices = Choices::new(input);
    let piece = usize::from(choices.word()) + 1;
    let stream = stream(&mut choices);
    let fragments = fragments(&stream, piece);
    assert_eq!(fragments, described(&stream));

    let settings = Settings::default();
    let mut path = path();
    path.set_stream(Hello {
        lanes: Some(8),
        ports_tell: true,
        ..Hello::default()
    });
    accept(&mut path, &settings, Instant(0));
    let conn = path.current();
    let mut message = Vec::new();
    for (header, data) in &fragments {
        let len = data.len() as u32;
        let stored = path.on_frame(&settings, conn, &header.emit(), 48 + len, |part| {
            assert_eq!(part.offset as usize, message.len(), "no gap");
            message.extend_from_slice(&data[..part.len as usize]);
            Ok::<(), ()>(())
        });
        match stored {
            Ok(Received::Message) => {
                assert_eq!(message.len(), header.len as usize, "only whole messages");
                message.clear();
            }
            Ok(Received::Ping(port)) => assert_eq!(port, header.sport),
            Ok(Received::Pong) => assert_eq!(Greeting::of(header), Some(Greeting::Pong)),
            Ok(_) => {}
            Err(Refused::Store(())) => panic!("nothing failed"),
            Err(Refused::Violation(_)) => {
                assert_eq!(path.state(), State::Closing);
                assert!(header.len > 8192, "only what is too long breaks a rule");
                return;
            }
        }
        if Greeting::of(header).is_some() {
            let told = Hello::told(header);
            assert!(told.lanes.is_none_or(|lanes| (1..=8).contains(&lanes)));
            assert!((1..=8).contains(&path.lanes()));
            path.take_news_of_peer();
        }
    }
}
