// SPDX-License-Identifier: GPL-2.0

//! A row of the table, and what rows are made of.

use raw_calls::{call, Addr, Arena, Call, Got};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a call must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Any result that is no error.
    Fine,
    /// This result.
    Is(i64),
    /// This error.
    Err(i32),
}

impl Want {
    pub fn accepts(&self, got: Got) -> bool {
        match (self, got) {
            (Self::Fine, Ok(_)) => true,
            (Self::Is(wanted), Ok(value)) => *wanted == value,
            (Self::Err(wanted), Err(errno)) => *wanted == errno,
            _ => false,
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine => f.write_str("success"),
            Self::Is(value) => write!(f, "{value}"),
            Self::Err(errno) => f.write_str(&name(*errno)),
        }
    }
}

/// How to say what came.
pub fn describe(got: Got) -> String {
    match got {
        Ok(value) => value.to_string(),
        Err(errno) => name(errno),
    }
}

fn name(errno: i32) -> String {
    if errno == SETUP {
        return "what it needs could not be had".into();
    }
    let error = std::io::Error::from_raw_os_error(errno).to_string();
    let plain = error.split(" (os error").next().unwrap_or("");
    format!("errno {errno} ({plain})")
}

/// A case.
pub struct Row {
    pub name: String,
    /// What the specification says.
    pub want: Want,
    /// What the C implementation does instead, where it is known to differ, and why that is right
    /// not to follow.
    pub c: Option<(Want, &'static str)>,
    pub run: Box<dyn Fn(&World) -> Got>,
}

/// All rows, in groups.
#[derive(Default)]
pub struct Table {
    pub rows: Vec<Row>,
    group: &'static str,
}

impl Table {
    pub fn group(&mut self, group: &'static str) {
        self.group = group;
    }

    pub fn add(
        &mut self,
        name: impl fmt::Display,
        want: Want,
        run: impl Fn(&World) -> Got + 'static,
    ) -> &mut Row {
        let at = self.rows.len();
        self.rows.push(Row {
            name: format!("{}: {name}", self.group),
            want,
            c: None,
            run: Box::new(run),
        });
        &mut self.rows[at]
    }

    pub fn fine(
        &mut self,
        name: impl fmt::Display,
        run: impl Fn(&World) -> Got + 'static,
    ) -> &mut Row {
        self.add(name, Want::Fine, run)
    }

    pub fn err(
        &mut self,
        name: impl fmt::Display,
        errno: i32,
        run: impl Fn(&World) -> Got + 'static,
    ) -> &mut Row {
        self.add(name, Want::Err(errno), run)
    }
}

impl Row {
    /// The C implementation gives something else.
    pub fn but_c(&mut self, want: Want, why: &'static str) {
        self.c = Some((want, why));
    }
}

/// What rows run on. Pieces of the arena are used as follows, if nothing else is said: 0 address,
/// 1 length of it, 2 data, 3 vector, 4 message header, 5 control.
pub struct World {
    pub arena: Arena,
    pub family: i32,
    /// An address of an RDMA device, if there is one.
    pub local: Option<IpAddr>,
    /// The same of IPv6.
    pub local6: Option<IpAddr>,
}

pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub const SOL_RDS: i32 = 276;

/// Of an address that no host has.
pub const NOWHERE: &str = "192.0.2.77:9";

/// A socket that is closed when its row is done.
pub struct Fd(pub i32);

impl Drop for Fd {
    fn drop(&mut self) {
        let _ = call(Call::Close(self.0));
    }
}

/// `sockaddr_in` or `sockaddr_in6`.
pub fn sockaddr(addr: SocketAddr) -> Vec<u8> {
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

/// The same, of text.
pub fn addr(text: &str) -> Vec<u8> {
    sockaddr(text.parse().expect("addresses in the table are right"))
}

/// An error that the kernel never gives: a row that could not be set up.
pub const SETUP: i32 = 4095;

impl World {
    pub fn socket(&self) -> Result<Fd, i32> {
        call(Call::Socket(self.family, libc::SOCK_SEQPACKET, 0)).map(|fd| Fd(fd as i32))
    }

    pub fn bind(&self, fd: &Fd, to: &[u8]) -> Got {
        call(Call::Bind(fd.0, self.arena.place(0, to), to.len() as i32))
    }

    pub fn connect(&self, fd: &Fd, to: &[u8]) -> Got {
        call(Call::Connect(
            fd.0,
            self.arena.place(0, to),
            to.len() as i32,
        ))
    }

    /// Bound to loopback, at any port.
    pub fn bound(&self) -> Result<Fd, i32> {
        let fd = self.socket()?;
        self.bind(&fd, &sockaddr((LOOPBACK, 0).into()))
            .map_err(|_| SETUP)?;
        Ok(fd)
    }

    /// Bound to the RDMA device's address, without loopback.
    pub fn bound_rdma(&self) -> Result<Fd, i32> {
        let fd = self.socket()?;
        self.set(&fd, SOL_RDS, 8, &0_i32.to_ne_bytes())
            .map_err(|_| SETUP)?;
        let local = self.local.ok_or(SETUP)?;
        self.bind(&fd, &sockaddr((local, 0).into()))
            .map_err(|_| SETUP)?;
        Ok(fd)
    }

    /// Bound to the same address, over TCP.
    pub fn bound_tcp(&self) -> Result<Fd, i32> {
        let fd = self.socket()?;
        self.set(&fd, SOL_RDS, 8, &2_i32.to_ne_bytes())
            .map_err(|_| SETUP)?;
        let local = self.local.ok_or(SETUP)?;
        self.bind(&fd, &sockaddr((local, 0).into()))
            .map_err(|_| SETUP)?;
        Ok(fd)
    }

    /// The port that it is bound to.
    pub fn port(&self, fd: &Fd) -> Result<u16, i32> {
        let room = self.arena.room(0, 28);
        let len = self.arena.place(1, &28_i32.to_ne_bytes());
        call(Call::Getsockname(fd.0, room, len))?;
        let bytes = self.arena.read(0, 28);
        Ok(u16::from_be_bytes([bytes[2], bytes[3]]))
    }

    /// Bound, and connected to itself.
    pub fn joined(&self) -> Result<Fd, i32> {
        let fd = self.bound()?;
        let port = self.port(&fd)?;
        self.connect(&fd, &sockaddr((LOOPBACK, port).into()))
            .map_err(|_| SETUP)?;
        Ok(fd)
    }

    /// The same, with a message of so many bytes in its queue.
    pub fn with_message(&self, len: usize) -> Result<Fd, i32> {
        let fd = self.joined()?;
        let data = self.arena.place(2, &vec![7; len]);
        call(Call::Sendto(fd.0, data, len, 0, Addr::NULL, 0)).map_err(|_| SETUP)?;
        Ok(fd)
    }

    pub fn set(&self, fd: &Fd, level: i32, name: i32, value: &[u8]) -> Got {
        let at = self.arena.place(2, value);
        call(Call::Setsockopt(fd.0, level, name, at, value.len() as i32))
    }

    /// `SO_ZEROCOPY`.
    pub fn set_zerocopy(&self, fd: &Fd, on: i32) -> Got {
        self.set(fd, libc::SOL_SOCKET, libc::SO_ZEROCOPY, &on.to_ne_bytes())
    }

    /// `RDS_CANCEL_SENT_TO`.
    pub fn cancel(&self, fd: &Fd, to: &str) -> Got {
        self.set(fd, SOL_RDS, 1, &addr(to))
    }

    /// `poll` for these events, without waiting.
    pub fn poll(&self, fd: &Fd, events: i16) -> Got {
        let mut entry = fd.0.to_ne_bytes().to_vec();
        entry.extend(events.to_ne_bytes());
        entry.extend([0; 2]);
        call(Call::Poll(self.arena.place(2, &entry), 1, 0))
    }

    /// `getsockopt` with room for `len` bytes.
    pub fn get(&self, fd: &Fd, level: i32, name: i32, len: i32) -> Got {
        let at = self.arena.room(2, len.clamp(0, 65536) as usize);
        let len = self.arena.place(1, &len.to_ne_bytes());
        call(Call::Getsockopt(fd.0, level, name, at, len))
    }

    /// What `getsockopt` left as the length.
    pub fn len(&self) -> i32 {
        let bytes = self.arena.read(1, 4);
        i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Places a `msghdr` and returns where.
    pub fn header(&self, h: &Header) -> Addr {
        let mut bytes = Vec::new();
        bytes.extend(h.name.word());
        bytes.extend(u64::from(h.name_len as u32).to_ne_bytes());
        bytes.extend(h.vector.word());
        bytes.extend(h.vectors.to_ne_bytes());
        bytes.extend(h.control.word());
        bytes.extend(h.control_len.to_ne_bytes());
        bytes.extend(0_u64.to_ne_bytes());
        self.arena.place(4, &bytes)
    }

    /// A vector with one entry.
    pub fn vector(&self, data: Addr, len: u64) -> Addr {
        let mut bytes = data.word().to_vec();
        bytes.extend(len.to_ne_bytes());
        self.arena.place(3, &bytes)
    }

    /// Sends 4 bytes with this control, to the connected destination.
    pub fn send_with(&self, fd: &Fd, control: &[u8], flags: i32) -> Got {
        let data = self.arena.place(2, b"data");
        let header = Header {
            vector: self.vector(data, 4),
            vectors: 1,
            control: self.arena.place(5, control),
            control_len: control.len() as u64,
            ..Header::default()
        };
        call(Call::Sendmsg(fd.0, self.header(&header), flags))
    }
}

/// A `msghdr`.
#[derive(Clone, Copy)]
pub struct Header {
    pub name: Addr,
    pub name_len: i32,
    pub vector: Addr,
    pub vectors: u64,
    pub control: Addr,
    pub control_len: u64,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            name: Addr::NULL,
            name_len: 0,
            vector: Addr::NULL,
            vectors: 0,
            control: Addr::NULL,
            control_len: 0,
        }
    }
}

/// A control message.
pub fn cmsg(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + data.len() as u64).to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}
