// SPDX-License-Identifier: GPL-2.0

//! Reads and writes the memory of a peer through RDS sockets, right and wrong, and looks what becomes of it.
//!
//! `rds-rdma serve ADDRESS` has the memory, and `rds-rdma check LOCAL PEER` does the checks, each of which has a line:
//! `ok`, `not ok` with what was wrong, or `skip` with a reason. The server may run on the C implementation of RDS, if
//! the other end is told so, and the other way round.
//!
//! | Question | Module |
//! |---|---|
//! | What is checked? | [`checks`] |
//! | What do the two ends say to each other? | [`protocol`] |
//! | Who has the memory, and does what it is told? | [`server`] |
//! | How does a check ask for things? | [`link`] |

#![forbid(unsafe_code)]

mod checks;
mod end;
mod link;
mod pattern;
mod protocol;
mod server;
mod table;

use clap::{crate_version, value_parser, Arg, ArgAction, ArgMatches, Command};
use link::Link;
use rds::rdma::{Memory, RdmaSocket, RegionFlags};
use rds::{Endpoint, Family, Transport};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use table::{Outcome, Row, Wrong};

/// What checks need to know.
#[derive(Clone)]
pub struct World {
    pub family: Family,
    /// Our address.
    pub local: SocketAddr,
    /// That of the server.
    pub peer: SocketAddr,
    /// One behind the same device that nobody has.
    pub nowhere: Option<IpAddr>,
    /// The server's sockets are those of the C implementation.
    pub c_peer: bool,
    /// Ours are.
    pub c_here: bool,
    /// How many operations at random.
    pub operations: u64,
    pub seed: u64,
    pub patience: Duration,
    /// kB of our memory that were pinned and locked at the start.
    pub pinned: (u64, u64),
}

fn address(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .required(true)
        .value_name("ADDRESS[:PORT]")
        .value_parser(rds::parse_endpoint)
        .help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

fn number(name: &'static str, usual: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .default_value(usual)
        .value_parser(value_parser!(u64))
        .help(help)
}

fn command() -> Command {
    let serve = Command::new("serve")
        .about("Have memory, and do with it what a client asks for, until killed")
        .arg(address("local", "Our address; port 4650 if not said"));
    let hold = Command::new("hold")
        .about("Register memory, say `held`, and give it up at the end of standard input")
        .arg(address("local", "Our address"));
    let check = Command::new("check")
        .about("Do the checks on a server's memory")
        .arg(address("local", "Our address"))
        .arg(address("peer", "The server's; port 4650 if not said"))
        .arg(flag("c-peer", "The server's RDS is the C implementation"))
        .arg(flag("c-here", "Ours is the C implementation"))
        .arg(
            Arg::new("nowhere")
                .long("nowhere")
                .value_name("ADDRESS")
                .value_parser(value_parser!(IpAddr))
                .help("An address behind our device that nobody has"),
        )
        .arg(number(
            "operations",
            "10000",
            "How many operations at random",
        ))
        .arg(number("seed", "1", "From which those follow"))
        .arg(number(
            "patience",
            "60",
            "How many seconds an answer or a status may take",
        ))
        .arg(
            Arg::new("only")
                .long("only")
                .value_name("TEXT")
                .help("Only checks whose names contain this"),
        )
        .arg(flag("list", "Only list the checks"));
    Command::new("rds-rdma")
        .version(crate_version!())
        .about("Check RDMA through RDS sockets")
        .after_help(
            "Exit status: 0 all checks are ok or skipped, 1 some are not, 2 the command line is \
             wrong, 3 a system call failed.\n\nExamples:\n  rds-rdma serve 10.0.0.2\n  \
             rds-rdma check 10.0.0.1 10.0.0.2",
        )
        .subcommand_required(true)
        .arg(
            Arg::new("family")
                .long("family")
                .value_name("NUMBER")
                .value_parser(value_parser!(Family))
                .global(true)
                .help("Number of the address family; RDS_FAMILY, or 21, if not said"),
        )
        .subcommand(serve)
        .subcommand(hold)
        .subcommand(check)
}

fn endpoint(args: &ArgMatches, name: &str, port: u16) -> Option<SocketAddr> {
    args.get_one::<Endpoint>(name).map(|end| end.or_port(port))
}

fn world(args: &ArgMatches, family: Family) -> Option<World> {
    let number = |name| args.get_one::<u64>(name).copied();
    Some(World {
        family,
        local: endpoint(args, "local", 0)?,
        peer: endpoint(args, "peer", protocol::PORT)?,
        nowhere: args.get_one("nowhere").copied(),
        c_peer: args.get_flag("c-peer"),
        c_here: args.get_flag("c-here"),
        operations: number("operations")?,
        seed: number("seed")?,
        patience: Duration::from_secs(number("patience")?),
        pinned: end::pinned(),
    })
}

/// Does a check, on what the last one has left if that is of use still.
fn run(row: &Row, world: &World, link: &mut Option<Link>) -> Outcome {
    if let Some(old) = link {
        if old.clean().is_err() {
            *link = None;
        }
    }
    let open = match link.take() {
        Some(open) => open,
        None => {
            let mut fresh = Link::open(world)?;
            fresh.flows()?;
            fresh
        }
    };
    (row.run)(world, link.insert(open))
}

/// Has a region until the end of standard input.
fn hold(family: Family, at: SocketAddr) -> io::Result<()> {
    let socket = RdmaSocket::new(end::bound(family, Transport::Rdma, at)?);
    let memory = Memory::new(65536)?;
    let region = socket.register(memory.all(), RegionFlags::WRITABLE)?;
    println!("held");
    io::stdin().read_to_end(&mut Vec::new())?;
    region.free(true)?;
    println!("given up");
    Ok(())
}

fn check(world: &World, only: &str, list: bool) -> ExitCode {
    let table = checks::all();
    let rows = table.rows.iter().filter(|row| row.name.contains(only));
    if list {
        rows.for_each(|row| println!("{}", row.name));
        return ExitCode::SUCCESS;
    }
    let (mut count, mut failed, mut skipped) = (0, 0, 0);
    let mut link = None;
    for row in rows {
        count += 1;
        match run(row, world, &mut link) {
            Ok(()) => println!("ok {}", row.name),
            Err(Wrong::Skip(why)) => {
                skipped += 1;
                println!("skip {}: {why}", row.name);
            }
            Err(Wrong::Bad(why)) => {
                failed += 1;
                println!("not ok {}: {why}", row.name);
            }
        }
    }
    println!("checks {count}, not ok {failed}, skipped {skipped}");
    ExitCode::from(u8::from(failed != 0))
}

fn main() -> ExitCode {
    let matches = command().get_matches();
    let family = match matches.get_one::<Family>("family") {
        Some(family) => Ok(*family),
        None => Family::from_env(),
    };
    let family = match family {
        Ok(family) => family,
        Err(error) => {
            eprintln!("rds-rdma: {error}");
            return ExitCode::from(2);
        }
    };
    match matches.subcommand() {
        Some(("serve", args)) => {
            let Some(at) = endpoint(args, "local", protocol::PORT) else {
                return ExitCode::from(2);
            };
            let served = end::bound(family, Transport::Rdma, at).and_then(server::run);
            if let Err(error) = served {
                eprintln!("rds-rdma: {at}: {}", table::reason(&error));
            }
            ExitCode::from(3)
        }
        Some(("hold", args)) => {
            let Some(at) = endpoint(args, "local", 0) else {
                return ExitCode::from(2);
            };
            match hold(family, at) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("rds-rdma: {at}: {}", table::reason(&error));
                    ExitCode::from(3)
                }
            }
        }
        Some(("check", args)) => {
            let Some(world) = world(args, family) else {
                return ExitCode::from(2);
            };
            let only = args.get_one::<String>("only").map_or("", |text| text);
            check(&world, only, args.get_flag("list"))
        }
        _ => ExitCode::from(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
        let line =
            "rds-rdma --family 27 check 10.0.0.1 10.0.0.2:7 --c-peer --nowhere 10.0.0.9 --seed 5";
        let matches = command().try_get_matches_from(line.split(' ')).unwrap();
        let (_, args) = matches.subcommand().unwrap();
        let world = world(args, Family::new(27)).unwrap();
        assert_eq!(world.local.to_string(), "10.0.0.1:0");
        assert_eq!(world.peer.to_string(), "10.0.0.2:7");
        assert!(world.c_peer && !world.c_here);
        assert_eq!((world.operations, world.seed), (10_000, 5));
        assert_eq!(matches.get_one("family"), Some(&Family::new(27)));
        for bad in [
            "rds-rdma",
            "rds-rdma serve",
            "rds-rdma check 10.0.0.1",
            "rds-rdma check 10.0.0.1 what",
            "rds-rdma check 10.0.0.1 10.0.0.2 --operations -1",
        ] {
            assert!(
                command().try_get_matches_from(bad.split(' ')).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn checks_have_names_of_their_own() {
        let table = checks::all();
        let names: HashSet<_> = table.rows.iter().map(|row| &row.name).collect();
        assert_eq!(names.len(), table.rows.len());
        assert!(table.rows.len() >= 150, "{} checks", table.rows.len());
    }
}
