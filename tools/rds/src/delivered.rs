// SPDX-License-Identifier: GPL-2.0

//! Waiting until the peer has what was sent.

use crate::{Family, Interest, RecvFlags, Socket, Transport, PING_PORT};
use rustix::net::sockopt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How often it is looked whether everything is acknowledged, if no answer comes.
const LOOK: Duration = Duration::from_millis(200);

/// How long it is until then, if there is an end; `TimedOut` if it is over.
fn left_until(end: Option<Instant>) -> io::Result<Option<Duration>> {
    let left = end.map(|end| end.saturating_duration_since(Instant::now()));
    if left == Some(Duration::ZERO) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

impl Socket {
    /// Waits until the kernel of `to` has everything that was sent to it from this socket so far.
    /// Before that, closing the socket takes messages back.
    ///
    /// Acknowledgements alone do not tell: the last few messages are acknowledged only with
    /// something else that comes back. So a ping goes after them, from a socket of its own, over
    /// the same connection; what comes for this socket stays there. Over TCP a peer has several
    /// connections, and the ping would take another one. There acknowledgements do tell.
    ///
    /// # Errors
    ///
    /// `TimedOut` when `timeout` is over; otherwise as [`Socket::bind`] and [`Socket::send_to`].
    pub fn wait_delivered(&self, to: SocketAddr, timeout: Option<Duration>) -> io::Result<()> {
        let end = timeout.map(|timeout| Instant::now() + timeout);
        let Some(mut local) = self.local_addr()? else {
            return Ok(());
        };
        if self.transport()? == Some(Transport::Tcp) {
            return self.wait_acknowledged(to, end);
        }
        // Between two addresses of one host a ping may take another way, and messages mostly have arrived.
        let is_here = UdpSocket::bind((to.ip().to_canonical(), 0)).is_ok();
        if is_here && matches!(self.in_flight_to(to), Ok(0)) {
            return Ok(());
        }
        local.set_port(0);
        let mut ping = to;
        ping.set_port(PING_PORT);
        let probe = self.twin(local)?;
        probe.send_to(&[], ping)?;
        loop {
            match probe.recv_message(&mut [IoSliceMut::new(&mut [])], RecvFlags::DONTWAIT) {
                Ok(received) if received.from.is_some() => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            let left = left_until(end)?;
            let wait = left.unwrap_or(LOOK).min(LOOK);
            let came = probe.wait(Interest::READABLE, Some(wait))?;
            // The peer may be one that does not answer pings.
            if came == Interest::NONE && self.in_flight()? == 0 {
                return Ok(());
            }
        }
    }

    /// How many messages to the host of `to` are not acknowledged.
    fn in_flight_to(&self, to: SocketAddr) -> io::Result<usize> {
        let peer = to.ip().to_canonical();
        self.in_flight_that(|message| message.remote == peer)
    }

    /// Waits until all that was sent to `to` is acknowledged.
    fn wait_acknowledged(&self, to: SocketAddr, end: Option<Instant>) -> io::Result<()> {
        let mut pause = Duration::from_millis(1);
        loop {
            match self.in_flight_to(to) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // Others send so much that the list grows faster than it is read.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {}
                Err(error) => return Err(error),
            }
            let left = left_until(end)?;
            std::thread::sleep(left.unwrap_or(pause).min(pause));
            pause = (pause * 2).min(LOOK);
        }
    }

    /// Another socket whose messages take the same connection.
    fn twin(&self, local: SocketAddr) -> io::Result<Self> {
        let domain = sockopt::socket_domain(self)?;
        let twin = Self::new(Family::new(domain.as_raw()))?;
        match self.transport()? {
            Some(Transport::Loopback) | None => {}
            Some(transport) => twin.set_transport(transport)?,
        }
        twin.bind(local)?;
        match self.tos()? {
            0 => {}
            tos => twin.set_tos(tos)?,
        }
        Ok(twin)
    }
}
