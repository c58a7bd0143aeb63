// SPDX-License-Identifier: GPL-2.0

//! Memory that others write to at any time: the kernel, and peers over RDMA.
//!
//! It is a mapping of its own, which no `&[u8]` ever points into. All access goes over atomic words
//! of one size, so that there is no data race in the program itself, whatever threads do.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

const WORD: usize = size_of::<u64>();

/// Whole pages of anonymous memory, zeroed at first.
#[derive(Debug)]
pub(crate) struct Pages {
    /// Invariant: `words` words from here are mapped for reading and writing, until this is dropped.
    base: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: The mapping belongs to no thread, and is accessed as atomics only.
unsafe impl Send for Pages {}

// SAFETY: As above: concurrent access is that of atomics.
unsafe impl Sync for Pages {}

/// The number of bytes in a page.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

impl Pages {
    /// At least `len` bytes, which may not be 0.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        let len = match len.checked_next_multiple_of(page_size()) {
            Some(len) if len != 0 && isize::try_from(len).is_ok() => len,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: A new mapping, wherever there is room, touches nothing that exists.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, access, kind, -1, 0) };
        match NonNull::new(base.cast::<AtomicU64>()) {
            Some(base) if base.as_ptr().cast() != libc::MAP_FAILED => Ok(Self {
                base,
                words: len / WORD,
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Where it begins. The kernel may be given this address, and those of the bytes behind.
    pub(crate) fn addr(&self) -> usize {
        // The cast exposes the pointer: what the kernel writes there is what is read here.
        self.base.as_ptr() as usize
    }

    /// Its length in bytes: whole pages.
    pub(crate) fn len(&self) -> usize {
        self.words * WORD
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: By the invariant so many words are mapped from there, begin at a page, and have
        // values, as the mapping began zeroed. All access to them is that of atomics. They live as
        // long as this does.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }

    /// The words that `len` bytes at `at` touch, and where in the first one these begin. `None` if
    /// they are not all there.
    fn touched(&self, at: usize, len: usize) -> Option<(&[AtomicU64], usize)> {
        let end = at.checked_add(len).filter(|&end| end <= self.len())?;
        let words = self.words().get(at / WORD..end.div_ceil(WORD))?;
        Some((words, at % WORD))
    }

    /// Copies from there. `None`, and nothing is copied, if the bytes are not all there.
    pub(crate) fn read(&self, at: usize, to: &mut [u8]) -> Option<()> {
        let (words, mut skip) = self.touched(at, to.len())?;
        let mut rest = to;
        for word in words {
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            let count = rest.len().min(WORD - skip);
            let (piece, behind) = rest.split_at_mut(count);
            piece.copy_from_slice(&bytes[skip..skip + count]);
            rest = behind;
            skip = 0;
        }
        Some(())
    }

    /// Copies to there. `None`, and nothing is copied, if the bytes are not all there. Bytes beside
    /// them are left as they are, even if a peer writes to them meanwhile.
    pub(crate) fn write(&self, at: usize, from: &[u8]) -> Option<()> {
        let (words, mut skip) = self.touched(at, from.len())?;
        let mut rest = from;
        for word in words {
            let count = rest.len().min(WORD - skip);
            let (piece, behind) = rest.split_at(count);
            if let Ok(whole) = piece.try_into() {
                word.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
            } else {
                let put = |old: u64| {
                    let mut bytes = old.to_ne_bytes();
                    bytes[skip..skip + count].copy_from_slice(piece);
                    Some(u64::from_ne_bytes(bytes))
                };
                // Never fails: there is always a new value.
                let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, put);
            }
            rest = behind;
            skip = 0;
        }
        Some(())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: The mapping is this one's alone, and references into it end with borrows of this.
        // It can fail only if the kernel has no memory to split mappings; then it stays.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_at_every_offset() {
        let pages = Pages::new(1).unwrap();
        assert_eq!(pages.len(), page_size());
        assert_eq!(pages.addr() % page_size(), 0);
        for at in 0..17 {
            for len in 0..25_usize {
                let mut all = vec![0xee; 64];
                pages.write(0, &all).unwrap();
                let data: Vec<u8> = (1..=len as u8).collect();
                pages.write(at, &data).unwrap();
                all[at..at + len].copy_from_slice(&data);
                let mut got = vec![0; 64];
                pages.read(0, &mut got).unwrap();
                assert_eq!(got, all, "{len} bytes at {at}");
                let mut piece = vec![0; len];
                pages.read(at, &mut piece).unwrap();
                assert_eq!(piece, data);
            }
        }
    }

    #[test]
    fn nothing_outside() {
        let pages = Pages::new(page_size() + 1).unwrap();
        let len = 2 * page_size();
        assert_eq!(pages.len(), len);
        assert_eq!(pages.write(len, &[]), Some(()));
        for (at, count) in [(len, 1), (len - 1, 2), (len + 1, 0), (usize::MAX, 2)] {
            assert_eq!(pages.write(at, &vec![0; count]), None, "{count} at {at}");
            assert_eq!(pages.read(at, &mut vec![0; count]), None, "{count} at {at}");
        }
        assert!(Pages::new(0).is_err());
        assert!(Pages::new(usize::MAX).is_err());
        assert!(Pages::new(isize::MAX as usize).is_err());
    }

    #[test]
    fn neighbours_in_a_word_are_kept() {
        let pages = Pages::new(8).unwrap();
        std::thread::scope(|scope| {
            for at in 0..8 {
                let pages = &pages;
                scope.spawn(move || {
                    for value in 0..=255 {
                        pages.write(at, &[value]).unwrap();
                        let mut got = [0];
                        pages.read(at, &mut got).unwrap();
                        assert_eq!(got, [value]);
                    }
                });
            }
        });
    }
}
