// SPDX-License-Identifier: GPL-2.0

//! What happens to devices and their ports.
//!
//! That a device comes and goes is told to a [`Client`](crate::rdma::Client); what happens in between
//! to a [`Registration`]. Each belongs to one device: keep it in the client's per-device data.
//!
//! # Examples
//!
//! ```ignore
//! struct Watch;
//!
//! impl Watcher for Watch {
//!     fn event(&self, dev: &Device, event: Event) {
//!         pr_info!("{}: {:?}\n", dev.name(), event);
//!     }
//! }
//!
//! // In `Client::add`:
//! let registration = Registration::new(dev, self.module, Watch)?;
//! ```
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)
//! (`struct ib_event_handler`)

use crate::{
    account::Charge,
    bindings,
    rdma::Device,
    reaper::Deferred, //
};
use core::ops::Deref;
use kernel::{
    container_of,
    prelude::*,
    sync::aref::ARef,
    types::Opaque, //
};

/// Something that happened to a device or to one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The device has failed. What is left to do is to destroy what was made of it.
    DeviceFatal,
    /// Something happened to the port with this number.
    Port(u32, PortEvent),
    /// Another of the events of `enum ib_event_type`.
    Other(u32),
}

/// Something that happened to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortEvent {
    /// The port can be used.
    Active,
    /// The port can't be used any more.
    Error,
    /// The port has another LID.
    LidChange,
    /// The table of partition keys has changed.
    PKeyChange,
    /// Another subnet manager is in charge.
    SmChange,
    /// The subnet manager has forgotten what was asked of it: memberships in groups, subscriptions.
    ClientReregister,
    /// The GID table has changed.
    GidChange,
    /// The speed of the port has changed.
    SpeedChange,
}

impl Event {
    fn from_raw(event: bindings::ib_event_type, port: u32) -> Self {
        Self::Port(
            port,
            match event {
                bindings::ib_event_type_IB_EVENT_DEVICE_FATAL => return Self::DeviceFatal,
                bindings::ib_event_type_IB_EVENT_PORT_ACTIVE => PortEvent::Active,
                bindings::ib_event_type_IB_EVENT_PORT_ERR => PortEvent::Error,
                bindings::ib_event_type_IB_EVENT_LID_CHANGE => PortEvent::LidChange,
                bindings::ib_event_type_IB_EVENT_PKEY_CHANGE => PortEvent::PKeyChange,
                bindings::ib_event_type_IB_EVENT_SM_CHANGE => PortEvent::SmChange,
                bindings::ib_event_type_IB_EVENT_CLIENT_REREGISTER => PortEvent::ClientReregister,
                bindings::ib_event_type_IB_EVENT_GID_CHANGE => PortEvent::GidChange,
                bindings::ib_event_type_IB_EVENT_DEVICE_SPEED_CHANGE => PortEvent::SpeedChange,
                raw => return Self::Other(raw),
            },
        )
    }
}

/// Is told what happens to a device.
pub trait Watcher: Send + Sync + 'static {
    /// Something happened.
    ///
    /// # Context
    ///
    /// May sleep: drivers' events are told on a workqueue. Calls may overlap. They run with a lock of
    /// the RDMA core held, so this must not wait for who registers or drops a [`Registration`] of the
    /// same device.
    fn event(&self, dev: &Device, event: Event);
}

/// A registered [`Watcher`].
///
/// It may be dropped in any context. The watcher is dropped later, once no call runs; it may be told of
/// events until then.
pub struct Registration<T: Watcher> {
    inner: Deferred<Inner<T>>,
}

/// # Invariants
///
/// Once initialized, `raw` is registered with `dev` until the drop.
#[pin_data(PinnedDrop)]
struct Inner<T: Watcher> {
    #[pin]
    raw: Opaque<bindings::ib_event_handler>,
    #[pin]
    watcher: T,
    charge: Charge,
    // Dropped after the handler is unregistered.
    dev: ARef<Device>,
}

// SAFETY: A handler may be unregistered by any thread; the watcher is `Send`.
unsafe impl<T: Watcher> Send for Inner<T> {}

// SAFETY: Through `&self` only the watcher and the device can be reached, which are `Sync`.
unsafe impl<T: Watcher> Sync for Inner<T> {}

impl<T: Watcher> Registration<T> {
    /// Registers a watcher with a device. It belongs to `owner`, whose code stays until it is gone.
    ///
    /// Errors: [`EDEADLK`] in a callback of a watcher or of the connection manager, as registering might
    /// wait for it; [`ENOMEM`], and what `watcher` fails with.
    pub fn new<E>(
        dev: &Device,
        owner: &'static ThisModule,
        watcher: impl PinInit<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let charge = Charge::to(owner)?;
        if charge.callbacks().are_current() {
            return Err(EDEADLK);
        }

        let ours = charge.clone();
        let inner = charge.defer::<_, Error>(try_pin_init!(Inner {
            charge: ours,
            dev: dev.into(),
            watcher <- watcher,
            raw <- Opaque::ffi_init(|slot: *mut bindings::ib_event_handler| {
                // SAFETY: `slot` is valid for writes, and pinned; it is unregistered before its memory
                // goes. The callback may run from here on: all that it uses is set. C makes the list
                // entry valid when it adds it.
                //
                // INVARIANT: `raw` is registered.
                unsafe {
                    slot.write(bindings::ib_event_handler {
                        device: (**dev).as_raw(),
                        handler: Some(Inner::<T>::event_callback),
                        ..pin_init::zeroed()
                    });
                    bindings::ib_register_event_handler(slot);
                }
            }),
        }? Error))?;

        Ok(Self { inner })
    }
}

impl<T: Watcher> Deref for Registration<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner.watcher
    }
}

impl<T: Watcher> Inner<T> {
    /// # Safety
    ///
    /// To be called by the RDMA core only, as the handler of an [`Inner`] of this type.
    unsafe extern "C" fn event_callback(
        handler: *mut bindings::ib_event_handler,
        event: *mut bindings::ib_event,
    ) {
        // SAFETY: `handler` is a field of a pinned object, whose drop waits for this call.
        let this = unsafe { &*container_of!(Opaque::cast_from(handler), Self, raw) };
        // SAFETY: The event is valid for this call. It is about a device or a port, as those about
        // queues go to these: and if not, the number is of no meaning, but initialized.
        let (event, port) = unsafe { ((*event).event, (*event).element.port_num) };

        this.charge.callbacks().run(|| {
            this.watcher.event(&this.dev, Event::from_raw(event, port));
        });
    }
}

#[pinned_drop]
impl<T: Watcher> PinnedDrop for Inner<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, the handler is registered. This waits for who calls handlers
        // of the device; krdma's work item is none of them.
        unsafe { bindings::ib_unregister_event_handler(self.raw.get()) };
    }
}

#[kunit_tests(krdma_events)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_from_devices() {
        assert_eq!(
            Event::from_raw(bindings::ib_event_type_IB_EVENT_PORT_ACTIVE, 2),
            Event::Port(2, PortEvent::Active)
        );
        assert_eq!(
            Event::from_raw(bindings::ib_event_type_IB_EVENT_DEVICE_FATAL, 0),
            Event::DeviceFatal
        );
        assert_eq!(Event::from_raw(4711, 1), Event::Other(4711));
    }
}
