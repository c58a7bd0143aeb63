// SPDX-License-Identifier: GPL-2.0

//! Making connections and listeners.

use super::{
    callback,
    connection::{
        timeout_ms,
        Connection,
        Handler, //
    },
    id::Owner,
    listener::{
        Acceptor,
        Listener, //
    },
    namespace,
    PortSpace,
    State, //
};
use crate::{
    account::Charge,
    bindings,
    net::{
        Namespace,
        RawAddr, //
    },
    rdma::{
        pd::owner_name,
        Device, //
    }, //
};
use core::{
    net::{
        IpAddr,
        SocketAddr,
        SocketAddrV6, //
    },
    ptr, //
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::aref::ARef,
    time::Delta, //
};

/// What connections and listeners are to be like.
///
/// # Examples
///
/// ```
/// use core::net::SocketAddr;
/// use kernel::{prelude::*, time::Delta};
/// use krdma::{
///     net::Namespace,
///     rdma::cm::{Builder, ConnParams, Connection, Event, Handler, Id, PortSpace},
/// };
///
/// struct Greeter;
///
/// impl Handler for Greeter {
///     fn event(id: &Id<Self>, event: Event<'_>) {
///         let ret = match event {
///             Event::AddressResolved => id.resolve_route(Delta::from_millis(2000)),
///             Event::RouteResolved => id.connect(&ConnParams {
///                 private_data: b"hello",
///                 ..ConnParams::default()
///             }),
///             Event::ServiceResolved(peer) => {
///                 pr_info!("the peer is queue pair {}\n", peer.qp_number());
///                 Ok(())
///             }
///             _ => Ok(()),
///         };
///
///         if let Err(err) = ret {
///             pr_warn!("{:?}\n", err);
///         }
///     }
/// }
///
/// fn greet(peer: SocketAddr, owner: &'static ThisModule) -> Result<Connection<Greeter>> {
///     Builder::new(Namespace::initial(), PortSpace::Udp, owner)
///         .service_type(0x20)
///         .resolve(None, peer, Delta::from_millis(2000), Greeter)
/// }
/// ```
#[derive(Clone)]
pub struct Builder<'a> {
    net: &'a Namespace,
    space: PortSpace,
    owner: &'static ThisModule,
    reuse_addr: bool,
    single_family: Option<bool>,
    service_type: Option<u8>,
    service_level: Option<u8>,
    ack_timeout: Option<u8>,
    min_rnr_timer: Option<u8>,
}

impl<'a> Builder<'a> {
    /// Starts with what C has as defaults.
    ///
    /// `owner` is the module that shows as the owner in `rdma resource show`: the caller's own, as
    /// its `init` gets it. The module's code stays until all that is made is gone.
    pub const fn new(net: &'a Namespace, space: PortSpace, owner: &'static ThisModule) -> Self {
        Self {
            net,
            space,
            owner,
            reuse_addr: false,
            single_family: None,
            service_type: None,
            service_level: None,
            ack_timeout: None,
            min_rnr_timer: None,
        }
    }

    /// Sets whether the local address may be in use already, by others that allow that too. It is of
    /// use for addresses to connect from; two listeners can't share an address.
    #[must_use]
    pub const fn reuse_addr(mut self, reuse: bool) -> Self {
        self.reuse_addr = reuse;
        self
    }

    /// Sets whether a listener on the IPv6 wildcard address leaves IPv4 to others (`IPV6_V6ONLY`).
    /// The default is that of the namespace.
    #[must_use]
    pub const fn single_family(mut self, single: bool) -> Self {
        self.single_family = Some(single);
        self
    }

    /// Sets the type of service: a differentiated services field (RFC 2474).
    ///
    /// What a listener accepts inherits this on iWARP only; on RoCE the answers follow the peer.
    #[must_use]
    pub const fn service_type(mut self, tos: u8) -> Self {
        self.service_type = Some(tos);
        self
    }

    /// Sets the service level of connections, of 0 to 15; only its four lowest bits count. By default it
    /// is that of the route.
    ///
    /// What a listener accepts has that of the peer's request.
    #[must_use]
    pub const fn service_level(mut self, level: u8) -> Self {
        self.service_level = Some(level & 0xf);
        self
    }

    /// Sets how long queue pairs wait for an acknowledgement: 4.096 µs · 2^`exponent`, or without end
    /// if it is zero. For connections that are reliable.
    ///
    /// What a listener accepts does not inherit it: see [`Id::set_ack_timeout`](super::Id).
    #[must_use]
    pub const fn ack_timeout(mut self, exponent: u8) -> Self {
        self.ack_timeout = Some(exponent);
        self
    }

    /// Sets how long a peer is to wait when a queue pair had no receive for its message, as a code of
    /// the IBTA's table "Encoding for RNR NAK Timer Field". For connections that are reliable.
    ///
    /// What a listener accepts does not inherit it: see [`Id::set_min_rnr_timer`](super::Id).
    #[must_use]
    pub const fn min_rnr_timer(mut self, code: u8) -> Self {
        self.min_rnr_timer = Some(code);
        self
    }

    /// Starts a connection to `dst`, by looking for its address.
    ///
    /// [`Event::AddressResolved`](super::Event::AddressResolved) or
    /// [`Event::AddressError`](super::Event::AddressError) follows, maybe before this returns.
    /// `src` is the local address to use; the routing table chooses one if there is none, or if it
    /// is a wildcard. A link-local IPv6 address needs its scope id. The IPv6 flow information is a
    /// number in the processor's byte order. If `dst` is a wildcard, a device of this machine is
    /// connected to.
    ///
    /// When this fails, callbacks may still run for a while.
    ///
    /// Errors: [`EADDRNOTAVAIL`] and [`EADDRINUSE`] if `src` can't be used, [`ENODEV`] if there is no
    /// device with that address, [`EACCES`] if it has a port number that the caller may not use,
    /// [`EINVAL`] if the addresses are of different families, if an option is out of range, or if
    /// `timeout` is less than a millisecond, [`ENOMEM`], and what `handler` fails with.
    pub fn resolve<T: Handler, E>(
        &self,
        src: Option<SocketAddr>,
        dst: SocketAddr,
        timeout: Delta,
        handler: impl PinInit<T, E>,
    ) -> Result<Connection<T>>
    where
        Error: From<E>,
    {
        let mut owner =
            Connection::alloc(Charge::to(self.owner)?, self.space, State::New, handler)?;

        self.create(&mut owner)?;
        owner.id().core().resolve_addr(src, dst, timeout)?;
        Ok(Connection::new(owner))
    }

    /// Waits for connections to `addr`.
    ///
    /// With a wildcard address it is on all devices, those that come later included. With port
    /// number zero a free one is chosen. `backlog` is the number of connections that may wait to be
    /// accepted, of use on iWARP.
    ///
    /// [`Acceptor::request`] may be called before this returns, and for a while when it fails.
    ///
    /// Errors: [`EADDRNOTAVAIL`] and [`EADDRINUSE`] if the address can't be used, [`ENODEV`] if there
    /// is no device with it, [`EACCES`] if it has a port number that the caller may not use,
    /// [`EINVAL`] if an option is out of range, [`ENOMEM`], and what `handler` fails with.
    pub fn listen<T: Acceptor, E>(
        &self,
        addr: SocketAddr,
        backlog: u32,
        handler: impl PinInit<T, E>,
    ) -> Result<Listener<T>>
    where
        Error: From<E>,
    {
        let mut owner = Listener::alloc(Charge::to(self.owner)?, self.space, handler)?;

        self.create(&mut owner)?;
        owner.id().core().listen(addr, backlog)?;
        Ok(Listener::new(owner))
    }

    /// Returns the device that has a local address, by a network interface of the namespace.
    ///
    /// Errors: [`EADDRNOTAVAIL`] if the address is not one of this namespace, [`ENODEV`] if it is, and no
    /// device has it, or if it is a wildcard; [`ENOMEM`].
    pub fn device_of(&self, addr: IpAddr, scope: u32) -> Result<ARef<Device>> {
        let addr = match addr {
            IpAddr::V4(ip) => SocketAddr::from((ip, 0)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, 0, 0, scope).into(),
        };
        let mut owner =
            Connection::alloc(Charge::to(self.owner)?, self.space, State::New, Nothing)?;
        let dev = self.bound_device(&mut owner, RawAddr::from(addr));

        // Who asks again and again has to wait for each.
        owner.close();
        dev
    }

    /// Binds a new id to an address, and returns the device that it is bound to.
    fn bound_device(&self, owner: &mut Owner<Nothing>, mut addr: RawAddr) -> Result<ARef<Device>> {
        self.create(owner)?;
        let raw = owner.id().core().raw();

        // SAFETY: The id is valid, and nobody else knows it. The address is copied.
        to_result(unsafe { bindings::rdma_bind_addr(raw, addr.as_raw()) })?;
        // SAFETY: As above. The device of a bound id does not change; it is registered while the id
        // exists.
        let dev = unsafe { (*raw).device };
        // SAFETY: As above.
        if dev.is_null() || !unsafe { namespace::is_own(raw) } {
            return Err(ENODEV);
        }
        // SAFETY: As above.
        Ok(unsafe { Device::from_raw(dev) }.into())
    }

    /// Makes the `rdma_cm_id`, and sets the options.
    fn create<T: Send + Sync + 'static>(&self, owner: &mut Owner<T>) -> Result {
        let raw = self.create_raw(owner.context())?;

        // SAFETY: We own the new id, and its context is what is asked for.
        unsafe { owner.set_raw(raw) };
        owner.set_service_level(self.service_level);

        let core = owner.id().core();
        if self.reuse_addr {
            // SAFETY: The id is valid. The function locks for itself.
            to_result(unsafe { bindings::rdma_set_reuseaddr(raw, 1) })?;
        }
        if let Some(single) = self.single_family {
            // SAFETY: As above.
            to_result(unsafe { bindings::rdma_set_afonly(raw, single.into()) })?;
        }
        if let Some(tos) = self.service_type {
            core.set_service_type(tos);
        }
        if let Some(exponent) = self.ack_timeout {
            core.set_ack_timeout(exponent)?;
        }
        if let Some(code) = self.min_rnr_timer {
            core.set_min_rnr_timer(code)?;
        }
        Ok(())
    }

    fn create_raw(&self, context: *mut super::id::Core) -> Result<*mut bindings::rdma_cm_id> {
        // SAFETY: The namespace is valid; the id takes a reference to it. The handler is for ids
        // with such a context, which is freed after the id. The core keeps the pointer to the owner's
        // name, which is valid as long as the charge of the context.
        from_err_ptr(unsafe {
            bindings::__rdma_create_kernel_id(
                self.net.as_raw(),
                Some(callback::on_event),
                context.cast(),
                self.space.as_raw(),
                self.space.service_type().as_raw(),
                owner_name(self.owner),
            )
        })
    }
}

/// The handler of an id that is never used for a connection.
struct Nothing;

impl Handler for Nothing {
    fn event(_id: &super::Id<Self>, _event: super::Event<'_>) {}
}

impl super::id::Core {
    /// To be called once, by who makes the id.
    fn resolve_addr(&self, src: Option<SocketAddr>, dst: SocketAddr, timeout: Delta) -> Result {
        let timeout = timeout_ms(timeout)?;
        let mut src = src.map(RawAddr::from);
        let mut dst = RawAddr::from(dst);

        // SAFETY: The id is valid, and nobody else changes it: its state is `New`. The addresses are
        // in memory as large as any address, and are copied.
        to_result(unsafe {
            bindings::rdma_resolve_addr(
                self.raw(),
                src.as_mut().map_or(ptr::null_mut(), RawAddr::as_raw),
                dst.as_raw(),
                timeout,
            )
        })?;
        self.started(State::ResolvingAddress);
        Ok(())
    }

    /// To be called once, by who makes the id.
    fn listen(&self, addr: SocketAddr, backlog: u32) -> Result {
        let backlog = c_int::try_from(backlog).map_err(|_| EINVAL)?;
        let mut addr = RawAddr::from(addr);

        // SAFETY: As above.
        to_result(unsafe { bindings::rdma_bind_addr(self.raw(), addr.as_raw()) })?;
        // SAFETY: As above.
        if !unsafe { namespace::is_own(self.raw()) } {
            return Err(ENODEV);
        }
        // SAFETY: The id is valid and bound, and nobody else changes it: its state is `New`.
        to_result(unsafe { bindings::rdma_listen(self.raw(), backlog) })?;
        self.started(State::Listening);
        Ok(())
    }
}
