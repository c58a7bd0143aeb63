// SPDX-License-Identifier: GPL-2.0

//! System calls with any arguments, and memory to point them at: the only `unsafe` here.
//!
//! What is tried out is how the kernel takes wrong pointers and lengths, which nothing with Rust's
//! types could pass. So pointers are [`Addr`]s: none, ones that no process can have memory at, or
//! into an [`Arena`]. That is memory of its own which no reference of Rust points to, in pieces
//! each with an inaccessible page behind: a length that is too large ends there, with `EFAULT`.

use std::ffi::c_long;
use std::io;

/// A piece of the arena, without the page behind: more than the longest message.
const PIECE: usize = 2 << 20;
const PAGE: usize = 4096;
const PIECES: usize = 16;

/// A result: what the call returned, or the error number.
pub type Got = Result<i64, i32>;

/// An address to give to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addr(usize);

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
        let at = self.room(piece, bytes.len());
        // SAFETY: `room` gives that many bytes before the piece's end, all mapped for writing, and
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

    /// Behind the piece: memory that is mapped, and may not be accessed.
    pub fn behind(&self, piece: usize) -> Addr {
        Addr(self.end(piece))
    }
}

/// Who uses it is 32-bit code: a mark that only the kernel sets.
pub const MSG_CMSG_COMPAT: i32 = i32::MIN;

/// A number of a system call, and its arguments.
///
/// Only those of sockets and the few more below are here, so that nothing can be asked of the
/// kernel that would touch other memory.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    Socket(i32, i32, i32),
    Socketpair(i32, i32, i32, Addr),
    Bind(i32, Addr, i32),
    Connect(i32, Addr, i32),
    Listen(i32, i32),
    Accept(i32, Addr, Addr),
    Shutdown(i32, i32),
    Getsockname(i32, Addr, Addr),
    Getpeername(i32, Addr, Addr),
    Sendto(i32, Addr, usize, i32, Addr, i32),
    Recvfrom(i32, Addr, usize, i32, Addr, Addr),
    Sendmsg(i32, Addr, i32),
    Recvmsg(i32, Addr, i32),
    Sendmmsg(i32, Addr, u32, i32),
    Setsockopt(i32, i32, i32, Addr, i32),
    Getsockopt(i32, i32, i32, Addr, Addr),
    /// The request must access at most 64 bytes.
    Ioctl(i32, u32, Addr),
    Read(i32, Addr, usize),
    Write(i32, Addr, usize),
    /// With a timeout in milliseconds.
    Poll(Addr, usize, i32),
    /// Of one page, anywhere.
    Mmap(i32),
    Close(i32),
    /// The two ends of a new pipe.
    Pipe(Addr),
}

/// Makes the call.
pub fn call(call: Call) -> Got {
    // As the kernel takes an int from a register: sign extended.
    let int = |value: i32| value as usize;
    let (number, arguments): (c_long, [usize; 6]) = match call {
        Call::Socket(a, b, c) => (libc::SYS_socket, [int(a), int(b), int(c), 0, 0, 0]),
        Call::Socketpair(a, b, c, p) => (libc::SYS_socketpair, [int(a), int(b), int(c), p.0, 0, 0]),
        Call::Bind(fd, p, len) => (libc::SYS_bind, [int(fd), p.0, int(len), 0, 0, 0]),
        Call::Connect(fd, p, len) => (libc::SYS_connect, [int(fd), p.0, int(len), 0, 0, 0]),
        Call::Listen(fd, n) => (libc::SYS_listen, [int(fd), int(n), 0, 0, 0, 0]),
        Call::Accept(fd, p, len) => (libc::SYS_accept, [int(fd), p.0, len.0, 0, 0, 0]),
        Call::Shutdown(fd, how) => (libc::SYS_shutdown, [int(fd), int(how), 0, 0, 0, 0]),
        Call::Getsockname(fd, p, len) => (libc::SYS_getsockname, [int(fd), p.0, len.0, 0, 0, 0]),
        Call::Getpeername(fd, p, len) => (libc::SYS_getpeername, [int(fd), p.0, len.0, 0, 0, 0]),
        Call::Sendto(fd, p, n, flags, to, len) => (
            libc::SYS_sendto,
            [int(fd), p.0, n, int(flags), to.0, int(len)],
        ),
        Call::Recvfrom(fd, p, n, flags, from, len) => (
            libc::SYS_recvfrom,
            [int(fd), p.0, n, int(flags), from.0, len.0],
        ),
        Call::Sendmsg(fd, p, flags) => (libc::SYS_sendmsg, [int(fd), p.0, int(flags), 0, 0, 0]),
        Call::Recvmsg(fd, p, flags) => (libc::SYS_recvmsg, [int(fd), p.0, int(flags), 0, 0, 0]),
        Call::Sendmmsg(fd, p, n, flags) => (
            libc::SYS_sendmmsg,
            [int(fd), p.0, n as usize, int(flags), 0, 0],
        ),
        Call::Setsockopt(fd, level, name, p, len) => {
            let arguments = [int(fd), int(level), int(name), p.0, int(len), 0];
            (libc::SYS_setsockopt, arguments)
        }
        Call::Getsockopt(fd, level, name, p, len) => (
            libc::SYS_getsockopt,
            [int(fd), int(level), int(name), p.0, len.0, 0],
        ),
        Call::Ioctl(fd, request, p) => (libc::SYS_ioctl, [int(fd), request as usize, p.0, 0, 0, 0]),
        Call::Read(fd, p, n) => (libc::SYS_read, [int(fd), p.0, n, 0, 0, 0]),
        Call::Write(fd, p, n) => (libc::SYS_write, [int(fd), p.0, n, 0, 0, 0]),
        Call::Poll(p, n, timeout) => (libc::SYS_poll, [p.0, n, int(timeout), 0, 0, 0]),
        Call::Mmap(fd) => {
            let (access, kind) = (libc::PROT_READ, libc::MAP_SHARED);
            (
                libc::SYS_mmap,
                [0, PAGE, int(access), int(kind), int(fd), 0],
            )
        }
        Call::Close(fd) => (libc::SYS_close, [int(fd), 0, 0, 0, 0, 0]),
        Call::Pipe(p) => (libc::SYS_pipe2, [p.0, 0, 0, 0, 0, 0]),
    };
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: Pointers are `Addr`s, as are those in what `Arena::place` was given: the kernel
    // accesses memory of the arena, which no reference points to, and fails on everything else. A
    // length too large runs into the page behind. `mmap` chooses a place that is free.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    Ok(result)
}

/// Whether the kernel knows 32-bit callers. Then the socket layer refuses `MSG_CMSG_COMPAT`, with which it marks
/// their messages for itself, before it looks at anything else; else that is a flag like any that nobody knows.
pub fn marks_compat() -> bool {
    call(Call::Sendmsg(-1, Addr::NULL, MSG_CMSG_COMPAT)) == Err(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_pointers_and_lengths_fault() {
        let arena = Arena::new().unwrap();
        let pipe = arena.room(0, 8);
        call(Call::Pipe(pipe)).unwrap();
        let ends = arena.read(0, 8);
        let write = i32::from_ne_bytes(ends[4..].try_into().unwrap());
        let four = arena.place(1, b"four");
        assert_eq!(call(Call::Write(write, four, 4)), Ok(4));
        for bad in [Addr::NULL, Addr::UNMAPPED, Addr::KERNEL, arena.behind(1)] {
            assert_eq!(
                call(Call::Write(write, bad, 4)),
                Err(libc::EFAULT),
                "{bad:?}"
            );
        }
        assert_eq!(call(Call::Read(-1, four, 4)), Err(libc::EBADF));
        let read = i32::from_ne_bytes(ends[..4].try_into().unwrap());
        // What fits before the page behind may be written; more may not.
        assert_eq!(
            call(Call::Read(read, arena.room(2, 2), 4)),
            Err(libc::EFAULT)
        );
    }
}
