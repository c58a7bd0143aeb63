// SPDX-License-Identifier: GPL-2.0

//! AF_RDS sockets (spec §4).
//!
//! What carries their messages is behind the traits of [`seam`].

pub(crate) mod seam;

use crate::message::Message;
use rds_proto::send::Outcome;

/// The socket that sent a message.
pub(crate) struct Owner(());

impl Owner {
    /// Notes that a message is done with.
    ///
    /// Any context; the locks that this takes are the innermost ones.
    pub(crate) fn ended(&self, message: &Message, outcome: Outcome) {
        let _ = (message, outcome);
    }
}
