// SPDX-License-Identifier: GPL-2.0

//! System calls with any arguments, and memory to point them at.
//!
//! What is tried out is how the kernel takes wrong pointers and lengths, which nothing with Rust's
//! types could pass. So pointers are [`Addr`]s: none, ones that no process can have memory at, or
//! into an [`Arena`]. That is memory of its own which no reference of Rust points to, in pieces
//! each with an inaccessible page behind: a length that is too large ends there, with `EFAULT`.

mod arena;
mod call;
mod mark;
mod process;
mod ring;
mod steps;

pub use arena::{Addr, Arena, PIECE};
pub use call::{call, marks_compat, Call, Got, MSG_CMSG_COMPAT};
pub use mark::{mark, Mark};
pub use process::{catch, fork, shared, thread_id};
pub use ring::{Entry, Request, Ring};
pub use steps::instructions;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_pointers_and_lengths_fault() {
        let arena = Arena::new().unwrap();
        let pipe = arena.room(0, 8);
        call(Call::Pipe(pipe, 0)).unwrap();
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
