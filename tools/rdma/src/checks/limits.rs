// SPDX-License-Identifier: GPL-2.0

//! Limits of locked memory, and whether all that was pinned is let go.

use super::raw::number;
use crate::end;
use crate::protocol::Command;
use crate::table::{bad, named, skip, Outcome, Table, Wrong};
use crate::World;
use raw_calls::{call, fork, Arena, Call};
use rds::rdma::{Memory, RdmaSocket, RegionFlags};
use rds::Transport;
use std::io;
use std::time::{Duration, Instant};

/// Nobody.
const NOBODY: u32 = 65534;

/// What a child ends with if it gets nowhere; no error number.
const LOST: i32 = 250;

pub fn add(t: &mut Table) {
    t.group("limits");
    t.add("no memory may be locked: EPERM", |world, _| {
        limited(world, 0, 4096, libc::EPERM)
    });
    t.add(
        "less may be locked than is registered: ENOMEM",
        |world, _| {
            if world.c_here {
                return skip("C counts nothing");
            }
            limited(world, 64 << 10, 1 << 20, libc::ENOMEM)
        },
    );
    t.add("as much may be locked as is registered", |world, _| {
        limited(world, 1 << 20, 64 << 10, 0)
    });
    t.add("who may lock any memory has no limit", |world, _| {
        let error = child(|| registers_with(world, 0, None, 64 << 10))?;
        told(error, 0)
    });
    t.add("nothing is pinned any more", |world, link| {
        let end = link.deadline();
        loop {
            let here = end::pinned();
            let there = link.ask_one(&Command::Pinned)?;
            if here == world.pinned && there == 0 {
                return Ok(());
            }
            if Instant::now() > end {
                return bad(format!(
                    "{here:?} kB pinned and locked here, {:?} before; {there} kB at the server",
                    world.pinned
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

/// Where regions are by RDMA_MAP only, none of this can be seen without a connection of the child's own.
fn limited(world: &World, limit: u64, len: usize, wanted: i32) -> Outcome {
    let error = child(|| registers_with(world, limit, Some(NOBODY), len))?;
    told(error, wanted)
}

fn told(error: i32, wanted: i32) -> Outcome {
    match error {
        LOST => bad("the child could not be set up"),
        error if error == wanted => Ok(()),
        libc::EOPNOTSUPP => skip("there are regions by RDMA_MAP only"),
        0 => bad(format!("it worked, wanted {}", named(wanted))),
        error => bad(format!("{}, wanted {wanted}", named(error))),
    }
}

/// In a child: registers memory under a limit, as some user. The error number, or 0.
fn registers_with(world: &World, limit: u64, user: Option<u32>, len: usize) -> i32 {
    let error = |error: io::Error| error.raw_os_error().unwrap_or(LOST);
    let set_up = || -> Result<(RdmaSocket, Memory), i32> {
        let mut local = world.local;
        local.set_port(0);
        let socket = end::bound(world.family, Transport::Rdma, local).map_err(|_| LOST)?;
        let memory = Memory::new(len).map_err(|_| LOST)?;
        let arena = Arena::new().map_err(|_| LOST)?;
        let both = [number(limit), number(limit)].concat();
        let limit = arena.place(0, &both);
        call(Call::Limit(libc::RLIMIT_MEMLOCK as i32, limit)).map_err(|_| LOST)?;
        if let Some(user) = user {
            call(Call::Become(user)).map_err(|_| LOST)?;
        }
        Ok((RdmaSocket::new(socket), memory))
    };
    match set_up() {
        Err(lost) => lost,
        Ok((socket, memory)) => {
            let made = socket.register(memory.all(), RegionFlags::WRITABLE);
            made.map_or_else(error, |_| 0)
        }
    }
}

/// What a child ends with.
fn child(work: impl FnOnce() -> i32 + Send) -> Result<i32, Wrong> {
    Child::start(work)?.ended()
}

/// A process of ours, killed if nobody has waited for its end.
pub struct Child {
    number: i32,
    over: bool,
}

impl Child {
    /// Starts one.
    pub fn start(work: impl FnOnce() -> i32 + Send) -> Result<Self, Wrong> {
        let number = fork(work).map_err(io::Error::from_raw_os_error)?;
        let over = false;
        Ok(Self { number, over })
    }

    /// Kills it.
    pub fn kill(&self) -> Result<(), Wrong> {
        if !self.over {
            let killed = call(Call::Kill(self.number, libc::SIGKILL));
            killed.map_err(io::Error::from_raw_os_error)?;
        }
        Ok(())
    }

    /// Waits for its end. The status that it ended with, or, if it was killed, less than 0.
    pub fn ended(mut self) -> Result<i32, Wrong> {
        self.wait()
    }

    fn wait(&mut self) -> Result<i32, Wrong> {
        let arena = Arena::new()?;
        let room = arena.place(1, &[0; 4]);
        loop {
            match call(Call::Wait(self.number, room, 0)) {
                Ok(_) => break,
                Err(libc::EINTR) => {}
                Err(errno) => return Err(io::Error::from_raw_os_error(errno).into()),
            }
        }
        self.over = true;
        let bytes = arena.read(1, 4);
        let status = bytes
            .first_chunk()
            .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        let signal = status & 0x7f;
        Ok(if signal == 0 {
            (status >> 8) & 0xff
        } else {
            -signal
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.over && self.kill().is_ok() {
            // The check has failed already.
            let _ = self.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_children_end() {
        assert_eq!(child(|| 7), Ok(7));
        let long = || loop {
            std::thread::sleep(Duration::from_secs(1));
        };
        let killed = Child::start(long).unwrap();
        killed.kill().unwrap();
        assert_eq!(killed.ended(), Ok(-libc::SIGKILL));
        drop(Child::start(long).unwrap());
    }
}
