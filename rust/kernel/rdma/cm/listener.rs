// SPDX-License-Identifier: GPL-2.0

//! Listeners, and the requests that come to them.

use super::{
    addr,
    connection::{
        Connection,
        Handler,
        REJECT_REASON, //
    },
    event::{
        private_data_len,
        private_data_ptr,
        request_params, //
    },
    id::{
        Asked,
        Core,
        Id,
        Owner,
        Role, //
    },
    path::Path,
    ConnParams,
    Message,
    PortSpace,
    State, //
};
use crate::{
    account::Charge,
    bindings,
    rdma::Device, //
};
use core::{
    net::SocketAddr,
    ops::Deref, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// What is done about connections that come in to a [`Listener`].
///
/// The object is part of the listener: it is made with it, pinned, and dropped after it.
pub trait Acceptor: Sized + Send + Sync + 'static {
    /// Somebody wants a connection.
    ///
    /// Dropping the request refuses it. Callbacks of one listener may run at the same time, for
    /// requests that come in over different devices. It may sleep, but holds up events of other
    /// connections meanwhile.
    fn request(listener: &Id<Self>, request: Request<'_>);

    /// The device that the listener is bound to is about to go, and waits for the listener to be
    /// dropped. Listeners on a wildcard address are not bound to a device.
    fn device_removal(listener: &Id<Self>) {
        let _ = listener;
    }

    /// The network interface that the listener is bound to has got another hardware address.
    fn address_change(listener: &Id<Self>) {
        let _ = listener;
    }
}

/// A listener: the owner of its [`Id`].
///
/// It is made by [`Builder::listen`](super::Builder::listen). Connections that it has accepted do not
/// depend on it.
///
/// The [module's documentation](super) tells the rules for dropping it.
pub struct Listener<T: Acceptor>(Owner<T>);

impl<T: Acceptor> Listener<T> {
    /// What events of a listener with this type of handler are done with.
    const ROLE: Role = Role::Listener {
        request: Self::request,
        deliver: Self::deliver,
    };

    /// Allocates an object that has no `rdma_cm_id` yet.
    pub(super) fn alloc<E>(
        charge: Charge,
        space: PortSpace,
        handler: impl PinInit<T, E>,
    ) -> Result<Owner<T>>
    where
        Error: From<E>,
    {
        Owner::new(charge, space, State::New, Self::ROLE, handler)
    }

    #[inline]
    pub(super) fn new(owner: Owner<T>) -> Self {
        Self(owner)
    }

    /// Ends the listener as dropping it does, and waits until that is done: no callback runs after, and its
    /// address is free.
    ///
    /// In a callback of the connection manager it does not wait, and is no more than a drop. Sleeps; must not
    /// be called with a lock that the callbacks take.
    pub fn close(self) {
        self.0.close();
    }

    /// # Safety
    ///
    /// `core` must be part of an `Id<T>`. The rest must be of a callback of type `CONNECT_REQUEST` that is running,
    /// for a new id whose context is `core`.
    unsafe fn request(
        core: &Core,
        id: *mut bindings::rdma_cm_id,
        event: &bindings::rdma_cm_event,
        asked: &Asked,
    ) {
        // SAFETY: By the function's requirements.
        let (listener, request) =
            unsafe { (Id::of_core(core), Request::new(id, event, core, asked)) };

        T::request(listener, request);
    }

    /// # Safety
    ///
    /// `core` must be part of an `Id<T>`.
    unsafe fn deliver(core: &Core, event: bindings::rdma_cm_event_type) {
        // SAFETY: By the function's requirements.
        let id = unsafe { Id::of_core(core) };

        match event {
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_DEVICE_REMOVAL => T::device_removal(id),
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_CHANGE => T::address_change(id),
            _ => {}
        }
    }
}

impl<T: Acceptor> Deref for Listener<T> {
    type Target = Id<T>;

    #[inline]
    fn deref(&self) -> &Id<T> {
        self.0.id()
    }
}

/// A connection that somebody wants to make.
///
/// Dropping it refuses the connection, as [`reject`](Self::reject) without data does.
///
/// # Invariants
///
/// - `id` is a new id that the event is for. It is valid, and bound to a device, until the callback
///   returns.
/// - `listener` is the core that is the context of `id`; `asked` is of the callback.
pub struct Request<'a> {
    id: *mut bindings::rdma_cm_id,
    event: &'a bindings::rdma_cm_event,
    listener: &'a Core,
    asked: &'a Asked,
}

impl<'a> Request<'a> {
    /// # Safety
    ///
    /// `id` and `event` must be those of a callback of type `CONNECT_REQUEST` that runs for the
    /// length of `'a`. `listener` must be the context of `id`, and `asked` be of the callback.
    pub(super) unsafe fn new(
        id: *mut bindings::rdma_cm_id,
        event: &'a bindings::rdma_cm_event,
        listener: &'a Core,
        asked: &'a Asked,
    ) -> Self {
        // INVARIANT: By the function's requirements. C binds a new id to the device that the request
        // came in over before it reports it.
        Self {
            id,
            event,
            listener,
            asked,
        }
    }

    /// Returns the device that the request came in over.
    pub fn device(&self) -> &'a Device {
        // SAFETY: By the type invariants, the id has a device, which stays as long as the id. If the
        // id is dropped in the callback, it is destroyed after.
        unsafe { Device::from_raw((*self.id).device) }
    }

    /// Returns the number of the device's port that the request came in over.
    pub fn port_number(&self) -> u32 {
        // SAFETY: By the type invariants, the id is valid.
        unsafe { (*self.id).port_num }
    }

    /// Returns the address that was connected to, with the interface that the request came in over if it is
    /// link-local.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        // SAFETY: By the type invariants, the id is valid.
        unsafe { addr::local_of(self.id) }
    }

    /// Returns the peer's address, with that interface if it is link-local.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        // SAFETY: By the type invariants, the id is valid.
        unsafe { addr::peer_of(self.id) }
    }

    /// Returns the path to the peer. There is none on iWARP, and none with [`PortSpace::Udp`].
    pub fn path(&self) -> Option<Path> {
        // SAFETY: By the type invariants, the id is valid. The record was written before.
        unsafe { (*self.id).route.path_rec.as_ref() }.map(Path::new)
    }

    /// Returns what the peer says of its side. With [`PortSpace::Udp`] it is private data only.
    pub fn params(&self) -> ConnParams<'a> {
        // SAFETY: By the type invariants.
        unsafe { request_params(self.event, self.listener.service_type()) }
    }

    /// Refuses the connection.
    ///
    /// Errors: [`EINVAL`] if there is too much private data, [`ENOMEM`]. The connection is refused
    /// without data then.
    pub fn reject(self, private_data: &[u8]) -> Result {
        let len = private_data_len(private_data, self.listener.port_space(), Message::Reject)?;

        // SAFETY: By the type invariants, the id is valid. The private data is copied.
        to_result(unsafe {
            bindings::rdma_reject(self.id, private_data_ptr(private_data), len, REJECT_REASON)
        })
    }

    /// Makes a connection of the request, which is still to be [accepted](Id::accept): in this
    /// callback, or later. (The peer waits some seconds.)
    ///
    /// Errors: [`ENOMEM`], and what `handler` fails with. The request is refused then; if it was for
    /// lack of memory, the peer will try again.
    pub fn into_connection<T: Handler, E>(
        self,
        handler: impl PinInit<T, E>,
    ) -> Result<Connection<T>>
    where
        Error: From<E>,
    {
        let space = self.listener.port_space();
        let charge = self.listener.charge().clone();
        let owner = Connection::alloc(charge, space, State::Requested, handler)
            .inspect_err(|err| self.asked.refuse(*err))?;

        // SAFETY: The id is ours, as we do not let C destroy it any more.
        Ok(Connection::new(unsafe { self.give(owner) }))
    }

    /// # Safety
    ///
    /// To be called once, with an owner that has no id yet.
    unsafe fn give<T: Handler>(self, mut owner: Owner<T>) -> Owner<T> {
        let core = owner.context();

        // SAFETY: By the type invariants, the id is valid. C calls with its lock held, so no event is
        // reported meanwhile. The context is set to what is asked for.
        unsafe {
            owner.set_raw(self.id);
            (*self.id).context = core.cast();
        }
        // SAFETY: By the type invariants, the request is that of the callback, which is running; it has become
        // this id.
        unsafe { self.asked.take(owner.id().core()) };
        owner
    }
}
