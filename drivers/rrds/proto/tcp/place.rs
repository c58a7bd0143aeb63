// SPDX-License-Identifier: GPL-2.0

//! How frames lie in the stream.
//!
//! spec-tcp-stream; C: `rds_tcp_xmit()`.

use super::head;
use crate::consts::HEADER_LEN;
use crate::send::Data;
use crate::wire::{Flags, Header};

/// What goes into the stream for a frame, beside its data, and what that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// What goes ahead of the data: only the first fragment of a message has it.
    pub head: Option<[u8; HEADER_LEN]>,
    /// How many bytes of the stream the message takes that begins with this frame, header included.
    pub begins: Option<u32>,
    /// The number of the message that ends with this frame.
    pub ends: Option<u64>,
}

/// Places a frame of a [`Path`](crate::path::Path), by its header and data.
pub fn place<M>(header: &[u8; HEADER_LEN], data: &Data<'_, M>) -> Placed {
    // What a path makes can be read.
    let header = Header::parse(header).unwrap_or_default();
    let (offset, len) = match *data {
        Data::None => (0, 0),
        Data::Message { offset, len, .. } | Data::CongMap { offset, len } => (offset, len),
    };

    let is_last = offset.saturating_add(len) >= header.len;
    let is_counted = header.flags != Flags::CONG_BITMAP;
    Placed {
        head: (offset == 0).then(|| head(&header)),
        // CAST: 48.
        begins: (offset == 0).then(|| header.len.saturating_add(HEADER_LEN as u32)),
        ends: (is_last && is_counted).then_some(header.seq),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(header: &Header, data: &Data<'_, ()>) -> Placed {
        place(&header.emit(), data)
    }

    #[test]
    fn the_first_fragment_has_the_header_and_the_last_one_ends_the_message() {
        let header = Header {
            seq: 7,
            len: 5000,
            ..Header::default()
        };
        let piece = |offset, len| Data::Message {
            message: &(),
            offset,
            len,
        };
        let first = placed(&header, &piece(0, 4096));
        assert!(first.head.is_some());
        assert_eq!((first.begins, first.ends), (Some(5048), None));
        let last = placed(&header, &piece(4096, 904));
        assert_eq!((last.head, last.begins, last.ends), (None, None, Some(7)));
    }

    #[test]
    fn a_map_has_no_number_that_is_acknowledged() {
        let header = Header {
            len: 8192,
            flags: Flags::CONG_BITMAP,
            ..Header::default()
        };
        for offset in [0, 4096] {
            let piece = Data::CongMap { offset, len: 4096 };
            assert_eq!(placed(&header, &piece).ends, None);
        }
    }
}
