// SPDX-License-Identifier: GPL-2.0

//! `rds stress`: many messages both ways, measured, and every byte of them verified.

mod client;
pub mod histogram;
pub mod pattern;
mod plan;
mod rdma;
mod server;
mod stats;
mod task;

use crate::context::{buffer_argument, source_argument, tos_argument, Context};
use crate::failure::{Failure, Outcome};
use crate::parse;
use clap::{value_parser, Arg, ArgAction, ArgMatches, Command};
use client::Course;
use plan::Plan;
use rds::Endpoint;
use std::time::{Duration, SystemTime};

/// As that of other tools of this kind.
const PORT: u16 = 4000;

#[derive(Clone)]
struct Sizes(Vec<usize>);

fn sizes(text: &str) -> Result<Sizes, String> {
    parse::sizes(text).map(Sizes)
}

fn number(name: &'static str, short: char, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .short(short)
        .long(name)
        .value_name("N")
        .value_parser(value_parser!(u64).range(1..=1 << 20))
        .default_value(default)
        .help(help)
}

fn time(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("TIME")
        .value_parser(parse::time)
        .default_value(default)
        .help(help)
}

/// The length of an operation, of which there is none of nothing.
fn operation(text: &str) -> Result<usize, String> {
    match parse::size(text)? {
        0 => Err("an operation has a byte at least".into()),
        size => Ok(size),
    }
}

/// `rds stress`
pub fn command() -> Command {
    Command::new("stress")
        .about("Exchange many messages with a server, verify and measure them")
        .arg(
            Arg::new("server")
                .value_name("ADDRESS[:PORT]")
                .value_parser(rds::parse_endpoint)
                .required_unless_present("listen")
                .conflicts_with("listen")
                .help("The server; port 4000 if not said"),
        )
        .arg(
            Arg::new("listen")
                .short('l')
                .long("listen")
                .value_name("ADDRESS[:PORT]")
                .value_parser(rds::parse_endpoint)
                .help("Be the server at this address of ours"),
        )
        .arg(
            Arg::new("once")
                .long("once")
                .action(ArgAction::SetTrue)
                .requires("listen")
                .help("End when a client is done; the exit status says whether all was right"),
        )
        .arg(number(
            "tasks",
            'n',
            "1",
            "Pairs of sockets, each with a thread at both ends",
        ))
        .arg(number(
            "depth",
            'd',
            "1",
            "Requests of a task that may wait for their replies",
        ))
        .arg(
            Arg::new("size")
                .short('s')
                .long("size")
                .value_name("BYTES[,..]")
                .value_parser(sizes)
                .default_value("64")
                .help("Length of a request, or lengths in turn: 0,1,4095-4097,64K"),
        )
        .arg(
            Arg::new("reply-size")
                .short('r')
                .long("reply-size")
                .value_name("BYTES[,..]")
                .value_parser(sizes)
                .help("Length of a reply; as the request if not given"),
        )
        .arg(
            Arg::new("rdma")
                .short('D')
                .long("rdma")
                .value_name("BYTES")
                .value_parser(operation)
                .help("With each reply, an RDMA operation of this length on the client's memory"),
        )
        .arg(time("time", "10s", "How long to measure").short('t'))
        .arg(time("warmup", "0", "How long to run before it is measured").short('w'))
        .arg(
            Arg::new("count")
                .short('c')
                .long("count")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("Requests of each task, instead of a time"),
        )
        .arg(time("interval", "1s", "Time between lines of output; 0 for none").short('i'))
        .arg(
            Arg::new("no-verify")
                .long("no-verify")
                .action(ArgAction::SetTrue)
                .help("Compare lengths, but not contents: what is measured costs less"),
        )
        .arg(source_argument())
        .arg(tos_argument())
        .arg(buffer_argument())
        .after_help(
            "Each task sends requests and the server's answers to them; either side computes \
             what the other should have sent, so that lost, doubled, reordered and damaged \
             messages are found, whatever their size. With --rdma the server writes to memory of \
             the client's and reads it, in turn, and what arrives there is compared, too. The wire format is not that of \
             rds-stress: both ends must be `rds stress`.\n\n\
             Examples:\n  rds stress --listen 10.0.0.2\n  rds stress 10.0.0.2\n  \
             rds stress -n 16 -d 16 -s 1K -t 30 --warmup 2 --json 10.0.0.2\n  \
             rds stress -s 0,1,4095-4097,64K,1M -c 1000 10.0.0.2\n  \
             rds stress -d 16 -s 1M -r 32 --no-verify 10.0.0.2      throughput one way\n  \
             rds stress --transport rdma -n 4 -d 8 -D 64K 10.0.0.2",
        )
}

/// Runs it.
pub fn run(context: &Context, args: &ArgMatches) -> Result<Outcome, Failure> {
    if let Some(at) = args.get_one::<Endpoint>("listen") {
        return server::run(context, at.or_port(PORT), args.get_flag("once"));
    }
    let to = args
        .get_one::<Endpoint>("server")
        .ok_or_else(|| Failure::usage("which server?"))?
        .or_port(PORT);
    let number = |name| args.get_one::<u64>(name).map_or(1, |n| *n as usize);
    let time = |name| args.get_one::<Duration>(name).copied().unwrap_or_default();
    let list = |name| args.get_one::<Sizes>(name).map(|sizes| sizes.0.clone());
    let sizes = list("size").unwrap_or_default();
    let plan = Plan {
        tasks: number("tasks"),
        depth: number("depth"),
        reply_sizes: list("reply-size").unwrap_or_else(|| sizes.clone()),
        sizes,
        verify: !args.get_flag("no-verify"),
        tos: args.get_one("tos").copied().unwrap_or(0),
        buffer: args.get_one("buffer").copied(),
        rdma: args.get_one("rdma").copied().unwrap_or(0),
        seed: SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |now| now.as_nanos() as u64),
    };
    let course = Course {
        time: time("time"),
        warmup: time("warmup"),
        count: args.get_one("count").copied(),
        interval: time("interval"),
    };
    client::run(context, args, to, &plan, &course)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<ArgMatches> {
        let command = command().arg(Arg::new("json").long("json").action(ArgAction::SetTrue));
        let words = std::iter::once("stress").chain(line.split(' '));
        command.try_get_matches_from(words).ok()
    }

    #[test]
    fn operations_have_a_length() {
        for (line, wanted) in [
            ("10.0.0.2", None),
            ("-D 1 10.0.0.2", Some(1)),
            ("--rdma 64K 10.0.0.2", Some(64 << 10)),
            ("-D 1M -d 4 10.0.0.2", Some(1 << 20)),
        ] {
            let args = parsed(line).expect(line);
            assert_eq!(args.get_one::<usize>("rdma").copied(), wanted, "{line}");
        }
        for bad in ["-D 0", "-D 1048577", "-D", "-D x", "-D -1", "--rdma 4K,8K"] {
            assert!(parsed(&format!("{bad} 10.0.0.2")).is_none(), "{bad}");
        }
    }
}
