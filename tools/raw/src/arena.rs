// SPDX-License-Identifier: GPL-2.0

//! Memory for the kernel to read from and to write to.

use std::io;

/// A piece of the arena, without the page behind: more than the longest message.
pub const PIECE: usize = 2 << 20;
pub(crate) const PAGE: usize = 4096;
const PIECES: usize = 16;

/// An address to give to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addr(pub(crate) usize);

impl Addr {
    /// No address.
    pub const NULL: Self = Self(0);
    /// In the first page, where nothing can be mapped.
    pub const UNMAPPED: Self = Self(16);
    /// Where the kernel is.
    pub const KERNEL: Self = Self(0xffff_8880_0000_1000_u64 as usize);

    /// As it is written into a structure.
    pub fn word(self) -> [u8; 8] {
        (self.0 as u64).to_ne_bytes()
    }
}

/// Memory for the kernel.
pub struct Arena {
    base: usize,
}

impl Arena {
    /// Maps it.
    pub fn new() -> io::Result<Self> {
        let len = PIECES * (PIECE + PAGE);
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: A new mapping, wherever there is room, touches nothing that exists.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let arena = Self {
            base: base as usize,
        };
        for piece in 0..PIECES {
            let behind = arena.end(piece) as *mut libc::c_void;
            // SAFETY: The page behind each piece is part of the mapping just made, and nothing was
            // placed there.
            if unsafe { libc::mprotect(behind, PAGE, libc::PROT_NONE) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(arena)
    }

    fn end(&self, piece: usize) -> usize {
        assert!(piece < PIECES);
        self.base + piece * (PIECE + PAGE) + PIECE
    }

    /// Copies bytes so that they end where the piece ends, and says where they begin.
    ///
    /// What they contain as addresses, for the kernel to follow, has to come from [`Addr::word`].
    pub fn place(&self, piece: usize, bytes: &[u8]) -> Addr {
        self.put(piece, bytes.len(), bytes)
    }

    /// Copies bytes to where the last `from` of a piece begin, which are at least as many, and says where.
    ///
    /// As for [`Arena::place`].
    pub fn put(&self, piece: usize, from: usize, bytes: &[u8]) -> Addr {
        assert!(bytes.len() <= from);
        let at = self.room(piece, from);
        // SAFETY: `room` gives at least so many bytes before the piece's end, all mapped for writing, and
        // no reference points into the arena.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.0 as *mut u8, bytes.len()) };
        at
    }

    /// The last `len` bytes of a piece.
    pub fn room(&self, piece: usize, len: usize) -> Addr {
        assert!(len <= PIECE);
        Addr(self.end(piece) - len)
    }

    /// What is in the last `len` bytes of a piece.
    pub fn read(&self, piece: usize, len: usize) -> Vec<u8> {
        let at = self.room(piece, len);
        let mut bytes = vec![0; len];
        // SAFETY: As in `place`; `mmap` gave zeroed memory, so that all of it is initialised.
        unsafe { std::ptr::copy_nonoverlapping(at.0 as *const u8, bytes.as_mut_ptr(), len) };
        bytes
    }

    /// The number in the first eight bytes of the last `len` of a piece.
    pub fn word(&self, piece: usize, len: usize) -> u64 {
        assert!(len >= 8);
        // SAFETY: As in `read`, for eight bytes that lie before the piece's end.
        unsafe { std::ptr::read_unaligned(self.room(piece, len).0 as *const u64) }
    }

    /// Whether the first `len` bytes are the same: of the last `from` bytes of a piece, and of the last
    /// `other_from` of a piece of another arena.
    pub fn equal(
        &self,
        (piece, from): (usize, usize),
        other: &Arena,
        (other_piece, other_from): (usize, usize),
        len: usize,
    ) -> bool {
        assert!(len <= from && len <= other_from);
        let (one, two) = (self.room(piece, from), other.room(other_piece, other_from));
        // SAFETY: As in `read`, for both: `len` bytes from there lie before the end of their piece.
        unsafe { libc::memcmp(one.0 as *const _, two.0 as *const _, len) == 0 }
    }

    /// Takes the permission to write to a piece. [`Self::place`] there ends the program from now on.
    pub fn seal(&self, piece: usize) -> io::Result<()> {
        let start = (self.end(piece) - PIECE) as *mut libc::c_void;
        // SAFETY: The piece is part of the arena's mapping, which no reference points into.
        if unsafe { libc::mprotect(start, PIECE, libc::PROT_READ) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Behind the piece: memory that is mapped, and may not be accessed.
    pub fn behind(&self, piece: usize) -> Addr {
        Addr(self.end(piece))
    }
}
