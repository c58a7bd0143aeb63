// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    net::IpAddr,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::Opaque, //
};

/// A network namespace.
///
/// An [`ARef<Namespace>`](kernel::sync::aref::ARef) keeps the namespace, with all its network
/// interfaces, even after the last process has left it. So hold one only as long as it is used.
///
/// # Invariants
///
/// The count of references to the `net` is positive as long as a reference to this type exists.
#[repr(transparent)]
pub struct Namespace(Opaque<bindings::net>);

// SAFETY: `put_net` may be called from any thread.
unsafe impl Send for Namespace {}

// SAFETY: The methods that take `&self` use the address only.
unsafe impl Sync for Namespace {}

// SAFETY: The count of references keeps a namespace alive.
unsafe impl AlwaysRefCounted for Namespace {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: By the type invariant, the count is positive.
        unsafe { bindings::get_net(self.as_raw()) };
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the function's requirements, there is a count for us to drop.
        unsafe { bindings::put_net(obj.as_ref().as_raw()) };
    }
}

impl Namespace {
    /// Returns the initial network namespace, which always exists.
    #[inline]
    pub fn initial() -> &'static Self {
        // SAFETY: `init_net` is a static that is initialized before any module is loaded, and is
        // never freed.
        unsafe { Self::from_raw(&raw mut bindings::init_net) }
    }

    /// Returns the namespace of the current task, unless the task is about to exit. Kernel threads and
    /// work items are in the initial one.
    pub fn of_current() -> Option<ARef<Self>> {
        // SAFETY: A task may always look at its own namespaces.
        let ptr = NonNull::new(unsafe { bindings::get_net_of_current() })?;

        // SAFETY: The helper took a reference for us. `Namespace` is transparent to `net`.
        Some(unsafe { ARef::from_raw(ptr.cast()) })
    }

    /// Returns the number that names the namespace in `/proc/PID/ns/net` (C: `ns_common::inum`).
    ///
    /// Any context.
    #[inline]
    pub fn inode(&self) -> u32 {
        // SAFETY: By the type invariant, the namespace exists; the number does not change.
        unsafe { (*self.as_raw()).ns.inum }
    }

    /// Returns whether an address is one of the namespace, loopback ones included: of the interface with
    /// the number `scope` only, if that is not 0 and the address is an IPv6 one. Tentative ones are none.
    ///
    /// Any context.
    pub fn has_address(&self, addr: IpAddr, scope: u32) -> bool {
        // By the type invariant, the namespace exists.
        match addr {
            // SAFETY: As above. The address has the bytes that are read.
            IpAddr::V4(ip) => unsafe {
                bindings::krdma_net_has_v4(self.as_raw(), ip.octets().as_ptr())
            },
            IpAddr::V6(ip) => {
                // CAST: C keeps numbers of interfaces in an `int`; one that does not fit is none of them.
                let scope = scope as c_int;
                // SAFETY: As above.
                unsafe { bindings::krdma_net_has_v6(self.as_raw(), ip.octets().as_ptr(), scope) }
            }
        }
    }

    /// Returns a reference to the namespace behind a C pointer.
    ///
    /// # Safety
    ///
    /// `ptr` must point to a namespace whose count of references stays positive for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::net) -> &'a Self {
        // SAFETY: `Namespace` is transparent to `net`; the rest is the function's requirement.
        unsafe { &*ptr.cast() }
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::net {
        self.0.get()
    }
}

/// Two references to the same namespace are equal.
impl PartialEq for Namespace {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}

impl Eq for Namespace {}

/// A network namespace that is being made, or was there at registration.
///
/// It can't be kept: making it may still fail, and then it is freed whatever its count of references is.
///
/// # Invariants
///
/// `net` points to a namespace that exists for `'a`. Its count of references may be of no meaning.
#[derive(Clone, Copy)]
pub struct NewNamespace<'a> {
    net: NonNull<bindings::net>,
    _net: PhantomData<&'a bindings::net>,
}

impl NewNamespace<'_> {
    /// Returns the namespace if it is the initial one, which always exists.
    pub fn initial(self) -> Option<&'static Namespace> {
        let initial = Namespace::initial();

        ptr::eq(initial.as_raw(), self.net.as_ptr()).then_some(initial)
    }

    /// Returns the number that names the namespace, see [`Namespace::inode`].
    pub fn inode(self) -> u32 {
        // SAFETY: By the type invariant, the namespace exists; the number is set before this is called.
        unsafe { (*self.net.as_ptr()).ns.inum }
    }

    /// # Safety
    ///
    /// `net` must point to a namespace that exists for as long as the result is used.
    #[inline]
    pub(super) unsafe fn from_raw(net: NonNull<bindings::net>) -> Self {
        // INVARIANT: By the function's requirement.
        Self {
            net,
            _net: PhantomData,
        }
    }

    #[inline]
    pub(super) fn as_raw(self) -> *mut bindings::net {
        self.net.as_ptr()
    }
}
