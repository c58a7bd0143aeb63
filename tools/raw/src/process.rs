// SPDX-License-Identifier: GPL-2.0

//! What a program of many processes and threads needs: children, signals, numbers that all see.

use std::io;
use std::sync::atomic::AtomicU64;

/// Starts a child, which does `work` and ends with the status that this returns. Returns its number.
///
/// If this process has other threads, the child has none of them: a lock that one of them holds is held
/// for ever there. That of the allocator is not among those.
///
/// # Errors
///
/// As of `fork`.
pub fn fork(work: impl FnOnce() -> i32 + Send) -> Result<i32, i32> {
    // SAFETY: The child is a copy of the process in which only this thread goes on. It owns all that this
    // thread owned, in memory of its own, and it never returns from here: so nothing is dropped that this
    // process drops too and that both would share. A lock that stays taken blocks, which is no access to
    // memory.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        0 => {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: Only a number is passed; the call does not return, and runs nothing of this program.
            unsafe { libc::_exit(status.unwrap_or(101)) }
        }
        child => Ok(child),
    }
}

extern "C" fn nothing(_: i32) {}

/// Has a signal interrupt what a thread waits for, and do nothing else. With `restart` the kernel makes
/// the call anew where it can.
///
/// # Errors
///
/// `EINVAL` for signals that nobody can catch.
pub fn catch(signal: i32, restart: bool) -> io::Result<()> {
    // SAFETY: For this structure all bytes may be 0: no flags, no mask, the default action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
    action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
    // SAFETY: The structure is initialised and lives through the call. The handler takes the number, as one
    // without SA_SIGINFO does, and touches nothing.
    if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The number of the thread.
pub fn thread_id() -> i32 {
    // SAFETY: Nothing is passed.
    unsafe { libc::gettid() }
}

/// Numbers that this process and the children that it starts from now on see alike. They are 0, and stay
/// for the life of the process.
///
/// # Errors
///
/// `ENOMEM`.
pub fn shared(count: usize) -> io::Result<&'static [AtomicU64]> {
    let len = count.max(1) * size_of::<AtomicU64>();
    let kind = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: A new mapping, wherever there is room, touches nothing that exists.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), len, access, kind, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The mapping is at least so long, begins at a page, is zeroed, which atomics may be, and is
    // never unmapped. It is accessed through such references only, in each process.
    Ok(unsafe { std::slice::from_raw_parts(base.cast(), count) })
}
