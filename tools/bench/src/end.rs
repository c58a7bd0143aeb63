// SPDX-License-Identifier: GPL-2.0

//! One end of a pair of sockets, of any kind: whole messages go out and come in.

use rds::Socket;
use rustix::net::{RecvFlags, SendFlags};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// All of it.
    Whole,
    /// A part: the next call goes on with it.
    Part,
}

/// One end.
pub enum End {
    /// A socket of RDS.
    Rds(Socket),
    /// A socket whose messages go out and come in at once.
    Packets(OwnedFd),
    /// A socket that has bytes only.
    Stream(Stream),
}

/// A stream of bytes, and how many of the message under way were sent and received.
pub struct Stream {
    fd: OwnedFd,
    sent: usize,
    received: usize,
}

impl From<OwnedFd> for Stream {
    fn from(fd: OwnedFd) -> Self {
        Self {
            fd,
            sent: 0,
            received: 0,
        }
    }
}

impl End {
    /// Whether a part of a message was sent and its rest was not.
    pub fn owes(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.sent > 0)
    }

    /// Sends a message, or the rest of it. With `wait` it waits for room, but a stream only for the first byte's:
    /// both ends are in one thread, and nobody else would read.
    pub fn send(&mut self, data: &[u8], wait: bool) -> io::Result<Moved> {
        let flags = if wait {
            SendFlags::NOSIGNAL
        } else {
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT
        };
        match self {
            Self::Rds(socket) => {
                let flags = if wait {
                    rds::SendFlags::NONE
                } else {
                    rds::SendFlags::DONTWAIT
                };
                socket.send_message(&[IoSlice::new(data)], None, &[], flags)?;
            }
            Self::Packets(fd) => {
                rustix::net::send(fd, data, flags)?;
            }
            Self::Stream(stream) => {
                let rest = &data[stream.sent..];
                let alone = if stream.sent == 0 && data.len() <= 4096 {
                    flags
                } else {
                    flags | SendFlags::DONTWAIT
                };
                stream.sent += rustix::net::send(&stream.fd, rest, alone)?;
                if stream.sent < data.len() {
                    return Ok(Moved::Part);
                }
                stream.sent = 0;
            }
        }
        Ok(Moved::Whole)
    }

    /// Receives a message, which must have `size` bytes, or the next part of it. With `wait` it waits for
    /// the first byte.
    pub fn receive(&mut self, room: &mut [u8], size: usize, wait: bool) -> io::Result<Moved> {
        let flags = if wait {
            RecvFlags::empty()
        } else {
            RecvFlags::DONTWAIT
        };
        let got = match self {
            Self::Rds(socket) => {
                let flags = if wait {
                    rds::RecvFlags::NONE
                } else {
                    rds::RecvFlags::DONTWAIT
                };
                let got = socket.recv_message(&mut [IoSliceMut::new(room)], flags)?;
                if got.from.is_none() {
                    return Err(io::Error::other("notices instead of a message"));
                }
                got.len
            }
            Self::Packets(fd) => rustix::net::recv(fd, room, flags)?.0,
            Self::Stream(stream) => {
                let rest = &mut room[..size - stream.received];
                let got = rustix::net::recv(&stream.fd, rest, flags)?.0;
                if got == 0 {
                    return Err(io::Error::other("the stream has ended"));
                }
                stream.received += got;
                if stream.received < size {
                    return Ok(Moved::Part);
                }
                std::mem::take(&mut stream.received)
            }
        };
        if got != size {
            return Err(io::Error::other(format!("{got} bytes instead of {size}")));
        }
        Ok(Moved::Whole)
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Rds(socket) => socket.as_fd(),
            Self::Packets(fd) => fd.as_fd(),
            Self::Stream(stream) => stream.fd.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rds::must_wait;
    use rustix::net::{socketpair, AddressFamily, SocketFlags, SocketType};

    fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, kind, SocketFlags::empty(), None).unwrap()
    }

    #[test]
    fn a_stream_moves_messages_in_parts() {
        let (near, far) = pair(SocketType::STREAM);
        let (mut near, mut far) = (End::Stream(near.into()), End::Stream(far.into()));
        // More than the socket's buffer has room for.
        let data = vec![7; 4 << 20];
        let mut room = vec![0; data.len()];
        let (mut sent, mut parts) = (false, 0);

        loop {
            if !sent {
                match near.send(&data, true) {
                    Ok(moved) => sent = moved == Moved::Whole,
                    Err(error) => assert!(must_wait(&error)),
                }
                assert_eq!(near.owes(), !sent);
            }
            match far.receive(&mut room, data.len(), false) {
                Ok(Moved::Whole) => break,
                Ok(Moved::Part) => parts += 1,
                Err(error) => assert!(must_wait(&error)),
            }
        }
        assert!(sent && parts > 0);
        let error = far.receive(&mut room, 1, false).unwrap_err();
        assert!(must_wait(&error));
    }

    #[test]
    fn a_packet_of_another_length_is_an_error() {
        let (near, far) = pair(SocketType::SEQPACKET);
        let (mut near, mut far) = (End::Packets(near), End::Packets(far));

        near.send(&[1; 64], true).unwrap();
        near.send(&[1; 65], true).unwrap();
        let mut room = [0; 128];
        assert_eq!(far.receive(&mut room, 64, true).unwrap(), Moved::Whole);
        assert!(far.receive(&mut room, 64, true).is_err());
        assert!(!near.owes());
    }
}
