// SPDX-License-Identifier: GPL-2.0

//! Calls an implementation of RDS sockets in every wrong way, and compares what it says with
//! what the specification does.
//!
//! `rds-abi [--c] [--tcp] [--family N] [--local ADDRESS] [--local6 ADDRESS] [--verbose]`
//!
//! `--c` says that it is the kernel's C implementation: rows that are known to differ there are
//! held against that. `--local` is an address of an RDMA device; without one, rows that need it
//! fail. `--tcp` takes the rows that need RDS over TCP, in place of the others.

#![forbid(unsafe_code)]

mod rows;
mod table;

use raw_calls::Arena;
use std::net::IpAddr;
use std::process::ExitCode;
use table::{describe, World};

const USAGE: &str =
    "usage: rds-abi [--c] [--tcp] [--family N] [--local ADDRESS] [--local6 ADDRESS] [--verbose]";

struct Options {
    c: bool,
    tcp: bool,
    verbose: bool,
    family: i32,
    local: Option<IpAddr>,
    local6: Option<IpAddr>,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        c: false,
        tcp: false,
        verbose: false,
        family: 21,
        local: None,
        local6: None,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let ip = |text: String| text.parse::<IpAddr>().map_err(|e| format!("{text}: {e}"));
        match arg.as_str() {
            "--c" => options.c = true,
            "--tcp" => options.tcp = true,
            "--verbose" => options.verbose = true,
            "--family" => {
                let text = value()?;
                options.family = text.parse().map_err(|e| format!("{text}: {e}"))?;
            }
            "--local" => options.local = Some(ip(value()?)?),
            "--local6" => options.local6 = Some(ip(value()?)?),
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("rds-abi: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let arena = match Arena::new() {
        Ok(arena) => arena,
        Err(why) => {
            eprintln!("rds-abi: memory: {why}");
            return ExitCode::from(3);
        }
    };
    let world = World {
        arena,
        family: options.family,
        local: options.local,
        local6: options.local6,
    };
    let table = match options.tcp {
        false => rows::all(),
        true => rows::tcp(),
    };
    let (mut bad, mut known) = (0, 0);
    for row in &table.rows {
        let got = (row.run)(&world);
        let (want, why) = match &row.c {
            Some((want, why)) if options.c => (want, Some(why)),
            _ => (&row.want, None),
        };
        let good = want.accepts(got);
        if !good {
            bad += 1;
            println!("not ok {}: {}, wanted {want}", row.name, describe(got));
        } else if options.verbose {
            println!("ok {}: {}", row.name, describe(got));
        }
        if let Some(why) = why {
            known += 1;
            if options.verbose {
                println!("#  differs from {}: {why}", row.want);
            }
        }
    }
    println!(
        "rows {}, not as wanted {bad}, known to differ in C {known}",
        table.rows.len()
    );
    ExitCode::from(u8::from(bad != 0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn rows_have_names_of_their_own() {
        let (table, tcp) = (super::rows::all(), super::rows::tcp());
        let rows = table.rows.iter().chain(&tcp.rows);
        let names: HashSet<_> = rows.clone().map(|row| &row.name).collect();
        assert_eq!(names.len(), rows.count());
        assert!(table.rows.len() >= 300, "{} rows", table.rows.len());
    }
}
