// SPDX-License-Identifier: GPL-2.0

//! A connection to the victim.

use crate::header::{extensions, Header, HEADER, HELLO, LONGEST, MAP};
use rustix::net::{self, sockopt, AddressFamily, SocketFlags, SocketType};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The port of RDS over TCP.
const PORT: u16 = 16385;

/// Source ports, modulo the most lanes, tell the lane.
const LANES: u16 = 8;

/// The source ports to take, a multiple of the lanes each.
const FIRST_PORT: u16 = 32_768;
const LAST_PORT: u16 = 60_000;

/// The time between attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// The port that asks whether the victim is still listening to what is said.
const ASKING: u16 = 7777;

/// Where the victim is, what of its is told apart, and how long it may take.
pub struct Victim {
    pub address: IpAddr,
    /// The port of a socket that receives all it gets.
    pub reader: u16,
    /// For how long an answer may not come.
    pub patience: Duration,
    /// The source port that was taken last, less its lane.
    pub port: u16,
    /// The life that was said last.
    pub life: u32,
}

/// Why something was not as expected.
pub type Wrong = String;

fn wrong(what: &str) -> impl Fn(io::Error) -> Wrong + '_ {
    move |err| format!("{what}: {err}")
}

/// A connection to the victim.
pub struct Stream {
    tcp: TcpStream,
    seq: u64,
    patience: Duration,
}

impl Victim {
    /// Connects by a port that tells a lane, and says nothing.
    pub fn connect(&mut self, lane: u16) -> Result<Stream, Wrong> {
        let deadline = Instant::now() + self.patience;
        loop {
            self.port = match self.port + LANES {
                port if (FIRST_PORT..=LAST_PORT).contains(&port) => port,
                _ => FIRST_PORT,
            };
            match self.try_connect(self.port + lane) {
                Ok(tcp) => {
                    return Ok(Stream {
                        tcp,
                        seq: 1,
                        patience: self.patience,
                    })
                }
                Err(err) if Instant::now() > deadline => return Err(wrong("connect")(err)),
                Err(err) if err.kind() == ErrorKind::AddrInUse => {}
                Err(_) => sleep(PAUSE),
            }
        }
    }

    fn try_connect(&self, port: u16) -> io::Result<TcpStream> {
        let (family, any) = match self.address {
            IpAddr::V4(_) => (AddressFamily::INET, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            IpAddr::V6(_) => (AddressFamily::INET6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        net::bind(&socket, &SocketAddr::new(any, port))?;
        net::connect(&socket, &SocketAddr::new(self.address, PORT))?;
        let tcp = TcpStream::from(socket);
        tcp.set_nodelay(true)?;
        tcp.set_write_timeout(Some(self.patience))?;
        Ok(tcp)
    }

    /// Connects by the first lane, and says hello as a host that has just started: what it sent before counts for
    /// nothing. Again if nothing comes of it: connections from before may still be in the way.
    pub fn greet(&mut self) -> Result<Stream, Wrong> {
        self.greet_with(1)
    }

    /// The same, as a host that can have so many lanes.
    pub fn greet_with(&mut self, lanes: u16) -> Result<Stream, Wrong> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.try_greet(lanes) {
                Err(_) if Instant::now() < deadline => sleep(PAUSE),
                greeted => return greeted,
            }
        }
    }

    fn try_greet(&mut self, lanes: u16) -> Result<Stream, Wrong> {
        let mut stream = self.connect(0)?;
        // What the last stream said of congested ports outlives it, and such a port gets no answer.
        stream.say(Header::map(MAP), &[0; MAP as usize])?;
        self.life = self.life.wrapping_add(1).max(1);
        stream.say(
            Header::hello(extensions(Some(lanes), Some(self.life), true)),
            &[],
        )?;
        stream.await_port(HELLO)?;
        Ok(stream)
    }
}

impl Stream {
    /// The number of the next message.
    pub fn next_seq(&mut self) -> u64 {
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        seq
    }

    /// The bytes of a message.
    pub fn message(&mut self, header: Header, data: &[u8]) -> Vec<u8> {
        let seq = match header.seq {
            Some(seq) => {
                self.seq = seq.wrapping_add(1);
                seq
            }
            None => self.next_seq(),
        };
        [&header.bytes(seq)[..], data].concat()
    }

    /// Says a message.
    pub fn say(&mut self, header: Header, data: &[u8]) -> Result<(), Wrong> {
        let bytes = self.message(header, data);
        self.bytes(&bytes)
    }

    /// Says bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.tcp.write_all(bytes).map_err(wrong("send"))
    }

    /// Says as much of some bytes as there is room for within a moment; the rest is of no interest, nor is an end of
    /// the connection.
    pub fn stuff(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let moment = Some(Duration::from_millis(200));
        self.tcp
            .set_write_timeout(moment)
            .map_err(wrong("timeout"))?;
        let _ = self.tcp.write_all(bytes);
        let patience = Some(self.patience);
        self.tcp
            .set_write_timeout(patience)
            .map_err(wrong("timeout"))
    }

    /// Says a byte ahead of all others.
    pub fn urgent(&mut self) -> Result<(), Wrong> {
        net::send(&self.tcp, &[0xff], net::SendFlags::OOB)
            .map(|_| ())
            .map_err(|err| wrong("send urgently")(err.into()))
    }

    /// Says that nothing follows.
    pub fn end(&mut self) -> Result<(), Wrong> {
        self.tcp.shutdown(Shutdown::Write).map_err(wrong("end"))
    }

    /// Resets the connection.
    pub fn reset(self) -> Result<(), Wrong> {
        let now = Some(Duration::ZERO);
        sockopt::set_socket_linger(&self.tcp, now).map_err(|err| wrong("linger")(err.into()))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), Wrong> {
        let patience = Some(self.patience);
        self.tcp
            .set_read_timeout(patience)
            .map_err(wrong("timeout"))?;
        self.tcp.read_exact(bytes).map_err(wrong("read"))
    }

    /// Whether something comes within a time, or the connection ends.
    fn is_spoken_on(&mut self, within: Duration) -> Result<bool, Wrong> {
        let within = Some(within);
        self.tcp
            .set_read_timeout(within)
            .map_err(wrong("timeout"))?;
        match self.tcp.peek(&mut [0]) {
            Err(err) if err.kind() == ErrorKind::WouldBlock => Ok(false),
            other => other.map(|_| true).map_err(wrong("read")),
        }
    }

    /// Reads messages up to one to a port. Returns whether it came: if not, nothing did for some time.
    fn hears(&mut self, port: u16, within: Duration) -> Result<bool, Wrong> {
        let mut data = vec![0; LONGEST as usize];
        while self.is_spoken_on(within)? {
            let mut header = [0; HEADER];
            self.read(&mut header)?;
            let len = u32::from_be_bytes([header[16], header[17], header[18], header[19]]);
            let rest = data
                .get_mut(..len as usize)
                .ok_or("the victim says too much")?;
            self.read(rest)?;
            if u16::from_be_bytes([header[22], header[23]]) == port {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads messages up to one to a port.
    pub fn await_port(&mut self, port: u16) -> Result<(), Wrong> {
        match self.hears(port, self.patience)? {
            true => Ok(()),
            false => Err("no answer".into()),
        }
    }

    /// Asks for an answer, which comes only if the victim has followed all that was said. Again and again, as it leaves
    /// answers out if it owes many.
    pub fn ask(&mut self) -> Result<(), Wrong> {
        let deadline = Instant::now() + self.patience;
        while Instant::now() < deadline {
            self.say(Header::ping(ASKING), &[])?;
            if self.hears(ASKING, Duration::from_secs(1))? {
                return Ok(());
            }
        }
        Err("no answer".into())
    }

    /// Reads to the end: the victim has given the connection up.
    pub fn await_end(&mut self) -> Result<(), Wrong> {
        let mut bytes = [0; 4096];
        self.tcp
            .set_read_timeout(Some(self.patience))
            .map_err(wrong("timeout"))?;
        loop {
            match self.tcp.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(err) if err.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(err) => return Err(format!("the victim does not end it: {err}")),
            }
        }
    }
}
