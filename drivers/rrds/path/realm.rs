// SPDX-License-Identifier: GPL-2.0

//! What paths have in common: those of a carrier, and those of a namespace among them.

use super::{
    carrier::Carrier,
    counts::Counts,
    lines, //
};
use crate::{
    addr::to_ip,
    space::Space, //
};
use core::num::NonZeroU32;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    net::Namespace,
    random::random_u32,
    work::Waker, //
};
use rds_proto::{
    throttle::Throttle,
    time::Instant,
    wire::Addr, //
};

/// How long a path stays that nobody uses, in nanoseconds.
pub(super) const LINGER_NS: u64 = 10_000_000_000;

/// The same.
pub(super) const LINGER: Delta = Delta::from_nanos(LINGER_NS as i64);

/// What all paths of a carrier have in common.
#[pin_data]
pub(super) struct Shared<C: Carrier> {
    pub(super) module: &'static ThisModule,
    pub(super) host: Arc<C::Host>,
    /// How many paths there are in all namespaces but the initial one, which may have so many together:
    /// whoever may make one may make many.
    elsewhere: Arc<Mutex<Counts>>,
    /// Room for lines about connections in the log.
    #[pin]
    log: SpinLockIrq<Throttle>,
}

impl<C: Carrier> Shared<C> {
    pub(super) fn new(module: &'static ThisModule, host: Arc<C::Host>) -> Result<Arc<Self>> {
        let elsewhere = Counts::new()?;

        Arc::pin_init(
            pin_init!(Self {
                module,
                host,
                elsewhere,
                log <- new_spinlock_irq!(lines::of_all(), "rrds::Shared::log"),
            }),
            GFP_KERNEL,
        )
    }
}

/// What the paths of a carrier in one namespace, and its listeners there, have in common.
///
/// It keeps the namespace, as connections do. So it is there only while a socket of the namespace is
/// bound to the transport, see [`Streams`](super::Streams): sockets keep the namespace anyway.
///
/// To peers each is a life of its own: the next one knows nothing of what was sent and received.
pub(crate) struct Realm<C: Carrier> {
    shared: Arc<Shared<C>>,
    ns: ARef<Namespace>,
    space: Arc<Space>,
    incarnation: NonZeroU32,
    /// Takes out paths that are of no use any more.
    sweeper: Waker,
    /// How many paths there are: its own in the initial namespace, else those of all others.
    counts: Arc<Mutex<Counts>>,
}

impl<C: Carrier> Realm<C> {
    pub(super) fn new(
        shared: &Arc<Shared<C>>,
        ns: &Namespace,
        space: &Arc<Space>,
        sweeper: Waker,
    ) -> Result<Arc<Self>> {
        let counts = if *ns == *Namespace::initial() {
            Counts::new()?
        } else {
            shared.elsewhere.clone()
        };

        Ok(Arc::new(
            Self {
                shared: shared.clone(),
                ns: ns.into(),
                space: space.clone(),
                // Zero once in four billion.
                incarnation: NonZeroU32::new(random_u32()).unwrap_or(NonZeroU32::MIN),
                sweeper,
                counts,
            },
            GFP_KERNEL,
        )?)
    }

    /// Returns the carrier's state that all namespaces share.
    pub(crate) fn host(&self) -> &Arc<C::Host> {
        &self.shared.host
    }

    /// Returns the namespace.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.ns
    }

    /// Returns the module.
    pub(crate) fn module(&self) -> &'static ThisModule {
        self.shared.module
    }

    pub(super) fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// Returns the number that differs between any two lives, see [`Identity`](rds_proto::conn::Identity).
    pub(crate) fn incarnation(&self) -> NonZeroU32 {
        self.incarnation
    }

    /// Returns how many paths there are.
    pub(super) fn counts(&self) -> &Mutex<Counts> {
        &self.counts
    }

    /// Has the paths looked for, after a while, that are of no use any more. Any context.
    pub(super) fn sweep_later(&self) {
        self.sweeper.wake_after(LINGER);
    }

    /// Takes room for a line about a connection in the log. Returns how many found none since the last
    /// one did. Any context.
    pub(super) fn may_log(&self, now: Instant) -> Option<u64> {
        self.shared.log.lock().take(now)
    }

    /// Returns whether the loopback transport could take a message to an address: whether that is one of this host now, and
    /// not one that only loopback has. Any context.
    pub(super) fn is_here(&self, addr: Addr, scope: u32) -> bool {
        (C::HAS_LOOPBACK || !addr.is_loopback()) && self.ns.has_address(to_ip(addr), scope)
    }

    /// Returns whether an address is one of the namespace that connections can be made from. May sleep.
    ///
    /// The only error is [`ENOMEM`].
    pub(crate) fn owns(&self, addr: Addr, scope: u32) -> Result<bool> {
        C::owns(&self.shared.host, &self.ns, addr, scope)
    }
}
