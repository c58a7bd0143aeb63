// SPDX-License-Identifier: GPL-2.0

//! Instructions, counted one by one.

use crate::process::fork;
use std::io;
use std::ptr::null_mut;

/// Asks the kernel about a child that is traced, or has it traced.
fn trace(request: libc::c_uint, child: i32) -> io::Result<()> {
    let nothing = null_mut::<libc::c_void>();
    // SAFETY: With these requests nothing is read or written at the addresses, which are numbers: none, and
    // no signal.
    match unsafe { libc::ptrace(request, child, nothing, nothing) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The signal with which a child has stopped.
fn stopped(child: i32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: The status lives through the call.
    if unsafe { libc::waitpid(child, &mut status, 0) } != child {
        return Err(io::Error::last_os_error());
    }
    match libc::WIFSTOPPED(status) {
        true => Ok(libc::WSTOPSIG(status)),
        false => Err(io::Error::other(format!("the child ended: {status:#x}"))),
    }
}

fn stop() {
    // SAFETY: Only a number is passed.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Counts the instructions of the program, not those of the kernel, that `work` takes in a child. Two counts
/// of the same work are equal, on whatever machine, and have what two signals take in addition.
///
/// # Errors
///
/// If the kernel does not let this process trace its child, or `work` ends it.
pub fn instructions(work: impl FnOnce() + Send) -> io::Result<u64> {
    let child = fork(move || {
        if trace(libc::PTRACE_TRACEME, 0).is_err() {
            return 1;
        }
        stop();
        work();
        stop();
        0
    })
    .map_err(io::Error::from_raw_os_error)?;
    stopped(child)?;
    let mut count = 0;
    loop {
        trace(libc::PTRACE_SINGLESTEP, child)?;
        match stopped(child)? {
            libc::SIGTRAP => count += 1,
            libc::SIGSTOP => break,
            signal => return Err(io::Error::other(format!("the child got signal {signal}"))),
        }
    }
    trace(libc::PTRACE_KILL, child)?;
    // It is gone whatever this says.
    let _ = stopped(child);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn the_same_work_takes_the_same_instructions() {
        let count = |turns: u64| {
            instructions(|| {
                for n in 0..turns {
                    black_box(n);
                }
            })
            .unwrap()
        };
        let counts = [100, 100, 200, 300].map(count);
        assert_eq!(counts[0], counts[1]);
        assert_eq!(counts[2] - counts[1], counts[3] - counts[2]);
        assert!(counts[2] >= counts[1] + 200, "{counts:?}");
        instructions(|| std::process::exit(3)).unwrap_err();
    }
}
