// SPDX-License-Identifier: GPL-2.0

//! Sockets, and the state that the paths of a node share.

use crate::check::Books;
use crate::config::{Config, Kind};
use rds_proto::account::{Change, Overhead, RecvAccount, SendAccount};
use rds_proto::cong::{Map, Monitor, RemoteMap};
use std::collections::VecDeque;

/// Memory that a message takes beside its payload, for the account of true size.
pub const OVERHEAD: u32 = 200;

/// A socket.
#[derive(Debug)]
pub struct Socket {
    /// Port.
    pub port: u16,
    /// Number that differs between any two lives of a socket.
    pub life: u32,
    /// What it has sent.
    pub sent: SendAccount,
    /// What it has received.
    pub received: RecvAccount,
    /// Messages to read, by length.
    pub queue: VecDeque<u32>,
    /// Its congestion monitor; off for sockets that block instead.
    pub monitor: Monitor,
    /// It waits for a congested port: node and port.
    pub blocked: Option<(u8, u16)>,
    /// Pongs received.
    pub pongs: u64,
}

/// What the paths of a node share.
#[derive(Debug)]
pub struct Shared {
    /// Index of the node.
    pub node: u8,
    /// What it runs.
    pub kind: Kind,
    /// Sockets.
    pub sockets: Vec<Socket>,
    /// Congestion map of its address.
    pub map: Map<Box<[u8; 8192]>>,
    /// Congestion maps of the others.
    pub remote: Vec<RemoteMap<Box<[u8; 8192]>>>,
    /// The map has changed and is to be queued on all paths.
    pub map_changed: bool,
    lives: u32,
}

impl Shared {
    /// The state of a node that has just come up.
    pub fn new(node: u8, kind: Kind, config: &Config, epoch: u16) -> Self {
        let mut shared = Self {
            node,
            kind,
            sockets: Vec::new(),
            map: Map::new(Box::new([0; 8192])),
            remote: config.nodes.iter().map(|_| RemoteMap::default()).collect(),
            map_changed: false,
            // No two sockets of a node ever have the same number, whatever the life of the node.
            lives: u32::from(epoch) << 16,
        };
        for index in 0..config.sockets {
            let socket = shared.socket(index);
            shared.sockets.push(socket);
        }
        shared
    }

    /// A new socket for place `index`.
    pub fn socket(&mut self, index: usize) -> Socket {
        self.lives += 1;
        let mut monitor = Monitor::default();
        monitor.set(index % 2 == 0);
        Socket {
            port: port(index),
            life: self.lives,
            sent: SendAccount::default(),
            received: RecvAccount::default(),
            queue: VecDeque::new(),
            monitor,
            blocked: None,
            pongs: 0,
        }
    }

    /// What a message takes beside its payload: C does not count it.
    pub fn overhead(&self, len: u32) -> u32 {
        match self.kind {
            Kind::Ours => len + OVERHEAD,
            Kind::C => 0,
        }
    }

    /// A message of `len` bytes has come for `port`; returns whether there is such a socket.
    pub fn deliver(&mut self, config: &Config, port: u16, sport: u16, len: u32) -> bool {
        let overhead = self.overhead(len);
        let Some(socket) = self.sockets.iter_mut().find(|s| s.port == port) else {
            return false;
        };
        if sport == 0 {
            socket.pongs += 1;
            return true;
        }
        socket.queue.push_back(len);
        let change = socket
            .received
            .add(len, overhead, Overhead::Wire.limit(config.rcvbuf));
        self.change(port, change);
        true
    }

    /// The socket at `index` reads a message; returns whether there was one.
    pub fn read(&mut self, config: &Config, index: usize) -> bool {
        let socket = &mut self.sockets[index];
        let Some(len) = socket.queue.pop_front() else {
            return false;
        };
        let port = socket.port;
        let overhead = self.overhead(len);
        let change =
            self.sockets[index]
                .received
                .remove(len, overhead, Overhead::Wire.limit(config.rcvbuf));
        self.change(port, change);
        true
    }

    /// Enters a change of a port into the map.
    pub fn change(&mut self, port: u16, change: Option<Change>) {
        if let Some(change) = change {
            let set = change == Change::Congested;
            assert!(self.map.set(port, set), "the map was right already");
            self.map_changed = true;
        }
    }

    /// A piece of the map of node `from` has come.
    pub fn apply_map(&mut self, from: u8, offset: u32, data: &[u8]) {
        let map = &mut self.remote[usize::from(from)];
        let mask = match map.apply(offset, data) {
            Ok(mask) => mask,
            Err(_) => {
                map.provide(Box::new([0; 8192]));
                map.apply(offset, data).expect("there is storage now")
            }
        };
        for socket in &mut self.sockets {
            if socket.monitor.is_on() {
                // Whoever asked to be told, acts on what he is told, and on nothing else.
                socket.monitor.on_update(mask);
                if let (Some(told), Some((_, port))) = (socket.monitor.take(), socket.blocked) {
                    if told & (1 << (port % 64)) != 0 {
                        socket.blocked = None;
                    }
                }
            } else if let Some((node, port)) = socket.blocked {
                if node == from && !map.is_congested(port) {
                    socket.blocked = None;
                }
            }
        }
    }

    /// Whether a message to `port` of node `to` is refused for congestion.
    pub fn is_refused(&mut self, index: usize, to: u8, port: u16) -> bool {
        let map = &self.remote[usize::from(to)];
        if !map.is_congested(port) {
            return false;
        }
        let socket = &mut self.sockets[index];
        socket.monitor.refused(port);
        if !map.is_congested(port) {
            return false;
        }
        socket.blocked = Some((to, port));
        true
    }

    /// Returns the send space of a message, unless its socket was closed since.
    pub fn release(&mut self, books: &Books, number: u32) {
        let msg = &books.msgs[number as usize];
        let overhead = self.overhead(msg.len);
        let (_, index, life) = msg.socket;
        if let Some(socket) = self.sockets.get_mut(usize::from(index)) {
            if socket.life == life {
                socket.sent.release(msg.len, overhead);
            }
        }
    }

    /// The socket at `index` is closed and opened again.
    pub fn reopen(&mut self, index: usize) {
        let port = self.sockets[index].port;
        if self.map.is_congested(port) {
            self.change(port, Some(Change::Free));
        }
        self.sockets[index] = self.socket(index);
    }
}

/// Port of the socket at place `index`: spread over both halves of the map.
pub const fn port(index: usize) -> u16 {
    (1000 + index * 13_057) as u16
}
