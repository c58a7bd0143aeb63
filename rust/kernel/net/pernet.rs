// SPDX-License-Identifier: GPL-2.0

//! Something for each network namespace.
//!
//! A type that implements [`PerNamespace`] has one value for each namespace, as long as its
//! [`Registration`] exists.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)
//! (`struct pernet_operations`)

pub use super::namespace::NewNamespace;

use super::{
    sysctl::{
        Folder,
        Table, //
    },
    Namespace, //
};
use crate::{
    account::Charge,
    bindings,
    Abi,
    ABI, //
};
use core::{
    pin::Pin,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Full,
                Release, //
            },
            Atomic, //
        },
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
};

/// What there is one of for each namespace.
///
/// A value must not own a [reference](kernel::sync::aref::ARef) to its namespace: neither would ever
/// go.
pub trait PerNamespace: HasSlot + Send + Sync + Sized + 'static {
    /// What all of them share, given at registration.
    type Shared: Send + Sync + 'static;

    /// A namespace comes, or was there at registration. May sleep.
    ///
    /// Errors keep the namespace from being made, or the registration.
    fn create(shared: &Self::Shared, ns: NewNamespace<'_>) -> Result<Arc<Self>>;

    /// Returns the sysctls of the namespace, which are there as long as the value is.
    fn sysctls(&self) -> &'static [Folder<Self>] {
        &[]
    }

    /// The namespace, or the registration, goes, or could not be made after [`create`](Self::create).
    /// Nobody is in the namespace any more in the first case, and there is no reference to it; its
    /// interfaces are there still. May sleep.
    fn remove(this: ArcBorrow<'_, Self>) {
        let _ = this;
    }
}

/// What a namespace's pointer points to.
struct Inner<T: PerNamespace> {
    // Dropped first: C reads and writes the numbers.
    tables: KVec<Table<T>>,
    data: Arc<T>,
}

/// Types that have a [`Slot`] of their own. Implemented by [`pernet_slot!`](crate::pernet_slot).
///
/// # Safety
///
/// `slot` must always return the same slot.
pub unsafe trait HasSlot: Sized + 'static {
    /// Returns the slot.
    fn slot() -> &'static Slot<Self>
    where
        Self: PerNamespace;
}

/// Where the callbacks of a type find its registration.
pub struct Slot<T: PerNamespace> {
    registration: Atomic<*mut Registration<T>>,
    // Makes every user depend on the krdma that it was built against.
    _abi: &'static Abi,
}

// SAFETY: The pointer is only dereferenced by the callbacks, for shared access to a registration,
// which is `Sync`.
unsafe impl<T: PerNamespace> Sync for Slot<T> {}

impl<T: PerNamespace> Slot<T> {
    /// Creates an empty slot. For [`pernet_slot!`](crate::pernet_slot) only.
    #[doc(hidden)]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            registration: Atomic::new(ptr::null_mut()),
            _abi: &ABI,
        }
    }
}

/// Gives a type the static that it needs to be [`PerNamespace`](crate::net::pernet::PerNamespace).
#[macro_export]
macro_rules! pernet_slot {
    ($type:ty) => {
        const _: () = {
            static SLOT: $crate::net::pernet::Slot<$type> = $crate::net::pernet::Slot::new();

            // SAFETY: It is always the same static.
            unsafe impl $crate::net::pernet::HasSlot for $type {
                fn slot() -> &'static $crate::net::pernet::Slot<$type> {
                    &SLOT
                }
            }
        };
    };
}

/// Keeps a [`PerNamespace`] for each namespace.
///
/// # Invariants
///
/// Once initialized, `ops` is registered with `id` as its number, and `T::slot()` holds the address of
/// this object. Both end in `drop` only. The slot of the number in a namespace is null or points to a
/// pointer that is null or a boxed `Inner<T>` as a foreign one.
#[pin_data(PinnedDrop)]
pub struct Registration<T: PerNamespace> {
    #[pin]
    ops: Opaque<bindings::pernet_operations>,
    #[pin]
    id: Opaque<c_uint>,
    #[pin]
    shared: T::Shared,
    // Dropped last.
    _charge: Charge,
}

// SAFETY: It may be unregistered by any thread, and `T::Shared` is `Send`.
unsafe impl<T: PerNamespace> Send for Registration<T> {}

// SAFETY: `id` does not change, and `T::Shared` and `T` are `Sync`.
unsafe impl<T: PerNamespace> Sync for Registration<T> {}

impl<T: PerNamespace> Registration<T> {
    /// Makes one for each namespace that there is and comes, for the module `owner`.
    ///
    /// Errors: [`EBUSY`] if the type is registered already, [`ENOMEM`], and what `shared` and
    /// [`PerNamespace::create`] fail with. Sleeps.
    pub fn new<E>(
        owner: &'static ThisModule,
        shared: impl PinInit<T::Shared, E>,
    ) -> impl PinInit<Self, Error>
    where
        Error: From<E>,
    {
        try_pin_init!(&this in Self {
            _charge: Charge::to(owner)?,
            shared <- shared,
            id <- Opaque::ffi_init(|id: *mut c_uint| {
                // SAFETY: `id` is valid for writes.
                unsafe { id.write(0) };
            }),
            ops <- Opaque::try_ffi_init(move |ops: *mut bindings::pernet_operations| {
                let slot = &T::slot().registration;
                if slot.cmpxchg(ptr::null_mut(), this.as_ptr(), Full).is_err() {
                    return Err(EBUSY);
                }

                // SAFETY: `ops` is valid for writes, and `id` a field of the same object.
                unsafe {
                    ops.write(bindings::pernet_operations {
                        init: Some(Self::init_callback),
                        exit: Some(Self::exit_callback),
                        id: Opaque::cast_into(&raw const (*this.as_ptr()).id),
                        size: size_of::<*mut c_void>(),
                        ..pin_init::zeroed()
                    })
                };
                // INVARIANT: Both parts hold if this succeeds.
                //
                // SAFETY: `ops` is initialized and pinned; it is unregistered before its memory goes, and
                // the charge keeps the module until then.
                // The callbacks use the slot, `id` and `shared`, which are set.
                to_result(unsafe { bindings::register_pernet_subsys(ops) })
                    .inspect_err(|_| slot.store(ptr::null_mut(), Release))
            }),
        })
    }

    /// Returns what all of them share.
    pub fn shared(&self) -> &T::Shared {
        &self.shared
    }

    /// Returns what there is for a namespace: nothing only while the namespace is being made.
    pub fn get<'a>(&'a self, ns: &'a Namespace) -> Option<ArcBorrow<'a, T>> {
        // SAFETY: The namespace exists.
        let place = unsafe { self.place(ns.as_raw()) }?;
        // SAFETY: By the type invariant. It is written when the namespace is made, before anybody is
        // in it, and when it goes, which it does not as long as there is a reference to it.
        let ptr = NonNull::new(unsafe { place.as_ptr().read_volatile() })?;

        // SAFETY: By the type invariant, it is an `Inner<T>`, which stays as long as both the namespace
        // and the registration.
        let inner = unsafe { <KBox<Inner<T>> as ForeignOwnable>::borrow(ptr.as_ptr()) };
        Some(inner.data.as_arc_borrow())
    }

    /// Where the pointer of a namespace is.
    ///
    /// # Safety
    ///
    /// `net` must point to a namespace.
    unsafe fn place(&self, net: *mut bindings::net) -> Option<NonNull<*mut c_void>> {
        // SAFETY: `id` was set when the registration began.
        let id = unsafe { *self.id.get() };

        // SAFETY: `id` is registered, by the type invariant; the rest is the function's requirement.
        NonNull::new(unsafe { bindings::net_generic(net, id) }.cast())
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
        unsafe { &*this }
    }

    /// # Safety
    ///
    /// To be called as `pernet_operations::init` only.
    unsafe extern "C" fn init_callback(net: *mut bindings::net) -> c_int {
        // SAFETY: This is a callback of `T`.
        let this = unsafe { Self::of_callback() };

        from_result(|| {
            // SAFETY: The namespace exists until we return.
            let ns = unsafe { NewNamespace::from_raw(NonNull::new(net).ok_or(EINVAL)?) };
            // SAFETY: As above.
            let place = unsafe { this.place(net) }.ok_or(EINVAL)?;
            let room = KBox::<Inner<T>>::new_uninit(GFP_KERNEL)?;
            let data = T::create(&this.shared, ns)?;
            // SAFETY: The tables are dropped in `exit_callback` at the latest.
            let tables = match unsafe { tables(ns, &data) } {
                Ok(tables) => tables,
                Err(err) => {
                    T::remove(data.as_arc_borrow());
                    return Err(err);
                }
            };
            let inner = KBox::write(room, Inner { tables, data });

            // INVARIANT: The pointer is that of an `Inner<T>`.
            //
            // SAFETY: The place is ours, and nobody is in the namespace yet.
            unsafe { place.as_ptr().write_volatile(inner.into_foreign()) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// To be called as `pernet_operations::exit` only.
    unsafe extern "C" fn exit_callback(net: *mut bindings::net) {
        // SAFETY: This is a callback of `T`.
        let this = unsafe { Self::of_callback() };
        // SAFETY: The namespace exists until we return. That its count of references is zero, as there is
        // nobody in it, is of no matter here.
        let Some(place) = (unsafe { this.place(net) }) else {
            return;
        };

        // INVARIANT: The pointer is null before what it points to goes.
        //
        // SAFETY: The place is ours.
        let ptr = unsafe {
            let ptr = place.as_ptr().read_volatile();
            place.as_ptr().write_volatile(ptr::null_mut());
            ptr
        };
        if ptr.is_null() {
            return;
        }
        // SAFETY: By the type invariant, it is an `Inner<T>`. `get` can't be called for this namespace
        // any more, or the registration is being dropped.
        let inner = unsafe { KBox::<Inner<T>>::from_foreign(ptr) };
        let Inner { tables, data } = KBox::into_inner(inner);
        drop(tables);
        T::remove(data.as_arc_borrow());
    }
}

/// Makes the sysctls of a namespace.
///
/// # Safety
///
/// The tables must be dropped before the namespace goes.
unsafe fn tables<T: PerNamespace>(ns: NewNamespace<'_>, data: &Arc<T>) -> Result<KVec<Table<T>>> {
    let mut tables = KVec::new();

    for folder in data.sysctls() {
        // SAFETY: By the function's requirements.
        let table = unsafe { Table::new(ns, folder, data.clone()) }?;
        tables.push(table, GFP_KERNEL)?;
    }
    Ok(tables)
}

#[pinned_drop]
impl<T: PerNamespace> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, it is registered. This calls `exit_callback` for each
        // namespace.
        unsafe { bindings::unregister_pernet_subsys(self.ops.get()) };
        T::slot().registration.store(ptr::null_mut(), Release);
    }
}
