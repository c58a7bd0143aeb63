// SPDX-License-Identifier: GPL-2.0

//! `io_uring`: calls that the kernel makes later, or in threads of its own.

use crate::arena::Addr;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

const OFF_SQES: i64 = 0x1000_0000;
const FEAT_SINGLE_MMAP: u32 = 1;
const ENTER_GETEVENTS: u32 = 1;
/// The length of a request, and of a completion.
const SQE: usize = 64;
const CQE: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    Nop,
    Send(i32, Addr, u32, i32),
    SendZc(i32, Addr, u32, i32),
    Recv(i32, Addr, u32, i32),
    Sendmsg(i32, Addr, i32),
    Recvmsg(i32, Addr, i32),
    Accept(i32, Addr, Addr),
    Connect(i32, Addr, u32),
    /// Once, or each time.
    Poll(i32, u32, bool),
    /// Takes back the poll of this number.
    PollRemove(u64),
    /// Takes back the request of this number.
    Cancel(u64),
    /// Takes back all requests of a file.
    CancelAll(i32),
    Shutdown(i32, u32),
    Read(i32, Addr, u32),
    Write(i32, Addr, u32),
    Close(i32),
}

/// A request, with its flags (`IOSQE_…`, of which those that choose buffers may not be there) and a
/// number of its own.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub request: Request,
    pub flags: u8,
    pub number: u64,
}

/// The flags that an entry may have: in order with others, linked with the next one, in a thread of the
/// kernel's.
const FLAGS: u8 = 0b1_1110;

/// A ring. What was asked for when it is dropped is taken back by the kernel, some time later.
///
/// # Invariants
///
/// `rings` and `entries` are mappings of the ring `fd`, so long, which nothing else refers to and which are
/// there until the ring is dropped; the offsets lie within `rings`, and `mask` plus one is how many
/// requests and completions there is room for in either.
pub struct Ring {
    fd: i32,
    rings: *mut u8,
    rings_len: usize,
    entries: *mut u8,
    entries_len: usize,
    at: Offsets,
}

struct Offsets {
    sq_head: usize,
    sq_tail: usize,
    sq_mask: u32,
    sq_array: usize,
    cq_head: usize,
    cq_tail: usize,
    cq_mask: u32,
    cqes: usize,
}

fn failed() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn map(fd: i32, len: usize, offset: i64) -> Result<*mut u8, i32> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: A new mapping, wherever there is room, touches nothing that exists.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), len, access, kind, fd, offset) };
    if base == libc::MAP_FAILED {
        return Err(failed());
    }
    Ok(base.cast())
}

fn unmap(base: *mut u8, len: usize) {
    // SAFETY: The caller got `base` from `map` with this length, and uses it no more.
    unsafe { libc::munmap(base.cast(), len) };
}

impl Ring {
    /// Opens a ring for so many requests.
    ///
    /// # Errors
    ///
    /// `ENOSYS` where the kernel has none, `EPERM` where it was turned off; `ENOMEM`, `EMFILE`.
    pub fn new(requests: u32) -> Result<Self, i32> {
        // `struct io_uring_params`.
        let mut params = [0_u8; 120];
        let at = params.as_mut_ptr();
        // SAFETY: The kernel reads and writes a structure of 120 bytes, which are there.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, requests, at) };
        if fd < 0 {
            return Err(failed());
        }
        let fd = fd as i32;
        let close = || {
            // SAFETY: Only a number is passed, of a file that nobody else knows.
            unsafe { libc::close(fd) };
        };
        let (sq_entries, cq_entries) = (number(&params, 0), number(&params, 4));
        if number(&params, 20) & FEAT_SINGLE_MMAP == 0 {
            close();
            return Err(libc::ENOSYS);
        }
        // The fields of `sq_off` begin at 40, those of `cq_off` at 80.
        let offset = |at| number(&params, at) as usize;
        let (sq_array, cqes) = (offset(40 + 24), offset(80 + 20));
        let rings_len = (sq_array + sq_entries as usize * 4).max(cqes + cq_entries as usize * CQE);
        let entries_len = sq_entries as usize * SQE;
        let rings = map(fd, rings_len, 0).inspect_err(|_| close())?;
        let entries = map(fd, entries_len, OFF_SQES).inspect_err(|_| {
            unmap(rings, rings_len);
            close();
        })?;
        // INVARIANT: Both were mapped just now; the kernel says where in them things are, and their numbers
        // are powers of two.
        Ok(Self {
            fd,
            rings,
            rings_len,
            entries,
            entries_len,
            at: Offsets {
                sq_head: offset(40),
                sq_tail: offset(40 + 4),
                sq_mask: sq_entries - 1,
                sq_array,
                cq_head: offset(80),
                cq_tail: offset(80 + 4),
                cq_mask: cq_entries - 1,
                cqes,
            },
        })
    }

    /// A number that the kernel reads or writes too.
    fn shared(&self, at: usize) -> &AtomicU32 {
        assert!(at + 4 <= self.rings_len && at % 4 == 0);
        // SAFETY: By the invariants this is within a mapping that is there as long as `self`; it is
        // aligned, as the mapping begins at a page. It is only accessed atomically.
        unsafe { &*self.rings.add(at).cast() }
    }

    /// Whether there is room for another request.
    pub fn has_room(&self) -> bool {
        let tail = self.shared(self.at.sq_tail).load(Ordering::Relaxed);
        let head = self.shared(self.at.sq_head).load(Ordering::Acquire);
        tail.wrapping_sub(head) <= self.at.sq_mask
    }

    /// Enters a request, if there is room for it.
    pub fn push(&mut self, entry: Entry) -> bool {
        if !self.has_room() {
            return false;
        }
        let tail = self.shared(self.at.sq_tail).load(Ordering::Relaxed);
        let place = tail & self.at.sq_mask;
        let raw = encode(entry);
        // SAFETY: `place` is at most the mask, so that this is within the mapping, which no reference
        // points into. The kernel does not look at it before `sq_tail` says so.
        unsafe {
            let to = self.entries.add(place as usize * SQE);
            std::ptr::copy_nonoverlapping(raw.as_ptr(), to, SQE);
        }
        let index = self.shared(self.at.sq_array + place as usize * 4);
        index.store(place, Ordering::Relaxed);
        let at = self.shared(self.at.sq_tail);
        at.store(tail.wrapping_add(1), Ordering::Release);
        true
    }

    /// Hands over what was entered, and waits for so many to be complete. Returns how many were taken.
    ///
    /// # Errors
    ///
    /// As of `io_uring_enter`.
    pub fn submit(&self, wait: u32) -> Result<i64, i32> {
        let tail = self.shared(self.at.sq_tail).load(Ordering::Relaxed);
        let head = self.shared(self.at.sq_head).load(Ordering::Acquire);
        let count = tail.wrapping_sub(head);
        let (fd, none) = (self.fd, std::ptr::null::<u8>());
        // SAFETY: Only numbers are passed, and no set of signals. What the requests name as memory are
        // `Addr`s: memory of an arena, which no reference points to and which is never unmapped.
        let taken = unsafe {
            let number = libc::SYS_io_uring_enter;
            libc::syscall(number, fd, count, wait, ENTER_GETEVENTS, none, 0_usize)
        };
        if taken < 0 {
            return Err(failed());
        }
        Ok(taken)
    }

    /// Takes out a completion: the number of the request, what came, or its error, and whether it is the last one.
    pub fn complete(&mut self) -> Option<(u64, Result<i64, i32>, bool)> {
        let head = self.shared(self.at.cq_head).load(Ordering::Relaxed);
        if head == self.shared(self.at.cq_tail).load(Ordering::Acquire) {
            return None;
        }
        let place = (head & self.at.cq_mask) as usize;
        let mut raw = [0_u8; CQE];
        assert!(self.at.cqes + (place + 1) * CQE <= self.rings_len);
        // SAFETY: Within the mapping, as was asserted. The kernel wrote it before `cq_tail`, and does not
        // write it again before `cq_head` says so.
        unsafe {
            let from = self.rings.add(self.at.cqes + place * CQE);
            std::ptr::copy_nonoverlapping(from, raw.as_mut_ptr(), CQE);
        }
        let at = self.shared(self.at.cq_head);
        at.store(head.wrapping_add(1), Ordering::Release);
        let id = u64::from(number(&raw, 0)) | (u64::from(number(&raw, 4)) << 32);
        let result = number(&raw, 8) as i32;
        let more = number(&raw, 12) & 2 != 0;
        let result = if result < 0 {
            Err(-result)
        } else {
            Ok(result.into())
        };
        Some((id, result, !more))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        unmap(self.entries, self.entries_len);
        unmap(self.rings, self.rings_len);
        // SAFETY: Only a number is passed, of a file that nobody else has.
        unsafe { libc::close(self.fd) };
    }
}

/// Makes a `struct io_uring_sqe`.
fn encode(entry: Entry) -> [u8; SQE] {
    const NONE: Addr = Addr::NULL;
    // Operation, file, offset, address, length, flags of the operation.
    let (op, fd, off, addr, len, flags): (u8, i32, u64, Addr, u32, i32) = match entry.request {
        Request::Nop => (0, -1, 0, NONE, 0, 0),
        Request::Poll(fd, mask, again) => (6, fd, 0, NONE, again.into(), mask as i32),
        Request::PollRemove(id) => return numbered(entry, 7, -1, id, 0),
        Request::Sendmsg(fd, p, flags) => (9, fd, 0, p, 1, flags),
        Request::Recvmsg(fd, p, flags) => (10, fd, 0, p, 1, flags),
        Request::Accept(fd, p, len) => (13, fd, len.0 as u64, p, 0, 0),
        Request::Cancel(id) => return numbered(entry, 14, -1, id, 0),
        // IORING_ASYNC_CANCEL_ALL and _FD.
        Request::CancelAll(fd) => return numbered(entry, 14, fd, 0, 3),
        Request::Connect(fd, p, len) => (16, fd, len.into(), p, 0, 0),
        Request::Close(fd) => (19, fd, 0, NONE, 0, 0),
        Request::Read(fd, p, n) => (22, fd, u64::MAX, p, n, 0),
        Request::Write(fd, p, n) => (23, fd, u64::MAX, p, n, 0),
        Request::Send(fd, p, n, flags) => (26, fd, 0, p, n, flags),
        Request::Recv(fd, p, n, flags) => (27, fd, 0, p, n, flags),
        Request::Shutdown(fd, how) => (34, fd, 0, NONE, how, 0),
        Request::SendZc(fd, p, n, flags) => (47, fd, 0, p, n, flags),
    };
    let mut raw = [0; SQE];
    raw[0] = op;
    raw[1] = entry.flags & FLAGS;
    raw[4..8].copy_from_slice(&fd.to_ne_bytes());
    raw[8..16].copy_from_slice(&off.to_ne_bytes());
    raw[16..24].copy_from_slice(&addr.word());
    raw[24..28].copy_from_slice(&len.to_ne_bytes());
    raw[28..32].copy_from_slice(&flags.to_ne_bytes());
    raw[32..40].copy_from_slice(&entry.number.to_ne_bytes());
    raw
}

/// One that has the number of another where others have an address.
fn numbered(entry: Entry, op: u8, fd: i32, other: u64, flags: u32) -> [u8; SQE] {
    let mut raw = [0; SQE];
    raw[0] = op;
    raw[1] = entry.flags & FLAGS;
    raw[4..8].copy_from_slice(&fd.to_ne_bytes());
    raw[16..24].copy_from_slice(&other.to_ne_bytes());
    raw[28..32].copy_from_slice(&flags.to_ne_bytes());
    raw[32..40].copy_from_slice(&entry.number.to_ne_bytes());
    raw
}
