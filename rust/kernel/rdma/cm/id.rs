// SPDX-License-Identifier: GPL-2.0

//! Ids: what connections and listeners have in common.

use super::{
    addr,
    path::Path,
    state::next_state,
    Event,
    PortSpace,
    ServiceType,
    State, //
};
use crate::{
    account::Charge,
    bindings,
    callback::Runner,
    rdma::Device,
    reaper::Deferred, //
};
use core::{
    cell::Cell,
    marker::PhantomPinned,
    net::SocketAddr,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{
        ordering::{
            Acquire,
            Full,
            Relaxed,
            Release, //
        },
        Atomic, //
    },
    types::NotThreadSafe, //
};

/// What an id is used for, and where its events go. The functions are for ids with one type of
/// handler: they must be called with a [`Core`] that is part of an [`Id`] with a handler of that type.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Connection(unsafe fn(&Core, Event<'_>)),
    /// The id, the event and the callback that `request` gets are those of a request that is being reported.
    Listener {
        request: unsafe fn(&Core, *mut bindings::rdma_cm_id, &bindings::rdma_cm_event, &Asked),
        deliver: unsafe fn(&Core, bindings::rdma_cm_event_type),
    },
}

/// The part of an [`Id`] that does not depend on the handler's type.
///
/// # Invariants
///
/// - `raw` is null, while the id is being made, or points to the `rdma_cm_id` whose context this
///   object is. It is destroyed with this object only.
/// - The object is the beginning of a pinned `Id` with a handler of the type that `role` is for.
/// - Once `raw` is set, its `device` is only changed by C with the id's lock held, or by the call
///   that makes the id; once `state` has left [`State::New`] and [`State::ResolvingAddress`], it is
///   not changed any more.
pub(super) struct Core {
    raw: *mut bindings::rdma_cm_id,
    space: PortSpace,
    state: Atomic<State>,
    role: Role,
    /// The service level to use instead of the one that the route has.
    service_level: Option<u8>,
    /// Who runs a callback that was called with the id's lock.
    runner: Runner,
    charge: Charge,
    // Callbacks refer to the object while it is being dropped.
    _pin: PhantomPinned,
}

// SAFETY: Ids may be used and destroyed by any thread, and `Id` asks for handlers that may.
unsafe impl Send for Core {}

// SAFETY: `raw` and `role` are not changed once the object is shared. The methods that take `&self`
// read what does not change any more, take the id's lock, or call C functions that need none.
unsafe impl Sync for Core {}

/// The callback for a request, which may be taken or not.
///
/// # Invariants
///
/// `taken` is null, or points to the core of the id that the request has become. That stays until the callback
/// returns: C calls with the lock of the new id taken, and to destroy the id takes that lock.
pub(super) struct Asked {
    taken: Cell<*const Core>,
    /// What C is told if the request is not taken.
    refusal: Cell<Error>,
}

impl Asked {
    /// A callback whose request is not taken yet.
    pub(super) fn new() -> Self {
        // INVARIANT: It is null.
        Self {
            taken: Cell::new(ptr::null()),
            refusal: Cell::new(ECONNREFUSED),
        }
    }

    /// Notes that the request has become the id of `core`.
    ///
    /// # Safety
    ///
    /// It must be so, and the callback must be running.
    pub(super) unsafe fn take(&self, core: &Core) {
        core.runner().enter();
        // INVARIANT: By the function's requirements.
        self.taken.set(core);
    }

    /// Sets what C is told if the request is not taken.
    pub(super) fn refuse(&self, why: Error) {
        self.refusal.set(why);
    }

    /// Ends the callback, and returns what C is told if the request was not taken.
    ///
    /// # Safety
    ///
    /// To be called in the callback, after all else.
    pub(super) unsafe fn end(self) -> Result {
        // SAFETY: By the type invariant it is null, or stays until the callback returns, which has not yet.
        match unsafe { self.taken.get().as_ref() } {
            Some(core) => {
                core.runner().leave();
                Ok(())
            }
            None => Err(self.refusal.get()),
        }
    }
}

/// The lock of an id. It is released on drop, unless the callback that we are in has it.
pub(super) struct Locked<'a> {
    core: &'a Core,
    release: bool,
    _not_send: NotThreadSafe,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.release {
            // SAFETY: The id is valid, and we have taken its lock.
            unsafe { bindings::rdma_unlock_handler(self.core.raw) };
        }
    }
}

impl Core {
    fn new(charge: Charge, space: PortSpace, state: State, role: Role) -> Self {
        Self {
            raw: ptr::null_mut(),
            space,
            state: Atomic::new(state),
            role,
            service_level: None,
            runner: Runner::new(),
            charge,
            _pin: PhantomPinned,
        }
    }

    #[inline]
    pub(super) fn raw(&self) -> *mut bindings::rdma_cm_id {
        self.raw
    }

    #[inline]
    pub(super) fn port_space(&self) -> PortSpace {
        self.space
    }

    #[inline]
    pub(super) fn service_type(&self) -> ServiceType {
        self.space.service_type()
    }

    #[inline]
    pub(super) fn role(&self) -> Role {
        self.role
    }

    #[inline]
    pub(super) fn state(&self) -> State {
        self.state.load(Acquire)
    }

    /// To be called with the id's lock held.
    #[inline]
    pub(super) fn set_state(&self, state: State) {
        self.state.store(state, Release);
    }

    /// Leaves [`State::New`], unless an event was faster.
    pub(super) fn started(&self, state: State) {
        let _ = self.state.cmpxchg(State::New, state, Full);
    }

    /// Notes what an event, which is about to be delivered, says of the state.
    ///
    /// To be called in the callback for the event.
    pub(super) fn advance(&self, event: bindings::rdma_cm_event_type) {
        if event == bindings::rdma_cm_event_type_RDMA_CM_EVENT_ROUTE_RESOLVED {
            if let Some(level) = self.service_level {
                // SAFETY: By the type invariant, the id is valid. C has written the record, and reads it
                // when we connect. Others of us read it in a later state only.
                if let Some(path) = unsafe { (*self.raw).route.path_rec.as_mut() } {
                    path.sl = level;
                }
            }
        }
        if let Some(next) = next_state(self.state.load(Relaxed), event) {
            self.set_state(next);
        }
    }

    /// Returns who runs the callback that was called with the id's lock, if any.
    #[inline]
    pub(super) fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Returns the charge to the account of the module that the id belongs to.
    #[inline]
    pub(super) fn charge(&self) -> &Charge {
        &self.charge
    }

    /// Takes the id's lock, unless we are in a callback that has it.
    ///
    /// Errors: [`EINVAL`] for listeners: nothing is done with the lock of one, which C may hold while it
    /// reports a request.
    pub(super) fn lock(&self) -> Result<Locked<'_>> {
        if let Role::Listener { .. } = self.role {
            return Err(EINVAL);
        }
        let release = !self.runner.is_current();

        if release {
            // SAFETY: By the type invariant, the id is valid.
            unsafe { bindings::rdma_lock_handler(self.raw) };
        }
        Ok(Locked {
            core: self,
            release,
            _not_send: NotThreadSafe,
        })
    }

    #[inline]
    pub(super) fn has_device(&self) -> bool {
        self.device().is_some()
    }

    fn device(&self) -> Option<&Device> {
        if matches!(self.state(), State::New | State::ResolvingAddress) {
            return None;
        }
        // SAFETY: By the type invariant, the id is valid and its device is not changed any more.
        let dev = unsafe { (*self.raw).device };
        if dev.is_null() {
            return None;
        }
        // SAFETY: The id holds the connection manager's per-device data, whose client callback for
        // the removal waits for it. Callbacks for the removal run before the registration count is
        // dropped, so the device is registered until the id is destroyed.
        Some(unsafe { Device::from_raw(dev) })
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        if matches!(self.state(), State::New | State::ResolvingAddress) {
            return None;
        }
        // SAFETY: By the type invariant, the id is valid.
        unsafe { addr::local_of(self.raw) }
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        if matches!(self.state(), State::New | State::Listening) {
            return None;
        }
        // SAFETY: By the type invariant, the id is valid.
        unsafe { addr::peer_of(self.raw) }
    }

    pub(super) fn path(&self) -> Option<Path> {
        match self.state() {
            State::RouteResolved
            | State::Connecting
            | State::Requested
            | State::Responded
            | State::Accepted
            | State::Established
            | State::Disconnected => {}
            // The record is missing, or may be being written.
            _ => return None,
        }
        // SAFETY: By the type invariant, the id is valid. C writes the record before the event that
        // leads to one of these states, and not after.
        let path = unsafe { (*self.raw).route.path_rec.as_ref() };

        path.map(Path::new)
    }

    pub(super) fn set_service_type(&self, tos: u8) {
        // SAFETY: By the type invariant, the id is valid. The function locks for itself.
        unsafe { bindings::rdma_set_service_type(self.raw, tos.into()) };
    }

    pub(super) fn set_ack_timeout(&self, exponent: u8) -> Result {
        if exponent > 31 {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant, the id is valid. The function locks for itself.
        to_result(unsafe { bindings::rdma_set_ack_timeout(self.raw, exponent) })
    }

    pub(super) fn set_min_rnr_timer(&self, code: u8) -> Result {
        // C warns of this one.
        if self.service_type() != ServiceType::Reliable {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant, the id is valid. The function locks for itself.
        to_result(unsafe { bindings::rdma_set_min_rnr_timer(self.raw, code) })
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // To destroy an id waits for its callbacks, and for work that may be queued behind a callback
            // of another one. Here neither runs: see `Owner`. C's own way, to return an error from the
            // callback, is for the id of that callback only; for events that come from the network stack
            // (`cma_netevent_work_handler`) it also leaves the `ib_cm_id` behind, with a pointer to the id
            // that is freed.
            //
            // SAFETY: By the type invariant, the id is valid, and is destroyed here only. When this
            // returns, no callback runs and none will.
            unsafe { bindings::rdma_destroy_id(self.raw) };
        }
    }
}

/// An id of the connection manager, with its handler.
///
/// It is made and owned by a [`Connection`](super::Connection) or a [`Listener`](super::Listener).
/// The methods for connections are those of handlers that implement [`Handler`](super::Handler).
#[pin_data]
#[repr(C)]
pub struct Id<T> {
    // First, so that a pointer to it is one to the `Id`, and that it is dropped before the handler.
    #[pin]
    core: Core,
    #[pin]
    handler: T,
}

impl<T> Id<T> {
    /// Returns the handler.
    #[inline]
    pub fn handler(&self) -> &T {
        &self.handler
    }

    /// Returns how far the id has come.
    ///
    /// Unless the caller is in a callback of the id, it may have changed when this returns.
    ///
    /// Does not sleep.
    #[inline]
    pub fn state(&self) -> State {
        self.core.state()
    }

    /// Returns the port space.
    ///
    /// Does not sleep.
    #[inline]
    pub fn port_space(&self) -> PortSpace {
        self.core.port_space()
    }

    /// Returns the device that the id is bound to: none before the peer's address is resolved, and
    /// none for a listener on a wildcard address.
    ///
    /// The device stays until the id is dropped, see the [module's documentation](super).
    ///
    /// Does not sleep.
    pub fn device(&self) -> Option<&Device> {
        self.core.device()
    }

    /// Returns the number of the device's port that the id is bound to.
    ///
    /// Does not sleep.
    pub fn port_number(&self) -> Option<u32> {
        self.core.device()?;
        // SAFETY: The id is valid, and bound to a device: the port is set before that and not
        // changed any more.
        Some(unsafe { (*self.core.raw()).port_num })
    }

    /// Returns the local address, with the port number that was chosen.
    ///
    /// Does not sleep.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.core.local_addr()
    }

    #[inline]
    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    #[inline]
    pub(super) fn peer_addr_of_core(&self) -> Option<SocketAddr> {
        self.core.peer_addr()
    }

    /// # Safety
    ///
    /// `core` must be part of an `Id<T>`.
    #[inline]
    pub(super) unsafe fn of_core(core: &Core) -> &Self {
        // SAFETY: A core is the first field of its `Id`, and lives as long.
        unsafe { &*ptr::from_ref(core).cast() }
    }
}

/// The owner of an id: destroys it when dropped.
///
/// Others refer to the id by borrowing this type, or in callbacks.
pub(super) struct Owner<T: Send + Sync + 'static>(Deferred<Id<T>>);

impl<T: Send + Sync + 'static> Owner<T> {
    /// Allocates an object that has no `rdma_cm_id` yet.
    pub(super) fn new<E>(
        charge: Charge,
        space: PortSpace,
        state: State,
        role: Role,
        handler: impl PinInit<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let core = Core::new(charge.clone(), space, state, role);

        Ok(Self(charge.defer::<_, Error>(try_pin_init!(Id {
            core,
            handler <- handler,
        }? Error))?))
    }

    /// Gives the object its `rdma_cm_id`.
    ///
    /// # Safety
    ///
    /// `raw` must be valid and owned by the caller, who gives it to this object. Its context must be
    /// [`Self::context`], or be set to it before the next event.
    pub(super) unsafe fn set_raw(&mut self, raw: *mut bindings::rdma_cm_id) {
        // INVARIANT: By the function's requirements.
        //
        // SAFETY: We have the only reference to the object: no event has come for it yet.
        unsafe { (&raw mut (*self.0.as_ptr()).core.raw).write(raw) };
    }

    /// Sets the service level to use instead of the route's.
    pub(super) fn set_service_level(&mut self, level: Option<u8>) {
        // SAFETY: We own the object, and `self` is the only reference to it: no event has come for it yet.
        unsafe { (&raw mut (*self.0.as_ptr()).core.service_level).write(level) };
    }

    /// Returns what the context of the `rdma_cm_id` is to be.
    pub(super) fn context(&self) -> *mut Core {
        self.0.as_ptr().cast()
    }

    #[inline]
    pub(super) fn id(&self) -> &Id<T> {
        &self.0
    }

    /// Destroys the id, and waits for its callbacks; in a callback of the connection manager it is no more
    /// than a drop.
    pub(super) fn close(self) {
        // Another id's callback may be what work of this one is queued behind.
        if !self.id().core.charge.callbacks().are_current() {
            self.0.close();
        }
    }
}
