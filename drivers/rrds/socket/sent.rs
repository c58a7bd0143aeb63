// SPDX-License-Identifier: GPL-2.0

//! The messages of a socket that are not done with: the room that they take, and whose senders are to
//! be told how they ended.

use super::seam::Route;
use crate::{
    message::{
        Message,
        Outgoing, //
    },
    table::{
        Place,
        Table, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use rds_proto::{
    account::{
        Admitted,
        SendAccount, //
    },
    send::Outcome, //
};

/// A message that is not done with.
pub(super) struct Sent {
    message: Arc<Message>,
    route: Arc<dyn Route>,
    /// What its sender, who wants to know how it ends, knows it by.
    token: Option<u64>,
    /// How it ended.
    outcome: Option<Outcome>,
    /// The number of the one that ended after it.
    next: Option<usize>,
}

impl Sent {
    /// Returns the message.
    pub(super) fn message(&self) -> &Arc<Message> {
        &self.message
    }

    /// Returns the way that it was sent by.
    pub(super) fn route(&self) -> &Arc<dyn Route> {
        &self.route
    }

    /// Whether it has ended, and its sender is still to be told.
    pub(super) fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// Returns what its sender knows it by, and how it ended.
    pub(super) fn told(&self) -> Option<(u64, Outcome)> {
        Some((self.token?, self.outcome?))
    }
}

/// What becomes of the entry of a message that ended.
pub(super) enum Ended {
    Removed(Option<Sent>),
    /// It stays until its sender is told.
    ToBeTold,
}

/// Room for messages.
pub(super) struct Storage(KVec<Place<Sent>>);

/// The sending side of a socket.
pub(super) struct Sends {
    account: SendAccount,
    sent: Table<Sent>,
    /// The numbers of the first and the last message that ended whose sender is to be told so.
    ended: Option<(usize, usize)>,
    /// Nobody is told any more.
    closed: bool,
}

impl Sends {
    pub(super) fn new() -> Self {
        Self {
            account: SendAccount::default(),
            sent: Table::new(),
            ended: None,
            closed: false,
        }
    }

    /// Gives back the room of a message, and notes that it is done with.
    #[inline]
    pub(super) fn end(&mut self, message: &Message, number: usize, outcome: Outcome) -> Ended {
        self.release(message);
        let sent = self.sent.get_mut(number);
        let Some(sent) = sent.filter(|sent| sent.token.is_some() && !self.closed) else {
            return Ended::Removed(self.sent.remove(number));
        };

        sent.outcome = Some(outcome);
        self.ended = match self.ended {
            None => Some((number, number)),
            Some((first, last)) => {
                if let Some(last) = self.sent.get_mut(last) {
                    last.next = Some(number);
                }
                Some((first, number))
            }
        };
        Ended::ToBeTold
    }

    /// Gives back the room of a message that was not sent after all, and takes its entry out.
    pub(super) fn withdraw(&mut self, message: &Message, number: usize) -> Option<Sent> {
        self.release(message);
        self.sent.remove(number)
    }

    #[inline]
    fn release(&mut self, message: &Message) {
        let payload = message.payload();

        self.account.release(payload.len(), payload.true_size());
    }

    /// Returns the first message whose number is `from` or more, and its number.
    pub(super) fn next(&self, from: usize) -> Option<(usize, &Sent)> {
        self.sent.next(from)
    }

    /// Returns the message with a number.
    pub(super) fn get(&mut self, number: usize) -> Option<&Sent> {
        self.sent.get_mut(number).map(|sent| &*sent)
    }

    /// Has nobody told any more how messages end, but for [those](Self::next_ended) that have.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Allocates room for so many messages, as [`Admission::NoMemory`] tells.
    pub(super) fn storage(count: usize, flags: kernel::alloc::Flags) -> Result<Storage> {
        Ok(Storage(Table::storage(count, flags)?))
    }

    /// Moves to larger storage, and returns the old one, to be freed without the lock.
    pub(super) fn grow(&mut self, storage: Storage) -> Storage {
        Storage(self.sent.grow(storage.0))
    }

    /// Takes out the first message that ended whose sender is to be told so.
    pub(super) fn next_ended(&mut self) -> Option<Sent> {
        let (first, last) = self.ended?;
        let sent = self.sent.remove(first)?;

        self.ended = sent.next.map(|next| (next, last));
        Some(sent)
    }

    /// Whether all that was sent has ended, and all are told who are to be.
    pub(super) fn is_drained(&self) -> bool {
        self.is_idle() && self.ended.is_none()
    }

    /// Whether all that was sent has ended.
    pub(super) fn is_idle(&self) -> bool {
        self.account.is_idle()
    }

    pub(super) fn is_writable(&self, sndbuf: u32) -> bool {
        self.account.is_writable(sndbuf)
    }

    /// Admits a message if there is room for it.
    #[inline]
    pub(super) fn admit(
        &mut self,
        outgoing: &Outgoing,
        route: &Arc<dyn Route>,
        token: Option<u64>,
        sndbuf: u32,
    ) -> Admission {
        if !self.account.is_writable(sndbuf) {
            return Admission::Full;
        }
        if !self.sent.has_room() {
            return Admission::NoMemory(self.sent.wanted());
        }
        let payload = outgoing.payload();
        let sent = Sent {
            message: outgoing.message().clone(),
            route: route.clone(),
            token,
            outcome: None,
            next: None,
        };

        match (
            self.sent.insert(sent),
            self.account
                .admit(payload.len(), payload.true_size(), sndbuf),
        ) {
            (Ok(number), Some(admitted)) => {
                outgoing.set_number(Some(number));
                Admission::Admitted(admitted)
            }
            // Both were asked above.
            _ => Admission::Full,
        }
    }
}

/// Whether a message may be sent.
pub(super) enum Admission {
    Admitted(Admitted),
    /// The socket's buffer is full.
    Full,
    /// The table is full: it is to be made for so many messages.
    NoMemory(usize),
}
