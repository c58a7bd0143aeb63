// SPDX-License-Identifier: GPL-2.0

//! Queue pairs.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use crate::{
    bindings,
    rdma::{
        cq::Reservation,
        mr::Mr,
        pd::owner_name,
        post::raw::{
            Given,
            RecvQueue, //
        },
        qp_attr::{
            QpAttr,
            QpState, //
        },
        request::Header,
        srq::Srq,
        Cq,
        Device,
        Gid,
        Pd, //
    },
    reaper::Deferred,
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Relaxed, //
            },
            Atomic, //
        },
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::{
        delay::fsleep,
        msecs_to_jiffies,
        Delta, //
    },
    types::Opaque, //
};

/// The service that a queue pair gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QpType {
    /// Reliable connection.
    Rc,
    /// Unreliable connection.
    Uc,
    /// Unreliable datagrams.
    Ud,
    /// The general services interface, queue pair 1.
    Gsi,
}

impl QpType {
    pub(crate) fn as_raw(self) -> bindings::ib_qp_type {
        match self {
            Self::Rc => bindings::ib_qp_type_IB_QPT_RC,
            Self::Uc => bindings::ib_qp_type_IB_QPT_UC,
            Self::Ud => bindings::ib_qp_type_IB_QPT_UD,
            Self::Gsi => bindings::ib_qp_type_IB_QPT_GSI,
        }
    }
}

/// How large a queue pair's queues are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Links in the send queue.
    pub max_send_wr: u32,
    /// Requests in the receive queue.
    pub max_recv_wr: u32,
    /// Pieces of memory of a send link.
    pub max_send_sge: u32,
    /// Pieces of memory of a receive request.
    pub max_recv_sge: u32,
    /// Bytes that can be sent inline.
    pub max_inline_data: u32,
}

impl Capabilities {
    pub(crate) fn as_raw(&self) -> bindings::ib_qp_cap {
        bindings::ib_qp_cap {
            max_send_wr: self.max_send_wr,
            max_recv_wr: self.max_recv_wr,
            max_send_sge: self.max_send_sge,
            max_recv_sge: self.max_recv_sge,
            max_inline_data: self.max_inline_data,
            max_rdma_ctxs: 0,
        }
    }

    pub(crate) fn from_raw(raw: &bindings::ib_qp_cap) -> Self {
        Self {
            max_send_wr: raw.max_send_wr,
            max_recv_wr: raw.max_recv_wr,
            max_send_sge: raw.max_send_sge,
            max_recv_sge: raw.max_recv_sge,
            max_inline_data: raw.max_inline_data,
        }
    }
}

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
    /// The service.
    pub qp_type: QpType,
    /// How large the queues shall be at least.
    pub cap: Capabilities,
    /// The port, for [`QpType::Gsi`] only.
    pub port: u32,
    /// Is told of events.
    pub events: Option<KBox<dyn QpEvents>>,
}

/// Something that happened to a queue pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QpEvent {
    /// The path moved to the alternate one.
    PathMigrated,
    /// The first message arrived before the connection was established.
    CommunicationEstablished,
    /// The send queue is drained, after a move to [`QpState::Sqd`].
    SendQueueDrained,
    /// The last request of a shared receive queue that the queue pair will take is done.
    LastWqeReached,
    /// The queue pair failed: an error that no completion can tell of.
    Fatal,
    /// The peer's request was invalid.
    RequestError,
    /// The peer's access was not granted.
    AccessError,
    /// The alternate path was not accepted.
    PathMigrationError,
    /// Another of the events of `enum ib_event_type`.
    Other(u32),
}

impl QpEvent {
    fn from_raw(raw: bindings::ib_event_type) -> Self {
        match raw {
            bindings::ib_event_type_IB_EVENT_PATH_MIG => Self::PathMigrated,
            bindings::ib_event_type_IB_EVENT_COMM_EST => Self::CommunicationEstablished,
            bindings::ib_event_type_IB_EVENT_SQ_DRAINED => Self::SendQueueDrained,
            bindings::ib_event_type_IB_EVENT_QP_LAST_WQE_REACHED => Self::LastWqeReached,
            bindings::ib_event_type_IB_EVENT_QP_FATAL => Self::Fatal,
            bindings::ib_event_type_IB_EVENT_QP_REQ_ERR => Self::RequestError,
            bindings::ib_event_type_IB_EVENT_QP_ACCESS_ERR => Self::AccessError,
            bindings::ib_event_type_IB_EVENT_PATH_MIG_ERR => Self::PathMigrationError,
            raw => Self::Other(raw),
        }
    }
}

/// Is told of what happens to a queue pair.
pub trait QpEvents: Send + Sync + 'static {
    /// Something happened.
    ///
    /// # Context
    ///
    /// Any: must not sleep.
    fn event(&self, event: QpEvent);
}

/// A queue pair.
///
/// When it is dropped it is moved to the error state and what is posted is waited for: the handlers
/// of all requests have run when it is gone. Where the drop may not sleep this happens later.
///
/// Its completion queues must not be [`Poll::Direct`](crate::rdma::cq::Poll::Direct), unless
/// somebody polls them until then; the drop polls them as well.
pub struct Qp {
    inner: Deferred<Inner>,
}

/// # Invariants
///
/// `ptr` points to a queue pair in `pd` that this type owns.
#[pin_data(PinnedDrop)]
struct Inner {
    ptr: NonNull<bindings::ib_qp>,
    cap: Capabilities,
    /// Whether the queue pair may have left the reset state: only then can anything be posted.
    used: Atomic<bool>,
    /// Whether the service is one of datagrams.
    datagram: bool,
    /// Of a service of datagrams: the requests that are sent and whose handlers have not returned.
    sending: Atomic<u32>,
    /// Requests that were posted in part. Handlers post, in softirq context too.
    #[pin]
    stranded: SpinLockIrq<Stranded>,
    /// The multicast groups that the queue pair is attached to.
    #[pin]
    groups: Mutex<KVec<(Gid, u16)>>,
    /// Is complete when the device has said that it has taken its last request of a shared queue.
    #[pin]
    last_wqe: Opaque<bindings::completion>,
    events: Option<KBox<dyn QpEvents>>,
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

/// Requests that the hardware has a part of.
struct Stranded(KVec<*mut Header>);

// SAFETY: The requests are owned by the list, and are `Send`.
unsafe impl Send for Stranded {}

// SAFETY: A queue pair may be used and destroyed by any thread.
unsafe impl Send for Inner {}

// SAFETY: The methods that take `&self` use C functions that lock for themselves.
unsafe impl Sync for Inner {}

/// Requests that C posts to drain a queue.
const DRAIN: u32 = 1;

/// How long to wait for a device to say that it takes no more requests of a shared queue. It does at
/// once, if it says so at all: so long does the RDMA core wait.
const LAST_WQE_TIMEOUT: u32 = 60 * 1000;

impl Qp {
    /// Makes a queue pair. It is in the reset state.
    ///
    /// `owner` is the module that shows in `rdma resource show`, as for
    /// [`Pd::new`](crate::rdma::Pd::new).
    ///
    /// Errors: [`EINVAL`] if the device can't do what is asked, if the parts are not of one device,
    /// or if a shared receive queue completes in a [pool's](Cq::pooled) queue where sends do not, or
    /// are datagrams;
    /// [`ENOSPC`] if a completion queue has not so many entries left, [`ENOMEM`].
    pub fn new(init: QpInit, owner: &'static ThisModule) -> Result<Self> {
        let dev = init.pd.device();
        let recv_cq = match &init.receive {
            Receive::Own(cq) => cq.clone(),
            Receive::Shared(srq) => srq.cq().clone(),
        };
        if init.send_cq.device() != dev || recv_cq.device() != dev {
            return Err(EINVAL);
        }
        if let Receive::Shared(srq) = &init.receive {
            // Nothing but a request that drains the send queue tells that the pool has handled what is
            // before it.
            let datagram = matches!(init.qp_type, QpType::Ud | QpType::Gsi);
            let drains = !datagram && init.send_cq.as_raw() == recv_cq.as_raw();
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
            qp_type: init.qp_type.as_raw(),
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
        let inner = Deferred::new(try_pin_init!(&this in Inner {
            used: Atomic::new(false),
            datagram: matches!(init.qp_type, QpType::Ud | QpType::Gsi),
            sending: Atomic::new(0),
            stranded <- new_spinlock_irq!(Stranded(KVec::new())),
            groups <- new_mutex!(KVec::new()),
            last_wqe <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes, and pinned.
                unsafe { bindings::init_completion(slot) };
            }),
            events: init.events,
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
        }))?;

        Ok(Self { inner })
    }

    /// Returns the queue pair's number, by which peers name it.
    pub fn number(&self) -> u32 {
        // SAFETY: By the type invariant, we own the queue pair. The number is constant.
        unsafe { (*self.as_raw()).qp_num }
    }

    /// Returns how large the queues are, as granted.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_send_wr: self.inner.cap.max_send_wr.saturating_sub(DRAIN),
            max_recv_wr: self.inner.cap.max_recv_wr.saturating_sub(DRAIN),
            ..self.inner.cap
        }
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        self.inner.pd.device()
    }

    /// Returns the protection domain.
    pub fn pd(&self) -> &Arc<Pd> {
        &self.inner.pd
    }

    /// Changes the state or attributes of the queue pair.
    ///
    /// Errors: [`EINVAL`] if the state has no such transition, or needs other attributes.
    pub fn modify(&self, attr: &QpAttr) -> Result {
        let (mut raw, mask) = attr.as_raw();

        self.modify_raw(&mut raw, mask)
    }

    pub(crate) fn modify_raw(&self, attr: &mut bindings::ib_qp_attr, mask: c_int) -> Result {
        self.inner.used.store(true, Relaxed);
        // SAFETY: By the type invariant, we own the queue pair. The core checks the attributes.
        to_result(unsafe { bindings::ib_modify_qp(self.as_raw(), attr, mask) })?;

        if attr.qp_state == bindings::ib_qp_state_IB_QPS_RESET && QpAttr::sets_state(mask) {
            // The queue pair can take requests of a shared queue again.
            //
            // SAFETY: The completion was initialized; its count is a single word.
            unsafe { (&raw mut (*self.inner.last_wqe.get()).done).write_volatile(0) };
        }
        Ok(())
    }

    /// Moves the queue pair to the error state: what is posted is given back, not carried out.
    pub fn fail(&self) -> Result {
        self.modify(&QpAttr::new().state(QpState::Err))
    }

    /// Returns the state that the queue pair is in.
    pub fn state(&self) -> Result<QpState> {
        let mut attr = pin_init::zeroed();
        let mut init = pin_init::zeroed();

        // SAFETY: By the type invariant, we own the queue pair. Both are valid for writes.
        to_result(unsafe {
            bindings::ib_query_qp(
                self.as_raw(),
                &mut attr,
                bindings::ib_qp_attr_mask_IB_QP_STATE as c_int,
                &mut init,
            )
        })?;
        Ok(QpState::from_raw(attr.qp_state))
    }

    /// Waits until the handlers of all that is posted have run. The queue pair is in the error state
    /// then.
    ///
    /// Nothing may be posted meanwhile, or it may not be waited for. Must not be called by a handler.
    pub fn drain(&self) {
        self.inner.drain();
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::ib_qp {
        self.inner.ptr.as_ptr()
    }

    /// Keeps a request that was posted in part until the queue pair goes.
    pub(crate) fn strand(&self, header: *mut Header) {
        if self.inner.datagram {
            // Nothing tells when the hardware is done with a part, see `drain_datagrams`: leak it.
            return;
        }
        let mut stranded = self.inner.stranded.lock();

        // Without memory for the list the request is leaked: the hardware may still use it.
        let _ = stranded.0.push(header, GFP_ATOMIC);
    }

    pub(crate) fn dma_key(&self) -> u32 {
        self.inner.pd.dma_key()
    }

    pub(crate) fn max_send_sge(&self) -> usize {
        kernel::num::casts::u32_as_usize(self.inner.cap.max_send_sge)
    }

    /// Whether the service is one of datagrams, which need an address each.
    pub(crate) fn is_datagram(&self) -> bool {
        self.inner.datagram
    }

    /// Counts the requests that are sent, if the service is one of datagrams: the queue pair waits for
    /// them.
    pub(crate) fn sending(&self) -> &Atomic<u32> {
        &self.inner.sending
    }

    /// The multicast groups that the queue pair is attached to.
    pub(crate) fn groups(&self) -> &Mutex<KVec<(Gid, u16)>> {
        &self.inner.groups
    }

    /// Whether a region is in the same protection domain.
    pub(crate) fn has_pd_of(&self, mr: &Mr) -> bool {
        Arc::ptr_eq(&self.inner.pd, mr.pd())
    }
}

// SAFETY: A queue pair is drained before it is destroyed, so that its requests complete.
unsafe impl RecvQueue for Qp {
    fn device(&self) -> &Device {
        self.inner.pd.device()
    }

    fn dma_key(&self) -> u32 {
        self.inner.pd.dma_key()
    }

    fn max_sge(&self) -> u32 {
        self.inner.cap.max_recv_sge
    }

    unsafe fn take(&self, _request: &Given) {}

    unsafe fn give_back(&self, _request: &Given) {}

    unsafe fn post(
        &self,
        wr: *mut bindings::ib_recv_wr,
        bad: *mut *const bindings::ib_recv_wr,
    ) -> c_int {
        if let ReceiveQueue::Shared(_) = self.inner.receive {
            // There is no queue of its own.
            return EINVAL.to_errno();
        }
        // SAFETY: By the type invariant, we own the queue pair; the rest is the function's
        // requirement.
        unsafe { bindings::ib_post_recv(self.as_raw(), wr, bad) }
    }
}

impl Inner {
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
        if let Some(events) = &this.events {
            events.event(QpEvent::from_raw(event));
        }
    }

    /// Moves the queue pair to the error state, and waits until the device takes no more requests of a
    /// shared receive queue for it: those that it has taken are completed then.
    ///
    /// A device that does not say so either has no request, or takes what it has completed with it
    /// when the queue pair is destroyed.
    fn end_receives(&self) {
        if self.fail().is_err() {
            return;
        }
        // SAFETY: The completion was initialized.
        unsafe {
            bindings::wait_for_completion_timeout(
                self.last_wqe.get(),
                msecs_to_jiffies(LAST_WQE_TIMEOUT),
            )
        };
    }

    fn fail(&self) -> Result {
        let (mut attr, mask) = QpAttr::new().state(QpState::Err).as_raw();

        // SAFETY: By the type invariant, we own the queue pair.
        to_result(unsafe { bindings::ib_modify_qp(self.ptr.as_ptr(), &mut attr, mask) })
    }

    /// Waits for all that is sent, of a service of datagrams: the RDMA core drains a send queue by an
    /// RDMA write, which such a service does not have.
    fn drain_datagrams(&self) {
        // Without this too each request ends: it waits for no peer.
        let _ = self.fail();

        // The acquire pairs with the release of each handler that has returned.
        while self.sending.load(Acquire) != 0 {
            let cq = self.send_cq.cq();

            if !cq.is_pooled() {
                cq.quiesce();
            }
            fsleep(Delta::from_millis(1));
        }
    }

    fn drain(&self) {
        if !self.used.load(Relaxed) {
            return;
        }

        if let ReceiveQueue::Shared(_) = self.receive {
            self.end_receives();
        }

        // With a shared receive queue in a completion queue of the pool, this is the same queue: what
        // is before the request that is posted here is handled before it is.
        //
        // SAFETY: By the type invariant, we own the queue pair, and there is room for the request that
        // is posted to drain it.
        let drain_sq = || unsafe { bindings::ib_drain_sq(self.ptr.as_ptr()) };

        if self.datagram {
            self.drain_datagrams();
        } else {
            self.send_cq.cq().exclude_polls(drain_sq);
        }
        match &self.receive {
            ReceiveQueue::Own(reservation) => {
                // SAFETY: As above.
                let drain_rq = || unsafe { bindings::ib_drain_rq(self.ptr.as_ptr()) };

                reservation.cq().exclude_polls(drain_rq);
            }
            // The requests stay in the shared queue, but for those that this queue pair has taken.
            ReceiveQueue::Shared(srq) => {
                if !srq.cq().is_pooled() {
                    srq.cq().quiesce();
                }
            }
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Inner {
    fn drop(self: Pin<&mut Self>) {
        self.drain();

        // SAFETY: By the type invariant, we own the queue pair. Nothing is posted any more.
        unsafe { bindings::ib_destroy_qp_user(self.ptr.as_ptr(), ptr::null_mut()) };

        let stranded = core::mem::replace(&mut self.stranded.lock().0, KVec::new());
        for header in stranded {
            // SAFETY: The hardware has given up what it had of the request.
            unsafe { Header::drop_request(header) };
        }
    }
}
