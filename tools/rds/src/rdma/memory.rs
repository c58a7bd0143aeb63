// SPDX-License-Identifier: GPL-2.0

//! Memory for RDMA, as programs see it.

use crate::sys::memory::Pages;
use std::io;
use std::ops::Range;
use std::sync::Arc;

fn outside() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "these bytes are not in the memory",
    )
}

/// Memory that can be registered for peers, and that operations read and write.
///
/// Clones are the same memory. It begins at a page and is zeroed at first. It is unmapped when the
/// last clone, [`Piece`], [`Region`](super::Region) and unfinished operation of it is gone.
#[derive(Clone, Debug)]
pub struct Memory {
    pages: Arc<Pages>,
    len: usize,
}

impl Memory {
    /// Maps `len` bytes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `len` is 0; `ENOMEM`.
    pub fn new(len: usize) -> io::Result<Self> {
        let pages = Arc::new(Pages::new(len)?);
        Ok(Self { pages, len })
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes, which no memory has.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it.
    pub fn all(&self) -> Piece {
        Piece {
            memory: self.clone(),
            at: 0,
            len: self.len,
        }
    }

    /// The bytes of a range, counted from its beginning.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it has not all of them.
    pub fn piece(&self, range: Range<usize>) -> io::Result<Piece> {
        let len = range.end.checked_sub(range.start).ok_or_else(outside)?;
        self.check(range.start, len)?;
        Ok(Piece {
            memory: self.clone(),
            at: range.start,
            len,
        })
    }

    fn check(&self, at: usize, len: usize) -> io::Result<()> {
        match at.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(outside()),
        }
    }

    /// Copies bytes from `at` on out of it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it has not so many.
    pub fn read(&self, at: usize, to: &mut [u8]) -> io::Result<()> {
        self.check(at, to.len())?;
        self.pages.read(at, to).ok_or_else(outside)
    }

    /// The same, as a vector.
    ///
    /// # Errors
    ///
    /// As [`Memory::read`].
    pub fn to_vec(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        let len = range.end.checked_sub(range.start).ok_or_else(outside)?;
        self.check(range.start, len)?;
        let mut bytes = vec![0; len];
        self.read(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies bytes into it, from `at` on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it has not so many.
    pub fn write(&self, at: usize, from: &[u8]) -> io::Result<()> {
        self.check(at, from.len())?;
        self.pages.write(at, from).ok_or_else(outside)
    }

    /// The number in the eight bytes at `at`, in the host's order: what atomics act on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it has not so many bytes.
    pub fn number(&self, at: usize) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// How many clones, pieces, regions and operations there are of it.
    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.pages)
    }

    /// Whether the other one is the same memory, not only the same contents.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pages, &other.pages)
    }
}

/// Some bytes of a [`Memory`], which it keeps.
#[derive(Clone, Debug)]
pub struct Piece {
    memory: Memory,
    at: usize,
    len: usize,
}

impl Piece {
    /// What it is part of.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Which bytes of it.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.len
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none. The kernel takes no such pieces.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// For the kernel: it names memory that whoever uses this has to keep.
    pub(super) fn addr(&self) -> u64 {
        (self.memory.pages.addr() + self.at) as u64
    }
}
