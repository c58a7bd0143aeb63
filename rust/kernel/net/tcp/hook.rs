// SPDX-License-Identifier: GPL-2.0

//! What TCP calls.
//!
//! C's callbacks are pointers in `struct sock`, with a word of data behind `sk_user_data`. All three are changed
//! with the write side of `sk_callback_lock` held. The functions here hold its read side while they use them.
//! So once `Hook::remove` has returned, none uses the hook.
//!
//! The functions are not generic: they are code of krdma. One that was called just before the hook was removed
//! may be at its first instruction still, and finds no hook. TCP calls it in softirq context, or from the
//! backlog of a socket whose lock somebody holds; krdma waits for the former before its code goes, and whoever
//! releases a socket waits for the latter.

use super::{
    arrived::Arrived,
    socket::TcpSocket,
    state::State, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomPinned,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::prelude::*;

/// What has happened.
pub(super) enum Happened<'a> {
    /// Bytes have come, or their end.
    Data(&'a mut Arrived<'a>),
    /// There is room to send.
    Space,
    /// The state has changed.
    State(State),
}

type Callback = unsafe extern "C" fn(*mut bindings::sock);

/// A socket, and what its callbacks lead to.
///
/// # Invariants
///
/// `hook` is the first field, and the hook of `socket` from when this is initialized until the drop.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub(super) struct Hooked<T> {
    hook: Hook,
    pub(super) socket: TcpSocket,
    react: fn(&T, Happened<'_>),
    // Dropped after the socket is released.
    #[pin]
    pub(super) data: T,
    // Callbacks refer to the object while it is being dropped.
    #[pin]
    _pin: PhantomPinned,
}

/// The part that does not depend on the type of the data.
struct Hook {
    /// Has something done about an event.
    ///
    /// # Safety
    ///
    /// To be called with the hook, with the read side of the callbacks' lock held.
    dispatch: unsafe fn(NonNull<Hook>, Happened<'_>),
    /// What the socket called before. Written with the write side of the callbacks' lock held, and read with
    /// either side.
    before: UnsafeCell<Before>,
}

// SAFETY: `before` is used with the lock of the socket's callbacks held, or when it does not change any more.
unsafe impl Sync for Hook {}

/// The callbacks that a socket had.
#[derive(Clone, Copy, Default)]
struct Before {
    data_ready: Option<Callback>,
    write_space: Option<Callback>,
    state_change: Option<Callback>,
}

/// Which callbacks are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    /// The first only: what a listener accepts begins with a copy of its own.
    Listener,
}

impl<T: Send + Sync + 'static> Hooked<T> {
    /// Has a socket call `react` with the data.
    ///
    /// Errors: [`EBUSY`] if the socket belongs to somebody else, such as a map of BPF, and what `data` fails
    /// with.
    pub(super) fn new<E>(
        socket: TcpSocket,
        wanted: Wanted,
        react: fn(&T, Happened<'_>),
        data: impl PinInit<T, E>,
    ) -> impl PinInit<Self, Error>
    where
        Error: From<E>,
    {
        try_pin_init!(&this in Self {
            hook: Hook {
                dispatch: Self::dispatch,
                before: UnsafeCell::new(Before::default()),
            },
            socket,
            react,
            data <- data,
            _pin: PhantomPinned,
            // INVARIANT: From here on it is the hook.
            _: {
                // SAFETY: The hook is in pinned memory, and removed by the drop. All that it needs is initialized.
                unsafe { Hook::install(this.cast(), socket, wanted)? }
            },
        }? Error)
    }

    /// Has a socket that a listener with this hook has accepted call what the listener has called before.
    pub(super) fn release(&self, accepted: &TcpSocket) {
        let sk = accepted.sk();

        // SAFETY: By the type invariant of `RawSocket`. The fields are written with the lock that is for them. What
        // was before is not changed any more.
        unsafe {
            bindings::krdma_sk_callbacks_write_lock(sk);
            if is_ours((*sk).sk_data_ready) {
                (*sk).sk_data_ready = (*self.hook.before.get()).data_ready;
            }
            bindings::krdma_sk_callbacks_write_unlock(sk);
        }
    }

    /// # Safety
    ///
    /// As for [`Hook::dispatch`], of a hook in a `Hooked<T>`.
    unsafe fn dispatch(hook: NonNull<Hook>, happened: Happened<'_>) {
        let this = hook.cast::<Self>().as_ptr();
        // SAFETY: The hook is the first field of a `Hooked<T>`, by the type invariant, and lives as long as it is
        // the hook of a socket.
        let (react, data) = unsafe { ((*this).react, &(*this).data) };

        react(data, happened);
    }
}

#[pinned_drop]
impl<T> PinnedDrop for Hooked<T> {
    fn drop(self: Pin<&mut Self>) {
        self.hook.remove(&self.socket);
    }
}

impl Hook {
    /// Has a socket call `hook`.
    ///
    /// Errors: [`EBUSY`] if the socket belongs to somebody else.
    ///
    /// # Safety
    ///
    /// `hook` must be valid, not move, and live until it is [removed](Self::remove), if this succeeds.
    unsafe fn install(hook: NonNull<Hook>, socket: &TcpSocket, wanted: Wanted) -> Result {
        let sk = socket.sk();

        // SAFETY: By the type invariant of `RawSocket`. The fields are written with the lock that is for them.
        // The hook is valid, and not used by others before it is in the socket.
        unsafe {
            bindings::krdma_sk_callbacks_write_lock(sk);
            let is_free = (*sk).sk_user_data.is_null();
            if is_free {
                *(*hook.as_ptr()).before.get() = Before {
                    data_ready: (*sk).sk_data_ready,
                    write_space: (*sk).sk_write_space,
                    state_change: (*sk).sk_state_change,
                };
                // A socket that is accepted does not begin with a copy of it.
                (*sk).sk_user_data = hook.as_ptr().map_addr(|addr| addr | NOCOPY).cast();
                (*sk).sk_data_ready = Some(data_ready);
                if wanted == Wanted::All {
                    (*sk).sk_write_space = Some(write_space);
                    (*sk).sk_state_change = Some(state_change);
                }
            }
            bindings::krdma_sk_callbacks_write_unlock(sk);
            if is_free {
                Ok(())
            } else {
                Err(EBUSY)
            }
        }
    }

    /// Has a socket call what it has called before. When this returns, nobody uses the hook any more.
    fn remove(&self, socket: &TcpSocket) {
        let sk = socket.sk();

        // SAFETY: By the type invariant of `RawSocket`. The fields are written with the lock that is for them.
        unsafe {
            bindings::krdma_sk_callbacks_write_lock(sk);
            let before = *self.before.get();
            (*sk).sk_user_data = ptr::null_mut();
            (*sk).sk_data_ready = before.data_ready;
            (*sk).sk_write_space = before.write_space;
            (*sk).sk_state_change = before.state_change;
            bindings::krdma_sk_callbacks_write_unlock(sk);
        }
    }
}

/// Returns whether a callback is ours.
fn is_ours(callback: Option<Callback>) -> bool {
    callback.is_some_and(|callback| ptr::fn_addr_eq(callback, data_ready as Callback))
}

/// `SK_USER_DATA_NOCOPY`.
const NOCOPY: usize = 1;
/// The bits of `sk_user_data` that are flags.
const FLAGS: usize = 7;

const _: () = assert!(align_of::<Hook>() > FLAGS);

/// Waits, when it is dropped, until no callback is at its first instruction any more. krdma drops it before its
/// code goes, when there are no sockets.
pub(crate) struct Unload;

impl Drop for Unload {
    fn drop(&mut self) {
        // SAFETY: We may sleep. Callbacks in softirq context are in RCU read-side critical sections.
        unsafe { bindings::synchronize_rcu() };
    }
}

/// Has the hook of a socket, if it has one, do something about an event, after `first` has got what the socket
/// called before.
///
/// Returns the socket's callback for data, if there is no hook and that is not ours.
///
/// # Safety
///
/// `sk` must be a socket that TCP calls back for, which can't go meanwhile.
#[inline]
unsafe fn report(
    sk: *mut bindings::sock,
    happened: Happened<'_>,
    first: impl FnOnce(&Before),
) -> Option<Callback> {
    // SAFETY: By the function's requirements.
    unsafe { bindings::krdma_sk_callbacks_read_lock(sk) };

    // SAFETY: The lock is held.
    let (data, now) = unsafe { ((*sk).sk_user_data, (*sk).sk_data_ready) };
    let hook = NonNull::new(data.map_addr(|addr| addr & !FLAGS).cast::<Hook>());
    // What has other flags is somebody else's, in a socket that nobody has accepted yet.
    let is_hook = data.addr() & FLAGS == NOCOPY && is_ours(now);
    let next = match hook {
        Some(hook) if is_hook => {
            // SAFETY: A hook that a socket has is alive while the lock is held: see `remove`.
            unsafe {
                first(&*(*hook.as_ptr()).before.get());
                ((*hook.as_ptr()).dispatch)(hook, happened);
            }
            None
        }
        Some(_) => None,
        None => now.filter(|_| !is_ours(now)),
    };

    // SAFETY: We hold the lock.
    unsafe { bindings::krdma_sk_callbacks_read_unlock(sk) };
    next
}

/// # Safety
///
/// To be called by TCP only, as `sk_data_ready`.
unsafe extern "C" fn data_ready(sk: *mut bindings::sock) {
    // SAFETY: TCP calls this with the lock of a connection held. What a listener is called for does not read.
    let mut arrived = unsafe { Arrived::new(sk) };

    // SAFETY: By the function's requirements.
    let next = unsafe { report(sk, Happened::Data(&mut arrived), |_| ()) };
    // A hook that was removed has put back what is to be called. Else nobody but the module waits.
    if let Some(next) = next {
        // SAFETY: It is this socket's callback.
        unsafe { next(sk) };
    }
}

/// # Safety
///
/// To be called by TCP only, as `sk_write_space`.
unsafe extern "C" fn write_space(sk: *mut bindings::sock) {
    // SAFETY: By the function's requirements.
    unsafe {
        report(sk, Happened::Space, |before| {
            // It notes that nobody waits any more, if there is room.
            if let Some(before) = before.write_space {
                before(sk);
            }
        })
    };
}

/// # Safety
///
/// To be called by TCP only, as `sk_state_change`.
unsafe extern "C" fn state_change(sk: *mut bindings::sock) {
    // SAFETY: The field is changed with the socket's lock, which TCP holds, and is read as a whole.
    let state = unsafe { (&raw const (*sk).__sk_common.skc_state).read_volatile() };

    // SAFETY: By the function's requirements.
    unsafe { report(sk, Happened::State(State::from_raw(state)), |_| ()) };
}
