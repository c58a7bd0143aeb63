// SPDX-License-Identifier: GPL-2.0

//! Pairs of sockets that are connected to each other.

use crate::end::{End, Moved, Stream};
use crate::kind::Kind;
use raw_calls::{call, Arena, Call};
use rds::{must_wait, Family, Socket, Transport};
use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::{move_into_link_name_space, LinkNameSpaceType};
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// The buffers of each socket: more than is ever under way, however it is counted.
const BUFFER: usize = 16 << 20;

/// How long a message may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was tried, and why it failed.
#[derive(Debug)]
pub struct Failure {
    what: String,
    why: String,
}

impl Failure {
    /// The kind of sockets, what was tried, and why it failed.
    pub fn new(kind: Kind, what: &str, why: impl fmt::Display) -> Self {
        Self {
            what: format!("family {kind}: {what}"),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Turns what a call says into a failure of what was tried.
pub fn failed<E: Into<io::Error>>(kind: Kind, what: &str) -> impl Fn(E) -> Failure + '_ {
    move |error| Failure::new(kind, what, error.into())
}

/// Where the two ends of a pair are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the two addresses, with all messages on the wire between their devices.
    Wire,
    /// At the two addresses, whichever way the kernel takes between addresses of one host.
    Own,
    /// Both at 127.0.0.1.
    Loopback,
}

/// The devices of the two addresses.
pub struct Devices {
    names: [String; 2],
    arena: Arena,
}

impl Devices {
    /// The devices of these names.
    pub fn new(near: &str, far: &str) -> io::Result<Self> {
        Ok(Self {
            names: [near.into(), far.into()],
            arena: Arena::new()?,
        })
    }

    /// How many packets both have sent.
    pub fn packets(&self) -> io::Result<u64> {
        let mut sum = 0;
        for name in &self.names {
            let text =
                std::fs::read_to_string(format!("/sys/class/net/{name}/statistics/tx_packets"))?;
            sum += text.trim().parse::<u64>().map_err(io::Error::other)?;
        }
        Ok(sum)
    }

    /// Has a socket send by one of them: the kernel would keep inside what is for its own address.
    fn bind(&self, fd: &OwnedFd, at: usize) -> io::Result<()> {
        let name = self.names[at].as_bytes();
        // The kernel takes as many bytes, and ends the name itself.
        let (place, len) = (self.arena.place(0, name), name.len() as i32);
        let (level, option) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
        call(Call::Setsockopt(fd.as_raw_fd(), level, option, place, len))
            .map_err(io::Error::from_raw_os_error)?;
        Ok(())
    }
}

/// The namespaces of the two ends, which are joined by some device in each, and have RDS over TCP.
pub struct Spaces([OwnedFd; 2]);

impl Spaces {
    /// Those that `ip netns` has given these names.
    pub fn new(near: &str, far: &str) -> io::Result<Self> {
        let open = |name| Ok::<_, io::Error>(File::open(format!("/run/netns/{name}"))?.into());
        Ok(Self([open(near)?, open(far)?]))
    }

    /// Has what is made from here on in the one of an end.
    fn enter(&self, at: usize) -> io::Result<()> {
        let kind = Some(LinkNameSpaceType::Network);
        Ok(move_into_link_name_space(self.0[at].as_fd(), kind)?)
    }
}

/// Where pairs of sockets are made.
pub struct Site {
    /// The addresses of this host.
    pub addresses: [IpAddr; 2],
    /// Their devices, if these are known.
    pub devices: Option<Devices>,
    /// Their namespaces, if each has one.
    pub spaces: Option<Spaces>,
}

/// Two sockets that are connected to each other, one of each address.
pub struct Pair {
    pub near: End,
    pub far: End,
    /// Messages from `near` that `far` has not received.
    pub under_way: usize,
}

fn buffers(fd: &OwnedFd) -> io::Result<()> {
    if sockopt::set_socket_send_buffer_size_force(fd, BUFFER).is_err() {
        sockopt::set_socket_send_buffer_size(fd, BUFFER)?;
    }
    if sockopt::set_socket_recv_buffer_size_force(fd, BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(fd, BUFFER)?;
    }
    Ok(())
}

impl Site {
    /// A bound socket of RDS at one of the addresses.
    pub fn rds(&self, family: u16, place: Place, at: usize, tos: u8) -> Result<Socket, Failure> {
        let failed = |what| failed::<io::Error>(Kind::Rds(family), what);
        self.enter(at).map_err(failed("namespace"))?;
        let socket = Socket::new(Family::new(family)).map_err(failed("socket"))?;

        if place == Place::Wire {
            let transport = match self.spaces {
                Some(_) => Transport::Tcp,
                None => Transport::Rdma,
            };
            socket
                .set_transport(transport)
                .map_err(failed("transport"))?;
        }
        socket
            .bind(self.address(place, at))
            .map_err(failed("bind"))?;
        socket
            .set_send_buffer(BUFFER)
            .map_err(failed("send buffer"))?;
        socket
            .set_recv_buffer(BUFFER)
            .map_err(failed("receive buffer"))?;
        socket
            .set_recv_timeout(Some(PATIENCE))
            .map_err(failed("timeout"))?;
        if tos != 0 {
            socket.set_tos(tos).map_err(failed("type of service"))?;
        }
        Ok(socket)
    }

    /// Has the sockets that are made from here on in the namespace of an end, if it has one.
    fn enter(&self, at: usize) -> io::Result<()> {
        self.spaces
            .as_ref()
            .map_or(Ok(()), |spaces| spaces.enter(at))
    }

    fn address(&self, place: Place, at: usize) -> SocketAddr {
        let ip = if place == Place::Loopback {
            Ipv4Addr::LOCALHOST.into()
        } else {
            self.addresses[at]
        };
        SocketAddr::new(ip, 0)
    }

    fn rds_pair(&self, family: u16, place: Place, tos: u8) -> Result<[End; 2], Failure> {
        let kind = Kind::Rds(family);
        let near = self.rds(family, place, 0, tos)?;
        let far = self.rds(family, place, 1, tos)?;
        for (socket, peer) in [(&near, &far), (&far, &near)] {
            let at = peer.local_addr().map_err(failed(kind, "address"))?;
            let at = at.ok_or_else(|| Failure::new(kind, "address", "a bound socket has none"))?;
            socket.connect(at).map_err(failed(kind, "connect"))?;
        }
        Ok([near, far].map(End::Rds))
    }

    /// A bound socket of the internet's protocols.
    fn inet(&self, kind: Kind, place: Place, at: usize) -> Result<OwnedFd, Failure> {
        let how = if kind == Kind::Udp {
            SocketType::DGRAM
        } else {
            SocketType::STREAM
        };
        let address = self.address(place, at);
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        self.enter(at).map_err(failed(kind, "namespace"))?;
        let fd = rustix::net::socket_with(family, how, SocketFlags::CLOEXEC, None)
            .map_err(failed(kind, "socket"))?;
        if place == Place::Wire && self.spaces.is_none() {
            let devices = self.devices.as_ref();
            devices
                .ok_or_else(|| Failure::new(kind, "device", "the devices have to be known"))?
                .bind(&fd, at)
                .map_err(failed(kind, "device"))?;
        }
        rustix::net::bind(&fd, &address).map_err(failed(kind, "bind"))?;
        Ok(fd)
    }

    fn inet_pair(&self, kind: Kind, place: Place) -> Result<[OwnedFd; 2], Failure> {
        let near = self.inet(kind, place, 0)?;
        let far = self.inet(kind, place, 1)?;
        let name = |fd| rustix::net::getsockname(fd).map_err(failed(kind, "address"));
        let (near_at, far_at) = (name(&near)?, name(&far)?);

        if kind == Kind::Udp {
            rustix::net::connect(&near, &far_at).map_err(failed(kind, "connect"))?;
            rustix::net::connect(&far, &near_at).map_err(failed(kind, "connect"))?;
            return Ok([near, far]);
        }
        rustix::net::listen(&far, 1).map_err(failed(kind, "listen"))?;
        rustix::net::connect(&near, &far_at).map_err(failed(kind, "connect"))?;
        let far = rustix::net::accept(&far).map_err(failed(kind, "accept"))?;
        Ok([near, far])
    }

    /// A new pair of connected sockets.
    pub fn pair(&self, kind: Kind, place: Place, tos: u8) -> Result<Pair, Failure> {
        let ends = match kind {
            Kind::Rds(family) => self.rds_pair(family, place, tos)?,
            Kind::Tcp { nodelay } => {
                let fds = self.inet_pair(kind, place)?;
                for fd in &fds {
                    sockopt::set_tcp_nodelay(fd, nodelay).map_err(failed(kind, "option"))?;
                }
                // Their buffers stay those that the kernel sizes itself.
                fds.map(|fd| End::Stream(Stream::from(fd)))
            }
            Kind::Udp => {
                let fds = self.inet_pair(kind, place)?;
                for fd in &fds {
                    buffers(fd).map_err(failed(kind, "buffers"))?;
                }
                fds.map(End::Packets)
            }
            Kind::Unix => {
                let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
                let (near, far) =
                    rustix::net::socketpair(family, SocketType::SEQPACKET, flags, None)
                        .map_err(failed(kind, "pair"))?;
                for fd in [&near, &far] {
                    buffers(fd).map_err(failed(kind, "buffers"))?;
                }
                [near, far].map(End::Packets)
            }
        };
        for end in &ends {
            sockopt::set_socket_timeout(end, Timeout::Recv, Some(PATIENCE))
                .map_err(failed(kind, "timeout"))?;
        }
        let [near, far] = ends;
        Ok(Pair {
            near,
            far,
            under_way: 0,
        })
    }
}

impl Pair {
    /// Sends until `depth` messages are under way, or no more can be sent now.
    pub fn fill(&mut self, data: &[u8], depth: usize) -> io::Result<()> {
        while self.near.owes() || self.under_way < depth {
            let owed = self.near.owes();
            // With nothing under way there would be nothing to wait for later.
            match self.near.send(data, self.under_way == 0) {
                Ok(moved) => {
                    // The first part counts as the message.
                    self.under_way += usize::from(!owed);
                    if moved == Moved::Part {
                        break;
                    }
                }
                Err(error) if must_wait(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives what has come, or waits for something if `wait`. Returns how many messages came.
    pub fn take(&mut self, room: &mut [u8], size: usize, wait: bool) -> io::Result<usize> {
        let mut wait = wait;
        let mut count = 0;

        if wait && self.near.owes() {
            self.wait()?;
            wait = false;
        }
        while self.under_way > 0 {
            match self.far.receive(room, size, wait) {
                Ok(moved) => {
                    if moved == Moved::Whole {
                        self.under_way -= 1;
                        count += 1;
                    }
                    wait = false;
                }
                Err(error) if !wait && must_wait(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Waits until something has come, or there is room for what is owed.
    fn wait(&self) -> io::Result<()> {
        wait_for(&mut self.interest())
    }

    /// What to wait for: something that has come, and room for what is owed.
    pub fn interest(&self) -> [PollFd<'_>; 2] {
        let out = if self.near.owes() {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        [
            PollFd::from_borrowed_fd(self.far.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.near.as_fd(), out),
        ]
    }

    /// Sends a message there and back.
    pub fn round_trip(&mut self, data: &[u8], room: &mut [u8]) -> io::Result<()> {
        send_all(&mut self.near, data)?;
        receive_all(&mut self.far, room, data.len())?;
        send_all(&mut self.far, data)?;
        receive_all(&mut self.near, room, data.len())
    }
}

/// Sends a message that the buffers have room for.
pub fn send_all(end: &mut End, data: &[u8]) -> io::Result<()> {
    while end.send(data, true)? == Moved::Part {}
    Ok(())
}

fn receive_all(end: &mut End, room: &mut [u8], size: usize) -> io::Result<()> {
    while end.receive(room, size, true)? == Moved::Part {}
    Ok(())
}

/// Waits until one of them is ready.
pub fn wait_for(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    let patience = rustix::event::Timespec {
        tv_sec: PATIENCE.as_secs() as i64,
        tv_nsec: 0,
    };
    if rustix::event::poll(fds, Some(&patience))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site {
            addresses: [Ipv4Addr::LOCALHOST.into(); 2],
            devices: None,
            spaces: None,
        }
    }

    #[test]
    fn messages_of_every_size_come_over_every_kind_of_pair() {
        let data = vec![0x5a; 1 << 20];
        let mut room = vec![0; 1 << 20];
        for kind in ["tcp", "nagle", "udp", "unix"] {
            let kind: Kind = kind.parse().unwrap();
            for size in [1, 64, 64 << 10, 1 << 20] {
                let Some(size) = kind.fits(size) else {
                    continue;
                };
                let mut pair = site().pair(kind, Place::Own, 0).unwrap();
                let mut count = 0;
                while count < 20 {
                    pair.fill(&data[..size], 4).unwrap();
                    assert!(pair.under_way <= 4);
                    count += pair.take(&mut room, size, true).unwrap();
                }
                while pair.under_way > 0 {
                    pair.fill(&data[..size], 0).unwrap();
                    count += pair.take(&mut room, size, true).unwrap();
                }
                if size <= 64 {
                    pair.round_trip(&data[..size], &mut room).unwrap();
                }
                assert!((20..=24).contains(&count), "{kind} {size} {count}");
            }
        }
    }

    #[test]
    fn the_wire_needs_devices() {
        let tcp = Kind::Tcp { nodelay: true };
        assert!(site().pair(tcp, Place::Wire, 0).is_err());
    }
}
