// SPDX-License-Identifier: GPL-2.0

//! Registering a family: from then on sockets of it can be made.
//!
//! C headers: [`include/linux/net.h`](srctree/include/linux/net.h),
//! [`include/net/sock.h`](srctree/include/net/sock.h)

use super::{
    Family,
    Request, //
};
use crate::{
    account::Charge,
    bindings,
    net::{
        ops::Ops,
        Namespace,
        Sock, //
    },
    Abi,
    ABI, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    pin::Pin,
    ptr, //
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
                Relaxed,
                Release, //
            },
            Atomic, //
        },
        Completion, //
    },
    types::{
        Opaque,
        ScopeGuard, //
    },
};

/// Families that have a [`Slot`] of their own. Implemented by [`family_slot!`](crate::family_slot).
///
/// # Safety
///
/// `slot` must always return the same slot, which is in a static of the module that the family
/// belongs to.
pub unsafe trait HasSlot: Family {
    /// Returns the slot.
    fn slot() -> &'static Slot<Self>;
}

/// Gives a [`Family`](crate::net::Family) the static that it needs to be registered.
#[macro_export]
macro_rules! family_slot {
    ($family:ty) => {
        const _: () = {
            static SLOT: $crate::net::family::Slot<$family> = $crate::net::family::Slot::new();

            // SAFETY: It is always the same static, of the module that this is expanded in.
            unsafe impl $crate::net::family::HasSlot for $family {
                fn slot() -> &'static $crate::net::family::Slot<$family> {
                    &SLOT
                }
            }
        };
    };
}

/// What C knows of a family. Sockets refer to it as long as they exist, hence it is static.
///
/// # Invariants
///
/// `users` counts the registration and its sockets. While it is not zero `registration` is the
/// registration, and `proto`, `ops` and `family` are initialized and do not change but by C. `claimed`
/// is 1 as long as there is a `Claim`.
pub struct Slot<T: HasSlot> {
    claimed: Atomic<u32>,
    users: Atomic<u32>,
    registration: Atomic<*mut Registration<T>>,
    proto: Opaque<bindings::proto>,
    ops: Opaque<bindings::proto_ops>,
    family: Opaque<bindings::net_proto_family>,
    // Makes every user depend on the krdma that it was built against.
    _abi: &'static Abi,
}

// SAFETY: The C structs are only written by who has claimed the slot and is the first to use it; the
// registration is `Sync`.
unsafe impl<T: HasSlot> Sync for Slot<T> {}

impl<T: HasSlot> Slot<T> {
    /// Creates an empty slot. For [`family_slot!`](crate::family_slot) only.
    #[doc(hidden)]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            claimed: Atomic::new(0),
            users: Atomic::new(0),
            registration: Atomic::new(ptr::null_mut()),
            proto: Opaque::uninit(),
            ops: Opaque::uninit(),
            family: Opaque::uninit(),
            _abi: &ABI,
        }
    }

    /// Counts a socket, unless the registration is gone.
    fn enter(&self) -> bool {
        let mut users = self.users.load(Relaxed);

        loop {
            if users == 0 {
                return false;
            }
            // OVERFLOW: There are less sockets than that: each takes more than a byte.
            match self.users.cmpxchg(users, users.wrapping_add(1), Acquire) {
                Ok(_) => return true,
                Err(now) => users = now,
            }
        }
    }

    /// Returns whether a protocol is that of this family.
    pub(in crate::net) fn is_proto(&self, proto: *const bindings::proto) -> bool {
        ptr::eq(self.proto.get(), proto)
    }

    /// Ends what [`enter`](Self::enter) began. Any context.
    fn leave(&self) {
        let registration = self.registration.load(Relaxed);

        if self.users.fetch_sub(1, Full) == 1 {
            // SAFETY: The registration waits for this: until then it exists.
            unsafe { (*registration).unused.complete_all() };
        }
    }
}

/// A registered [`Family`].
///
/// # Invariants
///
/// Once initialized, the slot's registration is this one, and its count of users is positive. Both end
/// in `drop` only.
#[pin_data(PinnedDrop)]
pub struct Registration<T: HasSlot> {
    /// Completed when there is no socket any more, and no registration.
    #[pin]
    unused: Completion,
    #[pin]
    shared: T::Shared,
    // Dropped last.
    claim: Claim<T>,
}

// SAFETY: A family may be unregistered by any thread, and `T::Shared` is `Send`.
unsafe impl<T: HasSlot> Send for Registration<T> {}

// SAFETY: Through `&self` only `T::Shared` can be reached, which is `Sync`.
unsafe impl<T: HasSlot> Sync for Registration<T> {}

impl<T: HasSlot> Registration<T> {
    /// Registers a family under a number.
    ///
    /// The number is claimed first, then `shared` is initialized, then sockets can be made.
    ///
    /// Errors: [`EEXIST`] if the number is taken, or a family of this type is registered already;
    /// [`ENOBUFS`] if there is no such number; [`ENOMEM`]; and what `shared` fails with.
    ///
    /// Sleeps.
    pub fn new<E>(
        number: u8,
        shared: impl PinInit<T::Shared, E>,
        module: &'static ThisModule,
    ) -> impl PinInit<Self, Error>
    where
        Error: From<E>,
    {
        try_pin_init!(&this in Self {
            claim: Claim::new(number, module)?,
            unused <- Completion::new(),
            shared <- shared,
            // The last step.
            _: {
                let slot = T::slot();

                slot.registration.store(this.as_ptr(), Relaxed);
                // INVARIANT: The registration is set, and what the claim filled in. From here on
                // sockets are made.
                slot.users.store(1, Release);
            }
        })
    }

    /// Returns what all sockets share.
    pub fn shared(&self) -> &T::Shared {
        &self.shared
    }

    /// Makes a socket.
    ///
    /// # Safety
    ///
    /// To be called by the socket layer only, as `net_proto_family::create`.
    unsafe extern "C" fn create(
        net: *mut bindings::net,
        socket: *mut bindings::socket,
        protocol: c_int,
        kern: c_int,
    ) -> c_int {
        let slot = T::slot();

        if !slot.enter() {
            return EAFNOSUPPORT.to_errno();
        }
        let counted = ScopeGuard::new(|| slot.leave());
        // SAFETY: We are counted: by the invariant of the slot, this is the registration.
        let this = unsafe { &*slot.registration.load(Relaxed) };
        // SAFETY: The caller holds the namespace.
        let ns = unsafe { Namespace::from_raw(net) };

        from_result(|| {
            let request = Request {
                // SAFETY: `socket` is valid.
                kind: unsafe { (*socket).type_ }.into(),
                protocol,
                kernel: kern != 0,
            };
            let (data, locked) = T::create(&this.shared, ns, &request)?;

            // SAFETY: `proto` is registered and says how large a socket is.
            let sk = unsafe {
                bindings::sk_alloc(
                    net,
                    this.claim.number.into(),
                    // Whoever asks for it pays.
                    bindings::GFP_KERNEL_ACCOUNT,
                    slot.proto.get(),
                    kern,
                )
            };
            if sk.is_null() {
                return Err(ENOMEM);
            }
            let sock = sk.cast::<Sock<T>>();
            // SAFETY: The memory is large enough for the whole of `Sock<T>`, and aligned, see
            // `fill`; it does not move.
            if let Err(err) = unsafe { pin_init::raw_try_init(&raw mut (*sock).data, data) } {
                // SAFETY: Nobody else knows the socket, and it has no destructor yet.
                unsafe { bindings::sk_free(sk) };
                return Err(err);
            }
            // SAFETY: As above. The socket layer gave us `socket`, which is new.
            unsafe {
                (&raw mut (*sock).ns).write(ns.into());
                (&raw mut (*sock).locked).write(UnsafeCell::new(locked));
                (*socket).ops = slot.ops.get();
                bindings::sock_init_data(socket, sk);
                (*sk).sk_destruct = Some(Self::destruct);
            }

            // The socket is counted until it is destroyed.
            counted.dismiss();
            // SAFETY: It was made above.
            if let Err(err) = T::created(unsafe { Sock::from_raw(sk) }) {
                // SAFETY: As above; this is what a release does.
                unsafe {
                    bindings::sock_orphan(sk);
                    (*socket).sk = ptr::null_mut();
                    bindings::sock_put(sk);
                }
                return Err(err);
            }
            Ok(0)
        })
    }

    /// Drops the data of a socket.
    ///
    /// # Safety
    ///
    /// To be called as `sock::sk_destruct` only, of sockets that `create` made.
    unsafe extern "C" fn destruct(sk: *mut bindings::sock) {
        let sock = sk.cast::<Sock<T>>();

        // SAFETY: `create` initialized these, and nobody has a reference to the socket any more.
        unsafe {
            ptr::drop_in_place(&raw mut (*sock).data);
            ptr::drop_in_place(&raw mut (*sock).locked);
            ptr::drop_in_place(&raw mut (*sock).ns);
        }
        T::slot().leave();
    }
}

/// The number of a family and its protocol, registered. Sockets can't be made by this alone.
///
/// # Invariants
///
/// The slot is claimed by this value. `proto` and `family` of the slot are registered.
struct Claim<T: HasSlot> {
    number: u8,
    _family: PhantomData<T>,
    // Dropped last.
    _charge: Charge,
}

impl<T: HasSlot> Claim<T> {
    fn new(number: u8, module: &'static ThisModule) -> Result<Self> {
        // `struct sock` is allocated by `kmalloc`, which aligns at least so.
        const { assert!(align_of::<Sock<T>>() <= 8) };
        const { assert!(T::NAME.to_bytes_with_nul().len() <= 32) };
        let slot = T::slot();
        let charge = Charge::to(module)?;

        slot.claimed.cmpxchg(0, 1, Full).map_err(|_| EEXIST)?;
        let claimed = ScopeGuard::new(|| slot.claimed.store(0, Release));

        let mut proto = bindings::proto {
            owner: module.as_ptr(),
            obj_size: size_of::<Sock<T>>().try_into().map_err(|_| EINVAL)?,
            ..pin_init::zeroed()
        };
        for (to, from) in proto.name.iter_mut().zip(T::NAME.to_bytes()) {
            // CAST: The bits stay.
            *to = *from as c_char;
        }
        // SAFETY: We have claimed the slot, and nobody uses it.
        unsafe {
            slot.proto.get().write(proto);
            slot.ops.get().write(Ops::<T>::table(number.into(), module));
            slot.family.get().write(bindings::net_proto_family {
                family: number.into(),
                create: Some(Registration::<T>::create),
                owner: module.as_ptr(),
            });
        }

        // No cache of its own: a cache would have to outlive the last socket.
        //
        // SAFETY: The struct is initialized; the charge keeps the module until it is unregistered.
        to_result(unsafe { bindings::proto_register(slot.proto.get(), 0) })?;
        // SAFETY: As for the protocol. `create` may be called from here on, and refuses.
        if let Err(err) = to_result(unsafe { bindings::sock_register(slot.family.get()) }) {
            // SAFETY: It was registered above, and there are no sockets.
            unsafe { bindings::proto_unregister(slot.proto.get()) };
            if err == EEXIST {
                T::taken(number);
            }
            return Err(err);
        }
        claimed.dismiss();
        // INVARIANT: Both were registered.
        Ok(Self {
            number,
            _family: PhantomData,
            _charge: charge,
        })
    }
}

impl<T: HasSlot> Drop for Claim<T> {
    fn drop(&mut self) {
        let slot = T::slot();

        // SAFETY: By the type invariant, both are registered. There are no sockets: the registration
        // has waited for the last one, or there was none.
        unsafe {
            bindings::sock_unregister(self.number.into());
            bindings::proto_unregister(slot.proto.get());
        }
        slot.claimed.store(0, Release);
    }
}

#[pinned_drop]
impl<T: HasSlot> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // No socket is made any more once there is none left.
        T::slot().leave();
        self.unused.wait_for_completion();
    }
}
