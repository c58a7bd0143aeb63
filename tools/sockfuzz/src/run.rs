// SPDX-License-Identifier: GPL-2.0

//! A thread: makes the calls that its steps say, counts what they give, and looks whether they may.

mod files;
mod options;
mod rings;
mod transfer;

use crate::kinds::Kind;
use crate::plan::{self, Name, Op, Place, Plan, Pointer, Trip};
use crate::world::{World, LOOKS, TEXTS, TUNES};
use raw_calls::{call, Addr, Arena, Call, Got, Ring};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::Arc;

/// What the pieces of a thread's arena are for.
mod piece {
    pub const NAME: usize = 0;
    pub const LEN: usize = 1;
    pub const DATA: usize = 2;
    pub const LIST: usize = 3;
    pub const HEADER: usize = 4;
    pub const CONTROL: usize = 5;
    pub const VALUE: usize = 6;
    /// What control messages and options point to.
    pub const MEMORY: usize = 7;
    pub const MEMORY_LIST: usize = 8;
    pub const EVENTS: usize = 9;
    pub const RING_DATA: usize = 10;
    pub const RING_HEADER: usize = 11;
    pub const RING_LIST: usize = 12;
    pub const RING_NAME: usize = 13;
    pub const TEXT: usize = 14;
}

/// Failures that are told; more are only counted.
const TOLD: u64 = 40;

/// The files of a process.
pub static FILES: [AtomicI32; plan::PLACES as usize] =
    [const { AtomicI32::new(-1) }; plan::PLACES as usize];

/// The signals that interrupt, and that have the kernel make the call anew.
pub const INTERRUPT: i32 = libc::SIGUSR1;
pub const RESTART: i32 = libc::SIGUSR2;

/// Who somebody is: what it takes to make its calls again.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    pub lane: usize,
    pub process: u64,
    pub thread: u32,
    pub child: bool,
}

pub struct Thread<'a> {
    world: &'a World,
    arena: Arc<Arena>,
    who: Who,
    plan: Plan,
    /// The numbers of all threads of the process.
    threads: &'a [AtomicI32],
    /// The namespace to come back to.
    home: i32,
    away: bool,
    step: u64,
    op: Op,
    ring: Option<Ring>,
    /// The number of the last request, and of the last poll.
    request: u64,
    poll: u64,
}

/// Clears the places of files that are not open.
///
/// `fork` copies the table of files before it copies the memory. A file that another thread opens in between
/// is in `FILES` of the child, and its number is free there: the child's next file gets it, a ring say, which
/// the child would then close by what it takes for another file.
fn forget_closed() {
    for file in &FILES {
        if call(Call::GetFd(file.load(Relaxed))) == Err(libc::EBADF) {
            file.store(-1, Relaxed);
        }
    }
}

impl<'a> Thread<'a> {
    pub fn new(
        world: &'a World,
        arena: Arc<Arena>,
        who: Who,
        seed: u64,
        threads: &'a [AtomicI32],
        home: i32,
    ) -> Self {
        Self {
            world,
            arena,
            who,
            plan: Plan::new(seed),
            threads,
            home,
            away: false,
            step: 0,
            op: Op::Pause(0),
            ring: None,
            request: 0,
            poll: 0,
        }
    }

    /// Makes so many steps, or fewer if all are to end.
    pub fn run(&mut self, steps: u64) {
        while self.step < steps && self.world.stop.load(Relaxed) == 0 {
            self.op = self.plan.step();
            if self.world.options.verbose {
                self.say(&format!("{:?}", self.op));
            }
            self.act(self.op);
            self.step += 1;
            self.world.steps[self.who.lane].fetch_add(1, Relaxed);
        }
    }

    fn act(&mut self, op: Op) {
        match op {
            Op::Socket {
                place,
                family,
                kind,
                protocol,
            } => {
                let family = family.unwrap_or(i32::from(self.world.options.family));
                self.open(place, Kind::Socket, Call::Socket(family, kind, protocol));
            }
            Op::Other {
                place,
                family,
                kind,
            } => {
                self.open(place, Kind::Socket, Call::Socket(family, kind, 0));
            }
            Op::Bind(place, name) => {
                let (at, len, good) = self.name(piece::NAME, &name);
                self.make(Kind::Bind, good, Call::Bind(self.file(place), at, len));
            }
            Op::Connect(place, name) => {
                let (at, len, good) = self.name(piece::NAME, &name);
                self.make(
                    Kind::Connect,
                    good,
                    Call::Connect(self.file(place), at, len),
                );
            }
            Op::Name {
                place,
                peer,
                len,
                name,
                len_at,
            } => {
                let good = name == Pointer::Good && len_at == Pointer::Good;
                let name = self.at(name, piece::NAME, 128);
                self.arena.place(piece::LEN, &len.to_ne_bytes());
                let len_at = self.at(len_at, piece::LEN, 4);
                let fd = self.file(place);
                if peer {
                    self.make(Kind::Getpeername, good, Call::Getpeername(fd, name, len_at));
                } else {
                    self.make(Kind::Getsockname, good, Call::Getsockname(fd, name, len_at));
                }
            }
            Op::Send(send) => self.send(&send),
            Op::Receive(receive) => self.receive(&receive),
            Op::Set {
                place,
                level,
                name,
                value,
                len,
                pointer,
            } => {
                self.set(place, (level, name), &value, len, pointer);
            }
            Op::Get {
                place,
                level,
                name,
                len,
                pointer,
                len_at,
            } => {
                self.get(place, (level, name), len, pointer, len_at);
            }
            Op::Ioctl {
                place,
                request,
                value,
                pointer,
            } => {
                let mut raw = [0; 64];
                raw[..4].copy_from_slice(&value.to_ne_bytes());
                self.arena.place(piece::VALUE, &raw);
                let at = self.at(pointer, piece::VALUE, 64);
                let call = Call::Ioctl(self.file(place), request, at);
                self.make(Kind::Ioctl, pointer == Pointer::Good, call);
            }
            Op::Ring {
                place,
                orders,
                count,
                flags,
                wait,
            } => {
                self.order(place, &orders[..usize::from(count)], flags, wait);
            }
            Op::RingOpen => self.ring_open(),
            Op::RingClose => self.ring = None,
            Op::Child(trip) => self.child(trip),
            Op::EnterNet => {
                if !self.away {
                    let call = Call::NewNet { user: false };
                    self.away = self.make(Kind::Unshare, true, call).is_some();
                }
            }
            Op::LeaveNet => {
                if self.away {
                    let back = self.make(Kind::Setns, true, Call::EnterNet(self.home));
                    self.away = back.is_none();
                }
            }
            Op::Signal { thread, restart } => {
                let thread = self.threads.get(usize::from(thread));
                let thread = thread.map_or(0, |thread| thread.load(Relaxed));
                if thread > 0 && !self.who.child {
                    let signal = if restart { RESTART } else { INTERRUPT };
                    let process = std::process::id() as i32;
                    self.make(Kind::Signal, true, Call::Signal(process, thread, signal));
                }
            }
            Op::Limit { which, value } => {
                let mut raw = [0; 16];
                raw[..8].copy_from_slice(&value.to_ne_bytes());
                raw[8..].copy_from_slice(&u64::to_ne_bytes(value.max(256)));
                let at = self.arena.place(piece::VALUE, &raw);
                self.make(Kind::Limit, true, Call::Limit(which, at));
            }
            Op::Look(path) => self.look(LOOKS[usize::from(path)]),
            Op::Tune(path, text) => {
                self.tune(TUNES[usize::from(path)], TEXTS[usize::from(text)]);
            }
            Op::Pause(us) => {
                std::thread::sleep(std::time::Duration::from_micros(us.into()));
            }
            other => self.act_on_file(other),
        }
    }

    /// The file at a place.
    fn file(&self, place: Place) -> i32 {
        FILES[usize::from(place)].load(Relaxed)
    }

    /// Puts a file at a place, and closes what was there.
    fn keep(&mut self, place: Place, fd: i32) {
        let old = FILES[usize::from(place)].swap(fd, Relaxed);
        if old >= 0 {
            self.make(Kind::Close, true, Call::Close(old));
        }
    }

    /// Makes a call that opens a file.
    fn open(&mut self, place: Place, kind: Kind, call: Call) {
        if let Some(fd) = self.make(kind, true, call) {
            self.keep(place, fd as i32);
        }
    }

    /// Makes a call. `good`: no pointer is wrong.
    fn make(&mut self, kind: Kind, good: bool, with: Call) -> Option<i64> {
        let got = call(with);
        self.note(kind, good, got)
    }

    /// Counts what a call gave.
    fn note(&mut self, kind: Kind, good: bool, got: Got) -> Option<i64> {
        match got {
            Ok(value) => {
                self.world.counts.add(kind, 0);
                Some(value)
            }
            Err(errno) => {
                self.world.counts.add(kind, errno);
                if !kind.allows(errno, good) {
                    let name = rds::errno_name(errno).unwrap_or("?");
                    self.fail(&format!("{} gave {errno} ({name})", kind.name()));
                }
                None
            }
        }
    }

    /// Something came that may not come.
    fn fail(&self, what: &str) {
        if self.world.counts.fail() < TOLD {
            self.say(&format!("NOT RIGHT: {what}: {:?}", self.op));
        }
    }

    /// Prints a line. Not by the library: in a child its lock may be taken for ever.
    fn say(&self, what: &str) {
        let Who {
            process,
            thread,
            child,
            ..
        } = self.who;
        let child = if child { " child" } else { "" };
        let (seed, step) = (self.world.seed, self.step);
        let line =
            format!("seed {seed} process {process} thread {thread}{child} step {step}: {what}\n");
        let bytes = &line.as_bytes()[..line.len().min(4000)];
        let at = self.arena.place(piece::TEXT, bytes);
        let _ = call(Call::Write(1, at, bytes.len()));
    }

    /// Where a pointer leads that is to lead to the last `len` bytes of a piece: data, which the kernel does
    /// not take for pointers.
    fn at(&self, pointer: Pointer, piece: usize, len: usize) -> Addr {
        match pointer {
            Pointer::Good => self.arena.room(piece, len),
            Pointer::ReadOnly => self.world.stock.read_only(),
            other => self.list_at(other, piece, len),
        }
    }

    /// The same, of what the kernel finds pointers in: of any data it would take some for pointers.
    fn list_at(&self, pointer: Pointer, piece: usize, len: usize) -> Addr {
        match pointer {
            Pointer::Good => self.arena.room(piece, len),
            Pointer::Null => Addr::NULL,
            Pointer::Unmapped => Addr::UNMAPPED,
            Pointer::Kernel | Pointer::ReadOnly => Addr::KERNEL,
            Pointer::Behind => self.arena.behind(piece),
        }
    }

    /// An address, at the end of a piece: where it is, its length, and whether that is all right.
    fn name(&self, piece: usize, name: &Name) -> (Addr, i32, bool) {
        let (raw, len, told) = self.world.sockaddr(name);
        let good = name.pointer == Pointer::Good && told >= 0 && told <= len as i32;
        self.arena.place(piece, &raw[..len]);
        (self.at(name.pointer, piece, len), told, good)
    }

    fn look(&mut self, path: &str) {
        let Some(fd) = self.open_path(Kind::Look, path, libc::O_RDONLY) else {
            return;
        };
        for _ in 0..3 {
            let at = self.arena.room(piece::DATA, 4096);
            let got = self.make(Kind::Look, true, Call::Read(fd, at, 4096));
            if got.is_none_or(|count| count == 0) {
                break;
            }
        }
        self.make(Kind::Close, true, Call::Close(fd));
    }

    fn tune(&mut self, path: &str, text: &str) {
        let Some(fd) = self.open_path(Kind::Tune, path, libc::O_WRONLY) else {
            return;
        };
        let at = self.arena.place(piece::TEXT, text.as_bytes());
        self.make(Kind::Tune, true, Call::Write(fd, at, text.len()));
        self.make(Kind::Close, true, Call::Close(fd));
    }

    fn open_path(&mut self, kind: Kind, path: &str, flags: i32) -> Option<i32> {
        let at = self
            .arena
            .place(piece::TEXT, format!("{path}\0").as_bytes());
        let fd = self.make(kind, true, Call::Open(at, flags | libc::O_CLOEXEC))?;
        Some(fd as i32)
    }

    /// Starts a child, which has all files that there are, and waits until it has ended.
    fn child(&mut self, trip: Trip) {
        if self.who.child {
            return;
        }
        let (world, arena, threads, home) = (self.world, &self.arena, self.threads, self.home);
        let who = Who {
            child: true,
            ..self.who
        };
        let step = self.step;
        let got = raw_calls::fork(move || {
            forget_closed();
            let mut child = Thread::new(world, arena.clone(), who, trip.seed, threads, home);
            child.trip(&trip, step);
            0
        });
        let Some(child) = self.note(Kind::Fork, true, got.map(i64::from)) else {
            return;
        };
        if let Some(us) = trip.killed {
            std::thread::sleep(std::time::Duration::from_micros(us.into()));
            let _ = call(Call::Kill(child as i32, libc::SIGKILL));
        }
        let status = self.arena.place(piece::VALUE, &[0; 4]);
        while call(Call::Wait(child as i32, status, 0)) == Err(libc::EINTR) {}
        let raw = self.arena.read(piece::VALUE, 4);
        let status = i32::from_ne_bytes([raw[0], raw[1], raw[2], raw[3]]);
        if status != 0 && !(trip.killed.is_some() && status == libc::SIGKILL) {
            self.fail(&format!("the child ended with {status:#x}"));
        }
    }

    /// What a child does.
    fn trip(&mut self, trip: &Trip, step: u64) {
        // Every 5 ms: nothing that it waits for is long.
        let mut timer = [0; 32];
        for at in [8, 24] {
            timer[at..at + 8].copy_from_slice(&5000_u64.to_ne_bytes());
        }
        let _ = call(Call::Alarm(self.arena.place(piece::VALUE, &timer)));
        if trip.net {
            // Who is not root can have one in a namespace of users.
            let plain = plan::Shape::of(plan::derive(self.world.seed, self.who.process)).plain;
            self.make(Kind::Unshare, true, Call::NewNet { user: plain });
        }
        let steps = u64::from(trip.steps);
        self.run(steps);
        if trip.net {
            let family = i32::from(self.world.options.family);
            self.open(
                0,
                Kind::Socket,
                Call::Socket(family, libc::SOCK_SEQPACKET, 0),
            );
            self.act_on_file(Op::Give(0));
        }
        // Where the parent was.
        self.step = step;
    }
}
