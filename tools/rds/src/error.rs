// SPDX-License-Identifier: GPL-2.0

//! Errors as the kernel names them.

use std::io;

/// Whether sending failed because the destination's socket is full (`ENOBUFS`).
///
/// The socket is writable all the same: waiting for that does not help, see
/// [`Socket::set_congestion_monitor`](crate::Socket::set_congestion_monitor).
pub fn is_congested(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Whether a call would only have had to wait: for something to receive, for room in the socket's own
/// buffer, or, see [`is_congested`], at the destination.
pub fn must_wait(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || is_congested(error)
}

/// The name of an error number, as in `errno.h`; `None` for one that RDS does not use.
pub fn name(errno: i32) -> Option<&'static str> {
    macro_rules! names {
        ($($name:ident)*) => {
            match errno {
                $(libc::$name => Some(stringify!($name)),)*
                _ => None,
            }
        };
    }
    names! {
        EPERM EINTR EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY ENODEV EINVAL EMFILE ENOTTY ENOSPC EPIPE
        EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP
        EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENOBUFS EISCONN ENOTCONN
        ETIMEDOUT ENOTSOCK EDOM ERANGE ENOENT ENFILE EPROTO EIO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name(libc::EADDRNOTAVAIL), Some("EADDRNOTAVAIL"));
        assert_eq!(name(0), None);
        assert!(is_congested(&io::Error::from_raw_os_error(105)));
        assert!(!is_congested(&io::Error::from_raw_os_error(11)));
        assert!(must_wait(&io::Error::from_raw_os_error(11)));
        assert!(must_wait(&io::Error::from_raw_os_error(105)));
        assert!(!must_wait(&io::Error::from_raw_os_error(libc::ENETDOWN)));
    }
}
