// SPDX-License-Identifier: GPL-2.0

//! The side that asks, measures and reports.

use super::plan::{self, Plan, STALL};
use super::server::prepare;
use super::stats::{Cpu, Stats};
use super::task::{Shared, Task};
use crate::context::Context;
use crate::failure::{printed, Failure, Outcome};
use clap::ArgMatches;
use rds::rdma::RdmaSocket;
use rds::Socket;
use serde_json::{json, Value};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long, and what to print meanwhile.
pub struct Course {
    pub time: Duration,
    pub warmup: Duration,
    /// Requests of each task; the run ends when they are answered.
    pub count: Option<u64>,
    pub interval: Duration,
}

/// Talks to the server.
struct Line {
    socket: Socket,
    to: SocketAddr,
}

impl Line {
    fn ask(&self, kind: &str, fields: Value, expected: &str) -> Result<Value, Failure> {
        let to = self.to;
        self.socket
            .send_to(&plan::message(kind, fields), to)
            .map_err(|error| Failure::system(format!("send to {to}"), &error))?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let received = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
                    ) =>
                {
                    let what = format!("{to} does not answer for {} s", STALL.as_secs());
                    return Err(Failure::other(what).hint(
                        "Does `rds stress --listen ADDRESS` run there, and does `rds ping` work?",
                    ));
                }
                Err(error) => return Err(Failure::system("receive", &error)),
            };
            if received.from != Some(to) {
                continue;
            }
            let (kind, fields) = plan::read(&buffer[..received.len])
                .map_err(|why| Failure::other(format!("{to}: {why}")))?;
            if kind == expected {
                return Ok(fields);
            }
            let why = fields.as_str().unwrap_or(&kind).to_string();
            return Err(Failure::other(format!("{to} refuses: {why}")));
        }
    }
}

/// All tasks of the run, seen from the thread that reports.
struct Run<'a> {
    context: &'a Context,
    plan: &'a Plan,
    course: &'a Course,
    line: Line,
    shared: Vec<Arc<Shared>>,
    failed: Arc<Mutex<Vec<String>>>,
    seconds: Vec<Value>,
}

impl Run<'_> {
    fn take(&self) -> Stats {
        let mut sum = Stats::new();
        for shared in &self.shared {
            sum.add(&shared.take());
        }
        sum
    }

    fn running(&self, tasks: &[JoinHandle<()>]) -> bool {
        tasks.iter().any(|task| !task.is_finished())
    }

    /// Waits, printing a line each interval; returns what was counted.
    fn watch(&mut self, tasks: &[JoinHandle<()>], end: Option<Instant>) -> Result<Stats, Failure> {
        let mut total = Stats::new();
        let began = Instant::now();
        let mut last = began;
        let mut next = began + self.course.interval;
        loop {
            let now = Instant::now();
            let over = end.is_some_and(|end| now >= end)
                || !self.running(tasks)
                || !self.problems().is_empty();
            let silent = self.course.interval.is_zero();
            if over || (now >= next && !silent) {
                let piece = self.take();
                if !silent && now.duration_since(last) >= self.course.interval / 2 {
                    self.show(began.elapsed(), now.duration_since(last), &piece)?;
                }
                total.add(&piece);
                last = now;
                next += self.course.interval;
            }
            if over {
                return Ok(total);
            }
            let until = end.map_or(Duration::MAX, |end| end.saturating_duration_since(now));
            let tick = if silent {
                Duration::MAX
            } else {
                next.saturating_duration_since(now)
            };
            // Ends of tasks are looked for now and then.
            let longest = Duration::from_millis(50);
            std::thread::sleep(until.min(tick).min(longest));
        }
    }

    fn show(&mut self, at: Duration, took: Duration, piece: &Stats) -> Result<(), Failure> {
        let took = took.as_secs_f64();
        let rate = piece.times.count() as f64 / took;
        let mbytes = (piece.sent_bytes + piece.received_bytes) as f64 / took / 1e6;
        let (p50, p99) = (piece.times.percentile(50.0), piece.times.percentile(99.0));
        if self.context.json {
            self.seconds.push(json!({
                "at": at.as_secs_f64(), "rate": rate, "mbytes_per_s": mbytes,
                "p50_us": p50, "p99_us": p99, "congested": piece.congested,
            }));
            return Ok(());
        }
        printed(writeln!(
            anstream::stdout(),
            "{:8.1} s {rate:10.0} /s {mbytes:10.2} MB/s   p50 {p50:9.1} us   p99 {p99:9.1} us{}",
            at.as_secs_f64(),
            if piece.congested > 0 {
                format!("   congested {}", piece.congested)
            } else {
                String::new()
            }
        ))
    }

    fn problems(&self) -> Vec<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.clone()
    }
}

/// Runs it.
pub fn run(
    context: &Context,
    args: &ArgMatches,
    to: SocketAddr,
    plan: &Plan,
    course: &Course,
) -> Result<Outcome, Failure> {
    let socket = context.bound_towards(args, to)?;
    let failed = |error: io::Error| Failure::system("socket", &error);
    socket.set_recv_timeout(Some(STALL)).map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?.unwrap_or(to);
    let line = Line { socket, to };
    let ports = line.ask("start", plan.to_json(), "ready")?;
    let ports: Vec<u16> = ports
        .as_array()
        .map(|list| {
            list.iter()
                .filter_map(|p| p.as_u64()?.try_into().ok())
                .collect()
        })
        .filter(|list: &Vec<u16>| list.len() == plan.tasks)
        .ok_or_else(|| Failure::other(format!("{to} does not name a port for each task")))?;

    let mut run = Run {
        context,
        plan,
        course,
        line,
        shared: Vec::new(),
        failed: Arc::default(),
        seconds: Vec::new(),
    };
    let mut sockets = Vec::new();
    for port in ports {
        let mut ours = local;
        ours.set_port(0);
        let socket = context.bound(ours)?;
        prepare(&socket, plan)?;
        let mut theirs = to;
        theirs.set_port(port);
        sockets.push((socket, theirs));
        run.shared
            .push(Arc::new(Shared::new(course.count.unwrap_or(u64::MAX))));
    }
    measure(&mut run, sockets)
}

fn measure(run: &mut Run<'_>, sockets: Vec<(Socket, SocketAddr)>) -> Result<Outcome, Failure> {
    let failed = run.failed.clone();
    let mut tasks = Vec::new();
    for (number, (socket, to)) in sockets.into_iter().enumerate() {
        let (plan, failed) = (run.plan.clone(), failed.clone());
        let shared = run.shared[number].clone();
        tasks.push(std::thread::spawn(move || {
            let task = Task {
                plan: &plan,
                number,
                socket: RdmaSocket::new(socket),
                shared: &shared,
            };
            if let Err(why) = task.ask(to) {
                failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(why);
            }
        }));
    }
    let outcome = course(run, &tasks);
    for shared in &run.shared {
        shared.stop.store(true, Ordering::Relaxed);
        shared.abort.store(true, Ordering::Relaxed);
    }
    for task in tasks {
        let _ = task.join();
    }
    let (total, took, cpu) = outcome?;
    let mut why = std::mem::take(&mut *failed.lock().unwrap_or_else(PoisonError::into_inner));
    why.extend(total.described.iter().cloned());
    let theirs = match run.line.ask("end", Value::Null, "result") {
        Ok(theirs) => theirs,
        Err(failure) => {
            // What the tasks met comes first: it is why.
            for line in &why {
                anstream::eprintln!("rds: {line}");
            }
            return Err(failure);
        }
    };
    report(run, &total, took, cpu, &theirs, &why)
}

/// Warm-up, what is measured, and the replies that are still missing then.
fn course(
    run: &mut Run<'_>,
    tasks: &[JoinHandle<()>],
) -> Result<(Stats, Duration, Value), Failure> {
    let mut errors = Stats::new();
    if !run.course.warmup.is_zero() {
        let end = Instant::now() + run.course.warmup;
        let warm = run.watch(tasks, Some(end))?;
        errors.errors = warm.errors;
        errors.described = warm.described;
        run.line.ask("mark", Value::Null, "marked")?;
        let between = run.take();
        errors.errors += between.errors;
        run.seconds.clear();
    }
    let (cpu, began) = (Cpu::start(), Instant::now());
    let end = run.course.count.is_none().then(|| began + run.course.time);
    let mut total = run.watch(tasks, end)?;
    let (took, cpu) = (began.elapsed(), cpu.json());
    for shared in &run.shared {
        shared.stop.store(true, Ordering::Relaxed);
    }
    // What comes now is not counted into rates, but has to come, and to be right.
    while run.running(tasks) && run.problems().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let late = run.take();
    errors.errors += late.errors;
    errors.described.extend(late.described);
    total.errors += errors.errors;
    total.described.extend(errors.described);
    Ok((total, took, cpu))
}

fn report(
    run: &Run<'_>,
    total: &Stats,
    took: Duration,
    cpu: Value,
    theirs: &Value,
    why: &[String],
) -> Result<Outcome, Failure> {
    let seconds = took.as_secs_f64();
    let rate = total.times.count() as f64 / seconds;
    let out_rate = total.sent_bytes as f64 / seconds / 1e6;
    let in_rate = total.received_bytes as f64 / seconds / 1e6;
    let their_errors = theirs["errors"].as_u64().unwrap_or(0);
    let good = why.is_empty() && total.errors == 0 && their_errors == 0 && total.received > 0;
    let mut out = anstream::stdout();
    if run.context.json {
        let all = json!({
            "good": good,
            "plan": run.plan.to_json(),
            "seconds": seconds,
            "exchanges": total.times.count(),
            "rate": rate,
            "sent_mbytes_per_s": out_rate,
            "received_mbytes_per_s": in_rate,
            "rtt_us": total.times.json(),
            "client": total.json(),
            "client_cpu": cpu,
            "server": theirs,
            "failures": why,
            "intervals": run.seconds,
        });
        printed(writeln!(out, "{all:#}"))?;
        return Ok(good.into());
    }
    let plan = run.plan;
    printed(writeln!(
        out,
        "{} tasks, depth {}, {seconds:.2} s: {} exchanges, {rate:.0} /s, {out_rate:.2} MB/s out, \
         {in_rate:.2} MB/s in",
        plan.tasks,
        plan.depth,
        total.times.count()
    ))?;
    printed(writeln!(out, "rtt: {}", total.times))?;
    printed(writeln!(
        out,
        "send buffer full {}, congested {}; processor: client {:.2} s, server {:.2} s",
        total.full,
        total.congested,
        cpu["process_seconds"].as_f64().unwrap_or(0.0),
        theirs["cpu"]["process_seconds"].as_f64().unwrap_or(0.0)
    ))?;
    if plan.rdma > 0 {
        let bytes = total.operations as f64 * plan.rdma as f64;
        printed(writeln!(
            out,
            "RDMA: {} operations of {} bytes, {:.2} MB/s",
            total.operations,
            plan.rdma,
            bytes / seconds / 1e6
        ))?;
    }
    let checked = if plan.verify {
        "contents and order"
    } else {
        "lengths"
    };
    printed(writeln!(
        out,
        "{checked} verified: {} errors here, {their_errors} at the server",
        total.errors
    ))?;
    for line in why {
        anstream::eprintln!("rds: {line}");
    }
    for line in theirs["first_errors"].as_array().into_iter().flatten() {
        anstream::eprintln!("rds: server: {}", line.as_str().unwrap_or("?"));
    }
    Ok(good.into())
}
