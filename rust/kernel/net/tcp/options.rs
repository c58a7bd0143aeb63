// SPDX-License-Identifier: GPL-2.0

//! Options of sockets.
//!
//! C header: [`include/uapi/linux/tcp.h`](srctree/include/uapi/linux/tcp.h)

use super::socket::TcpSocket;
use crate::bindings;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// When a peer that says nothing is asked, and taken for dead. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How long it may say nothing.
    pub idle: u32,
    /// How long to wait for an answer.
    pub interval: u32,
    /// How many answers may be missing.
    pub probes: u32,
}

/// Options to be set. What is `None` stays as it is.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Whether small pieces are sent at once (`TCP_NODELAY`).
    pub nodelay: Option<bool>,
    /// Whether only full segments are sent, until this ends (`TCP_CORK`).
    pub cork: Option<bool>,
    /// Whether the local address may be one of connections that have ended (`SO_REUSEADDR`).
    pub reuse_addr: Option<bool>,
    /// Whether a peer that says nothing is asked (`SO_KEEPALIVE` and what belongs to it).
    pub keepalive: Option<Keepalive>,
    /// How long what was sent may stay without an acknowledgement, in milliseconds, before the connection is given
    /// up (`TCP_USER_TIMEOUT`).
    pub user_timeout: Option<u32>,
    /// Memory for what is sent and was not acknowledged, in bytes, with what the kernel needs beside the data. TCP does not
    /// choose it any more then (`SO_SNDBUF`, which counts half of it).
    pub send_buffer: Option<u32>,
    /// The same of what has come and was not read (`SO_RCVBUF`).
    pub receive_buffer: Option<u32>,
    /// The name of the congestion control (`TCP_CONGESTION`), as `bbr`.
    pub congestion: Option<&'a [u8]>,
}

const SOL_SOCKET: c_int = bindings::SOL_SOCKET as c_int;
const SOL_TCP: c_int = bindings::SOL_TCP as c_int;

impl Options<'_> {
    /// Sets them, in order, up to the first that fails. Sleeps.
    pub(super) fn apply(&self, socket: &TcpSocket) -> Result {
        if let Some(on) = self.reuse_addr {
            number(socket, SOL_SOCKET, bindings::SO_REUSEADDR, on.into())?;
        }
        if let Some(on) = self.nodelay {
            number(socket, SOL_TCP, bindings::TCP_NODELAY, on.into())?;
        }
        if let Some(on) = self.cork {
            number(socket, SOL_TCP, bindings::TCP_CORK, on.into())?;
        }
        if let Some(keepalive) = self.keepalive {
            number(socket, SOL_TCP, bindings::TCP_KEEPIDLE, keepalive.idle)?;
            number(socket, SOL_TCP, bindings::TCP_KEEPINTVL, keepalive.interval)?;
            number(socket, SOL_TCP, bindings::TCP_KEEPCNT, keepalive.probes)?;
            number(socket, SOL_SOCKET, bindings::SO_KEEPALIVE, 1)?;
        }
        if let Some(time) = self.user_timeout {
            number(socket, SOL_TCP, bindings::TCP_USER_TIMEOUT, time)?;
        }
        // Whatever the limits are that programs have.
        if let Some(bytes) = self.send_buffer {
            number(socket, SOL_SOCKET, bindings::SO_SNDBUFFORCE, bytes / 2)?;
        }
        if let Some(bytes) = self.receive_buffer {
            number(socket, SOL_SOCKET, bindings::SO_RCVBUFFORCE, bytes / 2)?;
        }
        if let Some(name) = self.congestion {
            set(socket, SOL_TCP, bindings::TCP_CONGESTION, name)?;
        }
        Ok(())
    }
}

/// Sets an option whose value is a number.
fn number(socket: &TcpSocket, level: c_int, name: u32, value: u32) -> Result {
    let value = c_int::try_from(value).map_err(|_| EINVAL)?;

    set(socket, level, name, &value.to_ne_bytes())
}

fn set(socket: &TcpSocket, level: c_int, name: u32, value: &[u8]) -> Result {
    let len = c_int::try_from(value.len()).map_err(|_| EINVAL)?;

    // CAST: The names of options are small.
    //
    // SAFETY: By the type invariant of `RawSocket`. The value is read only, in its length.
    to_result(unsafe {
        bindings::krdma_sock_setsockopt(
            socket.as_raw(),
            level,
            name as c_int,
            value.as_ptr().cast_mut().cast(),
            len,
        )
    })
}
