// SPDX-License-Identifier: GPL-2.0

//! `rds`: look at, try out and load reliable datagram sockets.

#![forbid(unsafe_code)]

mod context;
mod doctor;
mod failure;
mod info;
mod lender;
mod pages;
mod parse;
mod paths;
mod ping;
mod streams;
mod stress;
mod table;
mod transfer;

use clap::{crate_version, Command};
use context::Context;
use failure::{Failure, Outcome};
use std::process::ExitCode;

const AFTER: &str = "\
Exit status:
  0  what was asked for was done
  1  it was done, and the answer is no: no reply, wrong contents, a fault found
  2  the command line is wrong
  3  it could not be done: a system call failed

Environment:
  RDS_FAMILY  number of the address family, as --family
  NO_COLOR    no colours, as --color never

`rds COMMAND --help` shows examples.";

/// The whole command line.
fn command() -> Command {
    let base = Command::new("rds")
        .version(crate_version!())
        .about("Look at, try out and load reliable datagram sockets (AF_RDS)")
        .after_help(AFTER)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            ping::command(),
            info::command(),
            transfer::send_command(),
            transfer::recv_command(),
            stress::command(),
            doctor::command(),
            pages::completions_command(),
            pages::man_command(),
        ]);
    context::with_arguments(base)
}

fn run() -> Result<Outcome, Failure> {
    let matches = command().get_matches();
    let context = Context::new(&matches)?;
    match matches.subcommand() {
        Some(("ping", args)) => ping::run(&context, args),
        Some(("info", args)) => info::run(&context, args),
        Some(("send", args)) => transfer::send(&context, args),
        Some(("recv", args)) => transfer::recv(&context, args),
        Some(("stress", args)) => stress::run(&context, args),
        Some(("doctor", args)) => doctor::run(&context, args),
        Some(("completions", args)) => pages::completions(args, command()),
        Some(("man", args)) => pages::man(args, &command()),
        _ => Err(Failure::usage("no such command")),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            anstream::eprintln!("{failure}");
            failure.code()
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
