// SPDX-License-Identifier: GPL-2.0

//! How messages get into the queue of a path.

use super::{
    carrier::Carrier,
    storage,
    watch::Locked,
    Path,
    State, //
};
use crate::{
    clock,
    message::Outgoing,
    trace, //
};
use kernel::prelude::*;
use rds_proto::{
    conn::State as ConnState,
    shares::Take, //
};

impl<C: Carrier> Path<C> {
    /// Queues a message, in larger storage if need be. Returns with the lock held.
    ///
    /// Errors: [`ENOMEM`], or, with the message, [`EAGAIN`] if its user has taken up what others have
    /// left.
    #[allow(clippy::result_large_err)] // To box it there may be no memory.
    #[inline(always)] // Every message goes through here.
    pub(super) fn queue(
        &self,
        message: Outgoing,
        ack_required: bool,
        flags: kernel::alloc::Flags,
    ) -> Result<Locked<'_, State<C>>, (Error, Option<Outgoing>)> {
        let mut guard = self.state.lock();

        match guard.queue(message, ack_required) {
            Ok(seq) => {
                self.queued(&mut guard, seq);
                Ok(guard)
            }
            Err((message, lack)) => {
                drop(guard);
                self.queue_in_more(message, lack, ack_required, flags)
            }
        }
    }

    /// Has a message sent that was queued just now.
    #[inline(always)] // As above.
    fn queued(&self, state: &mut State<C>, seq: u64) {
        if let Some(message) = state.engine.sender().queue.last() {
            message.message().set_seq(seq);
            trace::sent(&self.key, &**message.message());
        }
        if state.engine.state() == ConnState::Up {
            state.engine.want();
        } else {
            state.engine.connect(clock::now());
            self.waker.wake();
        }
    }

    /// Queues a message, in larger storage, for which there was none.
    #[allow(clippy::result_large_err)] // As above.
    #[cold]
    fn queue_in_more(
        &self,
        mut message: Outgoing,
        mut lack: Lack,
        ack_required: bool,
        flags: kernel::alloc::Flags,
    ) -> Result<Locked<'_, State<C>>, (Error, Option<Outgoing>)> {
        loop {
            let has_grown = self.grow(lack, flags).map_err(|err| (err, None))?;
            let mut guard = self.state.lock();
            if !has_grown {
                let used = guard.engine.sender().queue.occupied();
                guard.room.refuse(used);
                return Err((EAGAIN, Some(message)));
            }
            match guard.queue(message, ack_required) {
                Ok(seq) => {
                    self.queued(&mut guard, seq);
                    return Ok(guard);
                }
                Err((back, still)) => (message, lack) = (back, still),
            }
        }
    }

    /// Makes storage that is lacking. Returns `false` if there is to be no more of it.
    ///
    /// Errors: [`ENOMEM`].
    fn grow(&self, lack: Lack, flags: kernel::alloc::Flags) -> Result<bool> {
        match lack {
            Lack::Share(count) => {
                let more = storage::shares(count, flags)?;
                // Dropped after the lock.
                let _old = self.state.lock().room.grow(more);
            }
            Lack::Slots(count) if count >= storage::MAX_SLOTS => return Ok(false),
            Lack::Slots(count) => {
                let wanted = count
                    .saturating_mul(2)
                    .clamp(storage::SLOTS, storage::MAX_SLOTS);
                let more = match storage::slots(wanted, flags) {
                    Err(_) if count >= storage::ENOUGH_SLOTS => return Ok(false),
                    more => more?,
                };
                // As above. It may be the new one: another task was faster, and has made as much or more.
                let _old = self.state.lock().engine.grow(more);
            }
        }
        Ok(true)
    }

    /// Whether a user may queue one more message. Else [`Space::relieve`](crate::space::Space::relieve)
    /// follows when it is worth another try. Any context.
    pub(super) fn has_room(&self, user: Option<u32>) -> bool {
        let mut guard = self.state.lock();
        let State { engine, room, .. } = &mut *guard;
        let queue = &engine.sender().queue;

        room.is_left(user, queue.occupied(), queue.capacity())
    }
}

/// What a message that was not queued lacks.
enum Lack {
    /// Storage of the shares, for so many users.
    Share(usize),
    /// A slot: all of these are taken, or the user has taken up what the others have left of them.
    Slots(usize),
}

impl<C: Carrier> State<C> {
    /// Queues a message if its user may have one more, and there is a slot. Returns its number.
    #[allow(clippy::result_large_err)] // The message comes back.
    #[inline(always)] // Every message goes through here.
    fn queue(&mut self, message: Outgoing, ack_required: bool) -> Result<u64, (Outgoing, Lack)> {
        let user = message.user();
        let queue = &self.engine.sender().queue;
        let (used, slots) = (queue.occupied(), queue.capacity());

        match self.room.take(user, used, slots) {
            Take::Taken => {}
            Take::Refused => return Err((message, Lack::Slots(slots))),
            Take::NoSlot => return Err((message, Lack::Share(self.room.wanted()))),
        }
        self.engine.queue(message, ack_required).map_err(|message| {
            self.room.put_back(user);
            (message, Lack::Slots(slots))
        })
    }
}
