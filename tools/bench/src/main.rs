// SPDX-License-Identifier: GPL-2.0

//! Measures implementations of RDS sockets between two addresses of one host, in turn.
//!
//! ```text
//! rds-bench [--families N,..] [--rounds N] [--time MS | --count N] [--only WORD,..] [--cold FIRST-LAST] FROM TO
//! ```
//!
//! Each round measures each row for each family, one right after the other and in another order than in
//! the round before, so that whatever else the machine does disturbs all alike. One thread has both
//! ends: the program's own part is the same for all, and small. Nothing is allocated while a row is
//! measured.
//!
//! `--cold` measures instead, for each of these types of service, how long the first message takes,
//! whose connection has yet to be made. The connections stay.
//!
//! Each measurement is a line of JSON:
//!
//! ```text
//! {"row": "rate-64-d16-s1", "family": 21, "value": 5120.5}
//! ```
//!
//! With `--count` each row goes on for so many messages or round trips, between two marks for an emulator
//! that counts instructions (`tools/insns`), and the line says how many it were:
//!
//! ```text
//! {"counted": "rate-64-d16-s1", "family": 21, "messages": 1000}
//! ```

#![forbid(unsafe_code)]

mod measure;

use measure::{Bench, Failure, Window};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: rds-bench [--families N,..] [--rounds N] [--time MS | --count N] \
                     [--only WORD,..] [--cold FIRST-LAST] FROM TO";

/// What is measured with the connection up.
#[derive(Clone, Copy)]
enum Row {
    /// Messages of so many bytes there and back, one at a time: percentiles of the time.
    RoundTrip { size: usize },
    /// Messages one way, so many of each socket under way.
    OneWay {
        size: usize,
        depth: usize,
        sockets: usize,
    },
}

/// The name of each row, and what it is.
const ROWS: &[(&str, Row)] = &[
    ("rtt-64", Row::RoundTrip { size: 64 }),
    ("rate-64-d1-s1", one_way(64, 1, 1)),
    ("rate-64-d16-s1", one_way(64, 16, 1)),
    ("rate-64-d256-s1", one_way(64, 256, 1)),
    ("rate-64-d1-s16", one_way(64, 1, 16)),
    ("rate-64-d16-s16", one_way(64, 16, 16)),
    ("rate-64-d256-s16", one_way(64, 256, 16)),
    ("flow-64K", one_way(64 << 10, 16, 1)),
    ("flow-1M", one_way(1 << 20, 4, 1)),
];

const fn one_way(size: usize, depth: usize, sockets: usize) -> Row {
    Row::OneWay {
        size,
        depth,
        sockets,
    }
}

struct Options {
    families: Vec<u16>,
    rounds: usize,
    window: Window,
    only: Vec<String>,
    cold: Option<(u8, u8)>,
    from: IpAddr,
    to: IpAddr,
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut addresses = Vec::new();
    let (mut families, mut rounds) = (vec![21], 1);
    let mut window = Window::Time(Duration::from_millis(200));
    let (mut only, mut cold) = (Vec::new(), None);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--families" => families = value()?.split(',').map(number).collect::<Result<_, _>>()?,
            "--rounds" => rounds = number(&value()?)?,
            "--time" => window = Window::Time(Duration::from_millis(number(&value()?)?)),
            "--count" => window = Window::Count(number(&value()?)?),
            "--only" => only = value()?.split(',').map(String::from).collect(),
            "--cold" => {
                let text = value()?;
                let (first, last) = text.split_once('-').unwrap_or((&text, &text));
                cold = Some((number(first)?, number(last)?));
            }
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => addresses.push(arg.parse().map_err(|_| format!("{arg:?} is no address"))?),
        }
    }
    let &[from, to] = addresses.as_slice() else {
        return Err("two addresses of this host are needed".into());
    };
    if families.is_empty() || cold.is_some_and(|(first, last)| first == 0 || first > last) {
        return Err("there is nothing to measure".into());
    }
    Ok(Options {
        families,
        rounds,
        window,
        only,
        cold,
        from,
        to,
    })
}

fn tell(row: &str, family: u16, value: f64) {
    println!("{{\"row\": \"{row}\", \"family\": {family}, \"value\": {value:.3}}}");
}

fn tell_counted(row: &str, family: u16, messages: usize) {
    println!("{{\"counted\": \"{row}\", \"family\": {family}, \"messages\": {messages}}}");
}

/// The families, in the order in which `turn` takes them.
fn in_turn(families: &[u16], turn: usize) -> impl Iterator<Item = u16> + '_ {
    let first = turn % families.len();

    families[first..].iter().chain(&families[..first]).copied()
}

/// Measures a row for a family, and prints it.
fn measure(
    options: &Options,
    bench: &mut Bench,
    name: &str,
    row: Row,
    family: u16,
) -> Result<(), Failure> {
    let counted = matches!(options.window, Window::Count(_));
    match row {
        Row::RoundTrip { size } => {
            let times = bench.round_trips(family, size, options.window)?;
            if counted {
                tell_counted(name, family, times.len());
                return Ok(());
            }
            for percent in [50, 90, 99] {
                let value = measure::percentile(times, percent).as_secs_f64() * 1e6;
                tell(&format!("{name}-p{percent}"), family, value);
            }
        }
        Row::OneWay {
            size,
            depth,
            sockets,
        } => {
            let flow = bench.one_way(family, size, depth, sockets, options.window)?;
            if counted {
                tell_counted(name, family, flow.messages);
                return Ok(());
            }
            let rate = flow.messages as f64 / flow.time.as_secs_f64();
            let value = if name.starts_with("flow") {
                rate * size as f64 / f64::from(1 << 20)
            } else {
                rate
            };
            tell(name, family, value);
        }
    }
    Ok(())
}

fn steady(options: &Options, bench: &mut Bench) -> Result<(), Failure> {
    for round in 0..options.rounds {
        for (at, (name, row)) in ROWS.iter().enumerate() {
            let wanted = |word: &String| name.contains(word.as_str());
            if !options.only.is_empty() && !options.only.iter().any(wanted) {
                continue;
            }
            for family in in_turn(&options.families, round + at) {
                measure(options, bench, name, *row, family)?;
            }
        }
    }
    Ok(())
}

fn cold(options: &Options, bench: &mut Bench, first: u8, last: u8) -> Result<(), Failure> {
    for tos in first..=last {
        for family in in_turn(&options.families, tos.into()) {
            let time = bench.first_message(family, tos)?;
            tell("cold", family, time.as_secs_f64() * 1e6);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("rds-bench: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut bench = Bench::new(options.from, options.to);
    let done = match options.cold {
        Some((first, last)) => cold(&options, &mut bench, first, last),
        None => steady(&options, &mut bench),
    };

    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rds-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options, String> {
        parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn every_family_is_first_in_its_turn() {
        let order = |turn| in_turn(&[21, 27], turn).collect::<Vec<_>>();

        assert_eq!(order(0), [21, 27]);
        assert_eq!(order(1), [27, 21]);
        assert_eq!(order(2), [21, 27]);
    }

    #[test]
    fn the_command_line() {
        let got = options("--families 21,27 --rounds 3 --time 50 --cold 1-8 10.0.0.1 10.0.0.2");
        let got = got.unwrap();
        assert_eq!((got.families, got.rounds), (vec![21, 27], 3));
        assert_eq!(
            (got.window, got.cold),
            (Window::Time(Duration::from_millis(50)), Some((1, 8)))
        );
        let got = options("--count 100 10.0.0.1 10.0.0.2").unwrap();
        assert_eq!(got.window, Window::Count(100));
        for bad in [
            "10.0.0.1",
            "10.0.0.1 10.0.0.2 10.0.0.3",
            "10.0.0.1 ten",
            "--rounds 10.0.0.1 10.0.0.2",
            "--families , 10.0.0.1 10.0.0.2",
            "--cold 8-1 10.0.0.1 10.0.0.2",
            "--cold 0-1 10.0.0.1 10.0.0.2",
            "--fast 10.0.0.1 10.0.0.2",
        ] {
            assert!(options(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_two_rows_have_one_name() {
        for (at, (name, _)) in ROWS.iter().enumerate() {
            assert!(ROWS[..at].iter().all(|(other, _)| other != name));
        }
    }
}
