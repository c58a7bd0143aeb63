// SPDX-License-Identifier: GPL-2.0

//! A process: its threads, who interrupts them, and how it ends.

use crate::plan::{self, End, Shape};
use crate::run::{Thread, Who, INTERRUPT, RESTART};
use crate::world::World;
use raw_calls::{call, Arena, Call};
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Duration;

/// How often the threads are interrupted: nothing waits longer, whatever it waits for.
const TICK: Duration = Duration::from_millis(8);

/// What a process has to do with signals before it starts any thread or child.
pub fn catch_signals() -> std::io::Result<()> {
    for signal in [INTERRUPT, libc::SIGALRM, libc::SIGIO, libc::SIGURG] {
        raw_calls::catch(signal, false)?;
    }
    raw_calls::catch(RESTART, true)
}

/// The life of a process. Returns its status.
pub fn live(world: &World, lane: usize, number: u64) -> i32 {
    match prepare(world, number) {
        Ok((shape, home)) => {
            threads(world, lane, number, &shape, home);
            0
        }
        Err(why) => {
            println!("process {number} cannot start: {why}");
            world.counts.fail();
            1
        }
    }
}

/// Its limits and its user. Returns a file of its namespace, too.
fn prepare(world: &World, number: u64) -> std::io::Result<(Shape, i32)> {
    let shape = Shape::of(plan::derive(world.seed, number));
    let home = std::fs::File::open("/proc/self/ns/net")?.into_raw_fd();
    let arena = Arena::new()?;
    let mut limit = shape.files.to_ne_bytes().to_vec();
    limit.extend(256_u64.to_ne_bytes());
    let at = arena.place(0, &limit);
    let failed = |errno| std::io::Error::from_raw_os_error(errno);
    call(Call::Limit(libc::RLIMIT_NOFILE as i32, at)).map_err(failed)?;
    if shape.plain {
        // Where somebody who is not root runs this, all of its processes are plain.
        let _ = call(Call::Become(65534));
    }
    Ok((shape, home))
}

fn threads(world: &World, lane: usize, number: u64, shape: &Shape, home: i32) {
    let seed = plan::derive(world.seed, number);
    let tids: Vec<_> = (0..shape.threads).map(|_| AtomicI32::new(0)).collect();
    let steps = world.options.calls / u64::from(shape.threads);
    let wanted = |thread: u32| world.options.thread.is_none_or(|only| only == thread);
    let first = (0..shape.threads).find(|thread| wanted(*thread));
    let left = AtomicU32::new((0..shape.threads).filter(|thread| wanted(*thread)).count() as u32);
    std::thread::scope(|scope| {
        let (tids, left) = (&tids[..], &left);
        for thread in (0..shape.threads).filter(|thread| wanted(*thread)) {
            let who = Who {
                lane,
                process: number,
                thread,
                child: false,
            };
            scope.spawn(move || {
                let place = &tids[thread as usize];
                place.store(raw_calls::thread_id(), Relaxed);
                match Arena::new() {
                    Ok(arena) => {
                        let seed = plan::derive(seed, thread.into());
                        Thread::new(world, Arc::new(arena), who, seed, tids, home).run(steps);
                    }
                    Err(why) => println!("process {number}: no memory for a thread: {why}"),
                }
                place.store(-1, Relaxed);
                left.fetch_sub(1, Relaxed);
            });
        }
        let process = std::process::id() as i32;
        while left.load(Relaxed) != 0 {
            std::thread::sleep(TICK);
            for tid in tids
                .iter()
                .map(|tid| tid.load(Relaxed))
                .filter(|tid| *tid > 0)
            {
                let _ = call(Call::Signal(process, tid, INTERRUPT));
            }
            if first.is_some_and(|first| tids[first as usize].load(Relaxed) < 0) {
                match shape.end {
                    End::Calm => {}
                    End::Exit => {
                        let _ = call(Call::Exit(0));
                    }
                    End::Killed => {
                        let _ = call(Call::Kill(process, libc::SIGKILL));
                    }
                }
            }
        }
    });
}
