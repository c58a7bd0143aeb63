// SPDX-License-Identifier: GPL-2.0

//! The calls.

use crate::arena::{Addr, PAGE};
use std::ffi::c_long;
use std::io;

/// A result: what the call returned, or the error number.
pub type Got = Result<i64, i32>;

/// Who uses it is 32-bit code: a mark that only the kernel sets.
pub const MSG_CMSG_COMPAT: i32 = i32::MIN;

/// A number of a system call, and its arguments.
///
/// Only those of sockets and the few more below are here, so that nothing can be asked of the
/// kernel that would touch other memory: none maps, unmaps or moves memory that exists.
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
    /// The two ends of a new pipe, with these flags.
    Pipe(Addr, i32),
    /// With a time, or none.
    Recvmmsg(i32, Addr, u32, i32, Addr),
    Dup(i32),
    /// `fcntl`: whether the file is closed on exec; fails unless it is open.
    GetFd(i32),
    /// `fcntl`: a flag that must be one of the file's status.
    SetFlags(i32, i32),
    /// `fcntl`: who gets SIGIO.
    SetOwner(i32, i32),
    /// With three sets of files below the number.
    Select(i32, [Addr; 3], Addr),
    EpollCreate(i32),
    EpollCtl(i32, i32, i32, Addr),
    EpollWait(i32, Addr, i32, i32),
    /// From one file to another, of which one is a pipe.
    Splice(i32, i32, usize, u32),
    Tee(i32, i32, usize, u32),
    /// To a file from another, from where the offset says.
    Sendfile(i32, i32, Addr, usize),
    Vmsplice(i32, Addr, usize, u32),
    /// A file in memory, with a name.
    Memfd(Addr, u32),
    /// A path and flags.
    Open(Addr, i32),
    /// A network namespace of the thread's own; and a user namespace of the process', which only
    /// a process with one thread can have.
    NewNet {
        user: bool,
    },
    /// Enters a network namespace.
    EnterNet(i32),
    /// A signal to a thread of a process.
    Signal(i32, i32, i32),
    /// A signal to a process.
    Kill(i32, i32),
    /// Who the thread is, as the only user and group.
    Become(u32),
    /// A limit, from a structure.
    Limit(i32, Addr),
    /// SIGALRM, as a structure says.
    Alarm(Addr),
    /// For a child of this number to end, with its status.
    Wait(i32, Addr, i32),
    /// Ends the process.
    Exit(i32),
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
        Call::Pipe(p, flags) => (libc::SYS_pipe2, [p.0, int(flags), 0, 0, 0, 0]),
        Call::Recvmmsg(fd, p, n, flags, time) => (
            libc::SYS_recvmmsg,
            [int(fd), p.0, n as usize, int(flags), time.0, 0],
        ),
        Call::Dup(fd) => (libc::SYS_dup, [int(fd), 0, 0, 0, 0, 0]),
        Call::GetFd(fd) => (libc::SYS_fcntl, [int(fd), int(libc::F_GETFD), 0, 0, 0, 0]),
        Call::SetFlags(fd, flags) => (
            libc::SYS_fcntl,
            [int(fd), int(libc::F_SETFL), int(flags), 0, 0, 0],
        ),
        Call::SetOwner(fd, who) => (
            libc::SYS_fcntl,
            [int(fd), int(libc::F_SETOWN), int(who), 0, 0, 0],
        ),
        Call::Select(n, [r, w, x], time) => (libc::SYS_select, [int(n), r.0, w.0, x.0, time.0, 0]),
        Call::EpollCreate(flags) => (libc::SYS_epoll_create1, [int(flags), 0, 0, 0, 0, 0]),
        Call::EpollCtl(ep, op, fd, p) => {
            (libc::SYS_epoll_ctl, [int(ep), int(op), int(fd), p.0, 0, 0])
        }
        Call::EpollWait(ep, p, n, timeout) => (
            libc::SYS_epoll_wait,
            [int(ep), p.0, int(n), int(timeout), 0, 0],
        ),
        Call::Splice(from, to, n, flags) => (
            libc::SYS_splice,
            [int(from), 0, int(to), 0, n, flags as usize],
        ),
        Call::Tee(from, to, n, flags) => {
            (libc::SYS_tee, [int(from), int(to), n, flags as usize, 0, 0])
        }
        Call::Sendfile(to, from, offset, n) => {
            (libc::SYS_sendfile, [int(to), int(from), offset.0, n, 0, 0])
        }
        Call::Vmsplice(fd, p, n, flags) => {
            (libc::SYS_vmsplice, [int(fd), p.0, n, flags as usize, 0, 0])
        }
        Call::Memfd(name, flags) => (libc::SYS_memfd_create, [name.0, flags as usize, 0, 0, 0, 0]),
        Call::Open(path, flags) => (
            libc::SYS_openat,
            [int(libc::AT_FDCWD), path.0, int(flags), 0, 0, 0],
        ),
        Call::NewNet { user } => {
            let user = if user { libc::CLONE_NEWUSER } else { 0 };
            let flags = int(libc::CLONE_NEWNET | user);
            (libc::SYS_unshare, [flags, 0, 0, 0, 0, 0])
        }
        Call::EnterNet(fd) => (
            libc::SYS_setns,
            [int(fd), int(libc::CLONE_NEWNET), 0, 0, 0, 0],
        ),
        Call::Signal(process, thread, signal) => (
            libc::SYS_tgkill,
            [int(process), int(thread), int(signal), 0, 0, 0],
        ),
        Call::Kill(process, signal) => (libc::SYS_kill, [int(process), int(signal), 0, 0, 0, 0]),
        Call::Become(id) => {
            let id = id as usize;
            // SAFETY: Only numbers are passed.
            if unsafe { libc::syscall(libc::SYS_setresgid, id, id, id) } != 0 {
                return Err(io::Error::last_os_error().raw_os_error().unwrap_or(0));
            }
            (libc::SYS_setresuid, [id, id, id, 0, 0, 0])
        }
        Call::Limit(which, p) => (libc::SYS_setrlimit, [int(which), p.0, 0, 0, 0, 0]),
        Call::Alarm(p) => (
            libc::SYS_setitimer,
            [int(libc::ITIMER_REAL), p.0, 0, 0, 0, 0],
        ),
        Call::Wait(child, p, options) => {
            (libc::SYS_wait4, [int(child), p.0, int(options), 0, 0, 0])
        }
        Call::Exit(status) => (libc::SYS_exit_group, [int(status), 0, 0, 0, 0, 0]),
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
