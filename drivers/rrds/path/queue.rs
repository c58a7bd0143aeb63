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
    socket::seam::Refused,
    trace, //
};
use kernel::prelude::*;
use rds_proto::{
    conn::State as ConnState,
    shares::Take, //
};

impl<C: Carrier> Path<C> {
    /// Queues a message on its lane, in larger storage if need be. Returns the lane, with its lock held.
    ///
    /// Errors: [`ENOMEM`], or, with the message, [`EAGAIN`] if its user has taken up what others have
    /// left.
    #[allow(clippy::result_large_err)] // To box it there may be no memory.
    #[inline(always)] // Every message goes through here.
    pub(super) fn queue(
        &self,
        mut message: Outgoing,
        ack_required: bool,
        flags: kernel::alloc::Flags,
    ) -> Result<(&Self, Locked<'_, State<C>>), Refused> {
        let port = message.source().port;

        loop {
            let lane = self.lane_of(port);
            let mut guard = lane.state.lock();

            if !lane.is_lane_of(self, port) {
                continue;
            }
            match guard.queue(message, ack_required) {
                Ok(seq) => {
                    lane.queued(&mut guard, seq);
                    return Ok((lane, guard));
                }
                Err((back, lack)) => {
                    drop(guard);
                    message = lane.make_room(back, lack, flags)?;
                }
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

    /// Makes storage for a message that lacks it, and returns the message.
    ///
    /// Errors: As [`queue`](Self::queue).
    #[allow(clippy::result_large_err)] // As above.
    #[cold]
    fn make_room(
        &self,
        message: Outgoing,
        lack: Lack,
        flags: kernel::alloc::Flags,
    ) -> Result<Outgoing, Refused> {
        if self.grow(lack, flags).map_err(|err| (err, None))? {
            return Ok(message);
        }
        let mut guard = self.state.lock();
        let used = guard.engine.sender().queue.occupied();

        guard.room.refuse(used);
        Err((EAGAIN, Some(message)))
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
