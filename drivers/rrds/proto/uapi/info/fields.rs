// SPDX-License-Identifier: GPL-2.0

//! Writing and reading the fields of a record one after the other, both total.

use crate::wire::{put, Addr};

/// Fills a buffer from its start. What does not fit is left out.
pub(super) struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
    v6: bool,
}

impl<'a> Writer<'a> {
    /// Begins with a buffer of zeros; `v6` tells the form of addresses.
    pub(super) fn new(bytes: &'a mut [u8], v6: bool) -> Self {
        Self { bytes, at: 0, v6 }
    }

    /// How many bytes were written, or would have been.
    pub(super) fn len(&self) -> usize {
        self.at
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.at = put(self.bytes, self.at, bytes);
        self
    }

    /// Leaves zeros.
    pub(super) fn skip(&mut self, count: usize) -> &mut Self {
        self.at = self.at.saturating_add(count);
        self
    }

    /// Text, with zeros behind it; what is longer than `len` is cut.
    pub(super) fn text(&mut self, text: &str, len: usize) -> &mut Self {
        let text = text.as_bytes();
        let text = text.get(..len).unwrap_or(text);
        self.put(text).skip(len.saturating_sub(text.len()))
    }

    /// An address in the form of the list; zeros if it has none.
    pub(super) fn addr(&mut self, addr: Addr) -> &mut Self {
        if self.v6 {
            self.put(&addr.0)
        } else {
            self.put(&addr.to_v4().unwrap_or_default())
        }
    }

    pub(super) fn port(&mut self, port: u16) -> &mut Self {
        self.put(&port.to_be_bytes())
    }

    pub(super) fn u8(&mut self, number: u8) -> &mut Self {
        self.put(&[number])
    }

    pub(super) fn u32(&mut self, number: u32) -> &mut Self {
        self.put(&number.to_ne_bytes())
    }

    pub(super) fn u64(&mut self, number: u64) -> &mut Self {
        self.put(&number.to_ne_bytes())
    }
}

/// Reads a buffer from its start; each method returns `None` past the end.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    v6: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], v6: bool) -> Self {
        Self { rest: bytes, v6 }
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (piece, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(piece)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Text that ends at the first zero byte; nothing if it is not UTF-8.
    pub(super) fn text(&mut self, len: usize) -> Option<&'a str> {
        let piece = self.take(len)?;
        let text = piece.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(core::str::from_utf8(text).unwrap_or_default())
    }

    pub(super) fn addr(&mut self) -> Option<Addr> {
        if self.v6 {
            self.array().map(Addr)
        } else {
            self.array().map(Addr::v4)
        }
    }

    pub(super) fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_ne_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }
}
