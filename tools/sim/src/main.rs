// SPDX-License-Identifier: GPL-2.0

//! Runs many simulated worlds and reports.
//!
//! `rds-sim [--native] [--seeds FIRST..END] [--steps N] [--jobs N]`

use rds_sim::config::Config;
use rds_sim::native;
use rds_sim::world::{Report, Sim};
use std::fmt::Debug;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Instant;

const USAGE: &str =
    "usage: rds-sim [--native] [--seeds FIRST..END] [--steps PER_SEED] [--jobs N] [--seed N]";

#[derive(Debug)]
struct Options {
    first: u64,
    end: u64,
    steps: u64,
    jobs: usize,
    native: bool,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut o = Options {
        first: 0,
        end: 1000,
        steps: 100_000,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        native: false,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |text: String| {
            let plain = text.replace('_', "");
            plain.parse::<u64>().map_err(|e| format!("{text}: {e}"))
        };
        match arg.as_str() {
            "--seeds" => {
                let text = value()?;
                let (first, end) = text.split_once("..").ok_or("--seeds needs FIRST..END")?;
                o.first = number(first.into())?;
                o.end = number(end.into())?;
            }
            "--seed" => {
                o.first = number(value()?)?;
                o.end = o.first + 1;
            }
            "--steps" => o.steps = number(value()?)?,
            "--native" => o.native = true,
            "--jobs" => o.jobs = number(value()?)? as usize,
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(o)
}

fn main() -> ExitCode {
    let o = match parse(std::env::args().skip(1)) {
        Ok(o) => o,
        Err(e) => {
            eprintln!("rds-sim: {e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if o.native {
        return many_native(&o);
    }
    let world = |seed| Sim::new(seed).run(o.steps);
    let count = |sum: &mut Report, report: &Report| *sum = add(sum, report);
    let Some((r, seconds)) = many(&o, "", Config::from_seed, world, count) else {
        return ExitCode::FAILURE;
    };
    println!(
        "sim: {} seeds, {} steps, {:.1} s, {:.2} M steps/s",
        o.end - o.first,
        r.steps,
        seconds,
        r.steps as f64 / seconds / 1e6
    );
    println!(
        "sim: {} messages received, {} cancelled, {} dropped with their operation, {} excused \
         (rebooted C sender); {} connections killed, {} nodes crashed",
        r.messages, r.cancelled, r.dropped, r.excused, r.kills, r.crashes
    );
    r.counters
        .for_each(|name, value| println!("sim:   {name} {value}"));
    ExitCode::SUCCESS
}

/// Runs the world of each seed, several at a time. Returns what they report together and how many seconds it
/// took, or, if one fails, nothing: it says then which one, with its settings, and how to repeat it.
fn many<R: Default + Send, C: Debug>(
    o: &Options,
    flag: &str,
    config: impl Fn(u64) -> C + Sync,
    world: impl Fn(u64) -> R + Sync,
    add: impl Fn(&mut R, &R) + Sync,
) -> Option<(R, f64)> {
    let started = Instant::now();
    let next = AtomicU64::new(o.first);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(R::default());
    std::thread::scope(|scope| {
        for _ in 0..o.jobs.max(1) {
            scope.spawn(|| loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= o.end || failed.load(Ordering::Relaxed) {
                    break;
                }
                match catch_unwind(AssertUnwindSafe(|| world(seed))) {
                    Ok(report) => {
                        add(
                            &mut total.lock().expect("no one panics holding it"),
                            &report,
                        );
                    }
                    Err(_) => {
                        failed.store(true, Ordering::Relaxed);
                        eprintln!("seed {seed} failed: {:?}", config(seed));
                        eprintln!("repeat: rds-sim {flag}--seed {seed} --steps {}", o.steps);
                    }
                }
            });
        }
    });
    if failed.into_inner() {
        return None;
    }
    let sum = total.into_inner().expect("no one panicked");
    Some((sum, started.elapsed().as_secs_f64()))
}

fn add(a: &Report, b: &Report) -> Report {
    let mut counters = a.counters;
    counters.add(&b.counters);
    Report {
        steps: a.steps + b.steps,
        messages: a.messages + b.messages,
        kills: a.kills + b.kills,
        crashes: a.crashes + b.crashes,
        cancelled: a.cancelled + b.cancelled,
        dropped: a.dropped + b.dropped,
        excused: a.excused + b.excused,
        counters,
    }
}

/// Worlds of the native protocol.
fn many_native(o: &Options) -> ExitCode {
    let world = |seed| native::World::new(seed).run(o.steps);
    let count = native::Report::add;
    let Some((r, seconds)) = many(o, "--native ", native::Config::from_seed, world, count) else {
        return ExitCode::FAILURE;
    };
    println!(
        "sim: native: {} seeds, {} steps, {seconds:.1} s, {:.2} M steps/s",
        o.end - o.first,
        r.steps,
        r.steps as f64 / seconds / 1e6
    );
    println!(
        "sim: native: {} messages received in {} packets, {} cancelled; {} packets refused, {} changed; \
         {} lanes killed, {} nodes crashed, {} hostile sessions ended, {} sessions put away",
        r.messages, r.packets, r.cancelled, r.refused, r.changed, r.kills, r.crashes, r.ended, r.parked
    );
    println!(
        "sim: native: {} datagrams lost, {} doubled, {} lanes fell silent",
        r.lost, r.doubled, r.silences
    );
    ExitCode::SUCCESS
}
