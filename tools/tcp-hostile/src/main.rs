// SPDX-License-Identifier: GPL-2.0

//! A peer of RDS over TCP that keeps no rule.
//!
//! Each case is done on connections of its own. What has become of them is known by what the victim does: it ends a
//! connection, or it still answers on it, which it can only if it has followed all that was said.

#![forbid(unsafe_code)]

mod case;
mod cases;
mod header;
mod stream;

use clap::{crate_version, value_parser, Arg, Command};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use stream::Victim;

fn command() -> Command {
    Command::new("rds-tcp-hostile")
        .version(crate_version!())
        .about("Say what no peer of RDS over TCP may, and look what becomes of the connections")
        .arg(
            Arg::new("address")
                .required(true)
                .value_parser(value_parser!(IpAddr))
                .help("Address of the victim, which is larger than this host's"),
        )
        .arg(
            Arg::new("reader")
                .required(true)
                .value_parser(value_parser!(u16))
                .help("Port of a socket of the victim that receives all it gets"),
        )
        .arg(number(
            "seed",
            "1",
            "The number of the first stream of noise",
        ))
        .arg(number("noise", "10", "How many streams of noise there are"))
        .arg(number(
            "patience",
            "60",
            "How many seconds the victim may take to answer, or to end a connection",
        ))
}

fn number(name: &'static str, usual: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .default_value(usual)
        .value_parser(value_parser!(u64))
        .help(help)
}

fn main() -> ExitCode {
    let matches = command().get_matches();
    // All are there: they are required, or have a default.
    let (Some(&address), Some(&reader)) = (
        matches.get_one::<IpAddr>("address"),
        matches.get_one::<u16>("reader"),
    ) else {
        return ExitCode::from(2);
    };
    let value = |name| matches.get_one::<u64>(name).copied().unwrap_or_default();
    let mut victim = Victim {
        address,
        reader,
        patience: Duration::from_secs(value("patience")),
        port: 0,
        life: std::process::id(),
    };
    let (mut count, mut failed) = (0, 0);
    for (group, cases) in cases::all(&victim, value("seed"), value("noise")) {
        let began = Instant::now();
        let of_group = cases.len();
        for case in cases {
            count += 1;
            if let Err(wrong) = case.run(&mut victim) {
                failed += 1;
                eprintln!("wrong: {group}: {}: {wrong}", case.name);
            }
        }
        println!(
            "{group}: {of_group} cases in {:.1} s",
            began.elapsed().as_secs_f64()
        );
    }
    println!("{count} cases, {failed} wrong");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
