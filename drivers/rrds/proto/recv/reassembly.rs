// SPDX-License-Identifier: GPL-2.0

//! From frames to messages.
//!
//! spec-fragments, spec-bitmap and spec-ping; C: `rds_ib_process_recv()` in `net/rds/ib_recv.c` and
//! `rds_recv_incoming()` in `net/rds/recv.c`. A connection carries one message at a time; only frames
//! that carry nothing but an acknowledgement may come in between, and the caller has sorted them out.
//!
//! The data of a frame that belongs to a message is handed to a closure. Once that has failed, no message
//! is taken any more on this connection: if the next one were, the one that is missing would pass for a
//! duplicate when it comes again. Duplicates are recognised by their first fragment and never stored, and pieces of congestion
//! maps are for the caller to apply at once; neither takes memory, nor do pings.

use crate::consts::{CONG_MAP_LEN, FRAGMENT_LEN, MAX_MESSAGE_LEN, PING_PORT, PROBE_PORT};
use crate::error::Violation;
use crate::seq;
use crate::wire::{Flags, Header};
use core::cmp::min;

/// A piece of a message, to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The header of the message's first frame; its acknowledgement and credit are of no interest.
    pub header: &'a Header,
    /// Where the piece starts in the message; 0 starts a new message.
    pub offset: u32,
    /// Number of bytes, from the start of the frame's data; the rest of the frame is to be ignored.
    pub len: u32,
}

/// Why a message was not delivered although it kept to all rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// It was received before.
    Duplicate,
    /// A ping without a port to answer to.
    PingWithoutPort,
    /// A congestion map of the wrong length.
    MapLength,
    /// It comes after one for which there was no memory, or is that one. The peer is to send it again.
    Refused,
}

/// What a frame meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing beyond its acknowledgement and credits.
    Ack,
    /// More frames are needed.
    Partial,
    /// The data of this frame is a piece of the peer's congestion map: apply it now, see
    /// [`RemoteMap`](crate::cong::RemoteMap).
    CongMap {
        /// Where the piece starts, in bytes.
        offset: u32,
        /// Length of the piece in bytes.
        len: u32,
    },
    /// A message is complete: deliver what the closure stored.
    Message,
    /// A ping is complete: answer by [`Path::queue_pong`](crate::path::Path::queue_pong), unless the
    /// port is congested at the peer.
    Ping(u16),
    /// The answer to a [`hello`](crate::tcp::Hello) is complete.
    Pong,
    /// A message is complete that is to be forgotten; nothing of it was stored.
    Ignored(Ignored),
    /// The handshake is not over on this side, and what the frame means depends on its end. Keep it and
    /// hand it in again, in order, once the path is up or the connection is closed.
    Early,
    /// The connection that the frame came on is not the path's connection, or is being closed.
    Stale,
}

/// A message that is complete and to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Its number.
    pub seq: u64,
    /// Whether its sender demands an acknowledgement at once.
    pub demanded: bool,
}

/// What a message is, by its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message,
    Ping,
    Pong,
    Duplicate,
    Map,
    OddMap,
    Refused,
}

/// A message whose frames are still coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Partial {
    header: Header,
    /// Bytes received.
    offset: u32,
    kind: Kind,
}

/// The receiving side of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reassembly {
    partial: Option<Partial>,
    /// Number expected next; survives reconnects.
    expected: u64,
    /// There was no memory for a message of this connection.
    refuses: bool,
}

impl Reassembly {
    /// Number of the message expected next: one above the last one received.
    pub const fn expected(&self) -> u64 {
        self.expected
    }

    /// Highest message received in full, or 0.
    pub const fn received(&self) -> u64 {
        self.expected.saturating_sub(1)
    }

    /// Whether a message has begun and not ended.
    pub const fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Forgets the message that was coming in: the connection is lost. Returns whether the closure may
    /// have stored a part of it, which is to be dropped.
    pub fn reset(&mut self) -> bool {
        let partial = self.partial.take();
        self.refuses = false;
        partial.is_some_and(|p| p.kind == Kind::Message)
    }

    /// Goes on with what was expected next on an earlier path between the same addresses.
    pub fn resume(&mut self, expected: u64) {
        self.expected = expected;
    }

    /// Forgets which messages were received: the peer is not the one it was.
    pub fn forget(&mut self) {
        self.expected = 0;
    }

    /// Takes a frame with `data_len` bytes behind its `header`; it must not be a bare acknowledgement. If it
    /// may come `again` and `store` fails, all is as it was.
    ///
    /// # Errors
    ///
    /// The rule that was broken: the frame then had no effect. Or the error of `store`: what was stored of
    /// the message is to be dropped, and until [`reset`](Self::reset) no other is stored.
    pub fn on_frame<E>(
        &mut self,
        header: &Header,
        data_len: u32,
        ping_enable: bool,
        again: bool,
        store: impl FnOnce(Fragment<'_>) -> Result<(), E>,
    ) -> Result<(Received, Option<Completed>), Fault<E>> {
        let (first, offset, mut kind) = match &self.partial {
            Some(partial) => {
                let first = &partial.header;
                // Acknowledgement, credit, flags and checksum may differ between fragments.
                if header.seq != first.seq
                    || header.len != first.len
                    || header.sport != first.sport
                    || header.dport != first.dport
                {
                    return Err(Fault::Violation(Violation::FragmentMismatch));
                }
                (first, partial.offset, partial.kind)
            }
            None => {
                let kind = self.judge(header, ping_enable)?;
                if matches!(
                    kind,
                    Kind::Message | Kind::Ping | Kind::Pong | Kind::Refused
                ) {
                    // A C peer that has started over counts from 1 again. Should this message not be
                    // taken in full, it is no duplicate when it comes again, flagged.
                    self.expected = min(self.expected, header.seq);
                }
                (header, 0, kind)
            }
        };
        let rest = first.len.saturating_sub(offset);
        let len = min(rest, FRAGMENT_LEN);
        if data_len < len {
            return Err(Fault::Violation(Violation::FragmentShort));
        }
        let mut stored = Ok(());
        if kind == Kind::Message {
            stored = store(Fragment {
                header: first,
                offset,
                len,
            });
            if again {
                stored.map_err(Fault::Store)?;
                stored = Ok(());
            }
            if stored.is_err() {
                self.refuses = true;
                kind = Kind::Refused;
            }
        }
        let done = len == rest;
        let sport = first.sport;
        let completed = Completed {
            seq: first.seq,
            demanded: first.flags.contains(Flags::ACK_REQUIRED),
        };
        let end = offset.saturating_add(len);
        match &mut self.partial {
            partial if done => *partial = None,
            Some(partial) => {
                partial.offset = end;
                partial.kind = kind;
            }
            partial => {
                *partial = Some(Partial {
                    header: *header,
                    offset: end,
                    kind,
                })
            }
        }
        stored.map_err(Fault::Store)?;
        Ok(match kind {
            Kind::Map => (Received::CongMap { offset, len }, None),
            _ if !done => (Received::Partial, None),
            Kind::OddMap => (Received::Ignored(Ignored::MapLength), None),
            Kind::Refused => (Received::Ignored(Ignored::Refused), None),
            // Its sender does not know that it arrived, so it is acknowledged again.
            Kind::Duplicate => (Received::Ignored(Ignored::Duplicate), Some(completed)),
            Kind::Message | Kind::Ping | Kind::Pong => {
                // Wraps for a hostile peer only; C does the same.
                self.expected = completed.seq.wrapping_add(1);
                let received = match kind {
                    Kind::Message => Received::Message,
                    Kind::Pong => Received::Pong,
                    _ if sport == PING_PORT => Received::Ignored(Ignored::PingWithoutPort),
                    _ => Received::Ping(sport),
                };
                (received, Some(completed))
            }
        })
    }

    /// Judges the first frame of a message.
    fn judge<E>(&self, header: &Header, ping_enable: bool) -> Result<Kind, Fault<E>> {
        let limit = match header.flags {
            // As C: only the whole byte makes a bitmap.
            Flags::CONG_BITMAP => CONG_MAP_LEN,
            _ => MAX_MESSAGE_LEN,
        };
        if header.len > limit {
            return Err(Fault::Violation(Violation::TooLong));
        }
        Ok(if header.flags == Flags::CONG_BITMAP {
            if header.len == CONG_MAP_LEN {
                Kind::Map
            } else {
                Kind::OddMap
            }
        } else if seq::is_duplicate(header.seq, self.expected, header.flags) {
            Kind::Duplicate
        } else if self.refuses {
            Kind::Refused
        } else if ping_enable && header.dport == PING_PORT {
            Kind::Ping
        } else if header.sport == PING_PORT && header.dport == PROBE_PORT {
            Kind::Pong
        } else {
            Kind::Message
        })
    }
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// The peer broke a rule.
    Violation(Violation),
    /// The closure failed.
    Store(E),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const FIRST: Header = Header {
        seq: 16,
        ack: 15,
        len: 5000,
        sport: 4001,
        dport: 4002,
        flags: Flags::ACK_REQUIRED,
        credit: 0,
        ext: [0; 16],
    };

    type Result = core::result::Result<(Received, Option<Completed>), Fault<()>>;

    /// Feeds a frame and notes the pieces stored.
    fn feed(r: &mut Reassembly, h: Header, data: u32, pieces: &mut Vec<(u32, u32)>) -> Result {
        r.on_frame(&h, data, true, false, |f| {
            pieces.push((f.offset, f.len));
            Ok(())
        })
    }

    fn completed(seq: u64, demanded: bool) -> Option<Completed> {
        Some(Completed { seq, demanded })
    }

    #[test]
    fn two_fragments_make_a_message() {
        let (mut r, mut p) = (Reassembly::default(), vec![]);
        assert_eq!(
            feed(&mut r, FIRST, 4096, &mut p),
            Ok((Received::Partial, None))
        );
        assert!(r.is_partial());
        let second = Header {
            ack: 99,
            credit: 3,
            flags: Flags::NONE,
            ..FIRST
        };
        let got = feed(&mut r, second, 904, &mut p);
        assert_eq!(got, Ok((Received::Message, completed(16, true))));
        assert_eq!(p, [(0, 4096), (4096, 904)]);
        assert_eq!((r.expected(), r.received()), (17, 16));
    }

    #[test]
    fn lengths_at_the_edges() {
        for (len, frames) in [
            (0, 1),
            (1, 1),
            (4095, 1),
            (4096, 1),
            (4097, 2),
            (1 << 20, 256),
        ] {
            let (mut r, mut p) = (Reassembly::default(), vec![]);
            let h = Header { len, ..FIRST };
            for i in 1..=frames {
                let got = feed(&mut r, h, 4096, &mut p).unwrap().0;
                let last = i == frames;
                assert_eq!(got == Received::Message, last, "{len} {i}");
                assert_eq!(got == Received::Partial, !last);
            }
            assert_eq!(p.len(), frames);
            assert_eq!(p.iter().map(|(_, n)| n).sum::<u32>(), len);
        }
    }

    #[test]
    fn surplus_data_is_ignored_and_missing_data_is_not() {
        let (mut r, mut p) = (Reassembly::default(), vec![]);
        let short = Err(Fault::Violation(Violation::FragmentShort));
        assert_eq!(feed(&mut r, FIRST, 4095, &mut p), short);
        assert!(!r.is_partial() && p.is_empty(), "no effect");
        feed(&mut r, FIRST, 4097, &mut p).unwrap();
        assert_eq!(feed(&mut r, FIRST, 903, &mut p), short);
        feed(&mut r, FIRST, 4096, &mut p).unwrap();
        assert_eq!(p, [(0, 4096), (4096, 904)]);
    }

    #[test]
    fn fragments_must_repeat_the_identity() {
        for other in [
            Header { seq: 17, ..FIRST },
            Header { len: 5001, ..FIRST },
            Header { sport: 1, ..FIRST },
            Header { dport: 1, ..FIRST },
        ] {
            let (mut r, mut p) = (Reassembly::default(), vec![]);
            feed(&mut r, FIRST, 4096, &mut p).unwrap();
            let got = feed(&mut r, other, 4096, &mut p);
            assert_eq!(got, Err(Fault::Violation(Violation::FragmentMismatch)));
        }
    }

    #[test]
    fn only_flagged_old_messages_are_duplicates() {
        let (mut r, mut p) = (Reassembly::default(), vec![]);
        let h = Header { len: 8, ..FIRST };
        feed(&mut r, h, 8, &mut p).unwrap();
        let again = Header {
            flags: Flags::RETRANSMITTED.with(Flags::ACK_REQUIRED),
            ..h
        };
        let got = feed(&mut r, again, 8, &mut p);
        let duplicate = Received::Ignored(Ignored::Duplicate);
        assert_eq!(got, Ok((duplicate, completed(16, true))));
        assert_eq!(p.len(), 1, "a duplicate is not stored");
        assert_eq!(r.expected(), 17);
        // A duplicate of many fragments is not stored either, and is no part to drop.
        let long = Header { len: 5000, ..again };
        assert_eq!(
            feed(&mut r, long, 4096, &mut p),
            Ok((Received::Partial, None))
        );
        assert!(!r.reset());
        // Without the flag the peer has started over.
        let restart = Header {
            seq: 1,
            len: 8,
            ..FIRST
        };
        let got = feed(&mut r, restart, 8, &mut p).unwrap().0;
        assert_eq!(got, Received::Message);
        assert_eq!(r.expected(), 2);
        // The same number as expected is not a duplicate.
        let next = Header { seq: 2, ..again };
        assert_eq!(feed(&mut r, next, 8, &mut p).unwrap().0, Received::Message);
        r.forget();
        let first = Header { seq: 0, ..again };
        assert_eq!(feed(&mut r, first, 8, &mut p).unwrap().0, Received::Message);
    }

    #[test]
    fn pings_are_told_with_the_port_to_answer() {
        let (mut r, mut p) = (Reassembly::default(), vec![]);
        let ping = Header {
            len: 0,
            dport: 0,
            ..FIRST
        };
        let got = feed(&mut r, ping, 0, &mut p);
        assert_eq!(got, Ok((Received::Ping(4001), completed(16, true))));
        let nowhere = Header {
            len: 3,
            sport: 0,
            seq: 17,
            ..ping
        };
        let got = feed(&mut r, nowhere, 3, &mut p).unwrap().0;
        assert_eq!(got, Received::Ignored(Ignored::PingWithoutPort));
        assert!(p.is_empty());
        let got = r.on_frame(&ping, 0, false, false, |_| Ok::<(), ()>(()));
        assert_eq!(got, Ok((Received::Message, completed(16, true))));
    }

    #[test]
    fn bitmaps_come_in_two_pieces_and_are_not_acknowledged() {
        let (mut r, mut p) = (Reassembly::default(), vec![]);
        let map = Header {
            len: 8192,
            flags: Flags::CONG_BITMAP,
            ..Header::default()
        };
        for offset in [0, 4096] {
            let piece = Received::CongMap { offset, len: 4096 };
            assert_eq!(feed(&mut r, map, 4096, &mut p), Ok((piece, None)));
        }
        assert!(!r.is_partial() && p.is_empty());
        assert_eq!(r.expected(), 0);
        // Another length is discarded.
        let odd = Header { len: 8, ..map };
        let got = feed(&mut r, odd, 8, &mut p);
        assert_eq!(got, Ok((Received::Ignored(Ignored::MapLength), None)));
        // Another flag beside it makes it a message, as for C.
        let both = Header {
            flags: Flags::CONG_BITMAP.with(Flags::ACK_REQUIRED),
            len: 8,
            dport: 9,
            ..map
        };
        assert_eq!(feed(&mut r, both, 8, &mut p).unwrap().0, Received::Message);
    }

    #[test]
    fn lengths_are_bounded() {
        for (flags, len) in [(Flags::NONE, (1 << 20) + 1), (Flags::CONG_BITMAP, 8193)] {
            let (mut r, mut p) = (Reassembly::default(), vec![]);
            let got = feed(
                &mut r,
                Header {
                    flags,
                    len,
                    ..FIRST
                },
                4096,
                &mut p,
            );
            assert_eq!(got, Err(Fault::Violation(Violation::TooLong)));
        }
    }

    #[test]
    fn a_peer_that_starts_over_loses_nothing_to_a_failed_store() {
        for failing in [0, 4096] {
            let (mut r, mut p) = (Reassembly::default(), vec![]);
            let last = Header {
                seq: 99,
                len: 9,
                ..FIRST
            };
            feed(&mut r, last, 9, &mut p).unwrap();
            // C counts from 1 again, and flags what it sends again.
            let mut header = Header { seq: 1, ..FIRST };
            for data in [4096, 904] {
                let _ = r.on_frame(&header, data, true, false, |f| {
                    (f.offset != failing).then_some(()).ok_or(())
                });
            }
            r.reset();
            header.flags = Flags::RETRANSMITTED;
            p.clear();
            feed(&mut r, header, 4096, &mut p).unwrap();
            let got = feed(&mut r, header, 904, &mut p);
            assert_eq!(got, Ok((Received::Message, completed(1, false))));
            assert_eq!(p.len(), 2);
        }
    }

    #[test]
    fn after_a_failed_store_no_message_is_taken() {
        let (mut r, mut p) = (Reassembly::default(), vec![]);
        let refused = Ok((Received::Ignored(Ignored::Refused), None));
        let single = Header { len: 9, ..FIRST };
        feed(&mut r, single, 9, &mut p).unwrap();

        // A message of two frames: at the first, or at the second.
        for failing in [0, 4096] {
            let header = Header { seq: 17, ..FIRST };
            let mut stored = vec![];
            let got = [4096, 904].map(|data| {
                r.on_frame(&header, data, true, false, |f| {
                    stored.push(f.offset);
                    if f.offset == failing {
                        return Err(7);
                    }
                    Ok(())
                })
            });
            match failing {
                0 => {
                    assert_eq!(got[0], Err(Fault::Store(7)));
                    assert_eq!(got[1], Ok((Received::Ignored(Ignored::Refused), None)));
                    assert_eq!(stored, [0]);
                }
                _ => {
                    assert_eq!(got[0], Ok((Received::Partial, None)));
                    assert_eq!(got[1], Err(Fault::Store(7)));
                    assert_eq!(stored, [0, 4096]);
                }
            }
            p.clear();
            // Nor is a ping: it would leave a gap. What was received is, as a duplicate.
            for (seq, dport) in [(17, 4002), (18, 4002), (19, PING_PORT)] {
                let header = Header {
                    seq,
                    dport,
                    ..single
                };
                assert_eq!(feed(&mut r, header, 9, &mut p), refused);
            }
            let again = Header {
                flags: Flags::RETRANSMITTED,
                ..single
            };
            assert_eq!(
                feed(&mut r, again, 9, &mut p),
                Ok((Received::Ignored(Ignored::Duplicate), completed(16, false)))
            );
            let map = Header {
                len: CONG_MAP_LEN,
                flags: Flags::CONG_BITMAP,
                ..FIRST
            };
            for offset in [0, 4096] {
                let piece = Received::CongMap { offset, len: 4096 };
                assert_eq!(feed(&mut r, map, 4096, &mut p), Ok((piece, None)));
            }
            assert_eq!((r.expected(), p.len()), (17, 0));
            assert!(!r.reset(), "nothing is left to be dropped");
        }
        let header = Header { seq: 17, ..FIRST };
        feed(&mut r, header, 4096, &mut p).unwrap();
        assert!(r.reset(), "a stored part is to be dropped");
        assert!(!r.reset());
    }
}
