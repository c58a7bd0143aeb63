// SPDX-License-Identifier: GPL-2.0

//! Waiting for a socket.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use super::{
    Open,
    SocketData,
    Timeout, //
};
use crate::bindings;
use kernel::{
    task::TASK_INTERRUPTIBLE,
    types::Opaque, //
};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait<R> {
    /// There is what was waited for.
    Ready(R),
    /// The time is over.
    TimedOut,
    /// A signal is pending for the task.
    Signal,
}

impl<T: SocketData> Open<'_, T> {
    /// Waits until `condition` gives something, the time is over, or a signal comes. The condition
    /// is looked at whenever the socket is woken ([`Sock::data_ready`](super::Sock::data_ready),
    /// [`Sock::write_space`](super::Sock::write_space)), and once at the beginning and the end.
    ///
    /// `timeout` is reduced by the time that was waited.
    ///
    /// Sleeps. The condition must not: it may take spinlocks, but no mutexes, and not the socket's
    /// lock.
    pub fn wait<R>(
        &self,
        timeout: &mut Timeout,
        mut condition: impl FnMut() -> Option<R>,
    ) -> Wait<R> {
        if let Some(ready) = condition() {
            return Wait::Ready(ready);
        }

        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: An open socket has a queue to wait in, which exists as long as the socket is open.
        let queue = unsafe { bindings::sk_sleep(self.as_raw()) };
        // SAFETY: `entry` is valid for writes.
        unsafe { bindings::init_wait_entry(entry.get(), 0) };

        let end = loop {
            // SAFETY: The entry is initialized; it is taken off the queue before this returns.
            let signal =
                unsafe { bindings::prepare_to_wait_event(queue, entry.get(), TASK_INTERRUPTIBLE) };

            if let Some(ready) = condition() {
                break Wait::Ready(ready);
            }
            if signal != 0 {
                break Wait::Signal;
            }
            if timeout.is_over() {
                break Wait::TimedOut;
            }
            // SAFETY: The function may be called where one may sleep.
            *timeout = Timeout::from_raw(unsafe { bindings::schedule_timeout(timeout.as_raw()) });
        };

        // SAFETY: The entry was queued by this task, on this queue.
        unsafe { bindings::finish_wait(queue, entry.get()) };
        end
    }
}
