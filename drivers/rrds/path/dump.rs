// SPDX-License-Identifier: GPL-2.0

//! A path in one line, for `/sys/kernel/debug/rrds/paths`.
//!
//! Pairs of a name and a value without spaces: for people and for programs. Names do not change their
//! meaning; new ones may come, in any place.

use super::{
    carrier::Carrier,
    Path, //
};
use crate::clock;
use kernel::fmt;
use rds_proto::{
    conn::{
        history::Lost,
        State as ConnState, //
    },
    time::Instant, //
};

/// What waits in a path's queue.
#[derive(Default)]
struct Waiting {
    unsent: u64,
    unacked: u64,
    bytes: u64,
}

impl Waiting {
    fn of<C: Carrier>(path: &Path<C>) -> Self {
        let mut this = Self::default();

        path.for_each_entry(
            |entry, sent| Some((entry.message()?.payload().len(), sent)),
            |&(len, sent)| {
                let count = if sent {
                    &mut this.unacked
                } else {
                    &mut this.unsent
                };
                *count = count.saturating_add(1);
                this.bytes = this.bytes.saturating_add(len.into());
            },
        );
        this
    }
}

fn name(state: ConnState) -> &'static str {
    match state {
        ConnState::Down => "down",
        ConnState::Dialing => "dialing",
        ConnState::Accepting => "accepting",
        ConnState::Up => "up",
        ConnState::Closing => "closing",
    }
}

/// Milliseconds from `then` to `now`.
fn age(now: Instant, then: Instant) -> u64 {
    now.0.saturating_sub(then.0) / 1_000_000
}

impl<C: Carrier> Path<C> {
    /// Writes the line. May sleep.
    pub(super) fn dump(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = clock::now();
        let waiting = Waiting::of(self);
        // Nothing is formatted with the lock held.
        let (history, stats, link, conn, next_tx, acked, next_rx, rtt) = {
            let state = self.state.lock();
            let engine = &state.engine;
            let queue = &engine.sender().queue;
            (
                state.history,
                *engine.stats(),
                state.link.clone(),
                engine.current().0,
                queue.next_seq(),
                queue.acked(),
                engine.expected(),
                state.rtt.smoothed_ns(),
            )
        };
        let key = &self.key;

        write!(
            f,
            "local={:?} peer={:?} tos={} lane={} scope={} netns={} state={} for_ms={}",
            key.local,
            key.peer,
            key.tos,
            key.lane,
            key.scope,
            self.realm.namespace().inode(),
            name(history.state()),
            age(now, history.since()),
        )?;
        let role = match (conn, history.is_initiator()) {
            (0, _) => "none",
            (_, true) => "initiator",
            (_, false) => "acceptor",
        };
        write!(f, " role={role} conn={conn}")?;
        C::dump(link.as_deref(), f)?;
        write!(
            f,
            " connected={} reset={} attempts={}",
            stats.connected,
            stats.conn_reset,
            history.attempts(),
        )?;
        match history.lost() {
            Some(Lost { reason, at, .. }) => {
                write!(f, " error={} error_ms={}", reason.token(), age(now, at))?
            }
            None => write!(f, " error=none error_ms=0")?,
        }
        write!(
            f,
            " unsent={} unacked={} bytes={} next_tx={next_tx} acked={acked} next_rx={next_rx}",
            waiting.unsent, waiting.unacked, waiting.bytes,
        )?;
        write!(
            f,
            " retransmitted={} duplicates={}",
            stats.send_retransmitted, stats.recv_drop_old_seq,
        )?;
        writeln!(f, " rtt_us={}", rtt.unwrap_or(0) / 1000)
    }
}
