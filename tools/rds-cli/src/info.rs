// SPDX-License-Identifier: GPL-2.0

//! `rds info`: what the kernel tells of its RDS.

use crate::context::Context;
use crate::failure::{printed, reason, Failure, Outcome};
use crate::paths;
use crate::table::Table;
use clap::{Arg, ArgAction, ArgMatches, Command};
use rds::info::{Connection, Counter, Message, RdmaConnection, SocketInfo, Source, TcpSocket};
use rds::Socket;
use serde_json::{json, Map, Value};
use std::io;
use std::io::Write;
use std::net::IpAddr;

/// Something to show: its option, its name, and how to get it.
struct Section {
    name: &'static str,
    short: char,
    title: &'static str,
    /// The forms with IPv4 and IPv6 addresses.
    four: Source,
    six: Source,
    show: fn(&Socket, &Choice, &Section) -> io::Result<(Table, Value)>,
}

/// What of it.
struct Choice {
    four_only: bool,
    six_only: bool,
    all: bool,
}

const SECTIONS: [Section; 8] = [
    Section {
        name: "counters",
        short: 'c',
        title: "Counters",
        four: Source::Counters,
        six: Source::Counters,
        show: counters,
    },
    Section {
        name: "sockets",
        short: 'k',
        title: "Sockets",
        four: Source::Sockets,
        six: Source::Sockets6,
        show: sockets,
    },
    Section {
        name: "connections",
        short: 'n',
        title: "Connections",
        four: Source::Connections,
        six: Source::Connections6,
        show: connections,
    },
    Section {
        name: "receive",
        short: 'r',
        title: "Messages to be read",
        four: Source::RecvMessages,
        six: Source::RecvMessages6,
        show: messages,
    },
    Section {
        name: "send",
        short: 's',
        title: "Messages to be sent",
        four: Source::SendMessages,
        six: Source::SendMessages6,
        show: messages,
    },
    Section {
        name: "retransmit",
        short: 't',
        title: "Messages sent, not acknowledged",
        four: Source::RetransMessages,
        six: Source::RetransMessages6,
        show: messages,
    },
    Section {
        name: "tcp",
        short: 'T',
        title: "TCP connections",
        four: Source::TcpSockets,
        six: Source::TcpSockets6,
        show: tcp,
    },
    Section {
        name: "rdma",
        short: 'R',
        title: "RDMA connections",
        four: Source::RdmaConnections,
        six: Source::RdmaConnections6,
        show: rdma,
    },
];

/// `rds info`
pub fn command() -> Command {
    let mut command = Command::new("info")
        .about("Show counters, connections, sockets and the messages under way")
        .after_help(
            "Without a choice all is shown that there is. With one, a section that the kernel \
             does not have is an error, and the others are shown all the same.\n\n\
             Examples:\n  rds info --connections --rdma\n  rds info --counters --all\n  \
             rds info --json | jq .counters.recv_delivered",
        );
    for section in &SECTIONS {
        let mut arg = Arg::new(section.name)
            .short(section.short)
            .long(section.name)
            .action(ArgAction::SetTrue)
            .help(format!("Show: {}", section.title.to_lowercase()));
        if section.name == "rdma" {
            arg = arg.short_alias('I');
        }
        command = command.arg(arg);
    }
    command
        .arg(
            Arg::new("paths")
                .long("paths")
                .action(ArgAction::SetTrue)
                .help("Show: paths of rrds, with their last error (root only)"),
        )
        .arg(
            Arg::new("all")
                .short('a')
                .long("all")
                .action(ArgAction::SetTrue)
                .help("Also show counters that are 0"),
        )
        .arg(
            Arg::new("ipv4")
                .short('4')
                .action(ArgAction::SetTrue)
                .conflicts_with("ipv6")
                .help("Only the records that have IPv4 addresses (RDS_INFO_*)"),
        )
        .arg(
            Arg::new("ipv6")
                .short('6')
                .action(ArgAction::SetTrue)
                .help("Only the records that have room for IPv6 addresses (RDS6_INFO_*)"),
        )
}

fn counters(socket: &Socket, choice: &Choice, _: &Section) -> io::Result<(Table, Value)> {
    let all = socket.counters()?;
    let mut table = Table::new("Counters", &["counter", "value"]);
    for Counter { name, value } in &all {
        if choice.all || *value != 0 {
            table.row(vec![name.clone(), value.to_string()]);
        }
    }
    let map = all.into_iter().map(|c| (c.name, c.value.into()));
    Ok((table, Value::Object(map.collect())))
}

/// The records of a section in the form asked for, or in the one that has all.
fn records<R: rds::info::Record>(
    socket: &Socket,
    choice: &Choice,
    section: &Section,
    all: fn(&Socket) -> io::Result<Vec<R>>,
) -> io::Result<Vec<R>> {
    if choice.four_only {
        socket.snapshot(section.four)?.parse()
    } else if choice.six_only {
        socket.snapshot(section.six)?.parse()
    } else {
        all(socket)
    }
}

fn endpoint(ip: IpAddr, port: u16) -> String {
    if ip.is_unspecified() && port == 0 {
        "-".into()
    } else if ip.is_ipv6() {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}

fn or_dash(value: Option<u8>) -> String {
    value.map_or("-".into(), |value| value.to_string())
}

fn sockets(socket: &Socket, choice: &Choice, section: &Section) -> io::Result<(Table, Value)> {
    let columns = [
        "bound",
        "connected",
        "send buffer",
        "receive buffer",
        "inode",
    ];
    let mut table = Table::new(section.title, &columns);
    let mut list = Vec::new();
    for SocketInfo {
        bound,
        bound_port,
        connected,
        connected_port,
        send_buffer,
        recv_buffer,
        inode,
    } in records(socket, choice, section, Socket::sockets)?
    {
        table.row(vec![
            endpoint(bound, bound_port),
            endpoint(connected, connected_port),
            send_buffer.to_string(),
            recv_buffer.to_string(),
            inode.to_string(),
        ]);
        list.push(json!({
            "bound": bound.to_string(), "bound_port": bound_port,
            "connected": connected.to_string(), "connected_port": connected_port,
            "send_buffer": send_buffer, "receive_buffer": recv_buffer, "inode": inode,
        }));
    }
    Ok((table, list.into()))
}

fn connections(socket: &Socket, choice: &Choice, section: &Section) -> io::Result<(Table, Value)> {
    let columns = [
        "local",
        "remote",
        "tos",
        "transport",
        "state",
        "next sent",
        "next received",
    ];
    let mut table = Table::new(section.title, &columns);
    let mut list = Vec::new();
    for Connection {
        local,
        remote,
        next_tx,
        next_rx,
        transport,
        flags,
        tos,
    } in records(socket, choice, section, Socket::connections)?
    {
        table.row(vec![
            local.to_string(),
            remote.to_string(),
            or_dash(tos),
            transport.clone(),
            flags.to_string(),
            next_tx.to_string(),
            next_rx.to_string(),
        ]);
        list.push(json!({
            "local": local.to_string(), "remote": remote.to_string(), "tos": tos,
            "transport": transport, "connected": flags.connected(),
            "connecting": flags.connecting(), "sending": flags.sending(),
            "next_tx": next_tx, "next_rx": next_rx,
        }));
    }
    Ok((table, list.into()))
}

fn messages(socket: &Socket, choice: &Choice, section: &Section) -> io::Result<(Table, Value)> {
    let all = match section.four {
        Source::RecvMessages => Socket::receive_queue,
        Source::SendMessages => Socket::send_queue,
        _ => Socket::retransmit_queue,
    };
    let mut table = Table::new(
        section.title,
        &["local", "remote", "tos", "number", "bytes"],
    );
    let mut list = Vec::new();
    for Message {
        sequence,
        len,
        local,
        local_port,
        remote,
        remote_port,
        tos,
        ..
    } in records(socket, choice, section, all)?
    {
        table.row(vec![
            endpoint(local, local_port),
            endpoint(remote, remote_port),
            tos.to_string(),
            sequence.to_string(),
            len.to_string(),
        ]);
        list.push(json!({
            "local": local.to_string(), "local_port": local_port,
            "remote": remote.to_string(), "remote_port": remote_port,
            "tos": tos, "sequence": sequence, "bytes": len,
        }));
    }
    Ok((table, list.into()))
}

fn tcp(socket: &Socket, choice: &Choice, section: &Section) -> io::Result<(Table, Value)> {
    let columns = [
        "local",
        "peer",
        "tos",
        "header left",
        "data left",
        "sent",
        "expected",
        "seen",
    ];
    let mut table = Table::new(section.title, &columns);
    let mut list = Vec::new();
    for TcpSocket {
        local,
        local_port,
        peer,
        peer_port,
        header_remaining,
        data_remaining,
        last_sent_next,
        last_expected,
        last_seen,
        tos,
    } in records(socket, choice, section, Socket::tcp_sockets)?
    {
        table.row(vec![
            endpoint(local, local_port),
            endpoint(peer, peer_port),
            or_dash(tos),
            header_remaining.to_string(),
            data_remaining.to_string(),
            last_sent_next.to_string(),
            last_expected.to_string(),
            last_seen.to_string(),
        ]);
        list.push(json!({
            "local": local.to_string(), "local_port": local_port,
            "peer": peer.to_string(), "peer_port": peer_port, "tos": tos,
            "header_remaining": header_remaining, "data_remaining": data_remaining,
            "last_sent_next": last_sent_next, "last_expected": last_expected,
            "last_seen": last_seen,
        }));
    }
    Ok((table, list.into()))
}

fn rdma(socket: &Socket, choice: &Choice, section: &Section) -> io::Result<(Table, Value)> {
    let columns = [
        "local",
        "remote",
        "tos",
        "sl",
        "local gid",
        "remote gid",
        "send ring",
        "receive ring",
        "sges",
        "cache KiB",
    ];
    let mut table = Table::new(section.title, &columns);
    let mut list = Vec::new();
    for RdmaConnection {
        local,
        remote,
        local_gid,
        remote_gid,
        max_send_wr,
        max_recv_wr,
        max_send_sge,
        mr_max,
        mr_size,
        tos,
        sl,
        cache_allocs,
    } in records(socket, choice, section, Socket::rdma_connections)?
    {
        table.row(vec![
            local.to_string(),
            remote.to_string(),
            tos.to_string(),
            sl.to_string(),
            local_gid.to_string(),
            remote_gid.to_string(),
            max_send_wr.to_string(),
            max_recv_wr.to_string(),
            max_send_sge.to_string(),
            cache_allocs.to_string(),
        ]);
        list.push(json!({
            "local": local.to_string(), "remote": remote.to_string(), "tos": tos, "sl": sl,
            "local_gid": local_gid.to_string(), "remote_gid": remote_gid.to_string(),
            "max_send_wr": max_send_wr, "max_recv_wr": max_recv_wr,
            "max_send_sge": max_send_sge, "mr_max": mr_max, "mr_size": mr_size,
            "cache_kib": cache_allocs,
        }));
    }
    Ok((table, list.into()))
}

/// Runs it.
pub fn run(context: &Context, args: &ArgMatches) -> Result<Outcome, Failure> {
    let show_paths = args.get_flag("paths");
    let chosen = show_paths || SECTIONS.iter().any(|section| args.get_flag(section.name));
    let choice = Choice {
        four_only: args.get_flag("ipv4"),
        six_only: args.get_flag("ipv6"),
        all: args.get_flag("all"),
    };
    let socket = context.open()?;
    let mut out = anstream::stdout();
    let mut everything = Map::new();
    let mut good = true;
    let mut first = true;
    for section in &SECTIONS {
        if chosen && !args.get_flag(section.name) {
            continue;
        }
        match (section.show)(&socket, &choice, section) {
            Ok((_, value)) if context.json => {
                everything.insert(section.name.into(), value);
            }
            Ok((table, _)) => {
                if !first {
                    printed(writeln!(out))?;
                }
                first = false;
                printed(table.print(&mut out))?;
            }
            // Only there if their transport is.
            Err(error) if !chosen && error.kind() != io::ErrorKind::InvalidData => {
                if !matches!(section.name, "tcp" | "rdma") {
                    anstream::eprintln!("rds: {}: {}", section.name, reason(&error));
                    good = false;
                }
            }
            Err(error) => {
                anstream::eprintln!("rds: {}: {}", section.name, reason(&error));
                good = false;
            }
        }
    }
    if show_paths {
        match paths::read() {
            Ok((_, value)) if context.json => {
                everything.insert("paths".into(), value);
            }
            Ok((table, _)) => {
                if !first {
                    printed(writeln!(out))?;
                }
                printed(table.print(&mut out))?;
            }
            Err(error) => {
                anstream::eprintln!("rds: paths: {error}");
                good = false;
            }
        }
    }
    if context.json {
        let all = Value::Object(everything);
        printed(writeln!(out, "{all:#}"))?;
    }
    Ok(good.into())
}
