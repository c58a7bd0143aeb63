// SPDX-License-Identifier: GPL-2.0

//! Both ends of one pair of sockets: requests go one way, replies the other.

use super::pattern::Pattern;
use super::plan::{Plan, STALL};
use super::rdma::{Initiator, Target};
use super::stats::Stats;
use crate::failure::reason;
use rds::rdma::RdmaSocket;
use rds::{is_congested, Control, Interest, PortMask, Received, RecvFlags, SendFlags};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a task looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What a task and its owner share.
pub struct Shared {
    stats: Mutex<Stats>,
    /// No new requests.
    pub stop: AtomicBool,
    /// End at once.
    pub abort: AtomicBool,
    /// Requests that may still be sent.
    pub budget: AtomicU64,
}

impl Shared {
    pub fn new(budget: u64) -> Self {
        Self {
            stats: Mutex::new(Stats::new()),
            stop: AtomicBool::new(false),
            abort: AtomicBool::new(false),
            budget: AtomicU64::new(budget),
        }
    }

    /// What was counted since the last time.
    pub fn take(&self) -> Stats {
        std::mem::replace(&mut *self.stats(), Stats::new())
    }

    pub fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The direction of a message, as the name of its stream.
#[derive(Clone, Copy)]
enum Way {
    Request,
    Reply,
    /// What an RDMA operation moves.
    Operation,
}

/// How many there are.
const WAYS: u64 = 3;

/// One of the two sockets.
pub struct Task<'a> {
    pub plan: &'a Plan,
    pub number: usize,
    pub socket: RdmaSocket,
    pub shared: &'a Shared,
}

/// Why the socket does not take a message now.
enum Refused {
    Full,
    Congested,
}

impl Task<'_> {
    fn pattern(&self, way: Way, number: u64) -> Pattern {
        let stream = WAYS * self.number as u64 + way as u64;
        Pattern::new(self.plan.seed, stream, number)
    }

    fn failed(&self, what: &str, error: &io::Error) -> String {
        format!("task {}: {what}: {}", self.number, reason(error))
    }

    /// Sends without anything else.
    fn send(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        let socket = self.socket.socket();
        socket
            .send_message(&[IoSlice::new(data)], Some(to), &[], SendFlags::DONTWAIT)
            .map(drop)
    }

    /// Counts what became of a message of `len` bytes.
    fn sent(
        &self,
        sent: io::Result<()>,
        len: usize,
        to: SocketAddr,
    ) -> Result<Result<(), Refused>, String> {
        match sent {
            Ok(()) => {
                let mut stats = self.shared.stats();
                stats.sent += 1;
                stats.sent_bytes += len as u64;
                Ok(Ok(()))
            }
            Err(error) if is_congested(&error) => {
                self.shared.stats().congested += 1;
                Ok(Err(Refused::Congested))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.shared.stats().full += 1;
                Ok(Err(Refused::Full))
            }
            Err(error) => Err(self.failed(&format!("send to {to}"), &error)),
        }
    }

    fn recv(&self, buffer: &mut [u8]) -> Result<Option<Received>, String> {
        let mut piece = [IoSliceMut::new(buffer)];
        match self.socket.recv_message(&mut piece, RecvFlags::DONTWAIT) {
            Ok(received) => Ok(Some(received)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(self.failed("receive", &error)),
        }
    }

    /// Compares a message with what should have come.
    fn judge(&self, way: Way, number: u64, expected: usize, received: &Received, data: &[u8]) {
        let wrong = if received.len != expected || received.truncated {
            Some(format!("has {} bytes instead of {expected}", received.len))
        } else if self.plan.verify {
            self.pattern(way, number).check(data).err()
        } else {
            None
        };
        let mut stats = self.shared.stats();
        stats.received += 1;
        stats.received_bytes += received.len as u64;
        if let Some(why) = wrong {
            let name = match way {
                Way::Request => "request",
                Way::Reply => "reply",
                Way::Operation => "operation",
            };
            stats.error(format!("task {}: {name} {number} {why}", self.number));
        }
    }

    /// Writes a message's contents; without verification those of the one before will do.
    fn prepare(&self, way: Way, number: u64, data: &mut [u8]) {
        if self.plan.verify || number == 0 {
            self.pattern(way, number).fill(data);
        }
    }

    /// The side that asks. Ends when it was told to stop and all replies are there.
    pub fn ask(&self, to: SocketAddr) -> Result<(), String> {
        let depth = self.plan.depth as u64;
        let memory = |error| self.failed("memory for RDMA", &error);
        let mut target = Target::new(self.plan).map_err(memory)?;
        let mut out = vec![0; self.plan.longest()];
        let mut buffer = vec![0; self.plan.longest().max(1)];
        let mut began = vec![Instant::now(); self.plan.depth];
        let (mut asked, mut answered) = (0_u64, 0_u64);
        let mut congested = false;
        let mut progress = Instant::now();
        loop {
            let mut full = false;
            while !congested && asked - answered < depth && self.may_ask() {
                let data = &mut out[..self.plan.size(asked)];
                self.prepare(Way::Request, asked, data);
                began[(asked % depth) as usize] = Instant::now();
                let sent = match &mut target {
                    None => self.send(data, to),
                    Some(target) => target
                        .prepare(asked, self.pattern(Way::Operation, asked))
                        .and_then(|()| target.send(&self.socket, asked, data, to)),
                };
                match self.sent(sent, data.len(), to)? {
                    Ok(()) => asked += 1,
                    Err(refused) => {
                        self.shared.budget.fetch_add(1, Ordering::Relaxed);
                        match refused {
                            Refused::Full => full = true,
                            Refused::Congested => congested = true,
                        }
                        break;
                    }
                }
            }
            if self.shared.abort.load(Ordering::Relaxed) {
                return Ok(());
            }
            if asked == answered && !congested && !full && self.done() {
                return Ok(());
            }
            let waited = self.wait(full, congested)?;
            if waited == Interest::NONE {
                // In case the notice was lost with a peer that died.
                congested = false;
            }
            while asked > answered || congested {
                let Some(received) = self.recv(&mut buffer)? else {
                    break;
                };
                congested &= !frees(&received.control, to);
                let Some(from) = received.from else {
                    continue;
                };
                if from != to {
                    self.stranger(from);
                    continue;
                }
                if asked == answered {
                    self.shared
                        .stats()
                        .error(format!("task {}: a reply to nothing", self.number));
                    continue;
                }
                let now = Instant::now();
                let expected = self.plan.reply_size(answered);
                let data = &buffer[..received.len.min(buffer.len())];
                self.judge(Way::Reply, answered, expected, &received, data);
                if let Some(target) = &target {
                    let there = target.check(answered, self.pattern(Way::Operation, answered));
                    self.operated(there);
                }
                let time = now.duration_since(began[(answered % depth) as usize]);
                self.shared.stats().times.record(time);
                answered += 1;
                progress = now;
            }
            if asked > answered && progress.elapsed() > STALL {
                return Err(format!(
                    "task {}: {} replies of {to} are missing for {} s",
                    self.number,
                    asked - answered,
                    STALL.as_secs()
                ));
            }
            if asked == answered {
                progress = Instant::now();
            }
        }
    }

    /// The side that answers. Ends when it is told to.
    pub fn answer(&self) -> Result<(), String> {
        let depth = self.plan.depth as u64;
        let memory = |error| self.failed("memory for RDMA", &error);
        let mut initiator = Initiator::new(self.plan).map_err(memory)?;
        let mut out = vec![0; self.plan.longest()];
        let mut buffer = vec![0; self.plan.longest().max(1)];
        let (mut heard, mut answered) = (0_u64, 0_u64);
        let mut peer = None;
        let mut congested = false;
        loop {
            let mut full = false;
            let mut busy = false;
            while let (false, Some(to)) = (congested || heard == answered, peer) {
                busy = initiator.as_ref().is_some_and(|i| !i.is_free(answered));
                if busy {
                    break;
                }
                let data = &mut out[..self.plan.reply_size(answered)];
                self.prepare(Way::Reply, answered, data);
                let sent = match &mut initiator {
                    None => self.send(data, to),
                    Some(initiator) => {
                        let pattern = self.pattern(Way::Operation, answered);
                        initiator.send(&self.socket, answered, pattern, data, to)
                    }
                };
                match self.sent(sent, data.len(), to)? {
                    Ok(()) => answered += 1,
                    Err(Refused::Full) => {
                        full = true;
                        break;
                    }
                    Err(Refused::Congested) => congested = true,
                }
            }
            if self.shared.stop.load(Ordering::Relaxed) {
                return self.statuses(initiator);
            }
            if self.wait(full, congested)? == Interest::NONE {
                congested = false;
            }
            // The other side has no more than this under way.
            while heard - answered < depth || congested || busy {
                let Some(received) = self.recv(&mut buffer)? else {
                    break;
                };
                if let Some(to) = peer {
                    congested &= !frees(&received.control, to);
                }
                let ended = self.ended(&mut initiator, &received.control);
                busy &= !ended;
                let Some(from) = received.from else {
                    continue;
                };
                if *peer.get_or_insert(from) != from {
                    self.stranger(from);
                    continue;
                }
                let expected = self.plan.size(heard);
                let data = &buffer[..received.len.min(buffer.len())];
                self.judge(Way::Request, heard, expected, &received, data);
                if let Some(initiator) = &mut initiator {
                    if let Err(why) = initiator.heard(heard, cookie(&received.control)) {
                        let why = format!("task {}: request {heard} {why}", self.number);
                        self.shared.stats().error(why);
                    }
                }
                heard += 1;
            }
        }
    }

    /// Counts an operation.
    fn operated(&self, result: Result<(), String>) {
        let mut stats = self.shared.stats();
        match result {
            Ok(()) => stats.operations += 1,
            Err(why) => stats.error(format!("task {}: {why}", self.number)),
        }
    }

    /// Takes the statuses that have come, and says whether there were any.
    fn ended(&self, initiator: &mut Option<Initiator>, control: &[Control]) -> bool {
        let Some(initiator) = initiator else {
            return false;
        };
        let mut any = false;
        for control in control {
            if let Control::RdmaStatus { token, outcome } = *control {
                any = true;
                let pattern = |number| self.pattern(Way::Operation, number);
                self.operated(initiator.status(token, outcome, pattern));
            }
        }
        any
    }

    /// Waits for the statuses that are still to come.
    fn statuses(&self, mut initiator: Option<Initiator>) -> Result<(), String> {
        let end = Instant::now() + STALL;
        while initiator.as_ref().is_some_and(|i| !i.is_idle()) {
            if Instant::now() > end || self.shared.abort.load(Ordering::Relaxed) {
                return Err(format!("task {}: statuses are missing", self.number));
            }
            self.wait(false, false)?;
            while let Some(received) = self.recv(&mut [])? {
                self.ended(&mut initiator, &received.control);
            }
        }
        Ok(())
    }

    fn stranger(&self, from: SocketAddr) {
        let mut stats = self.shared.stats();
        stats.error(format!(
            "task {}: a message of {from}, a stranger",
            self.number
        ));
    }

    /// Takes one of the requests that may still be sent.
    fn may_ask(&self) -> bool {
        if self.shared.stop.load(Ordering::Relaxed) {
            return false;
        }
        let take = |left: u64| left.checked_sub(1);
        self.shared
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    fn done(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed) || self.shared.budget.load(Ordering::Relaxed) == 0
    }

    fn wait(&self, full: bool, congested: bool) -> Result<Interest, String> {
        let mut interest = Interest::READABLE;
        // While the destination is congested the socket is writable, and that says nothing.
        if full && !congested {
            interest = interest | Interest::WRITABLE;
        }
        self.socket
            .socket()
            .wait(interest, Some(LOOK))
            .map_err(|error| self.failed("poll", &error))
    }
}

/// Whether one of the notices says that there is room at `to`.
fn frees(control: &[Control], to: SocketAddr) -> bool {
    control.iter().any(|control| match control {
        Control::CongestionUpdate(PortMask(mask)) => PortMask(*mask).may_contain(to.port()),
        _ => false,
    })
}

/// The cookie that came with a message.
fn cookie(control: &[Control]) -> Option<u64> {
    control.iter().find_map(|control| match control {
        Control::RdmaDest(cookie) => Some(*cookie),
        _ => None,
    })
}
