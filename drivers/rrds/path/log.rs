// SPDX-License-Identifier: GPL-2.0

//! What is logged of connections.
//!
//! One line when a connection is up, one when it is lost, and one when it could not be made for a
//! while. Each names both addresses, and why. There may be so many, see [`lines`](super::lines).

use super::{
    carrier::{
        Carrier,
        Link, //
    },
    watch::Watch,
    Path,
    State, //
};
use crate::{
    clock,
    trace, //
};
use kernel::prelude::*;
use rds_proto::{
    conn::ConnId,
    error::{
        DropReason,
        Violation, //
    },
};

/// What an administrator can do about it, for a connection of a carrier.
fn advice<C: Carrier>(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Timeout => {
            "; does the peer answer, and take in what it is sent? `rds doctor` on both tells"
        }
        DropReason::Transport if C::IS_STREAM => {
            "; is the peer up, RDS loaded there, and its TCP port open on the way? `rds doctor` on both tells"
        }
        DropReason::Transport => {
            "; is the peer up, RDS loaded there, and the way to it open for RDMA? `rds doctor` on both tells"
        }
        DropReason::Rejected => "; is RDS loaded there, with a device for that address?",
        DropReason::Version => "; update the older of both",
        DropReason::Violation(Violation::Opcode) => "; the peer's software or device is faulty",
        DropReason::Violation(_) => "; the peer's software is faulty, or not RDS",
        DropReason::NoMemory => {
            "; is memory short here, or does no program read what the peer sends?"
        }
        DropReason::Superseded | DropReason::Local => "",
    }
}

impl<C: Carrier> Path<C> {
    /// Whether a line about the path may be logged now. Of several lanes the first one stands for all.
    fn may_log(&self) -> bool {
        let now = clock::now();

        if self.is_extra() || self.state.lock().throttle.take(now).is_none() {
            return false;
        }
        match self.realm.may_log(now) {
            None => false,
            Some(0) => true,
            Some(missed) => {
                pr_info!("{missed} lines about connections left out\n");
                true
            }
        }
    }

    /// Logs that a connection is up, and who made it.
    pub(super) fn log_connected(&self) {
        let history = self.state.lock().history;
        let how = if history.is_initiator() {
            "dialed"
        } else {
            "accepted"
        };

        if self.may_log() {
            match history.took() {
                0 | 1 => pr_info!("{}: connected, {}\n", self, how),
                attempts => pr_info!("{}: connected, {}, at attempt {}\n", self, how, attempts),
            }
        }
    }

    /// Logs that a connection, or the attempt at one, is given up, if that is worth a line. Returns
    /// whether it was up.
    pub(super) fn log_closed(&self, conn: ConnId, reason: DropReason) -> bool {
        let (was_up, overdue, attempts) = {
            let mut state = self.state.lock();
            if state.engine.current() != conn {
                return false;
            }
            let history = &mut state.history;
            (
                history.lost().is_some_and(|lost| lost.was_up),
                history.is_overdue(clock::now()),
                history.attempts(),
            )
        };

        if was_up {
            if self.may_log() {
                pr_info!(
                    "{}: closed: {}{}\n",
                    self,
                    reason.name(),
                    advice::<C>(reason)
                );
            }
        } else if overdue && self.may_log() {
            pr_warn!(
                "{}: no connection after {} attempts: {}{}\n",
                self,
                attempts,
                reason.name(),
                advice::<C>(reason)
            );
        }
        was_up
    }
}

impl<C: Carrier> Watch for State<C> {
    #[inline]
    fn unlocking(&mut self) {
        if self.engine.state() != self.history.state() {
            self.changed();
        }
    }
}

impl<C: Carrier> State<C> {
    /// Notes and tells a change of the connection's state.
    #[cold]
    fn changed(&mut self) {
        let reason = self.engine.last_reason();
        let number = self.link.as_ref().map_or(0, |link| link.number());
        let change = self.history.note(self.engine.state(), reason, clock::now());

        if let Some(lanes) = &self.lanes {
            lanes.shut();
        }
        self.rtt.forget();
        if let Some(change) = change {
            trace::changed(&self.key, self.engine.current(), &change, reason, number);
        }
    }
}
