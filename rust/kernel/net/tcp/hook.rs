// SPDX-License-Identifier: GPL-2.0

//! What TCP calls.
//!
//! C's callbacks are pointers in `struct sock`, with a word of data behind `sk_user_data`. All three are changed
//! with the write side of `sk_callback_lock` held. The functions here hold its read side while they use them.
//! So once [`Hook::remove`] has returned, none uses the hook.
//!
//! The functions are not generic: they are code of krdma. One that was called just before the hook was removed
//! may be at its first instruction still, and finds no hook. TCP calls it in softirq context, or from the
//! backlog of a socket whose lock somebody holds; krdma waits for the former before its code goes, and whoever
//! releases a socket waits for the latter.

use super::{
    raw::RawSocket,
    state::State, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
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

/// What a socket's callbacks lead to.
pub(super) struct Hook {
    /// Has the hook's owner do something about an event.
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
#[derive(Clone, Copy)]
pub(super) struct Before {
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

impl Hook {
    /// # Safety
    ///
    /// `dispatch` must be one for what the hook becomes a part of.
    pub(super) unsafe fn new(dispatch: unsafe fn(NonNull<Hook>, Happened<'_>)) -> Self {
        Self {
            dispatch,
            before: UnsafeCell::new(Before {
                data_ready: None,
                write_space: None,
                state_change: None,
            }),
        }
    }

    /// Has a socket call `hook`.
    ///
    /// Errors: [`EBUSY`] if the socket belongs to somebody else, such as a map of BPF.
    ///
    /// # Safety
    ///
    /// `hook` must be valid, not move, and live until it is [removed](Self::remove), if this succeeds.
    pub(super) unsafe fn install(
        hook: NonNull<Hook>,
        socket: &RawSocket,
        wanted: Wanted,
    ) -> Result {
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

    /// Has a socket that a listener with this hook has accepted call what the listener has called before.
    pub(super) fn release(&self, accepted: &RawSocket) {
        let sk = accepted.sk();

        // SAFETY: By the type invariant of `RawSocket`. The fields are written with the lock that is for them. What
        // was before is not changed any more.
        unsafe {
            bindings::krdma_sk_callbacks_write_lock(sk);
            if is_ours((*sk).sk_data_ready) {
                (*sk).sk_data_ready = (*self.before.get()).data_ready;
            }
            bindings::krdma_sk_callbacks_write_unlock(sk);
        }
    }

    /// Has a socket call what it has called before. When this returns, nobody uses the hook any more.
    pub(super) fn remove(&self, socket: &RawSocket) {
        let sk = socket.sk();

        // SAFETY: As above.
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

/// The right to read from a socket whose lock is held.
///
/// # Invariants
///
/// `sk` is a TCP socket, whose lock is held as long as this exists.
pub struct Arrived<'a> {
    sk: *mut bindings::sock,
    _lock: PhantomData<&'a mut ()>,
}

impl Arrived<'_> {
    /// # Safety
    ///
    /// `sk` must be a TCP socket, whose lock is held as long as the result exists.
    pub(super) unsafe fn new(sk: *mut bindings::sock) -> Self {
        // INVARIANT: By the function's requirements.
        Self {
            sk,
            _lock: PhantomData,
        }
    }

    /// Reads what has come: `take` gets the next bytes, in order, as often as there are some, and says how many it
    /// takes. If it takes less than there are, that is all.
    ///
    /// Returns how many bytes were taken. Does not sleep. `take` runs with the socket's lock held, and must not
    /// sleep. After urgent data (RFC 6093) nothing comes any more.
    ///
    /// Errors: [`ENOTCONN`] of a socket that listens.
    pub fn read(&mut self, mut take: impl FnMut(Bytes<'_>) -> usize) -> Result<usize> {
        let mut take: Take<'_> = &mut take;
        let mut desc = bindings::read_descriptor_t {
            // Not zero, to go on.
            count: 1,
            arg: bindings::read_descriptor_t__bindgen_ty_1 {
                data: (&raw mut take).cast(),
            },
            ..pin_init::zeroed()
        };
        // SAFETY: By the type invariant. The actor gets what is for it, which lives longer than the call.
        let ret = unsafe { bindings::krdma_tcp_read_sock(self.sk, &raw mut desc, Some(actor)) };

        usize::try_from(ret).map_err(|_| Error::from_errno(ret))
    }

    /// Returns whether the peer has said that it sends no more. There may be bytes that were not read.
    #[inline]
    pub fn is_ended(&self) -> bool {
        // SAFETY: By the type invariant. The field is read as a whole.
        unsafe { is_ended(self.sk) }
    }
}

/// # Safety
///
/// `sk` must be valid.
pub(super) unsafe fn is_ended(sk: *mut bindings::sock) -> bool {
    // SAFETY: By the function's requirements. The field is changed by others meanwhile, as a whole.
    let shutdown = unsafe { (&raw const (*sk).sk_shutdown).read_volatile() };

    u32::from(shutdown) & bindings::RCV_SHUTDOWN != 0
}

/// What takes bytes.
type Take<'a> = &'a mut dyn FnMut(Bytes<'_>) -> usize;

/// Bytes that have come. Whoever has sent them may still write to them, if he is on this host and has sent pages
/// of a file: so they can be copied, and not borrowed.
///
/// # Invariants
///
/// From `ptr` on, `len` bytes can be read for `'a`.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    ptr: *const u8,
    len: usize,
    _bytes: PhantomData<&'a u8>,
}

impl Bytes<'_> {
    /// Returns how many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes from `offset` on, as many as there are and have room in `to`. Returns how many.
    #[inline]
    pub fn copy(&self, offset: usize, to: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(to.len());

        // SAFETY: By the type invariant, and as no more is copied than there is. If others write meanwhile, the
        // bytes are old or new ones.
        unsafe { ptr::copy_nonoverlapping(self.ptr.wrapping_add(offset), to.as_mut_ptr(), count) };
        count
    }
}

/// # Safety
///
/// To be called by `tcp_read_sock`, which [`Arrived::read`] has called.
unsafe extern "C" fn actor(
    desc: *mut bindings::read_descriptor_t,
    skb: *mut bindings::sk_buff,
    offset: c_uint,
    len: usize,
) -> c_int {
    // SAFETY: By the function's requirements, this is what `read` has put there.
    let (take, count) = unsafe { (&mut *(*desc).arg.data.cast::<Take<'_>>(), (*desc).count) };
    if count == 0 {
        // C asks for the rest of a buffer again.
        return 0;
    }
    // CAST: A buffer has not so many bytes that it would not fit.
    let len = len as c_uint;
    let mut seq = pin_init::zeroed();
    let mut done: c_uint = 0;

    // SAFETY: The bytes from `offset` on are the buffer's.
    unsafe {
        bindings::skb_prepare_seq_read(skb, offset, offset.saturating_add(len), &raw mut seq)
    };
    while done < len {
        let mut ptr = ptr::null();
        // SAFETY: The sequence was prepared.
        let count = unsafe { bindings::skb_seq_read(done, &raw mut ptr, &raw mut seq) };
        // It may go past the end that it was given.
        let count = count.min(len - done);
        if count == 0 {
            break;
        }
        // INVARIANT: So many bytes are there, until the sequence is gone on with.
        let bytes = Bytes {
            ptr,
            // CAST: A `c_uint` fits.
            len: count as usize,
            _bytes: PhantomData,
        };
        // CAST: It is no more than `count`.
        let taken = take(bytes).min(bytes.len()) as c_uint;

        done += taken;
        if taken < count {
            // SAFETY: As above.
            unsafe { (*desc).count = 0 };
            break;
        }
    }
    // SAFETY: The sequence was prepared, and is not gone on with.
    unsafe { bindings::skb_abort_seq_read(&raw mut seq) };
    // CAST: As above.
    done as c_int
}
