// SPDX-License-Identifier: GPL-2.0

//! Queue pairs.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use crate::{
    account::Charge,
    bindings,
    rdma::{
        cq::Reservation,
        pd::owner_name,
        qp_attr::{
            QpAttr,
            QpState, //
        },
        room::Room,
        srq::Srq,
        Cq,
        Device,
        Gid,
        Pd, //
    },
    reaper::Deferred,
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc,
        Mutex, //
    },
    types::Opaque, //
};

mod caps;
mod context;
mod order;
mod poster;
mod service;
mod state;
mod teardown;

pub use caps::Capabilities;
pub use context::{
    Context,
    QpContext,
    QpEvent, //
};
pub(crate) use order::{
    List,
    Order,
    Ordered, //
};
pub use poster::Poster;
pub use service::{
    Any,
    Connected,
    Datagram,
    Gsi,
    QpType,
    Rc,
    Reliable,
    Service,
    Uc,
    Ud, //
};

/// Where a queue pair receives.
pub enum Receive {
    /// In a queue of its own, whose requests complete here.
    Own(Arc<Cq>),
    /// In a shared receive queue.
    Shared(Arc<Srq>),
}

/// What a queue pair is made of.
pub struct QpInit {
    /// The protection domain.
    pub pd: Arc<Pd>,
    /// Where send requests complete.
    pub send_cq: Arc<Cq>,
    /// Where it receives.
    pub receive: Receive,
    /// How large the queues shall be at least.
    pub cap: Capabilities,
    /// The port, for [`Gsi`] only.
    pub port: u32,
    /// What the queue pair knows of its user.
    pub context: Option<Context>,
}

/// A queue pair that gives the service `S`.
///
/// The service is a type: what it does not have can't be asked for. There is one implementation of them all.
///
/// No more is posted than the queues have room for, completions that nobody has looked at yet included:
/// so no completion is ever lost.
///
/// When it is dropped it is moved to the error state and what is posted is waited for: the handlers
/// of all requests have run when it is gone. Where the drop may not sleep this happens later. Handlers
/// that run meanwhile can post no more: they get their requests back, with [`ESHUTDOWN`].
///
/// Its completion queues must not be [`Poll::Direct`](crate::rdma::cq::Poll::Direct), unless
/// somebody polls them until then; the drop polls them as well.
///
/// # Invariants
///
/// `inner` is of the service `S`.
pub struct Qp<S: Service = Rc> {
    inner: Deferred<Inner>,
    _service: PhantomData<S>,
}

/// # Invariants
///
/// `ptr` points to a queue pair in `pd` that this type owns. No port of its device speaks iWARP.
#[pin_data(PinnedDrop)]
struct Inner {
    ptr: NonNull<bindings::ib_qp>,
    cap: Capabilities,
    /// Whether the queue pair has left the reset state. Is held while the state changes.
    #[pin]
    used: Mutex<bool>,
    /// Is held by who empties the queues: there is an entry for one such request in each.
    #[pin]
    emptying: Mutex<()>,
    /// The entries of the send queue, and those of its own receive queue. Each is open in the states
    /// that requests can be posted in, and shut while the queues are emptied.
    send_room: Room,
    recv_room: Room,
    qp_type: QpType,
    /// The requests in the send queue, but of a service of datagrams.
    #[pin]
    order: Order,
    /// Of a service of datagrams: the requests that are sent and whose handlers have not returned.
    sending: Atomic<u32>,
    /// The multicast groups that the queue pair is attached to.
    #[pin]
    groups: Mutex<KVec<(Gid, u16)>>,
    /// Is complete when the device has said that it has taken its last request of a shared queue.
    #[pin]
    last_wqe: Opaque<bindings::completion>,
    context: Option<Context>,
    // Dropped after the queue pair is destroyed.
    send_cq: Reservation,
    receive: ReceiveQueue,
    pd: Arc<Pd>,
}

/// What keeps the queue that a queue pair receives in.
enum ReceiveQueue {
    Own(Reservation),
    Shared(Arc<Srq>),
}

// SAFETY: A queue pair may be used and destroyed by any thread.
unsafe impl Send for Inner {}

// SAFETY: The methods that take `&self` use C functions that lock for themselves.
unsafe impl Sync for Inner {}

/// Requests that are posted to empty a queue.
const DRAIN: u32 = 1;

impl<S: Service> Qp<S> {
    /// Makes a queue pair. It is in the reset state.
    ///
    /// `owner` is the module that shows in `rdma resource show`, as for
    /// [`Pd::new`](crate::rdma::Pd::new).
    ///
    /// Devices that speak iWARP ([`Port::is_iwarp`](crate::rdma::Port::is_iwarp)) are refused. What is said
    /// here of requests and regions is InfiniBand's and RoCE's: requests of a send queue complete in the
    /// order of posting, a driver that refuses a chain names the link and works on none from there on, all of a
    /// key is compared, and a queue pair that the connection manager connects is moved to the states in
    /// which it sends by what it says. `siw` keeps none of these.
    ///
    /// Errors: [`EOPNOTSUPP`] on a device that speaks iWARP, [`EINVAL`] if the device can't do what is
    /// asked, if the parts are not of one device,
    /// or if a shared receive queue completes in a [pool's](Cq::pooled) queue where sends do not, or
    /// are datagrams;
    /// [`ENOSPC`] if a completion queue has not so many entries left, [`ENOMEM`].
    pub fn new(init: QpInit, owner: &'static ThisModule) -> Result<Self> {
        // INVARIANT: It is of this service.
        Ok(Self {
            inner: Inner::create(init, S::TYPE, owner)?,
            _service: PhantomData,
        })
    }

    /// Returns the queue pair's number, by which peers name it.
    pub fn number(&self) -> u32 {
        // SAFETY: By the type invariant, we own the queue pair. The number is constant.
        unsafe { (*self.as_raw()).qp_num }
    }

    /// Returns the service.
    pub fn qp_type(&self) -> QpType {
        S::TYPE
    }

    /// Returns how large the queues are, as granted.
    pub fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        self.inner.pd.device()
    }

    /// Returns the protection domain.
    pub fn pd(&self) -> &Arc<Pd> {
        &self.inner.pd
    }

    /// Returns what the queue pair knows of its user, if it is of this type.
    ///
    /// Does not sleep.
    #[inline]
    pub fn context<T: QpContext>(&self) -> Option<&T> {
        self.inner.context.as_ref()?.get()
    }

    /// Changes the state or attributes of the queue pair.
    ///
    /// Receives can be posted from [`QpState::Init`] on, sends from [`QpState::Rts`] on, and both in
    /// [`QpState::Err`].
    ///
    /// A device that is told to reset a queue pair forgets what was posted. So this is done after a
    /// [`drain`](Self::drain), with what is said there.
    ///
    /// May sleep. Errors: [`EINVAL`] if the state has no such transition, or needs other attributes, and
    /// for a reset those of `drain`.
    pub fn modify(&self, attr: &QpAttr) -> Result {
        self.inner.modify_by(attr)
    }

    /// Moves the queue pair to the error state: what is posted is given back, not carried out.
    pub fn fail(&self) -> Result {
        self.modify(&QpAttr::new().state(QpState::Err))
    }

    /// Returns the state that the queue pair is in.
    pub fn state(&self) -> Result<QpState> {
        self.inner.query_state()
    }

    /// Waits until the handlers of all that is posted have returned. The queue pair is in the error state
    /// then, unless it has not left the reset state.
    ///
    /// Nothing can be posted meanwhile: requests are given back with [`ESHUTDOWN`], to handlers too.
    ///
    /// May sleep, so it must not be called in softirq context. Errors: [`EDEADLK`] if it is called by a
    /// handler of one of its completion queues, for which it would wait: nothing has happened then.
    pub fn drain(&self) -> Result {
        self.inner.drain()
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::ib_qp {
        self.inner.ptr.as_ptr()
    }

    /// The multicast groups that the queue pair is attached to.
    pub(crate) fn groups(&self) -> &Mutex<KVec<(Gid, u16)>> {
        &self.inner.groups
    }
}

impl Inner {
    /// Makes a queue pair, see [`Qp::new`].
    fn create(init: QpInit, qp_type: QpType, owner: &'static ThisModule) -> Result<Deferred<Self>> {
        let dev = init.pd.device();
        dev.refuse_iwarp()?;
        let recv_cq = match &init.receive {
            Receive::Own(cq) => cq.clone(),
            Receive::Shared(srq) => srq.cq().clone(),
        };
        if init.send_cq.device() != dev || recv_cq.device() != dev {
            return Err(EINVAL);
        }
        if qp_type == QpType::Gsi && !dev.has_port(init.port) {
            return Err(EINVAL);
        }
        if let Receive::Shared(srq) = &init.receive {
            // Nothing but a request that drains the send queue tells that the pool has handled what is
            // before it.
            let drains = !qp_type.is_datagram() && init.send_cq.as_raw() == recv_cq.as_raw();
            if recv_cq.is_pooled() && !drains {
                return Err(EINVAL);
            }
            if srq.device() != dev {
                return Err(EINVAL);
            }
        }

        let mut cap = init.cap;
        let mut attr = bindings::ib_qp_init_attr {
            event_handler: Some(Inner::event_callback),
            send_cq: init.send_cq.as_raw(),
            recv_cq: recv_cq.as_raw(),
            sq_sig_type: bindings::ib_sig_type_IB_SIGNAL_REQ_WR,
            qp_type: qp_type.as_raw(),
            port_num: init.port,
            ..pin_init::zeroed()
        };
        // OVERFLOW: Not if the device can do it.
        cap.max_send_wr = cap.max_send_wr.saturating_add(DRAIN);
        match &init.receive {
            Receive::Own(_) => cap.max_recv_wr = cap.max_recv_wr.saturating_add(DRAIN),
            Receive::Shared(srq) => {
                attr.srq = srq.as_raw();
                cap.max_recv_wr = 0;
            }
        }
        attr.cap = cap.as_raw();

        let receive = init.receive;
        let charge = Charge::to(owner)?;
        charge.defer(try_pin_init!(&this in Inner {
            used <- new_mutex!(false),
            emptying <- new_mutex!(()),
            qp_type,
            sending: Atomic::new(0),
            groups <- new_mutex!(KVec::new()),
            last_wqe <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes, and pinned.
                unsafe { bindings::init_completion(slot) };
            }),
            context: init.context,
            pd: init.pd,
            ptr: {
                attr.qp_context = this.as_ptr().cast();

                // SAFETY: All parts are of one registered device, and outlive the queue pair. The
                // callback uses what is initialized already; it ends before the memory behind `this`
                // goes.
                let qp = unsafe {
                    bindings::ib_create_qp_kernel(pd.as_raw(), &mut attr, owner_name(owner))
                };
                NonNull::new(from_err_ptr(qp)?).ok_or(ENOMEM)?
            },
            // The call has written what was granted.
            cap: Capabilities::from_raw(&attr.cap),
            // From here on `cap` is that.
            order <- Order::new(cap.max_send_wr.saturating_sub(DRAIN)),
            send_room: Room::new(cap.max_send_wr.saturating_sub(DRAIN)),
            recv_room: Room::new(cap.max_recv_wr.saturating_sub(DRAIN)),
            send_cq: Cq::reserve(init.send_cq, cap.max_send_wr)
                // SAFETY: Nobody else knows the queue pair yet.
                .inspect_err(|_| unsafe { Inner::undo(*ptr) })?,
            receive: match receive {
                Receive::Own(cq) => ReceiveQueue::Own(
                    Cq::reserve(cq, cap.max_recv_wr)
                        // SAFETY: Nobody else knows the queue pair yet.
                        .inspect_err(|_| unsafe { Inner::undo(*ptr) })?,
                ),
                Receive::Shared(srq) => ReceiveQueue::Shared(srq),
            },
        }))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_send_wr: self.cap.max_send_wr.saturating_sub(DRAIN),
            max_recv_wr: self.cap.max_recv_wr.saturating_sub(DRAIN),
            ..self.cap
        }
    }

    fn query_state(&self) -> Result<QpState> {
        let mut attr = pin_init::zeroed();
        let mut init = pin_init::zeroed();

        // SAFETY: By the type invariant, we own the queue pair. Both are valid for writes.
        to_result(unsafe {
            bindings::ib_query_qp(
                self.ptr.as_ptr(),
                &mut attr,
                bindings::ib_qp_attr_mask_IB_QP_STATE as c_int,
                &mut init,
            )
        })?;
        Ok(QpState::from_raw(attr.qp_state))
    }

    /// Destroys a queue pair that can't be used, as something else that it needs is not to be had.
    ///
    /// # Safety
    ///
    /// The caller must own the queue pair, and nothing may be posted. It is not valid any more.
    unsafe fn undo(ptr: NonNull<bindings::ib_qp>) {
        // SAFETY: The function's requirement.
        unsafe { bindings::ib_destroy_qp_user(ptr.as_ptr(), ptr::null_mut()) };
    }

    /// # Safety
    ///
    /// To be called by the RDMA core only, as the queue pair's event handler.
    unsafe extern "C" fn event_callback(event: *mut bindings::ib_event, context: *mut c_void) {
        // SAFETY: The context is what the queue pair was created with. It lives as long as it.
        let this = unsafe { &*context.cast::<Self>() };
        // SAFETY: `event` is valid for this call.
        let event = unsafe { (*event).event };

        if event == bindings::ib_event_type_IB_EVENT_QP_LAST_WQE_REACHED {
            // SAFETY: The completion was initialized before the queue pair was made.
            unsafe { bindings::complete_all(this.last_wqe.get()) };
        }
        if let Some(context) = &this.context {
            context.event(QpEvent::from_raw(event));
        }
    }
}

#[kunit_tests(krdma_qp)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_c() {
        assert_eq!(
            [QpType::Rc, QpType::Uc, QpType::Ud, QpType::Gsi].map(QpType::as_raw),
            [2, 3, 4, 1]
        );
        assert_eq!(QpEvent::from_raw(1), QpEvent::Fatal);
        assert_eq!(QpEvent::from_raw(16), QpEvent::LastWqeReached);
        assert_eq!(QpEvent::from_raw(4711), QpEvent::Other(4711));
    }
}
