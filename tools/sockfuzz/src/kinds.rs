// SPDX-License-Identifier: GPL-2.0

//! The kinds of calls, the errors that each may give, and how often each came.

use libc::*;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Error numbers that are counted apart; those above are all one.
const ERRNOS: usize = 140;

macro_rules! kinds {
    ($($kind:ident $name:literal: $($errno:ident)*;)*) => {
        /// A kind of call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($kind,)* }

        const KINDS: &[(Kind, &str, &[i32])] = &[$((Kind::$kind, $name, &[$($errno,)*]),)*];
    };
}

// Any may be made with a file that is closed meanwhile, or another one meanwhile; those that wait may be
// interrupted. EFAULT is looked at apart.
kinds! {
    Socket "socket": EAFNOSUPPORT ESOCKTNOSUPPORT EPROTONOSUPPORT EINVAL EMFILE EPERM EACCES;
    Bind "bind": EBADF ENOTSOCK EINVAL EADDRNOTAVAIL EADDRINUSE ENOPROTOOPT EAFNOSUPPORT EACCES ENODEV EOPNOTSUPP;
    Connect "connect": EBADF ENOTSOCK EINVAL EDESTADDRREQ EPROTOTYPE EAFNOSUPPORT ECONNREFUSED ENETUNREACH EHOSTUNREACH
        EACCES EOPNOTSUPP EISCONN EINTR ENODEV EADDRNOTAVAIL;
    Getsockname "getsockname": EBADF ENOTSOCK EINVAL;
    Getpeername "getpeername": EBADF ENOTSOCK EINVAL ENOTCONN EOPNOTSUPP;
    Send "sendto": EBADF ENOTSOCK EOPNOTSUPP EINVAL ENOTCONN EMSGSIZE EAGAIN ENOBUFS ETIMEDOUT EINTR ENETDOWN EDESTADDRREQ
        EPIPE EAFNOSUPPORT EACCES ECONNREFUSED ENETUNREACH EHOSTUNREACH EPERM EADDRNOTAVAIL EISCONN ECONNRESET;
    Sendmsg "sendmsg": EBADF ENOTSOCK EOPNOTSUPP EINVAL ENOTCONN EMSGSIZE EAGAIN ENOBUFS ETIMEDOUT EINTR ENETDOWN
        EDESTADDRREQ EPIPE EAFNOSUPPORT EACCES ECONNREFUSED ENETUNREACH EHOSTUNREACH EPERM EADDRNOTAVAIL EISCONN ECONNRESET
        ENODEV;
    Sendmmsg "sendmmsg": EBADF ENOTSOCK EOPNOTSUPP EINVAL ENOTCONN EMSGSIZE EAGAIN ENOBUFS ETIMEDOUT EINTR ENETDOWN
        EDESTADDRREQ EPIPE EAFNOSUPPORT EACCES ECONNREFUSED ENETUNREACH EHOSTUNREACH EPERM EADDRNOTAVAIL EISCONN ECONNRESET
        ENODEV;
    Write "write": EBADF EOPNOTSUPP EINVAL ENOTCONN EMSGSIZE EAGAIN ENOBUFS ETIMEDOUT EINTR ENETDOWN EDESTADDRREQ EPIPE
        ECONNREFUSED ENETUNREACH EHOSTUNREACH EPERM EFBIG EADDRNOTAVAIL;
    Recv "recvfrom": EBADF ENOTSOCK EAGAIN ETIMEDOUT EINTR EINVAL EOPNOTSUPP ENOTCONN ECONNREFUSED ECONNRESET;
    Recvmsg "recvmsg": EBADF ENOTSOCK EAGAIN ETIMEDOUT EINTR EINVAL EOPNOTSUPP ENOTCONN EMSGSIZE ECONNREFUSED ECONNRESET;
    Recvmmsg "recvmmsg": EBADF ENOTSOCK EAGAIN ETIMEDOUT EINTR EINVAL EOPNOTSUPP ENOTCONN EMSGSIZE ECONNREFUSED ECONNRESET;
    Read "read": EBADF EAGAIN ETIMEDOUT EINTR EINVAL ENOTCONN ECONNREFUSED ECONNRESET EISDIR;
    Set "setsockopt": EBADF ENOTSOCK EINVAL ENOPROTOOPT EOPNOTSUPP ENOTCONN EPERM ENODEV EDOM EPROTOTYPE EBUSY EAGAIN
        EMSGSIZE ENOENT EADDRNOTAVAIL EACCES E2BIG;
    Get "getsockopt": EBADF ENOTSOCK EINVAL ENOPROTOOPT EOPNOTSUPP ENOSPC ERANGE ENOTCONN EPERM ENODATA ENODEV ENOENT EACCES;
    Info "getsockopt info": EBADF ENOTSOCK EINVAL ENOPROTOOPT ENOSPC EOPNOTSUPP;
    Ioctl "ioctl": EBADF ENOTTY EINVAL EPERM ESRCH ENOENT ENODEV EOPNOTSUPP;
    Poll "poll": EINTR EINVAL;
    Select "select": EINTR EINVAL EBADF;
    EpollCreate "epoll_create": EMFILE EINVAL;
    EpollCtl "epoll_ctl": EBADF EPERM EINVAL EEXIST ENOENT ELOOP;
    EpollWait "epoll_wait": EBADF EINVAL EINTR;
    Dup "dup": EBADF EMFILE;
    Close "close":;
    Shutdown "shutdown": EBADF ENOTSOCK EOPNOTSUPP EINVAL ENOTCONN;
    Listen "listen": EBADF ENOTSOCK EOPNOTSUPP EINVAL;
    Accept "accept": EBADF ENOTSOCK EOPNOTSUPP EINVAL EMFILE EAGAIN EINTR;
    Fcntl "fcntl": EBADF EINVAL ESRCH EPERM EACCES;
    // EINVAL for an io_uring, which is not handed on.
    Give "sendmsg file": EBADF EINVAL EAGAIN EINTR ETOOMANYREFS ECONNREFUSED ECONNRESET EPIPE ENOTCONN;
    Take "recvmsg file": EAGAIN EINTR EBADF ECONNRESET;
    Pipe "pipe": EMFILE ENFILE;
    Splice "splice": EBADF EINVAL EAGAIN EINTR ETIMEDOUT EOPNOTSUPP ENOTCONN EMSGSIZE ENOBUFS EPIPE ENETDOWN EPERM
        EDESTADDRREQ ECONNREFUSED ENETUNREACH EHOSTUNREACH ECONNRESET EADDRNOTAVAIL;
    Tee "tee": EBADF EINVAL EAGAIN EINTR EPIPE;
    Sendfile "sendfile": EBADF EINVAL EAGAIN EINTR ETIMEDOUT EOPNOTSUPP ENOTCONN EMSGSIZE ENOBUFS EPIPE ENETDOWN EPERM
        ESPIPE EDESTADDRREQ ECONNREFUSED ENETUNREACH EHOSTUNREACH EFBIG EADDRNOTAVAIL;
    Vmsplice "vmsplice": EBADF EINVAL EAGAIN EINTR EPIPE;
    Memfd "memfd": EMFILE EINVAL;
    RingOpen "io_uring_setup": EMFILE ENFILE EPERM;
    RingEnter "io_uring_enter": EINTR EAGAIN EBUSY;
    // What the calls may give of which they are made (`parts`), and:
    RingSend "uring send": ECANCELED;
    RingReceive "uring receive": ECANCELED;
    RingPoll "uring poll": EBADF ECANCELED EPERM;
    RingCancel "uring cancel": ENOENT EALREADY EBADF ECANCELED EINVAL EINTR;
    RingAny "uring other": ECANCELED;
    Fork "fork": EAGAIN;
    Unshare "unshare": EPERM EINVAL ENOSPC EUSERS;
    Setns "setns": EPERM EINVAL EBADF;
    Signal "tgkill": ESRCH EINVAL;
    Limit "setrlimit": EPERM EINVAL;
    Look "open, read": ENOENT EACCES EMFILE EINVAL EPERM;
    Tune "open, write": ENOENT EACCES EMFILE EINVAL EPERM ERANGE;
    Pause "sleep": EINTR;
}

/// A number for the kernel's own use.
const ERESTARTSYS: i32 = 512;

/// What any kind may give beside its own.
const ANYWHERE: [i32; 2] = [EFAULT, ENOMEM];

impl Kind {
    fn row(self) -> &'static (Kind, &'static str, &'static [i32]) {
        &KINDS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The calls that the requests of this kind are, made by a ring.
    fn parts(self) -> &'static [Self] {
        match self {
            Self::RingSend => &[Self::Send, Self::Sendmsg, Self::Write],
            Self::RingReceive => &[Self::Recv, Self::Recvmsg, Self::Read],
            Self::RingPoll => &[Self::Poll],
            Self::RingAny => &[Self::Accept, Self::Connect, Self::Shutdown],
            _ => &[],
        }
    }

    /// Whether a call of this kind may give the error. `good`: no pointer was wrong.
    pub fn allows(self, errno: i32, good: bool) -> bool {
        // One that ends an earlier recvmmsg, which got a message first, is kept for the next: so the
        // kernel's own number for an interrupted call comes out, too, with any family of sockets.
        if self == Self::Recvmmsg && [EFAULT, ERESTARTSYS].contains(&errno) {
            return true;
        }
        if errno == EFAULT && good {
            return false;
        }
        ANYWHERE.contains(&errno)
            || self.row().2.contains(&errno)
            || self.parts().iter().any(|part| part.allows(errno, good))
    }
}

/// How often each kind gave what.
#[derive(Clone, Copy)]
pub struct Counts(&'static [AtomicU64]);

impl Counts {
    /// How many numbers it takes.
    pub const WORDS: usize = KINDS.len() * (ERRNOS + 1) + 2;
    const FAILURES: usize = Self::WORDS - 1;
    const SKIPPED: usize = Self::WORDS - 2;

    pub fn new(words: &'static [AtomicU64]) -> Self {
        assert!(words.len() >= Self::WORDS);
        Self(words)
    }

    pub fn add(&self, kind: Kind, errno: i32) {
        let errno = usize::try_from(errno).unwrap_or(ERRNOS).min(ERRNOS);
        self.0[kind as usize * (ERRNOS + 1) + errno].fetch_add(1, Relaxed);
    }

    /// Counts a failure, and returns how many there were before.
    pub fn fail(&self) -> u64 {
        self.0[Self::FAILURES].fetch_add(1, Relaxed)
    }

    pub fn failures(&self) -> u64 {
        self.0[Self::FAILURES].load(Relaxed)
    }

    /// Counts a step that could not be made here.
    pub fn skip(&self) {
        self.0[Self::SKIPPED].fetch_add(1, Relaxed);
    }

    pub fn skipped(&self) -> u64 {
        self.0[Self::SKIPPED].load(Relaxed)
    }

    /// How many calls there were.
    pub fn total(&self) -> u64 {
        self.0[..Self::SKIPPED]
            .iter()
            .map(|n| n.load(Relaxed))
            .sum()
    }

    /// A line for each kind.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (kind, name, _) in KINDS {
            let row = &self.0[*kind as usize * (ERRNOS + 1)..][..=ERRNOS];
            let row: Vec<_> = row.iter().map(|n| n.load(Relaxed)).collect();
            let _ = write!(text, "{name}: {}, fine {}", row.iter().sum::<u64>(), row[0]);
            for (errno, count) in row.iter().enumerate().skip(1).filter(|(_, n)| **n != 0) {
                let _ = match rds::errno_name(errno as i32) {
                    Some(name) => write!(text, ", {name} {count}"),
                    None => write!(text, ", {errno} {count}"),
                };
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_no_call_may_give() {
        for (kind, name, _) in KINDS {
            assert!(
                !kind.allows(ENOSYS, true) && !kind.allows(ENOSYS, false),
                "{name}"
            );
            assert_eq!(kind.name(), *name);
            // Those for the kernel's own use.
            assert!(!kind.allows(515, false) && !kind.allows(524, false));
            let keeps = *kind == Kind::Recvmmsg;
            assert_eq!(kind.allows(EFAULT, true), keeps, "{name}");
            assert_eq!(kind.allows(ERESTARTSYS, false), keeps, "{name}");
        }
        assert!(Kind::Bind.allows(EADDRINUSE, true) && !Kind::Bind.allows(EAGAIN, true));
    }
}
