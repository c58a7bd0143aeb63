// SPDX-License-Identifier: GPL-2.0

//! Calls with any arguments, as nothing with types would make them.

use crate::end;
use crate::table::{skip, Wrong};
use crate::World;
use raw_calls::{call, Addr, Arena, Call, Got};
use rds::{Socket, Transport};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

pub const SOL_RDS: i32 = 276;

/// What the socket is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Nothing.
    Not,
    /// Our address, over RDMA, and connected to the server.
    Rdma,
    /// Our address, over TCP, and connected to itself.
    Tcp,
    /// Loopback, and connected to itself.
    Loopback,
}

/// A socket, and memory for its calls. Pieces of the memory: 2 data, 3 its vector, 4 message header, 5 control, 6 local
/// memory of operations, 7 the list of it, 8 memory that may only be read, 9 a cookie.
pub struct Raw {
    pub arena: Arena,
    pub socket: Socket,
}

impl Raw {
    pub fn new(world: &World, bound: Bound) -> Result<Self, Wrong> {
        let mut local = world.local;
        local.set_port(0);
        let to_itself = |socket: &Socket| match socket.local_addr()? {
            Some(at) => socket.connect(at),
            None => Ok(()),
        };
        let socket = match bound {
            Bound::Not => Socket::new(world.family)?,
            Bound::Rdma => {
                let socket = end::bound(world.family, Transport::Rdma, local)?;
                socket.connect(world.peer)?;
                socket
            }
            Bound::Tcp => {
                let socket = Socket::new(world.family)?;
                if let Err(error) = socket.set_transport(Transport::Tcp) {
                    if error.raw_os_error() == Some(libc::ENOPROTOOPT) {
                        return skip("there is no TCP");
                    }
                    return Err(error.into());
                }
                socket.bind(local)?;
                to_itself(&socket)?;
                socket
            }
            Bound::Loopback => {
                let socket = Socket::new(world.family)?;
                socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
                to_itself(&socket)?;
                socket
            }
        };
        Ok(Self {
            arena: Arena::new()?,
            socket,
        })
    }

    fn fd(&self) -> i32 {
        self.socket.as_fd().as_raw_fd()
    }

    /// Sends 4 bytes with this control.
    pub fn send(&self, control: &[u8], to: Option<SocketAddr>) -> Got {
        let arena = &self.arena;
        let name = to.map(sockaddr).unwrap_or_default();
        let data = arena.place(2, b"data");
        let vector = [data.word(), number(4)].concat();
        let header = [
            arena.place(0, &name).word(),
            number(name.len() as u64),
            arena.place(3, &vector).word(),
            number(1),
            arena.place(5, control).word(),
            number(control.len() as u64),
            number(0),
        ]
        .concat();
        call(Call::Sendmsg(self.fd(), arena.place(4, &header), 0))
    }

    /// Sets an option of RDS.
    pub fn set(&self, name: i32, value: &[u8]) -> Got {
        self.set_at(name, self.arena.place(2, value), value.len() as i32)
    }

    /// The same, with a value anywhere.
    pub fn set_at(&self, name: i32, value: Addr, len: i32) -> Got {
        call(Call::Setsockopt(self.fd(), SOL_RDS, name, value, len))
    }

    /// Memory that operations may read and write.
    pub fn local(&self, len: usize) -> Addr {
        self.arena.room(6, len)
    }

    /// Memory that may only be read.
    pub fn sealed(&self, len: usize) -> Result<Addr, Wrong> {
        self.arena.seal(8)?;
        Ok(self.arena.room(8, len))
    }

    /// A list of pieces of local memory, and how many there are.
    pub fn list(&self, pieces: &[(Addr, u64)]) -> (Addr, u64) {
        let words = pieces.iter().map(|(at, len)| [at.word(), number(*len)]);
        let bytes: Vec<u8> = words.flatten().flatten().collect();
        (self.arena.place(7, &bytes), pieces.len() as u64)
    }
}

/// As it is in a structure.
pub fn number(number: u64) -> [u8; 8] {
    number.to_ne_bytes()
}

fn sockaddr(addr: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    match addr {
        SocketAddr::V4(v4) => {
            bytes.extend((libc::AF_INET as u16).to_ne_bytes());
            bytes.extend(v4.port().to_be_bytes());
            bytes.extend(v4.ip().octets());
            bytes.resize(16, 0);
        }
        SocketAddr::V6(v6) => {
            bytes.extend((libc::AF_INET6 as u16).to_ne_bytes());
            bytes.extend(v6.port().to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(v6.ip().octets());
            bytes.extend(v6.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// A control message.
pub fn cmsg(kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = number(16 + data.len() as u64).to_vec();
    bytes.extend(SOL_RDS.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// `struct rds_rdma_args`.
pub struct Args {
    pub remote_bytes: u64,
    pub list: (Addr, u64),
    pub flags: u64,
}

impl Args {
    pub fn bytes(&self) -> Vec<u8> {
        let (list, count) = self.list;
        [
            number(1),
            number(0),
            number(self.remote_bytes),
            list.word(),
            number(count),
            number(self.flags),
            number(7),
        ]
        .concat()
    }
}

/// `struct rds_atomic_args` of an addition.
pub fn atomic(local: Addr) -> Vec<u8> {
    let mut bytes = [number(1), local.word(), number(0), number(1)].concat();
    bytes.resize(72, 0);
    bytes
}

/// `struct rds_get_mr_args`.
pub fn map(at: [u8; 8], len: u64, cookie: Addr) -> Vec<u8> {
    [at, number(len), cookie.word(), number(0)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_c() {
        let args = Args {
            remote_bytes: 1,
            list: (Addr::NULL, 0),
            flags: 0,
        };
        assert_eq!(args.bytes().len(), 56);
        assert_eq!(atomic(Addr::NULL).len(), 72);
        assert_eq!(map(number(0), 0, Addr::NULL).len(), 32);
        assert_eq!(cmsg(1, &[0; 55]).len(), 72);
        assert_eq!(cmsg(1, &[0; 55])[..8], number(71));
    }
}
