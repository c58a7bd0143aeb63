// SPDX-License-Identifier: GPL-2.0

//! Measures implementations of RDS sockets between two addresses of one host, in turn, and other kinds of
//! sockets beside them.
//!
//! ```text
//! rds-bench [--families KIND,..] [--rounds N] [--time MS | --count N] [--only WORD,..]
//!           [--devices NEAR,FAR | --spaces NEAR,FAR] [--cold FIRST-LAST | --hold THING] FROM TO
//! ```
//!
//! A kind is the number of an address family of RDS, or `tcp`, `nagle` (TCP without `TCP_NODELAY`), `udp`
//! or `unix` (`SOCK_SEQPACKET`).
//!
//! Each round measures each row for each kind, one right after the other and in another order than in
//! the round before, so that whatever else the machine does disturbs all alike. One thread has both
//! ends: the program's own part is the same for all, and small. Nothing is allocated while a row is
//! measured.
//!
//! `--cold` measures instead, for each of these types of service, how long the first message takes,
//! whose connection has yet to be made. The connections stay. `--hold` keeps `--count` of a thing, for
//! somebody else to see what memory they take: `hold.rs` says how.
//!
//! Each measurement is a line of JSON. With the devices known it says how many packets these have sent for
//! each message, whatever the window:
//!
//! ```text
//! {"row": "rate-64-d16-s1", "family": 21, "value": 5120.500, "packets": 1.07}
//! ```
//!
//! Other sockets than RDS's need the devices: they would not use these to reach an address of the same host.
//!
//! With `--spaces` each end is in a namespace of its own, as `ip netns` names them, and RDS goes over TCP. There are the
//! rows then that need two addresses and a wire between them, and no other type of service; their names begin with `tcp-`.
//!
//! With `--count` each row goes on for so many messages or round trips, between two marks for an emulator
//! that counts instructions (`tools/insns`), and the line says how many it were:
//!
//! ```text
//! {"counted": "rate-64-d16-s1", "family": 21, "messages": 1000}
//! ```

#![forbid(unsafe_code)]

mod end;
mod hold;
mod kind;
mod measure;
mod options;
mod pair;
mod row;

use kind::Kind;
use measure::{Bench, Window};
use options::{Options, Work};
use pair::{failed, Devices, Failure, Place, Site, Spaces};
use row::{Row, What, ROWS};
use std::process::ExitCode;
use std::time::Duration;

/// The kinds, in the order in which `turn` takes them.
fn in_turn(kinds: &[Kind], turn: usize) -> impl Iterator<Item = Kind> + '_ {
    let first = turn % kinds.len();

    kinds[first..].iter().chain(&kinds[..first]).copied()
}

/// What came of a row: figures with their names, or how many messages were counted.
enum Came {
    Figures(Vec<(String, f64)>),
    Counted(usize),
}

fn percentiles(name: &str, times: &[Duration], window: Window, percents: &[usize]) -> Came {
    if let Window::Count(_) = window {
        return Came::Counted(times.len());
    }
    let figure = |percent: &usize| {
        let value = measure::percentile(times, *percent).as_secs_f64() * 1e6;
        (format!("{name}-p{percent}"), value)
    };
    Came::Figures(percents.iter().map(figure).collect())
}

fn work(
    bench: &mut Bench,
    row: &Row,
    kind: Kind,
    size: usize,
    window: Window,
) -> Result<Came, Failure> {
    match row.what {
        What::RoundTrip { .. } => {
            let times = bench.round_trips(kind, row.place, size, window)?;
            Ok(percentiles(row.name, times, window, &[50, 90, 99]))
        }
        What::Beside { depth, tos } => {
            let times = bench.round_trips_beside(kind, depth, tos, window)?;
            Ok(percentiles(row.name, times, window, &[50]))
        }
        What::OneWay { depth, sockets, .. } => {
            let flow = bench.one_way((kind, row.place), size, depth, sockets, window)?;
            if let Window::Count(_) = window {
                return Ok(Came::Counted(flow.messages));
            }
            let rate = flow.messages as f64 / flow.time.as_secs_f64();
            let value = if row.is_flow() {
                rate * size as f64 / f64::from(1 << 20)
            } else {
                rate
            };
            Ok(Came::Figures(vec![(row.name.into(), value)]))
        }
    }
}

/// The bytes of the messages of a row of this kind; `None` if the kind has no such row.
fn size_for(row: &Row, kind: Kind, by_tcp: bool) -> Option<usize> {
    if by_tcp && !row.is_of_tcp() {
        return None;
    }
    if row.place != Place::Wire && !kind.has_addresses() {
        return None;
    }
    match row.what {
        What::RoundTrip { size } | What::OneWay { size, .. } => kind.fits(size),
        What::Beside { tos, .. } if tos != 0 && !kind.has_types_of_service() => None,
        What::Beside { .. } => kind.fits(rds::MAX_MESSAGE),
    }
}

/// Measures a row for a kind, and prints it.
fn measure(bench: &mut Bench, row: &Row, kind: Kind, window: Window) -> Result<(), Failure> {
    let by_tcp = bench.site.spaces.is_some();
    let Some(size) = size_for(row, kind, by_tcp) else {
        return Ok(());
    };
    let prefix = if by_tcp { "tcp-" } else { "" };
    let before = bench.so_far().map_err(failed(kind, "packets"))?;
    let came = work(bench, row, kind, size, window)?;
    let after = bench.so_far().map_err(failed(kind, "packets"))?;

    let mut packets = String::new();
    if let (Some(before), Some(after)) = (before, after) {
        let (sent, messages) = (after.0 - before.0, after.1 - before.1);
        if sent == 0 && row.place == Place::Wire && kind.has_addresses() {
            return Err(Failure::new(kind, row.name, "nothing went over the wire"));
        }
        packets = format!(", \"packets\": {:.4}", sent as f64 / messages as f64);
    }
    match came {
        Came::Figures(figures) => {
            for (name, value) in figures {
                println!(
                    "{{\"row\": \"{prefix}{name}\", \"family\": {kind}, \"value\": {value:.3}{packets}}}"
                );
            }
        }
        Came::Counted(messages) => println!(
            "{{\"counted\": \"{prefix}{}\", \"family\": {kind}, \"messages\": {messages}}}",
            row.name
        ),
    }
    Ok(())
}

fn steady(options: &Options, bench: &mut Bench) -> Result<(), Failure> {
    for round in 0..options.rounds {
        let wanted = ROWS.iter().filter(|row| row.is_wanted(&options.only));
        for (at, row) in wanted.enumerate() {
            for kind in in_turn(&options.kinds, round + at) {
                measure(bench, row, kind, options.window)?;
            }
        }
    }
    Ok(())
}

fn cold(options: &Options, bench: &mut Bench, first: u8, last: u8) -> Result<(), Failure> {
    for tos in first..=last {
        for kind in in_turn(&options.kinds, tos.into()) {
            let time = bench.first_message(kind, tos)?.as_secs_f64() * 1e6;
            println!("{{\"row\": \"cold\", \"family\": {kind}, \"value\": {time:.3}}}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("rds-bench: {why}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let devices = options.devices.as_ref();
    let devices = match devices.map(|(near, far)| Devices::new(near, far)) {
        Some(Err(error)) => {
            eprintln!("rds-bench: memory: {error}");
            return ExitCode::FAILURE;
        }
        devices => devices.and_then(Result::ok),
    };
    let spaces = options.spaces.as_ref();
    let spaces = match spaces.map(|(near, far)| Spaces::new(near, far)).transpose() {
        Ok(spaces) => spaces,
        Err(error) => {
            eprintln!("rds-bench: namespaces: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut bench = Bench::new(Site {
        addresses: options.addresses,
        devices,
        spaces,
    });
    let done = match options.work {
        Work::Rows => steady(&options, &mut bench),
        Work::Cold(first, last) => cold(&options, &mut bench, first, last),
        Work::Hold(family, thing, count) => hold::hold(&bench, family, thing, count),
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

    #[test]
    fn every_kind_is_first_in_its_turn() {
        let (c, ours) = (Kind::Rds(21), Kind::Rds(27));
        let order = |turn| in_turn(&[c, ours], turn).collect::<Vec<_>>();

        assert_eq!(order(0), [c, ours]);
        assert_eq!(order(1), [ours, c]);
        assert_eq!(order(2), [c, ours]);
    }

    #[test]
    fn kinds_have_the_rows_that_they_can_have() {
        let rows = |kind| {
            let has = move |row: &&Row| size_for(row, kind, false).is_some();
            ROWS.iter().filter(has).map(|row| row.name)
        };
        assert_eq!(rows(Kind::Rds(21)).count(), ROWS.len());
        let tcp = Kind::Tcp { nodelay: true };
        assert!(rows(tcp).all(|name| !name.ends_with("-tos")));
        assert!(rows(tcp).any(|name| name == "own-flow-1M"));
        assert!(rows(Kind::Unix).all(|name| !name.starts_with("lo-")));
        assert!(rows(Kind::Unix).any(|name| name == "hol-1M-d4"));
        assert!(rows(Kind::Udp).all(|name| !name.contains("1M")));
        assert!(rows(Kind::Udp).any(|name| name == "flow-64K"));
        let over_tcp = ROWS.iter().filter(|row| size_for(row, tcp, true).is_some());
        assert!(over_tcp.clone().any(|row| row.name == "hol-1M-d4"));
        assert!(over_tcp.clone().all(|row| row.place == Place::Wire));
    }
}
