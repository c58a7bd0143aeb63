// SPDX-License-Identifier: GPL-2.0

//! Protocol families: what makes sockets.
//!
//! A family is a type that implements [`Family`]; each of its values belongs to one socket. It is
//! registered by a [`Registration`], commonly the last field that the module's own struct initializes,
//! since sockets can be made from then on.
//!
//! ```ignore
//! use kernel::prelude::*;
//! use krdma::net::{family::Registration, Family, Namespace, Open, Request};
//!
//! struct Example;
//!
//! #[vtable]
//! impl Family for Example {
//!     const NAME: &'static CStr = c"EXAMPLE";
//!     type Shared = ();
//!     type Locked = ();
//!
//!     fn create(
//!         _shared: &(),
//!         _ns: &Namespace,
//!         request: &Request,
//!     ) -> Result<(impl PinInit<Self, Error>, ())> {
//!         if request.kind != Request::DGRAM {
//!             return Err(ESOCKTNOSUPPORT);
//!         }
//!         Ok((Ok(Self), ()))
//!     }
//! }
//!
//! krdma::family_slot!(Example);
//! ```
//!
//! # Lifetimes
//!
//! An open socket keeps the module, so that it can't be unloaded; so does each `ARef<Sock<_>>`. To
//! drop a [`Registration`] ends the making of sockets, and waits until there is none left, which is
//! so at once when the module is unloaded.
//!
//! C headers: [`include/linux/net.h`](srctree/include/linux/net.h),
//! [`include/net/sock.h`](srctree/include/net/sock.h)

use super::{
    ops::Ops,
    sock::Sock,
    Events,
    Name,
    NameIn,
    Namespace,
    Open,
    OptionIn,
    OptionOut,
    RecvMsg,
    SendMsg, //
};
use crate::{
    account::Charge,
    bindings,
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
    build_error,
    error::{
        from_result,
        to_result,
        VTABLE_DEFAULT_ERROR, //
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

/// What socket(2) asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The type of the socket, such as [`Request::DGRAM`].
    pub kind: i32,
    /// The protocol within the family.
    pub protocol: i32,
    /// Whether the kernel asks for itself.
    pub kernel: bool,
}

impl Request {
    /// `SOCK_DGRAM`.
    pub const DGRAM: i32 = bindings::sock_type_SOCK_DGRAM as i32;
    /// `SOCK_SEQPACKET`.
    pub const SEQPACKET: i32 = bindings::sock_type_SOCK_SEQPACKET as i32;
}

/// A protocol family, and the data of one of its sockets.
///
/// Methods that are left out fail as sockets do that can't do what they are for: with
/// [`EOPNOTSUPP`] most of them, [`ENOIOCTLCMD`] (in user space [`ENOTTY`]) for `ioctl`.
///
/// # Context
///
/// All of them are called in process context and may sleep, without any lock of the socket. Calls for
/// one socket may run at the same time. The value itself is dropped in any context, with the last
/// reference to the socket: what has to sleep belongs in [`release`](Family::release).
#[vtable]
pub trait Family: HasSlot + Send + Sync + Sized + 'static {
    /// The protocol's name, as `/proc/net/protocols` shows it: at most 31 bytes.
    const NAME: &'static CStr;

    /// What all sockets share, given at registration.
    type Shared: Send + Sync + 'static;

    /// The part of a socket's data that its lock protects, see [`Sock::lock`].
    type Locked: Send;

    /// The number that the family was to be registered under is another's: tell the administrator.
    ///
    /// [`Registration::new`] fails with [`EEXIST`] after this.
    fn taken(number: u8) {
        pr_err!(
            "{}: address family {number} is taken by another module\n",
            Self::NAME
        );
    }

    /// Makes the data of a new socket.
    ///
    /// Errors become those of socket(2). [`ESOCKTNOSUPPORT`] is for a type, and mostly also for a
    /// protocol, that the family does not have.
    fn create(
        shared: &Self::Shared,
        ns: &Namespace,
        request: &Request,
    ) -> Result<(impl PinInit<Self, Error>, Self::Locked)>;

    /// The socket was made; now there can be references to it.
    ///
    /// Errors become those of socket(2); the socket is dropped then.
    fn created(sock: &Sock<Self>) -> Result {
        let _ = sock;
        Ok(())
    }

    /// The socket is being closed. It can't be waited for any more, and no other call comes.
    ///
    /// What refers to the socket is to be let go of here, or the socket stays.
    fn release(sock: &Sock<Self>) {
        let _ = sock;
    }

    /// Binds the socket to an address.
    fn bind(sock: &Open<'_, Self>, name: NameIn<'_>) -> Result {
        let _ = (sock, name);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Connects the socket to an address.
    fn connect(sock: &Open<'_, Self>, name: NameIn<'_>) -> Result {
        let _ = (sock, name);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the address of the socket, or of its peer.
    fn name(sock: &Open<'_, Self>, peer: bool) -> Result<Name> {
        let _ = (sock, peer);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sends a message of `len` bytes and returns how many were sent.
    fn send(sock: &Open<'_, Self>, msg: &mut SendMsg<'_>, len: usize) -> Result<usize> {
        let _ = (sock, msg, len);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Receives a message and returns how many bytes were received.
    fn receive(sock: &Open<'_, Self>, msg: &mut RecvMsg<'_>) -> Result<usize> {
        let _ = (sock, msg);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns what poll(2) tells. Who polls is told again when the socket is woken.
    fn poll(sock: &Open<'_, Self>) -> Events {
        let _ = sock;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Answers ioctl(2). `arg` is a number or, mostly, an address in user space.
    fn ioctl(sock: &Open<'_, Self>, cmd: u32, arg: usize) -> Result<i32> {
        let _ = (sock, cmd, arg);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets an option of any level but `SOL_SOCKET`.
    fn set_option(sock: &Open<'_, Self>, level: i32, name: i32, value: OptionIn<'_>) -> Result {
        let _ = (sock, level, name, value);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Gets an option of any level but `SOL_SOCKET`. The result is what getsockopt(2) returns. The
    /// length is told to the caller even if this fails.
    fn option(
        sock: &Open<'_, Self>,
        level: i32,
        name: i32,
        value: &mut OptionOut<'_>,
    ) -> Result<i32> {
        let _ = (sock, level, name, value);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Ends one or both directions.
    fn shutdown(sock: &Open<'_, Self>, how: i32) -> Result {
        let _ = (sock, how);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Starts to listen.
    fn listen(sock: &Open<'_, Self>, backlog: i32) -> Result {
        let _ = (sock, backlog);
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// Types that have a [`Slot`] of their own. Implemented by [`family_slot!`](crate::family_slot).
///
/// # Safety
///
/// `slot` must always return the same slot, which is in a static of the module that the family
/// belongs to.
pub unsafe trait HasSlot: Sized + 'static {
    /// Returns the slot.
    fn slot() -> &'static Slot<Self>
    where
        Self: Family;
}

/// Gives a type the static that it needs to be a [`Family`](crate::net::Family).
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
pub struct Slot<T: Family> {
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
unsafe impl<T: Family> Sync for Slot<T> {}

impl<T: Family> Slot<T> {
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
    pub(super) fn is_proto(&self, proto: *const bindings::proto) -> bool {
        ptr::eq(self.proto.get(), proto)
    }

    /// Ends what [`enter`](Self::enter) began. Any context.
    pub(super) fn leave(&self) {
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
pub struct Registration<T: Family> {
    /// Completed when there is no socket any more, and no registration.
    #[pin]
    unused: Completion,
    #[pin]
    shared: T::Shared,
    // Dropped last.
    claim: Claim<T>,
}

// SAFETY: A family may be unregistered by any thread, and `T::Shared` is `Send`.
unsafe impl<T: Family> Send for Registration<T> {}

// SAFETY: Through `&self` only `T::Shared` can be reached, which is `Sync`.
unsafe impl<T: Family> Sync for Registration<T> {}

impl<T: Family> Registration<T> {
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
struct Claim<T: Family> {
    number: u8,
    _family: PhantomData<T>,
    // Dropped last.
    _charge: Charge,
}

impl<T: Family> Claim<T> {
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

impl<T: Family> Drop for Claim<T> {
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
impl<T: Family> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // No socket is made any more once there is none left.
        T::slot().leave();
        self.unused.wait_for_completion();
    }
}
