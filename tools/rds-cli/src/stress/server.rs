// SPDX-License-Identifier: GPL-2.0

//! The side that answers: for each client a session, with a thread for each of its tasks.

use super::plan::{self, Plan, STALL};
use super::stats::{Cpu, Stats};
use super::task::{Shared, Task};
use crate::context::{set_buffers, Context};
use crate::failure::{printed, reason, Failure, Outcome};
use rds::rdma::RdmaSocket;
use rds::Socket;
use serde_json::{json, Value};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What one client has running here.
struct Session {
    tasks: Vec<JoinHandle<Result<(), String>>>,
    shared: Vec<Arc<Shared>>,
    total: Stats,
    cpu: Cpu,
    heard: Instant,
}

impl Session {
    fn start(context: &Context, at: SocketAddr, plan: &Plan) -> Result<(Self, Vec<u16>), Failure> {
        let plan = Arc::new(plan.clone());
        let mut session = Self {
            tasks: Vec::new(),
            shared: Vec::new(),
            total: Stats::new(),
            cpu: Cpu::start(),
            heard: Instant::now(),
        };
        let mut sockets = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..plan.tasks {
            let mut local = at;
            local.set_port(0);
            let socket = context.bound(local)?;
            prepare(&socket, &plan)?;
            let port = socket.local_addr().ok().flatten().map(|addr| addr.port());
            ports.push(port.ok_or_else(|| Failure::other("the bound socket has no address"))?);
            sockets.push(socket);
        }
        for (number, socket) in sockets.into_iter().enumerate() {
            let shared = Arc::new(Shared::new(0));
            session.shared.push(shared.clone());
            let plan = plan.clone();
            session.tasks.push(std::thread::spawn(move || {
                let task = Task {
                    plan: &plan,
                    number,
                    socket: RdmaSocket::new(socket),
                    shared: &shared,
                };
                task.answer()
            }));
        }
        Ok((session, ports))
    }

    fn count(&mut self) {
        for shared in &self.shared {
            self.total.add(&shared.take());
        }
    }

    fn end(mut self) -> (Stats, Value) {
        for shared in &self.shared {
            shared.stop.store(true, Ordering::Relaxed);
        }
        for task in std::mem::take(&mut self.tasks) {
            match task.join() {
                Ok(Ok(())) => {}
                Ok(Err(why)) => self.total.error(why),
                Err(_) => self.total.error("a task panicked".into()),
            }
        }
        self.count();
        let mut result = self.total.json();
        result["cpu"] = self.cpu.json();
        (self.total, result)
    }
}

/// Sets up a task's socket as the plan says.
pub fn prepare(socket: &Socket, plan: &Plan) -> Result<(), Failure> {
    let failed = |what: &str| {
        let what = what.to_string();
        move |error: io::Error| Failure::system(what, &error)
    };
    if plan.tos != 0 {
        socket
            .set_tos(plan.tos)
            .map_err(failed(&format!("type of service {}", plan.tos)))?;
    }
    socket
        .set_congestion_monitor(true)
        .map_err(failed("RDS_CONG_MONITOR"))?;
    set_buffers(socket, plan.buffer, plan.longest())
}

/// Whether the sessions' errors make it a bad run, and when it is over.
struct Server<'a> {
    context: &'a Context,
    at: SocketAddr,
    socket: Socket,
    sessions: HashMap<SocketAddr, Session>,
    good: bool,
    served: u64,
    /// To whom the last result went.
    last: Option<SocketAddr>,
}

impl Server<'_> {
    fn say(&self, text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
        if self.context.json {
            return Ok(());
        }
        printed(writeln!(anstream::stdout(), "{text}"))
    }

    fn reply(&self, to: SocketAddr, kind: &str, fields: Value) {
        if let Err(error) = self.socket.send_to(&plan::message(kind, fields), to) {
            anstream::eprintln!("rds: reply to {to}: {}", reason(&error));
        }
    }

    fn message(&mut self, from: SocketAddr, data: &[u8]) -> Result<(), Failure> {
        let (kind, fields) = match plan::read(data) {
            Ok(message) => message,
            Err(why) => {
                anstream::eprintln!("rds: {from}: {why}");
                self.reply(from, "error", json!(why));
                return Ok(());
            }
        };
        match &*kind {
            "start" => self.start(from, &fields)?,
            "mark" | "end" if !self.sessions.contains_key(&from) => {
                self.reply(from, "error", json!("there is no run of yours here"));
            }
            "mark" => {
                if let Some(session) = self.sessions.get_mut(&from) {
                    session.cpu = Cpu::start();
                    session.heard = Instant::now();
                }
                self.reply(from, "marked", Value::Null);
            }
            "end" => self.end(from)?,
            other => self.reply(from, "error", json!(format!("{other:?} is not known here"))),
        }
        Ok(())
    }

    fn start(&mut self, from: SocketAddr, fields: &Value) -> Result<(), Failure> {
        if let Some(old) = self.sessions.remove(&from) {
            old.end();
        }
        let Some(plan) = Plan::from_json(fields) else {
            self.reply(from, "error", json!("the plan makes no sense"));
            return Ok(());
        };
        match Session::start(self.context, self.at, &plan) {
            Err(failure) => {
                anstream::eprintln!("{failure}");
                let plain = failure.to_string();
                self.reply(
                    from,
                    "error",
                    json!(anstream::adapter::strip_str(&plain).to_string()),
                );
                Ok(())
            }
            Ok((session, ports)) => {
                self.sessions.insert(from, session);
                self.reply(from, "ready", json!(ports));
                self.say(format_args!("{from}: {} tasks started", plan.tasks))
            }
        }
    }

    fn end(&mut self, from: SocketAddr) -> Result<(), Failure> {
        let Some(session) = self.sessions.remove(&from) else {
            return Ok(());
        };
        let (total, result) = session.end();
        self.good &= total.errors == 0;
        self.served += 1;
        self.last = Some(from);
        self.reply(from, "result", result.clone());
        if self.context.json {
            printed(writeln!(anstream::stdout(), "{result:#}"))?;
        }
        for why in &total.described {
            anstream::eprintln!("rds: {from}: {why}");
        }
        self.say(format_args!(
            "{from}: {} requests, {} bytes in; {} replies, {} bytes out; {} errors",
            total.received, total.received_bytes, total.sent, total.sent_bytes, total.errors
        ))
    }

    /// Ends sessions of clients that are gone.
    fn look_after(&mut self) {
        let mut dead = Vec::new();
        for (client, session) in &mut self.sessions {
            let before = session.total.received;
            session.count();
            if session.total.received != before {
                session.heard = Instant::now();
            }
            if session.heard.elapsed() > 2 * STALL {
                dead.push(*client);
            }
        }
        for client in dead {
            anstream::eprintln!("rds: {client}: nothing came for {} s", 2 * STALL.as_secs());
            self.good = false;
            if let Some(session) = self.sessions.remove(&client) {
                session.end();
                self.served += 1;
            }
        }
    }
}

/// Serves until killed, or until the first client is done if `once`.
pub fn run(context: &Context, at: SocketAddr, once: bool) -> Result<Outcome, Failure> {
    let socket = context.bound(at)?;
    socket
        .set_recv_timeout(Some(Duration::from_secs(1)))
        .map_err(|error| Failure::system("SO_RCVTIMEO", &error))?;
    let local = socket.local_addr().ok().flatten().unwrap_or(at);
    let mut server = Server {
        context,
        at,
        socket,
        sessions: HashMap::new(),
        good: true,
        served: 0,
        last: None,
    };
    server.say(format_args!("serving at {local}"))?;
    let mut buffer = vec![0; 1 << 20];
    while !once || server.served == 0 {
        match server.socket.recv_from(&mut buffer) {
            Ok(received) => {
                if let Some(from) = received.from {
                    server.message(from, &buffer[..received.len])?;
                }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::TimedOut
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted => {}
                _ => return Err(Failure::system("receive", &error)),
            },
        }
        server.look_after();
    }
    // The client shall have its result before the socket goes.
    if let Some(client) = server.last {
        if let Err(error) = server.socket.wait_delivered(client, Some(STALL)) {
            anstream::eprintln!("rds: result for {client}: {}", reason(&error));
        }
    }
    Ok(server.good.into())
}
