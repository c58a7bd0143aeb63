// SPDX-License-Identifier: GPL-2.0

//! Connections, of both sides.

use super::{
    event::{
        private_data_len,
        private_data_ptr, //
    },
    id::{
        Core,
        Id,
        Locked,
        Owner,
        Role, //
    },
    path::Path,
    ConnParams,
    Event,
    Message,
    ServiceType,
    State, //
};
use crate::{
    account::Charge,
    bindings,
    rdma::{
        qp::{
            Any,
            Poster,
            Service, //
        },
        qp_attr::QpState,
        Qp, //
    },
};
use core::{
    net::SocketAddr,
    ops::Deref, //
};
use kernel::{
    error::to_result,
    prelude::*,
    time::Delta, //
};

/// What is done about the events of a [`Connection`].
///
/// The object is part of the connection: it is made with it, pinned, and dropped after it.
pub trait Handler: Sized + Send + Sync + 'static {
    /// Something has happened to the connection.
    ///
    /// The callbacks of one connection do not run at the same time. Methods of `id` may be called.
    /// To end the connection drop its [`Connection`], which is allowed here. It may sleep, but holds
    /// up events of other connections meanwhile.
    fn event(id: &Id<Self>, event: Event<'_>);
}

/// A connection that exists, is being made, or was ended: the owner of its [`Id`].
///
/// It is made by [`Builder::resolve`](super::Builder::resolve) on the side that connects, and by
/// [`Request::into_connection`](super::Request::into_connection) on the side that is connected to.
///
/// Dropping it disconnects, or refuses the connection if it was not accepted. The
/// [module's documentation](super) tells the rules: among them, when an attempt must not be given up.
pub struct Connection<T: Handler>(Owner<T>);

impl<T: Handler> Connection<T> {
    /// What events of a connection with this type of handler are done with.
    const ROLE: Role = Role::Connection(Self::deliver);

    /// Allocates an object that has no `rdma_cm_id` yet.
    pub(super) fn alloc<E>(
        charge: Charge,
        space: super::PortSpace,
        state: State,
        handler: impl PinInit<T, E>,
    ) -> Result<Owner<T>>
    where
        Error: From<E>,
    {
        Owner::new(charge, space, state, Self::ROLE, handler)
    }

    #[inline]
    pub(super) fn new(owner: Owner<T>) -> Self {
        Self(owner)
    }

    /// Ends the connection as dropping it does, and waits until that is done: no callback runs after.
    ///
    /// As for a drop, an attempt is not to be given up at the moment at which the connection manager does: see
    /// "Giving up" in the [module's documentation](super).
    ///
    /// In a callback of the connection manager it does not wait, and is no more than a drop. Sleeps; must not
    /// be called with a lock that the callbacks take.
    pub fn close(self) {
        self.0.close();
    }

    /// # Safety
    ///
    /// `core` must be part of an `Id<T>`.
    unsafe fn deliver(core: &Core, event: Event<'_>) {
        // SAFETY: By the function's requirements.
        T::event(unsafe { Id::of_core(core) }, event);
    }
}

impl<T: Handler> Deref for Connection<T> {
    type Target = Id<T>;

    #[inline]
    fn deref(&self) -> &Id<T> {
        self.0.id()
    }
}

/// The methods of connections.
impl<T: Handler> Id<T> {
    /// Returns the peer's address.
    ///
    /// Does not sleep.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_addr_of_core()
    }

    /// Returns the path to the peer, once it is known. There is none on iWARP, and none for the
    /// passive side with [`PortSpace::Udp`](super::PortSpace::Udp).
    ///
    /// Does not sleep.
    pub fn path(&self) -> Option<Path> {
        self.core().path()
    }

    /// Looks for the path to the peer. [`Event::RouteResolved`] or [`Event::RouteError`] follows.
    ///
    /// `timeout` is of use where a subnet manager is asked.
    ///
    /// Errors: [`EINVAL`] if the state is not [`State::AddressResolved`] or `timeout` is less than a
    /// millisecond, [`ENODEV`] if the network interface has gone, [`ENOMEM`].
    ///
    /// Takes the id's lock.
    pub fn resolve_route(&self, timeout: Delta) -> Result {
        self.core().resolve_route(timeout)
    }

    /// Asks the peer for a connection, or with [`PortSpace::Udp`](super::PortSpace::Udp) how to
    /// reach it.
    ///
    /// [`Event::Response`], [`Event::Established`] or [`Event::ServiceResolved`] follows if the peer
    /// accepts.
    ///
    /// Errors: [`EINVAL`] if the state is not [`State::RouteResolved`] or there is too much private
    /// data, [`ENOMEM`], [`ENOSYS`] if the device does not have the service.
    ///
    /// Takes the id's lock.
    pub fn connect(&self, params: &ConnParams<'_>) -> Result {
        self.core().connect(params)
    }

    /// Accepts the connection that the peer has asked for. [`Event::Established`] follows when the
    /// peer has confirmed it, except with [`PortSpace::Udp`](super::PortSpace::Udp).
    ///
    /// The queue pair must be ready to receive and to send.
    ///
    /// Errors: [`EINVAL`] if the state is not [`State::Requested`] or there is too much private data,
    /// [`ENOMEM`]. After errors other than for too much data the peer has been refused.
    ///
    /// Takes the id's lock.
    pub fn accept(&self, params: &ConnParams<'_>) -> Result {
        self.core().accept(params)
    }

    /// Confirms the connection that the peer has accepted ([`Event::Response`]).
    ///
    /// The queue pair must be ready to receive and to send. The connection is made when this
    /// returns; no event follows.
    ///
    /// Errors: [`EINVAL`] if the state is not [`State::Responded`], [`ENOMEM`]. After other errors
    /// than that for the state the peer has been refused.
    ///
    /// Takes the id's lock.
    pub fn accept_response(&self) -> Result {
        self.core().accept_response()
    }

    /// Refuses the connection: that which the peer has asked for, or that which it has accepted.
    /// What remains is to drop it.
    ///
    /// Errors: [`EINVAL`] if the state is neither [`State::Requested`] nor [`State::Responded`] or
    /// there is too much private data, [`ENOMEM`].
    ///
    /// Takes the id's lock.
    pub fn reject(&self, private_data: &[u8]) -> Result {
        self.core().reject(private_data)
    }

    /// Disconnects, or answers that the peer has. [`Event::Disconnected`] follows in the first case.
    ///
    /// Errors: [`ENOTCONN`] if the state is neither [`State::Established`] nor
    /// [`State::Disconnected`].
    pub fn disconnect(&self) -> Result {
        self.core().disconnect()
    }

    /// Tells the connection manager that a message has come in over a connection that the peer has
    /// not confirmed yet. [`Event::Established`] follows: the confirmation may be lost or late.
    ///
    /// Errors: [`EINVAL`] if the state is not [`State::Accepted`], or the confirmation has come
    /// meanwhile, [`ENOMEM`].
    ///
    /// Does not sleep.
    pub fn notify_established(&self) -> Result {
        self.core().notify_established()
    }

    /// Moves a queue pair to a state of the connection: to [`QpState::Init`] when it is made, to
    /// [`QpState::Rtr`] and then [`QpState::Rts`] when the peer has asked for the connection or has
    /// accepted it. What the peer and the path need is set, and what the peer may do: from
    /// [`QpState::Rtr`] on it may write, and read as far as
    /// [`responder_resources`](ConnParams::responder_resources) go, with keys that it has. Of reads there
    /// are no more at one time than the device can do, whatever the peer has offered: what it is told must
    /// not be more than that.
    ///
    /// Errors: [`EINVAL`] if the connection is not that far, if it has no such state, or if the queue
    /// pair is of another device.
    ///
    /// Takes the id's lock.
    pub fn modify_qp<S: Service>(&self, qp: &Qp<S>, state: QpState) -> Result {
        self.modify_any(qp.poster().any(), state)
    }

    fn modify_any(&self, qp: Poster<'_, Any>, state: QpState) -> Result {
        if self.device() != Some(qp.device()) {
            return Err(EINVAL);
        }
        // The connection manager has attributes for these. A reset would have to wait for handlers, which may
        // wait for the id's lock.
        if !matches!(state, QpState::Init | QpState::Rtr | QpState::Rts) {
            return Err(EINVAL);
        }

        if state == QpState::Rtr {
            // What the peer may do is an attribute of this state only, and was not known yet when a side
            // that connects has come to it: then it is nothing.
            self.modify_any(qp, QpState::Init)?;
        }
        let mut attr = self.core().init_qp_attr(state.as_raw())?;
        let (raw, mask) = attr.as_raw();
        let limits = qp.device().attributes();
        let at_most = |limit: u32| u8::try_from(limit).unwrap_or(u8::MAX);
        // The connection manager has what the peer has offered, and C corrects it by what is answered.
        raw.max_dest_rd_atomic = raw.max_dest_rd_atomic.min(at_most(limits.max_qp_rd_atom()));
        raw.max_rd_atomic = raw.max_rd_atomic.min(at_most(limits.max_qp_init_rd_atom()));
        qp.modify_raw(raw, mask)
    }

    /// Sets the type of service: a differentiated services field (RFC 2474).
    ///
    /// It is of use before the path is resolved; on the passive side before
    /// [`accept`](Self::accept), with iWARP.
    pub fn set_service_type(&self, tos: u8) {
        self.core().set_service_type(tos);
    }

    /// Sets how long the local queue pair waits for an acknowledgement: 4.096 µs · 2^`exponent`, or
    /// without end if it is zero.
    ///
    /// It is of use before the queue pair's state is changed for [`connect`](Self::connect) or
    /// [`accept`](Self::accept).
    ///
    /// Errors: [`EINVAL`] if `exponent` is more than 31, or the service is not
    /// [`Reliable`](ServiceType::Reliable).
    pub fn set_ack_timeout(&self, exponent: u8) -> Result {
        self.core().set_ack_timeout(exponent)
    }

    /// Sets how long a peer is to wait when the local queue pair had no receive for its message, as a
    /// code of the IBTA's table "Encoding for RNR NAK Timer Field".
    ///
    /// Errors: [`EINVAL`] if `code` is more than 31, or the service is not
    /// [`Reliable`](ServiceType::Reliable).
    pub fn set_min_rnr_timer(&self, code: u8) -> Result {
        self.core().set_min_rnr_timer(code)
    }
}

/// Attributes that a queue pair needs for a state of its connection.
///
/// They have pointers to what belongs to the id, so this holds the id's lock.
struct QpAttr<'a> {
    attr: bindings::ib_qp_attr,
    mask: c_int,
    _lock: Locked<'a>,
}

impl QpAttr<'_> {
    /// Returns the attributes, and which of them are set.
    fn as_raw(&mut self) -> (&mut bindings::ib_qp_attr, c_int) {
        (&mut self.attr, self.mask)
    }
}

impl Core {
    fn resolve_route(&self, timeout: Delta) -> Result {
        let timeout = timeout_ms(timeout)?;
        let _lock = self.lock()?;

        if self.state() != State::AddressResolved {
            return Err(EINVAL);
        }
        // SAFETY: The id is valid, and nobody else changes it.
        to_result(unsafe { bindings::rdma_resolve_route(self.raw(), timeout) })?;
        self.set_state(State::ResolvingRoute);
        Ok(())
    }

    fn connect(&self, params: &ConnParams<'_>) -> Result {
        let mut params = params.to_raw(self.port_space(), Message::Request)?;
        let _lock = self.lock()?;

        if self.state() != State::RouteResolved {
            return Err(EINVAL);
        }
        // SAFETY: The id is valid, and we have its lock. The private data is copied.
        to_result(unsafe { bindings::rdma_connect_locked(self.raw(), &mut params) })?;
        self.set_state(State::Connecting);
        Ok(())
    }

    fn accept(&self, params: &ConnParams<'_>) -> Result {
        let mut params = params.to_raw(self.port_space(), Message::Reply)?;
        let _lock = self.lock()?;

        if self.state() != State::Requested {
            return Err(EINVAL);
        }
        // SAFETY: The id is valid, and we have its lock. The private data is copied.
        let ret = to_result(unsafe { bindings::rdma_accept(self.raw(), &mut params) });
        self.set_state(match ret {
            Ok(()) => State::Accepted,
            Err(_) => State::Failed,
        });
        ret
    }

    fn accept_response(&self) -> Result {
        let _lock = self.lock()?;

        if self.state() != State::Responded {
            return Err(EINVAL);
        }
        // SAFETY: The id is valid, and we have its lock.
        let ret = to_result(unsafe { bindings::rdma_accept(self.raw(), core::ptr::null_mut()) });
        self.set_state(match ret {
            Ok(()) => State::Established,
            Err(_) => State::Failed,
        });
        ret
    }

    fn reject(&self, private_data: &[u8]) -> Result {
        let len = private_data_len(private_data, self.port_space(), Message::Reject)?;
        let _lock = self.lock()?;

        if !matches!(self.state(), State::Requested | State::Responded) {
            return Err(EINVAL);
        }
        // SAFETY: The id is valid, and in a state in which it has a `cm_id`. The private data is
        // copied.
        to_result(unsafe {
            bindings::rdma_reject(
                self.raw(),
                private_data_ptr(private_data),
                len,
                REJECT_REASON,
            )
        })?;
        self.set_state(State::Failed);
        Ok(())
    }

    fn disconnect(&self) -> Result {
        let connected = self.service_type() != ServiceType::Datagram
            && matches!(self.state(), State::Established | State::Disconnected);

        if !connected {
            return Err(ENOTCONN);
        }
        // SAFETY: The id is valid. Once it has been in one of these states it has a `cm_id` until it
        // is destroyed, whatever its state is now; the function locks for itself.
        to_result(unsafe { bindings::rdma_disconnect(self.raw()) })
    }

    fn notify_established(&self) -> Result {
        if self.state() != State::Accepted || self.service_type() == ServiceType::Datagram {
            return Err(EINVAL);
        }
        // SAFETY: The id is valid. Once it has been in this state it has a `cm_id` until it is
        // destroyed; the function locks for itself.
        to_result(unsafe {
            bindings::rdma_notify(self.raw(), bindings::ib_event_type_IB_EVENT_COMM_EST)
        })
    }

    /// Returns the attributes that a queue pair needs to be moved to `state` for the connection.
    ///
    /// Errors: [`EINVAL`] if the id is not bound to a device, or the connection is not that far.
    ///
    /// Takes the id's lock, and keeps it as long as the result exists.
    fn init_qp_attr(&self, state: bindings::ib_qp_state) -> Result<QpAttr<'_>> {
        let lock = self.lock()?;
        let mut attr = bindings::ib_qp_attr {
            qp_state: state,
            ..pin_init::zeroed()
        };
        let mut mask = 0;

        if matches!(
            self.state(),
            State::New | State::Listening | State::ResolvingAddress | State::Removed
        ) || !self.has_device()
        {
            return Err(EINVAL);
        }
        // SAFETY: The id is valid and bound to a device, and we have its lock.
        to_result(unsafe { bindings::rdma_init_qp_attr(self.raw(), &mut attr, &mut mask) })?;
        Ok(QpAttr {
            attr,
            mask,
            _lock: lock,
        })
    }
}

/// The only reason that makes sense for a program to send.
pub(super) const REJECT_REASON: u8 = {
    // CAST: The constant fits.
    bindings::ib_cm_rej_reason_IB_CM_REJ_CONSUMER_DEFINED as u8
};

/// Returns a time in the unit that C takes, or [`EINVAL`] if it is none of it.
pub(super) fn timeout_ms(timeout: Delta) -> Result<c_ulong> {
    match c_ulong::try_from(timeout.as_millis()) {
        Ok(0) | Err(_) => Err(EINVAL),
        Ok(ms) => Ok(ms),
    }
}
