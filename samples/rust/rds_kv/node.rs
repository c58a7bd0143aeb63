// SPDX-License-Identifier: GPL-2.0

//! A node: what it does with what comes.

use super::{
    peer::Peer,
    request::Request,
    store::Store,
    wire::{
        self,
        Said, //
    }, //
};
use core::net::SocketAddr;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        SpinLock, //
    },
};
use rrds::api::{
    self,
    Data,
    Handler,
    Message,
    Outcome,
    Turn, //
};

/// Answers that may wait for room.
const WAITING: usize = 64;

/// This node.
#[pin_data]
pub(super) struct Node {
    addr: u32,
    /// It takes nothing any more, and only sends what it has to send.
    is_closing: Atomic<bool>,
    answered: Atomic<u64>,
    /// Messages and answers that were dropped.
    dropped: Atomic<u64>,
    #[pin]
    state: SpinLock<State>,
}

struct State {
    store: Store,
    peers: KVec<Peer>,
    waiting: KVec<(SocketAddr, Option<Data>)>,
    /// Whether it has been told what there is.
    is_told: bool,
}

impl State {
    fn feed(&mut self, turn: &Turn<'_>, us: u32) {
        for (token, peer) in (0..).zip(&mut self.peers) {
            peer.feed(turn, &self.store, us, token);
        }
    }

    /// A peer has said something.
    fn hear(&mut self, from: usize, said: Said<'_>) -> Result<(), &'static str> {
        let peer = self.peers.get_mut(from).ok_or("it is from nobody")?;

        // If it was up when this module was loaded, nothing else tells so.
        peer.is_up = true;
        match said {
            Said::Ask => {
                peer.begin(&self.store);
                peer.asks |= !self.is_told;
            }
            Said::Entry { stamp, key, value } => match self.store.take(stamp, key, value) {
                Err(err) if err == ENOSPC => return Err("there is no room for another key"),
                // It is to say that again.
                Err(_) => peer.asks = true,
                Ok(()) => {}
            },
            Said::End => self.is_told = true,
        }
        Ok(())
    }
}

impl Node {
    /// Makes a node with this address.
    ///
    /// Sleeps. The only error is [`ENOMEM`].
    pub(super) fn new(addr: u32, peers: KVec<Peer>) -> Result<impl PinInit<Self>> {
        let state = State {
            store: Store::new()?,
            is_told: peers.is_empty(),
            peers,
            waiting: KVec::with_capacity(WAITING, GFP_KERNEL)?,
        };

        Ok(pin_init!(Self {
            addr,
            is_closing: Atomic::new(false),
            answered: Atomic::new(0),
            dropped: Atomic::new(0),
            state <- new_spinlock!(state, "rds_kv::Node::state"),
        }))
    }

    /// Takes nothing any more.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Relaxed);
    }

    /// Returns how many answers were sent, and how many messages and answers were dropped.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.answered.load(Relaxed), self.dropped.load(Relaxed))
    }

    /// Notes that something was dropped. Anybody can have that happen as often as they like: the first time
    /// is enough for the log.
    fn discard(&self, with: SocketAddr, why: &str) {
        self.dropped.fetch_add(1, Relaxed);
        kernel::pr_warn_once!(
            "dropped a message, from or to {:?}: {}; more are only counted\n",
            with,
            why
        );
    }

    /// Sends an answer. It comes back if there is no room for it.
    fn send(&self, turn: &Turn<'_>, to: SocketAddr, data: Data) -> Option<Data> {
        match turn.send_data(Some(to), data, None) {
            Ok(()) => {
                self.answered.fetch_add(1, Relaxed);
                None
            }
            Err((err, Some(data))) if err == EAGAIN || err == ENOBUFS => Some(data),
            Err(_) => {
                self.discard(to, "it can't be sent");
                None
            }
        }
    }

    /// Does what a program asks for, and answers.
    fn serve(&self, turn: &Turn<'_>, state: &mut State, from: SocketAddr, bytes: &[u8]) {
        let State { store, waiting, .. } = state;
        let done = Request::parse(bytes).and_then(|request| {
            if !state.is_told {
                return Err(
                    "no other node has told what there is: load rds_kv there, or try again",
                );
            }
            match request {
                Request::Put { key, value } => store.put(self.addr, key, value).map(|()| None),
                Request::Get { key } => store.get(key).map(Some).ok_or("no such key"),
            }
        });
        let answer = match done {
            Ok(None) => turn.copy(&[b"ok"]),
            Ok(Some(value)) => turn.copy(&[b"ok ", value]),
            Err(why) => turn.copy(&[b"error: ", why.as_bytes()]),
        };

        let kept = match answer {
            // Those that wait go first.
            Ok(data) if waiting.is_empty() => match self.send(turn, from, data) {
                Some(data) => data,
                None => return,
            },
            Ok(data) => data,
            Err(_) => return self.discard(from, "there is no memory"),
        };
        if waiting.push_within_capacity((from, Some(kept))).is_err() {
            self.discard(from, "too many answers wait");
        }
    }
}

impl Handler for Node {
    fn received(&self, turn: &Turn<'_>, message: Message) {
        if self.is_closing.load(Relaxed) {
            return;
        }
        let from = message.source();
        // What is longer than this is longer than anything may be.
        let bytes = message.at(0);
        let state = &mut *self.state.lock();

        if bytes.starts_with(&wire::MAGIC) {
            let peer = state.peers.iter().position(|peer| from == peer.at.into());
            let heard = peer
                .ok_or("it is not from a node that this one knows")
                .and_then(|peer| state.hear(peer, Said::parse(bytes)?));
            if let Err(why) = heard {
                self.discard(from, why);
            }
        } else if bytes.starts_with(b"ok") || bytes.starts_with(b"error: ") {
            // Else two nodes could answer one another for ever.
            self.discard(from, "it is an answer, and nothing was asked");
        } else {
            self.serve(turn, state, from, bytes);
        }
        state.feed(turn, self.addr);
    }

    fn sent(&self, turn: &Turn<'_>, token: u64, _outcome: Outcome) {
        let state = &mut *self.state.lock();

        if let Some((_, peer)) = (0..).zip(&mut state.peers).find(|(at, _)| *at == token) {
            peer.on_sent();
            peer.feed(turn, &state.store, self.addr, token);
        }
    }

    fn room(&self, turn: &Turn<'_>) {
        let state = &mut *self.state.lock();

        let mut full = None;
        state.waiting.retain(|(to, data)| {
            // What comes after one that waits, waits: the order stays.
            if full != Some(*to) {
                *data = data.take().and_then(|data| self.send(turn, *to, data));
            }
            if data.is_some() {
                full = Some(*to);
            }
            data.is_some()
        });
        state.feed(turn, self.addr);
    }

    fn peer(&self, turn: &Turn<'_>, change: api::Peer) {
        let state = &mut *self.state.lock();
        let State {
            store,
            peers,
            is_told,
            ..
        } = state;
        let Some(peer) = peers
            .iter_mut()
            .find(|peer| change.addr == *peer.at.ip() && change.tos == 0)
        else {
            return;
        };

        if change.is_up {
            peer.is_up = true;
            peer.begin(store);
            peer.asks |= !*is_told;
        } else if peer.is_up {
            peer.is_up = false;
            // It gets everything when it is back.
            let _ = turn.cancel(Some(peer.at.into()));
            // What it has sent last may have come here, and not to the others.
            for other in peers.iter_mut().filter(|other| other.is_up) {
                other.begin(store);
            }
        }
        state.feed(turn, self.addr);
    }
}
