// SPDX-License-Identifier: GPL-2.0

//! Frames in a stream of bytes.
//!
//! spec-tcp-stream; C: `rds_tcp_data_recv()`. Of a header only the number, the length, the ports and the
//! extensions count, and of its flags two; there is no checksum. So the rest is sent as zero, and what comes is
//! taken for zero.

use crate::consts::{FRAGMENT_LEN, HEADER_LEN};
use crate::wire::{Flags, Header};
use core::cmp::min;

/// What counts of a header.
fn counting(header: &Header) -> Header {
    let flags = match header.flags {
        // As C: only the whole byte makes a bitmap.
        Flags::CONG_BITMAP => Flags::CONG_BITMAP,
        flags if flags.contains(Flags::RETRANSMITTED) => Flags::RETRANSMITTED,
        _ => Flags::NONE,
    };

    Header {
        ack: 0,
        flags,
        credit: 0,
        ..*header
    }
}

/// The bytes ahead of a message in the stream.
pub fn head(header: &Header) -> [u8; HEADER_LEN] {
    let mut bytes = counting(header).emit();

    without_checksum(&mut bytes);
    bytes
}

/// Has the header not be checked.
fn without_checksum(bytes: &mut [u8; HEADER_LEN]) {
    if let Some(checksum) = bytes.get_mut(30..32) {
        checksum.fill(0);
    }
}

/// A fragment of a message, which is complete: its data has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The header of its message.
    pub header: Header,
    /// How many bytes it has.
    pub len: u32,
}

/// A message that is coming in.
#[derive(Clone, Copy, Debug)]
struct Coming {
    header: Header,
    /// How many bytes of it have not come.
    left: u32,
    /// How many bytes of the fragment at hand have.
    have: u32,
}

/// Cuts a stream into fragments.
///
/// Any bytes are some sequence of headers and data: whether a message is too long is for who takes its first
/// fragment to judge.
#[derive(Clone, Copy, Debug)]
pub struct Deframer {
    header: [u8; HEADER_LEN],
    /// How many bytes of the header have come, if no message is coming in.
    have: usize,
    coming: Option<Coming>,
}

impl Default for Deframer {
    fn default() -> Self {
        Self {
            header: [0; HEADER_LEN],
            have: 0,
            coming: None,
        }
    }
}

impl Deframer {
    /// Takes what comes next, up to the end of a fragment, whose data is written to `data`: that needs room for 4096
    /// bytes, and is to be as it was left. `source` writes the next bytes of the stream, and says how many there
    /// were, none at the end of what has come.
    ///
    /// Returns the fragment: hand it in by [`Path::on_frame`](crate::path::Path::on_frame). None if more has to
    /// come.
    pub fn next(
        &mut self,
        data: &mut [u8],
        mut source: impl FnMut(&mut [u8]) -> usize,
    ) -> Option<Fragment> {
        loop {
            let Some(coming) = &mut self.coming else {
                let free = self.header.get_mut(self.have..).unwrap_or_default();
                let count = min(source(free), free.len());
                self.have = self.have.saturating_add(count);
                if self.have == HEADER_LEN {
                    self.begin();
                } else if count == 0 {
                    return None;
                }
                continue;
            };
            let wanted = min(coming.left, FRAGMENT_LEN.saturating_sub(coming.have));
            if wanted == 0 {
                let (header, len) = (coming.header, coming.have);
                coming.have = 0;
                if coming.left == 0 {
                    self.coming = None;
                }
                return Some(Fragment { header, len });
            }
            // CAST: Both are at most 4096.
            let at = coming.have as usize;
            let end = at.saturating_add(wanted as usize);
            let free = data.get_mut(at..end)?;
            let count = min(source(free), free.len());
            if count == 0 {
                return None;
            }
            // CAST: As above.
            coming.have = coming.have.saturating_add(count as u32);
            coming.left = coming.left.saturating_sub(count as u32);
        }
    }

    /// Begins with the message whose header has come.
    fn begin(&mut self) {
        self.have = 0;
        without_checksum(&mut self.header);
        // All headers can be read that are long enough and not to be checked.
        let header = counting(&Header::parse(&self.header).unwrap_or_default());
        self.coming = Some(Coming {
            header,
            left: header.len,
            have: 0,
        });
    }

    /// How many bytes of a header, and of data, have to come until the next message begins, for listings.
    pub fn missing(&self) -> (u32, u32) {
        match &self.coming {
            Some(coming) => (0, coming.left),
            // CAST: It is at most 48.
            None => (HEADER_LEN.saturating_sub(self.have) as u32, 0),
        }
    }

    /// Begins with another stream.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn header(len: u32) -> Header {
        Header {
            seq: 2,
            len,
            sport: 4001,
            dport: 4002,
            ..Header::default()
        }
    }

    /// Fragments with their data, and what is missing behind them.
    type Found = (Vec<(Header, Vec<u8>)>, (u32, u32));

    /// Takes the next fragment of some bytes, which become those that are left.
    fn next(d: &mut Deframer, data: &mut [u8], bytes: &mut &[u8]) -> Option<Fragment> {
        d.next(data, |to| {
            let count = min(to.len(), bytes.len());
            let (head, rest) = bytes.split_at(count);
            to[..count].copy_from_slice(head);
            *bytes = rest;
            count
        })
    }

    /// The fragments that a stream has, which comes in pieces of so many bytes, and what is missing then.
    fn fragments(stream: &[u8], piece: usize) -> Found {
        let (mut d, mut found, mut data) = (Deframer::default(), vec![], [0; 4096]);

        for mut bytes in stream.chunks(piece) {
            while let Some(fragment) = next(&mut d, &mut data, &mut bytes) {
                let data = data[..fragment.len as usize].to_vec();
                found.push((fragment.header, data));
            }
            assert!(bytes.is_empty());
        }
        (found, d.missing())
    }

    #[test]
    fn the_header_is_the_one_of_the_spec() {
        let mut bytes = [0; 48];
        bytes[7] = 2;
        bytes[18..24].copy_from_slice(&[0x13, 0x88, 0x0f, 0xa1, 0x0f, 0xa2]);
        assert_eq!(head(&header(5000)), bytes);
        let mut bitmap = [0; 48];
        bitmap[18] = 0x20;
        bitmap[24] = 1;
        let header = Header {
            len: 8192,
            flags: Flags::CONG_BITMAP,
            ..Header::default()
        };
        assert_eq!(head(&header), bitmap);
    }

    #[test]
    fn what_does_not_count_is_zero() {
        let said = Header {
            ack: 9,
            credit: 3,
            flags: Flags::ACK_REQUIRED
                .with(Flags::RETRANSMITTED)
                .with(Flags::EXTENSION),
            ..header(0)
        };
        let resent = Header {
            flags: Flags::RETRANSMITTED,
            ..header(0)
        };
        assert_eq!(head(&said), head(&resent));
        // The same of a peer that says it all, with a checksum that is right, and one that is wrong.
        for checksum in [None, Some([0x12, 0x34])] {
            let mut bytes = said.emit();
            if let Some(checksum) = checksum {
                bytes[30..32].copy_from_slice(&checksum);
            }
            bytes[26..30].fill(0xff);
            assert_eq!(fragments(&bytes, 48).0, [(resent, vec![])]);
        }
        // With any other bit it is no bitmap.
        let odd = Flags::CONG_BITMAP.with(Flags::RETRANSMITTED);
        let odd = Header {
            flags: odd,
            ..header(0)
        };
        assert_eq!(counting(&odd), resent);
        assert_eq!(
            counting(&Header {
                flags: Flags::from_bits(0x81),
                ..odd
            }),
            header(0)
        );
    }

    #[test]
    fn it_does_not_matter_where_a_stream_is_cut() {
        let data: Vec<u8> = (0..9000_u32).map(|i| (i % 251) as u8).collect();
        let mut stream = vec![];
        let mut wanted = vec![];
        for len in [0, 1, 4095, 4096, 4097, 8192, 9000] {
            let header = header(len);
            stream.extend_from_slice(&head(&header));
            stream.extend_from_slice(&data[..len as usize]);
            if len == 0 {
                wanted.push((header, vec![]));
            }
            for piece in data[..len as usize].chunks(4096) {
                wanted.push((header, piece.to_vec()));
            }
        }
        stream.extend_from_slice(&head(&header(77))[..20]);
        for piece in [
            1,
            2,
            7,
            47,
            48,
            49,
            1000,
            4095,
            4096,
            4097,
            5000,
            usize::MAX,
        ] {
            assert_eq!(
                fragments(&stream, piece),
                (wanted.clone(), (28, 0)),
                "{piece}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let (mut d, mut data) = (Deframer::default(), [0; 4096]);
        assert_eq!(d.missing(), (48, 0));
        let bytes = head(&header(5000));
        assert_eq!(next(&mut d, &mut data, &mut &bytes[..40]), None);
        assert_eq!(d.missing(), (8, 0));
        assert_eq!(next(&mut d, &mut data, &mut &bytes[40..]), None);
        assert_eq!(d.missing(), (0, 5000));
        assert_eq!(next(&mut d, &mut data, &mut &[1; 10][..]), None);
        assert_eq!(d.missing(), (0, 4990));
        assert_eq!(data[9..11], [1, 0]);
        d.reset();
        assert_eq!(d.missing(), (48, 0));
    }

    #[test]
    fn the_longest_length_takes_no_more_than_others() {
        let (mut d, mut data) = (Deframer::default(), [0; 4096]);
        let bytes = head(&header(u32::MAX));
        let more = vec![0; 5000];
        let mut more = &more[..];
        assert_eq!(next(&mut d, &mut data, &mut &bytes[..]), None);
        let header = header(u32::MAX);
        let whole = Fragment { header, len: 4096 };
        assert_eq!(next(&mut d, &mut data, &mut more), Some(whole));
        assert_eq!(next(&mut d, &mut data, &mut more), None);
        assert_eq!(d.missing(), (0, u32::MAX - 5000));
    }

    #[test]
    fn without_room_nothing_is_taken() {
        let (mut d, mut data) = (Deframer::default(), [0; 4096]);
        let bytes = [&head(&header(9))[..], &[7; 9]].concat();
        let mut bytes = &bytes[..];
        assert_eq!(next(&mut d, &mut [], &mut bytes), None);
        assert_eq!(bytes.len(), 9);
        let (header, len) = (header(9), 9);
        let whole = Fragment { header, len };
        assert_eq!(next(&mut d, &mut data, &mut bytes), Some(whole));
        // A source that says too much does no harm.
        let lies = d.next(&mut data, |_| usize::MAX);
        assert!(lies.is_some());
    }
}
