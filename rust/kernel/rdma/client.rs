// SPDX-License-Identifier: GPL-2.0

//! Clients of the RDMA core: code that is told of each device that comes and goes.
//!
//! A client is a type that implements [`Client`]. It is registered by a [`Registration`], commonly
//! a field of the module's own struct:
//!
//! ```ignore
//! use kernel::prelude::*;
//! use krdma::rdma::{self, client::Registration, Client, Device, Pd};
//!
//! struct Example {
//!     module: &'static ThisModule,
//! }
//!
//! impl Client for Example {
//!     const NAME: &'static CStr = c"example";
//!     // What the client keeps for each device.
//!     type Data = Pd;
//!
//!     fn add(&self, dev: &Device) -> impl PinInit<Pd, Error> {
//!         Pd::new(dev, self.module)
//!     }
//! }
//!
//! krdma::client_slot!(Example);
//!
//! #[pin_data]
//! struct ExampleModule {
//!     #[pin]
//!     client: Registration<Example>,
//! }
//! ```
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`struct ib_client`)

use crate::{
    account::Charge,
    bindings,
    rdma::Device,
    Abi,
    ABI, //
};
use core::ptr;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::atomic::{
        ordering::{
            Acquire,
            Full,
            Release, //
        },
        Atomic, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
};

/// A client of the RDMA core.
///
/// # Order of calls
///
/// For each device [`add`](Self::add) is called once, when both the client and the device are
/// registered; if it succeeds, [`remove`](Self::remove) is called once, when either of them goes.
/// Calls for different devices may run at the same time.
///
/// # Contexts
///
/// All callbacks may sleep. They run with locks of the RDMA core held: a callback must not register
/// or unregister clients or devices, and must not wait for anything that does.
pub trait Client: HasSlot + Send + Sync {
    /// The client's name, for diagnostics.
    const NAME: &'static CStr;

    /// What the client keeps for each device. The abstraction owns it.
    type Data: Send + Sync;

    /// A device is there.
    ///
    /// If the initializer fails, the device is not for this client: nothing more is called for it.
    fn add(&self, dev: &Device) -> impl PinInit<Self::Data, Error>;

    /// The device, or the client, is about to go.
    ///
    /// When this returns, `data` is dropped. All that holds the device must be gone then, or who
    /// removes the device waits for it.
    fn remove(&self, dev: &Device, data: Pin<&Self::Data>) {
        let _ = (dev, data);
    }
}

/// Where the callbacks of a client find its registration.
///
/// The RDMA core does not tell `add` which client it calls. So each type of client has one static
/// slot, and can be registered once at a time.
pub struct Slot<T: Client> {
    registration: Atomic<*mut Registration<T>>,
    // Makes every client depend on the krdma that it was built against.
    _abi: &'static Abi,
}

// SAFETY: The pointer is only dereferenced by the callbacks, for shared access to a registration,
// which is `Sync`.
unsafe impl<T: Client> Sync for Slot<T> {}

impl<T: Client> Slot<T> {
    /// Creates an empty slot. For [`client_slot!`](crate::client_slot) only.
    #[doc(hidden)]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            registration: Atomic::new(ptr::null_mut()),
            _abi: &ABI,
        }
    }
}

/// Types that have a [`Slot`] of their own. Implemented by [`client_slot!`](crate::client_slot).
///
/// # Safety
///
/// `slot` must always return the same slot.
pub unsafe trait HasSlot: Sized + 'static {
    /// Returns the slot.
    fn slot() -> &'static Slot<Self>
    where
        Self: Client;
}

/// Gives a type the static that it needs to be a [`Client`](crate::rdma::Client).
#[macro_export]
macro_rules! client_slot {
    ($client:ty) => {
        const _: () = {
            static SLOT: $crate::rdma::client::Slot<$client> = $crate::rdma::client::Slot::new();

            // SAFETY: It is always the same static.
            unsafe impl $crate::rdma::client::HasSlot for $client {
                fn slot() -> &'static $crate::rdma::client::Slot<$client> {
                    &SLOT
                }
            }
        };
    };
}

/// A registered [`Client`].
///
/// While it exists, the client is told of devices. When it is dropped, the client is told that all
/// of them go, and no callback runs any more once the drop is done.
///
/// It belongs to a module, whose code stays until it is dropped: keep it in the module's own struct.
///
/// # Invariants
///
/// Once initialized, `client` is registered with the RDMA core, and `T::slot()` holds the address of
/// this object. Both end in `drop` only.
#[pin_data(PinnedDrop)]
pub struct Registration<T: Client> {
    #[pin]
    client: Opaque<bindings::ib_client>,
    #[pin]
    inner: T,
    // Dropped last.
    _charge: Charge,
}

// SAFETY: A client may be unregistered by any thread, and `T` is `Send`.
unsafe impl<T: Client> Send for Registration<T> {}

// SAFETY: Through `&self` only `T` can be reached, which is `Sync`.
unsafe impl<T: Client> Sync for Registration<T> {}

impl<T: Client> Registration<T> {
    /// Registers a client, for the module `owner`.
    ///
    /// [`Client::add`] is called for each device present before this returns.
    ///
    /// Errors: [`EBUSY`] if a client of this type is registered already, [`ENOMEM`], and what
    /// `inner` fails with.
    ///
    /// Must not be called from a callback of a client.
    pub fn new<E>(
        owner: &'static ThisModule,
        inner: impl PinInit<T, E>,
    ) -> impl PinInit<Self, Error>
    where
        Error: From<E>,
    {
        try_pin_init!(&this in Self {
            _charge: Charge::to(owner)?,
            inner <- inner,
            client <- Opaque::try_ffi_init(move |client: *mut bindings::ib_client| {
                let slot = &T::slot().registration;

                if slot.cmpxchg(ptr::null_mut(), this.as_ptr(), Full).is_err() {
                    return Err(EBUSY);
                }

                // SAFETY: `client` is valid for writes.
                unsafe {
                    client.write(bindings::ib_client {
                        name: T::NAME.as_char_ptr(),
                        add: Some(Self::add_callback),
                        remove: Some(Self::remove_callback),
                        ..pin_init::zeroed()
                    })
                };

                // SAFETY:
                // - `client` is initialized and pinned; it is unregistered before its memory goes, and the
                //   charge keeps the module until then.
                // - The callbacks may run from here on: they use the slot and `inner`, which are
                //   both set.
                to_result(unsafe { bindings::ib_register_client(client) })
                    // A failed registration has ended all its callbacks.
                    .inspect_err(|_| slot.store(ptr::null_mut(), Release))

                // INVARIANT: Both parts hold now.
            }),
        })
    }

    /// Returns the registration whose callback runs.
    ///
    /// # Safety
    ///
    /// To be called by the callbacks of `T` only. The result must not be used after the callback.
    unsafe fn of_callback<'a>() -> &'a Self {
        // The acquire pairs with the full ordering of the store.
        let this = T::slot().registration.load(Acquire);

        // SAFETY: Callbacks run between the registration and the end of the unregistration only.
        // For all that time the slot holds the registration, and its memory is pinned and valid.
        unsafe { &*this }
    }

    /// # Safety
    ///
    /// To be called by the RDMA core only, as `ib_client::add`.
    unsafe extern "C" fn add_callback(dev: *mut bindings::ib_device) -> c_int {
        // SAFETY: This is a callback of `T`.
        let this = unsafe { Self::of_callback() };
        // SAFETY: The core holds the registration of `dev` until we return.
        let dev = unsafe { Device::from_raw(dev) };

        from_result(|| {
            let data = KBox::pin_init(this.inner.add(dev), GFP_KERNEL)?;

            // SAFETY: Both are registered. The core has made room for the pointer before it called
            // us, so that storing it cannot fail.
            unsafe {
                bindings::ib_set_client_data(dev.as_raw(), this.client.get(), data.into_foreign())
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// To be called by the RDMA core only, as `ib_client::remove`.
    unsafe extern "C" fn remove_callback(dev: *mut bindings::ib_device, data: *mut c_void) {
        // SAFETY: This is a callback of `T`.
        let this = unsafe { Self::of_callback() };
        // SAFETY: The core holds the registration of `dev` until we return.
        let dev = unsafe { Device::from_raw(dev) };
        // SAFETY: The core calls this once for each device that `add_callback` succeeded for, with
        // the pointer that it stored, and forgets the pointer.
        let data = unsafe { Pin::<KBox<T::Data>>::from_foreign(data) };

        this.inner.remove(dev, data.as_ref());
    }
}

impl<T: Client> core::ops::Deref for Registration<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

#[pinned_drop]
impl<T: Client> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, the client is registered. This calls `remove_callback` for
        // each device, and waits for callbacks that run elsewhere.
        unsafe { bindings::ib_unregister_client(self.client.get()) };

        T::slot().registration.store(ptr::null_mut(), Release);
    }
}
