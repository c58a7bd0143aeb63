// SPDX-License-Identifier: GPL-2.0

//! Frames of any kind into a path.

use crate::bytes::Choices;
use rds_proto::conn::{Action, Identity, State, Verdict};
use rds_proto::path::{Path, Refused};
use rds_proto::recv::Received;
use rds_proto::send::{Body, Entry, Payload};
use rds_proto::settings::Settings;
use rds_proto::time::Instant;
use rds_proto::wire::{Addr, Flags, Header, PrivateData, Version};
use std::num::NonZeroU32;

pub(crate) struct Message;

impl Payload for Message {
    fn len(&self) -> u32 {
        5000
    }

    fn sport(&self) -> u16 {
        1
    }

    fn dport(&self) -> u16 {
        2
    }
}

pub(crate) type TestPath = Path<Message, Vec<Option<Entry<Message>>>>;

/// A path that is not connected yet.
pub(crate) fn path() -> TestPath {
    let identity = Identity {
        local: Addr::v4([10, 0, 0, 1]),
        peer: Addr::v4([10, 0, 0, 2]),
        tos: 0,
        incarnation: NonZeroU32::MIN,
    };

    Path::new(identity, (0..4).map(|_| None).collect(), 1)
}

pub(crate) fn accept(path: &mut TestPath, settings: &Settings, now: Instant) {
    let request = PrivateData {
        saddr: Addr::v4([10, 0, 0, 2]),
        daddr: Addr::v4([10, 0, 0, 1]),
        version: Version::V3_1,
        minors: 3,
        tos: 0,
        ack_seq: 0,
        credit: 0,
        own: None,
    };
    let Verdict::Hold { conn } = path.on_request(settings, now, &request) else {
        panic!("rejected");
    };
    while let Some(action) = path.poll(settings, now, true) {
        match action {
            Action::Close { conn, .. } => {
                path.on_closed(settings, now, conn, 0)
                    .expect("it was being closed");
            }
            Action::Accept { .. } => assert!(path.on_established(conn, None)),
            Action::Dial { .. } | Action::Release { .. } => panic!("there is a request"),
        }
    }
}

/// Feeds frames whose fields the input chooses, or that are raw bytes of it.
pub fn frames(input: &[u8]) {
    let mut choices = Choices::new(input);
    let settings = Settings::default();
    let mut path = path();
    let now = Instant(0);
    accept(&mut path, &settings, now);
    // Bytes of the message that is coming in, as stored.
    let mut have: Option<u32> = None;
    // A message was refused on this connection.
    let mut refuses = false;
    let mut header = Header::default();
    let mut sent = 0;
    while !choices.is_empty() {
        let kind = choices.byte();
        let mut data_len = 0;
        let bytes = match kind % 8 {
            0 => {
                // The same header again, as for a continuation.
                data_len = header.len.min(4096);
                header.emit()
            }
            1 => {
                let mut raw = [0; 48];
                raw.fill_with(|| choices.byte());
                raw
            }
            2 => {
                path.queue(Message, false).ok();
                path.transmit(&settings, u32::from(choices.byte()), |frame| {
                    sent += u32::from(matches!(frame.body, Body::Send { .. }));
                    Ok::<(), ()>(())
                });
                continue;
            }
            _ => {
                header = Header {
                    seq: u64::from(choices.byte()),
                    ack: u64::from(choices.byte() % 8),
                    len: [0, 1, 5000, 8192, 1 << 20, (1 << 20) + 1][usize::from(kind / 8) % 6],
                    sport: u16::from(choices.byte() % 3),
                    dport: u16::from(choices.byte() % 3),
                    flags: Flags::from_bits(choices.byte()),
                    credit: choices.byte(),
                    ext: [choices.byte(); 16],
                };
                data_len = match choices.byte() % 4 {
                    0 => u32::from(choices.word()),
                    _ => header.len.min(4096),
                };
                header.emit()
            }
        };
        let conn = path.current();
        let fail = choices.byte() == 0xee;
        let before = path.state();
        let (mut stored, mut whole) = (None, None);
        let result = path.on_frame(&settings, conn, &bytes, 48 + data_len, |piece| {
            if fail {
                return Err(());
            }
            assert!(piece.len <= data_len && piece.len <= 4096);
            assert_eq!(piece.offset, have.unwrap_or(0), "no gap");
            assert!(piece.offset + piece.len <= piece.header.len);
            stored = Some(piece.offset + piece.len);
            whole = Some(piece.header.len);
            Ok(())
        });
        match result {
            Ok(Received::Message) => {
                assert!(!refuses);
                assert!(stored.is_some() && stored == whole, "only whole messages");
                assert!(whole <= Some(1 << 20));
                have = None;
            }
            Ok(Received::Partial) => have = stored.or(have),
            Ok(Received::CongMap { offset, len }) => assert!(offset + len <= 8192),
            Ok(_) => assert_eq!(stored, None),
            Err(Refused::Store(())) => {
                assert!(fail && !refuses, "nothing is stored after that");
                assert_eq!(path.state(), State::Up);
                refuses = true;
                have = None;
            }
            Err(Refused::Violation(_)) => {
                assert_eq!(before, State::Up);
                assert_eq!(path.state(), State::Closing);
                while path.poll(&settings, now, false).is_some() {}
                let closed = path
                    .on_closed(&settings, now, conn, 0)
                    .expect("being closed");
                assert_eq!(closed.discard_partial, have.is_some());
                have = None;
                refuses = false;
                accept(&mut path, &settings, now);
            }
        }
        let mut done = 0;
        path.reap(|_, _| done += 1);
        assert!(done == 0 || sent > 0, "nothing ends that was not sent");
    }
}
