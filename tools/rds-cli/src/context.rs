// SPDX-License-Identifier: GPL-2.0

//! What all commands share: which sockets to open, and how to print.

use crate::failure::Failure;
use crate::parse;
use clap::builder::PossibleValuesParser;
use clap::{value_parser, Arg, ArgAction, ArgMatches, Command};
use rds::{Endpoint, Family, Socket, Transport};
use std::io;
use std::net::SocketAddr;

/// Options that may stand before or after the command.
pub fn with_arguments(command: Command) -> Command {
    command
        .arg(
            Arg::new("family")
                .long("family")
                .value_name("NUMBER")
                .env(Family::VARIABLE)
                .value_parser(value_parser!(Family))
                .default_value("21")
                .hide_default_value(false)
                .global(true)
                .help("Number of the address family"),
        )
        .arg(
            Arg::new("transport")
                .long("transport")
                .value_name("NAME")
                .value_parser(PossibleValuesParser::new(["auto", "rdma", "tcp"]))
                .default_value("auto")
                .global(true)
                .help("What is to carry the messages; auto leaves it to the kernel"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .global(true)
                .help("Print JSON"),
        )
        .arg(
            Arg::new("color")
                .long("color")
                .value_name("WHEN")
                .value_parser(PossibleValuesParser::new(["auto", "always", "never"]))
                .default_value("auto")
                .global(true)
                .help("Use colours; auto does on a terminal"),
        )
}

/// The argument for our own address.
pub fn source_argument() -> Arg {
    Arg::new("source")
        .short('I')
        .long("source")
        .value_name("ADDRESS[:PORT]")
        .value_parser(rds::parse_endpoint)
        .help("Our own address; if not given, the one that the routes choose")
}

/// The argument for the type of service.
pub fn tos_argument() -> Arg {
    Arg::new("tos")
        .short('Q')
        .long("tos")
        .value_name("0-255")
        .value_parser(value_parser!(u8))
        .default_value("0")
        .help("Type of service: its own connection, and over RDMA its service level")
}

/// The argument for the size of the socket's buffers.
pub fn buffer_argument() -> Arg {
    Arg::new("buffer")
        .long("buffer")
        .value_name("BYTES")
        .value_parser(parse::bytes)
        .help("Size of the socket's send and receive buffers")
}

/// What the options say.
pub struct Context {
    /// The address family.
    pub family: Family,
    transport: Option<Transport>,
    /// Whether to print JSON.
    pub json: bool,
}

impl Context {
    /// From the command line.
    pub fn new(matches: &ArgMatches) -> Result<Self, Failure> {
        let text = |name: &str| matches.get_one::<String>(name).map_or("auto", |v| v);
        match text("color") {
            "always" => anstream::ColorChoice::Always,
            "never" => anstream::ColorChoice::Never,
            _ => anstream::ColorChoice::Auto,
        }
        .write_global();
        Ok(Self {
            family: matches.get_one("family").copied().unwrap_or_default(),
            transport: match text("transport") {
                "rdma" => Some(Transport::Rdma),
                "tcp" => Some(Transport::Tcp),
                _ => None,
            },
            json: matches.get_flag("json"),
        })
    }

    /// A socket that is not bound yet.
    pub fn open(&self) -> Result<Socket, Failure> {
        let family = self.family;
        let socket = Socket::new(family).map_err(|error| {
            Failure::system(format!("a socket of address family {family}"), &error).hint(
                "Is a module for it loaded? `modprobe rds_rdma` or `insmod rrds.ko` loads one, \
                 `rds doctor` says what else is missing.",
            )
        })?;
        if let Some(transport) = self.transport {
            socket.set_transport(transport).map_err(|error| {
                Failure::system(format!("transport {transport}"), &error)
                    .hint("`modprobe rds_rdma` or `modprobe rds_tcp` loads the kernel's own.")
            })?;
        }
        Ok(socket)
    }

    /// A socket bound to `local`.
    pub fn bound(&self, local: SocketAddr) -> Result<Socket, Failure> {
        let socket = self.open()?;
        socket.bind(local).map_err(|error| {
            let failure = Failure::system(format!("bind to {local}"), &error);
            match error.kind() {
                io::ErrorKind::AddrNotAvailable => {
                    failure.hint("No device of RDS has this address; `rds doctor` lists those.")
                }
                io::ErrorKind::AddrInUse => {
                    failure.hint("Another socket has this port; `rds info --sockets` lists them.")
                }
                _ => failure,
            }
        })?;
        Ok(socket)
    }

    /// A socket bound to the given source, or to our address on the way to `peer`.
    pub fn bound_towards(&self, args: &ArgMatches, peer: SocketAddr) -> Result<Socket, Failure> {
        let local = match args.get_one::<Endpoint>("source") {
            Some(source) => source.or_port(0),
            None => rds::source_for(peer)
                .map_err(|error| Failure::system(format!("route to {}", peer.ip()), &error))?,
        };
        self.bound(local)
    }

    /// Sets the type of service, unless it is 0.
    pub fn set_tos(&self, args: &ArgMatches, socket: &Socket) -> Result<u8, Failure> {
        let tos = args.get_one("tos").copied().unwrap_or(0);
        if tos != 0 {
            socket.set_tos(tos).map_err(|error| {
                Failure::system(format!("type of service {tos}"), &error)
                    .hint("Loopback and TCP have none; try --transport rdma.")
            })?;
        }
        Ok(tos)
    }
}

/// Gives the socket buffers for messages of `longest` bytes, or of the size asked for.
pub fn set_buffers(socket: &Socket, wanted: Option<usize>, longest: usize) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::system("socket buffers", &error);
    let now = socket.send_buffer().map_err(failed)?;
    if let Some(bytes) = wanted {
        socket.set_recv_buffer(bytes).map_err(failed)?;
    }
    let bytes = wanted.unwrap_or(now).max(longest);
    let got = if bytes == now {
        now
    } else {
        socket.set_send_buffer(bytes).map_err(failed)?
    };
    if got < longest {
        let what = format!("a message of {longest} bytes does not fit the send buffer of {got}");
        return Err(Failure::other(what).hint(format!(
            "`sysctl -w net.core.wmem_max={longest}` allows larger ones; root needs none of this."
        )));
    }
    Ok(())
}

#[cfg(test)]
impl Context {
    /// As without any option.
    pub fn for_tests() -> Self {
        Self {
            family: Family::RDS,
            transport: None,
            json: false,
        }
    }
}
