// SPDX-License-Identifier: GPL-2.0

//! Starts the processes, and looks what is left of them.

use crate::kinds::Counts;
use crate::options::Options;
use crate::plan::{self, End, Shape};
use crate::stock::Stock;
use crate::world::World;
use crate::{bystander, process};
use raw_calls::{call, Arena, Call, Ring};
use rds::{Family, Socket};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// So many processes in each lane, then all is looked at.
const ROUND: u64 = 4;
/// What is to go goes in this time, times the patience.
const SETTLE: Duration = Duration::from_secs(30);
/// A process that makes no step for so long, times the patience, is stuck.
const STUCK: Duration = Duration::from_secs(40);
/// Or for so many times as long while it makes a network namespace: for that the RDMA core makes thousands of files
/// for each device, one process after the other.
const STUCK_MAKING: u32 = 8;
const NEWS: Duration = Duration::from_secs(20);

/// Numbers beside those of the table.
mod word {
    pub const STOP: usize = 0;
    pub const BYSTANDER_STOP: usize = 1;
    pub const LOOKS: usize = 2;
    pub const WRONG: usize = 3;
    pub const STEPS: usize = 4;
}

/// A process in its lane.
struct Lane {
    child: i32,
    number: u64,
    steps: u64,
    moved: Instant,
}

pub struct Supervisor {
    world: World,
    words: &'static [AtomicU64],
    arena: Arena,
    began: Instant,
    news: Instant,
    /// The number of the next process.
    next: u64,
    bystander: i32,
    /// What there is without our processes: sockets, and users of the module.
    base: (usize, i64),
}

fn failed(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// A number that nobody knows before.
fn made_up() -> io::Result<u64> {
    let mut raw = [0; 8];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut raw)?;
    // Short enough to be typed.
    Ok(u64::from_ne_bytes(raw) >> 24)
}

impl Supervisor {
    pub fn new(options: Options) -> io::Result<Self> {
        process::catch_signals()?;
        let words = raw_calls::shared(word::STEPS + options.lanes)?;
        let counts = Counts::new(raw_calls::shared(Counts::WORDS)?);
        let seed = match options.seed {
            Some(seed) => seed,
            None => made_up()?,
        };
        println!("rds-sockfuzz: seed {seed}");
        let rings = match Ring::new(8) {
            Ok(_) => true,
            Err(errno) => {
                println!(
                    "io_uring: none here ({}): its steps are skipped",
                    failed(errno)
                );
                false
            }
        };
        let next = options.only.unwrap_or(options.first);
        let stop = &words[word::STOP];
        let steps = &words[word::STEPS..];
        let world = World::new(seed, options, Stock::new()?, counts, rings, stop, steps);
        Ok(Self {
            world,
            words,
            arena: Arena::new()?,
            began: Instant::now(),
            news: Instant::now(),
            next,
            bystander: 0,
            base: (0, 0),
        })
    }

    /// All of it. Returns whether all was right.
    pub fn run(&mut self) -> io::Result<bool> {
        self.start_bystander()?;
        self.base = self.held()?;
        while !self.is_over() {
            let first = self.next;
            let calls = self.world.counts.total();
            self.round()?;
            self.settle(first)?;
            println!(
                "processes {first} to {}: {} calls, {} looks of the bystander",
                self.next - 1,
                self.world.counts.total() - calls,
                self.words[word::LOOKS].load(Relaxed),
            );
            if self.world.options.only.is_some() {
                break;
            }
        }
        self.end_bystander()?;
        Ok(self.tell())
    }

    fn is_over(&self) -> bool {
        let options = &self.world.options;
        let calls = self.world.counts.total();
        let is_late = self.began.elapsed() >= Duration::from_secs(options.seconds);

        calls >= options.total || is_late && calls >= options.least
    }

    fn patience(&self, time: Duration) -> Duration {
        time * u32::try_from(self.world.options.patience).unwrap_or(1)
    }

    fn start_bystander(&mut self) -> io::Result<()> {
        let options = self.world.options.clone();
        let words = self.words;
        self.bystander = raw_calls::fork(move || {
            let [stop, looks, wrong] =
                [word::BYSTANDER_STOP, word::LOOKS, word::WRONG].map(|at| &words[at]);
            bystander::live(&options, stop, looks, wrong)
        })
        .map_err(failed)?;
        while self.words[word::LOOKS].load(Relaxed) == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn end_bystander(&mut self) -> io::Result<()> {
        self.words[word::BYSTANDER_STOP].store(1, Relaxed);
        let end = Instant::now() + self.patience(SETTLE) * 4;
        loop {
            if let Some((_, status)) = self.ended(self.bystander)? {
                if status != 0 {
                    println!("bystander NOT RIGHT: he ended with {status:#x}");
                    self.world.counts.fail();
                }
                return Ok(());
            }
            if Instant::now() > end {
                println!("bystander NOT RIGHT: he does not end");
                self.world.counts.fail();
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A child that has ended (0: any), and its status.
    fn ended(&self, child: i32) -> io::Result<Option<(i32, i32)>> {
        let child = if child == 0 { -1 } else { child };
        let at = self.arena.place(0, &[0; 4]);
        match call(Call::Wait(child, at, libc::WNOHANG)) {
            Ok(0) | Err(libc::EINTR) => Ok(None),
            Ok(child) => {
                let raw = self.arena.read(0, 4);
                let status = i32::from_ne_bytes([raw[0], raw[1], raw[2], raw[3]]);
                Ok(Some((child as i32, status)))
            }
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Some processes in each lane, one after the other.
    fn round(&mut self) -> io::Result<()> {
        // What is still on its way from one process to another ends with the pair.
        let (give, take) = UnixDatagram::pair()?;
        self.world.post = (give.as_raw_fd(), take.as_raw_fd());
        let lanes = match self.world.options.only {
            Some(_) => 1,
            None => self.world.options.lanes,
        };
        let count = match self.world.options.only {
            Some(_) => 1,
            None => ROUND * lanes as u64,
        };
        let last = self.next + count;
        let mut running: Vec<Option<Lane>> = (0..lanes).map(|_| None).collect();
        loop {
            for (at, lane) in running.iter_mut().enumerate() {
                if lane.is_none() && self.next < last && !self.is_over() {
                    *lane = Some(self.start(at)?);
                }
            }
            if running.iter().all(Option::is_none) {
                return Ok(());
            }
            if self.is_over() {
                self.words[word::STOP].store(1, Relaxed);
            }
            for (at, place) in running.iter_mut().enumerate() {
                let Some(lane) = place else { continue };
                if let Some((_, status)) = self.ended(lane.child)? {
                    self.note_end(at, lane.number, status);
                    *place = None;
                } else if !self.moves(at, lane) {
                    *place = None;
                }
            }
            self.say_news(&running);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn start(&mut self, at: usize) -> io::Result<Lane> {
        let number = self.next;
        self.next += 1;
        self.words[word::STEPS + at].store(0, Relaxed);
        let world = &self.world;
        let child = raw_calls::fork(move || process::live(world, at, number)).map_err(failed)?;
        Ok(Lane {
            child,
            number,
            steps: 0,
            moved: Instant::now(),
        })
    }

    /// Whether a process still gets on. If not, who is blocked where is told, and it is killed.
    fn moves(&self, at: usize, lane: &mut Lane) -> bool {
        let steps = self.words[word::STEPS + at].load(Relaxed);
        if steps != lane.steps {
            lane.steps = steps;
            lane.moved = Instant::now();
        }
        let still = lane.moved.elapsed();
        if still < self.patience(STUCK) {
            return true;
        }
        let tasks = std::fs::read_dir(format!("/proc/{}/task", lane.child));
        let stacks: Vec<_> = tasks
            .into_iter()
            .flatten()
            .flatten()
            .map(|task| {
                let stack = std::fs::read_to_string(task.path().join("stack"));
                (task.path(), stack.unwrap_or_default())
            })
            .collect();
        let makes = |(_, stack): &(PathBuf, String)| stack.contains("copy_net_ns");
        if stacks.iter().any(makes) && still < self.patience(STUCK) * STUCK_MAKING {
            return true;
        }
        self.world.counts.fail();
        println!(
            "NOT RIGHT: process {} is stuck after {steps} steps",
            lane.number
        );
        for (task, stack) in stacks {
            println!("{}:\n{stack}", task.display());
        }
        let _ = call(Call::Kill(lane.child, libc::SIGKILL));
        false
    }

    fn note_end(&self, at: usize, number: u64, status: i32) {
        let shape = Shape::of(plan::derive(self.world.seed, number));
        let steps = self.words[word::STEPS + at].load(Relaxed);
        println!(
            "process {number} of seed {}: {steps} steps of {} threads{}, {:?}",
            self.world.seed,
            shape.threads,
            if shape.plain { " of nobody's" } else { "" },
            shape.end,
        );
        let meant = match shape.end {
            End::Killed => status == 0 || status == libc::SIGKILL,
            _ => status == 0,
        };
        if !meant {
            println!("NOT RIGHT: process {number} ended with {status:#x}");
            self.world.counts.fail();
        }
    }

    fn say_news(&mut self, running: &[Option<Lane>]) {
        if self.news.elapsed() < NEWS {
            return;
        }
        self.news = Instant::now();
        let mut line = format!("{} calls;", self.world.counts.total());
        for lane in running.iter().flatten() {
            line += &format!(" process {} at {}", lane.number, lane.steps);
        }
        println!("{line}");
    }

    /// The sockets that there are, and the users of the module, where that can be known.
    fn held(&self) -> io::Result<(usize, i64)> {
        let sockets = {
            let own = Socket::new(Family::new(self.world.options.family))?;
            own.sockets()?.len()
        };
        let users = std::fs::read_to_string("/sys/module/rrds/refcnt");
        let users = users.ok().and_then(|text| text.trim().parse().ok());
        Ok((sockets, users.unwrap_or(0)))
    }

    /// Waits until nothing is left of the processes since this one.
    fn settle(&mut self, first: u64) -> io::Result<()> {
        let end = Instant::now() + self.patience(SETTLE);
        loop {
            let now = self.held()?;
            if now.0 <= self.base.0 && now.1 <= self.base.1 {
                return Ok(());
            }
            if Instant::now() > end {
                println!(
                    "NOT RIGHT: after processes {first} to {}: {} sockets, there were {}; {} users of the module, there \
                     were {}",
                    self.next - 1,
                    now.0,
                    self.base.0,
                    now.1,
                    self.base.1
                );
                self.world.counts.fail();
                self.base = now;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells all that was counted. Returns whether all was right.
    fn tell(&self) -> bool {
        let counts = &self.world.counts;
        print!("{}", counts.table());
        let [looks, wrong] = [word::LOOKS, word::WRONG].map(|at| self.words[at].load(Relaxed));
        let failures = counts.failures() + wrong;
        println!(
            "skipped {} steps, looks of the bystander {looks}, seconds {}",
            counts.skipped(),
            self.began.elapsed().as_secs()
        );
        let first = self.world.options.only.unwrap_or(self.world.options.first);
        println!(
            "seed {}, processes {first} to {}, calls {}, not right {failures}",
            self.world.seed,
            self.next.saturating_sub(1),
            counts.total()
        );
        failures == 0
    }
}
