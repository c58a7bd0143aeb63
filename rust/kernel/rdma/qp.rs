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
            Chain,
            Failed,
            RecvQueue, //
        },
        qp_attr::{
            self,
            QpAttr,
            QpState, //
        },
        request::Header,
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
    mem::ManuallyDrop,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    }, //
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

mod caps;
mod context;
mod order;

pub use caps::Capabilities;
pub use context::{
    Context,
    QpContext,
    QpEvent, //
};
pub(crate) use order::{
    List,
    Order, //
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
    /// Returns whether each message needs an address.
    pub fn is_datagram(self) -> bool {
        matches!(self, Self::Ud | Self::Gsi)
    }

    pub(crate) fn as_raw(self) -> bindings::ib_qp_type {
        match self {
            Self::Rc => bindings::ib_qp_type_IB_QPT_RC,
            Self::Uc => bindings::ib_qp_type_IB_QPT_UC,
            Self::Ud => bindings::ib_qp_type_IB_QPT_UD,
            Self::Gsi => bindings::ib_qp_type_IB_QPT_GSI,
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
    /// What the queue pair knows of its user.
    pub context: Option<Context>,
}

/// A queue pair.
///
/// No more is posted than the queues have room for, completions that nobody has looked at yet included:
/// so no completion is ever lost.
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
    /// Is held while the state changes, so that `used` tells of it.
    #[pin]
    changing: Mutex<()>,
    /// The entries of the send queue, and those of its own receive queue.
    send_room: Room,
    recv_room: Room,
    qp_type: QpType,
    /// The requests in the send queue, but of a service of datagrams.
    #[pin]
    order: Order,
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

/// Requests that the hardware has a part of, and how many links it has of them.
struct Stranded {
    requests: KVec<*mut Header>,
    links: u32,
}

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
        if init.qp_type == QpType::Gsi && !dev.has_port(init.port) {
            return Err(EINVAL);
        }
        if let Receive::Shared(srq) = &init.receive {
            // Nothing but a request that drains the send queue tells that the pool has handled what is
            // before it.
            let drains = !init.qp_type.is_datagram() && init.send_cq.as_raw() == recv_cq.as_raw();
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
            changing <- new_mutex!(()),
            qp_type: init.qp_type,
            order <- Order::new(cap.max_send_wr.saturating_sub(DRAIN)),
            sending: Atomic::new(0),
            stranded <- new_spinlock_irq!(Stranded {
                requests: KVec::new(),
                links: 0,
            }),
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
        }))?;

        Ok(Self { inner })
    }

    /// Returns the queue pair's number, by which peers name it.
    pub fn number(&self) -> u32 {
        // SAFETY: By the type invariant, we own the queue pair. The number is constant.
        unsafe { (*self.as_raw()).qp_num }
    }

    /// Returns the service.
    pub fn qp_type(&self) -> QpType {
        self.inner.qp_type
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

    /// Returns what the queue pair knows of its user, if it is of this type.
    ///
    /// Does not sleep.
    #[inline]
    pub fn context<T: QpContext>(&self) -> Option<&T> {
        self.inner.context.as_ref()?.get()
    }

    /// Changes the state or attributes of the queue pair.
    ///
    /// A device that is told to reset a queue pair forgets what was posted. So this is done after a
    /// [`drain`](Self::drain), with what is said there, and nothing can be posted until it is done.
    ///
    /// Errors: [`EINVAL`] if the state has no such transition, or needs other attributes, [`EBUSY`] if
    /// somebody else resets the queue pair.
    pub fn modify(&self, attr: &QpAttr) -> Result {
        let (mut raw, mask) = attr.as_raw();

        self.modify_raw(&mut raw, mask)
    }

    pub(crate) fn modify_raw(&self, attr: &mut bindings::ib_qp_attr, mask: c_int) -> Result {
        if attr.qp_state == bindings::ib_qp_state_IB_QPS_RESET && QpAttr::sets_state(mask) {
            self.inner.reset(attr, mask)
        } else {
            self.inner.modify(attr, mask)
        }
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

    /// Keeps a request of which `links` links were posted, until the queue pair goes or is reset.
    pub(crate) fn strand(&self, header: *mut Header, links: u32) {
        let mut stranded = self.inner.stranded.lock();

        // OVERFLOW: The queue has not so many.
        stranded.links = stranded.links.wrapping_add(links);
        // Nothing tells when the hardware is done with a part of a datagram, see `drain_datagrams`. That
        // is leaked, and so is a request that there is no memory for in the list: the hardware may
        // still use it.
        if !self.is_datagram() {
            let _ = stranded.requests.push(header, GFP_ATOMIC);
        }
    }

    /// The entries of the send queue. Requests of which the hardware has a part only keep theirs.
    pub(crate) fn send_room(&self) -> &Room {
        &self.inner.send_room
    }

    pub(crate) fn dma_key(&self) -> u32 {
        self.inner.pd.dma_key()
    }

    pub(crate) fn max_send_sge(&self) -> usize {
        kernel::num::casts::u32_as_usize(self.inner.cap.max_send_sge)
    }

    pub(crate) fn max_inline_data(&self) -> u32 {
        self.inner.cap.max_inline_data
    }

    /// Whether the service is one of datagrams, which need an address each.
    pub(crate) fn is_datagram(&self) -> bool {
        self.inner.qp_type.is_datagram()
    }

    /// The requests in the send queue; not those of a service of datagrams, each of which is signalled.
    pub(crate) fn order(&self) -> Option<&Order> {
        (!self.is_datagram()).then_some(&self.inner.order)
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

    unsafe fn post(&self, chain: &Chain<'_>) -> core::result::Result<(), Failed> {
        if let ReceiveQueue::Shared(_) = self.inner.receive {
            // There is no queue of its own.
            return Err(Failed::all(EINVAL));
        }
        let room = &self.inner.recv_room;

        room.take(chain.len()).map_err(Failed::all)?;
        for header in chain.headers {
            // SAFETY: By the function's requirements, the header is valid and the caller's. The queue
            // pair waits for the handler before it goes.
            unsafe {
                (**header).room = room;
                (**header).entries = 1;
            }
        }
        chain
            // SAFETY: By the type invariant, we own the queue pair; the rest is the function's
            // requirement.
            .post(|wr, bad| unsafe { bindings::ib_post_recv(self.as_raw(), wr, bad) })
            .inspect_err(|failed| {
                // CAST: There are not more than fit in a batch.
                room.give_back(chain.len() - failed.posted as u32);
            })
    }
}

/// A queue pair, for the length of a callback.
pub struct QpRef<'a> {
    qp: ManuallyDrop<Qp>,
    _qp: PhantomData<&'a Qp>,
}

impl QpRef<'_> {
    /// # Safety
    ///
    /// `qp` must be one of this crate's, and not be destroyed for the lifetime of the result.
    #[inline]
    pub(crate) unsafe fn from_raw(qp: *mut bindings::ib_qp) -> Self {
        // SAFETY: By the function's requirements. The context of our queue pairs is their `Inner`, which
        // is the value of a `Deferred`.
        let inner = unsafe { Deferred::borrow((*qp).qp_context.cast_const().cast()) };

        Self {
            qp: ManuallyDrop::new(Qp {
                inner: ManuallyDrop::into_inner(inner),
            }),
            _qp: PhantomData,
        }
    }
}

impl Deref for QpRef<'_> {
    type Target = Qp;

    #[inline]
    fn deref(&self) -> &Qp {
        &self.qp
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
        if let Some(context) = &this.context {
            context.event(QpEvent::from_raw(event));
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

    fn modify(&self, attr: &mut bindings::ib_qp_attr, mask: c_int) -> Result {
        qp_attr::check(attr, mask, self.pd.device())?;
        let resets =
            attr.qp_state == bindings::ib_qp_state_IB_QPS_RESET && QpAttr::sets_state(mask);
        let _guard = self.changing.lock();

        if !resets {
            self.used.store(true, Relaxed);
        }
        // SAFETY: By the type invariant, we own the queue pair. What the core does not check of the
        // attributes was checked above.
        let ret = to_result(unsafe { bindings::ib_modify_qp(self.ptr.as_ptr(), attr, mask) });
        if ret == Err(ENOMEM) && QpAttr::sets_read_room(mask) {
            self.revive_responder();
        }
        ret?;
        if resets {
            self.used.store(false, Relaxed);
        }
        Ok(())
    }

    /// Has the responder work again, so that the receive queue can be drained.
    ///
    /// rxe stops it while the room for the peer's reads and atomics is made anew, and if there is no memory for
    /// that it stays stopped, in the error state too: `ib_drain_rq()` would wait for ever. Room for none takes
    /// no memory.
    #[cold]
    fn revive_responder(&self) {
        let (mut attr, mask) = QpAttr::new().max_dest_rd_atomic(0).as_raw();

        // SAFETY: By the type invariant, we own the queue pair. A device that does not have this fails.
        unsafe { bindings::ib_modify_qp(self.ptr.as_ptr(), &mut attr, mask) };
    }

    fn fail(&self) -> Result {
        let (mut attr, mask) = QpAttr::new().state(QpState::Err).as_raw();

        self.modify(&mut attr, mask)
    }

    /// Changes the attributes when nothing is posted any more.
    fn reset(&self, attr: &mut bindings::ib_qp_attr, mask: c_int) -> Result {
        if !self.send_room.close() {
            return Err(EBUSY);
        }
        self.recv_room.close();

        self.drain();
        // Who was about to post when the queues were closed has done so by and by, and gets it back.
        let stranded = loop {
            let stranded = self.stranded.lock().links;

            if self.send_room.used() <= stranded && self.recv_room.used() == 0 {
                break stranded;
            }
            self.poll();
            fsleep(Delta::from_millis(1));
        };

        let ret = self.modify(attr, mask);
        if ret.is_ok() {
            // The queue pair can take requests of a shared queue again.
            //
            // SAFETY: The completion was initialized; its count is a single word.
            unsafe { (&raw mut (*self.last_wqe.get()).done).write_volatile(0) };
            self.send_room.give_back(stranded);
            self.end_stranded();
        }
        self.recv_room.open();
        self.send_room.open();
        ret
    }

    /// Drops the requests that the hardware had a part of, and has given up.
    fn end_stranded(&self) {
        let requests = {
            let mut stranded = self.stranded.lock();

            stranded.links = 0;
            core::mem::replace(&mut stranded.requests, KVec::new())
        };

        for header in requests {
            // SAFETY: The list owned the request.
            unsafe { Header::drop_request(header) };
        }
    }

    /// Has the completion queues polled, where nobody else may do so.
    fn poll(&self) {
        let send_cq = self.send_cq.cq();

        if !send_cq.is_pooled() {
            send_cq.quiesce();
        }
        if let ReceiveQueue::Own(reservation) = &self.receive {
            if !reservation.cq().is_pooled() {
                reservation.cq().quiesce();
            }
        }
    }

    /// Waits for all that is sent, of a service of datagrams: the RDMA core drains a send queue by an
    /// RDMA write, which such a service does not have.
    fn drain_datagrams(&self) {
        // Without this too each request ends: it waits for no peer.
        let _ = self.fail();

        // The acquire pairs with the release of each handler that has returned.
        while self.sending.load(Acquire) != 0 {
            self.poll();
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

        if self.qp_type.is_datagram() {
            self.drain_datagrams();
        } else {
            let send_cq = self.send_cq.cq();

            send_cq.exclude_polls(|| {
                drain_sq();
                // SAFETY: The queue was just drained, so the entry that this took is free again. Nobody
                // else polls a completion queue that is polled in calls only.
                unsafe { self.order.sweep(self.ptr.as_ptr(), send_cq.is_direct()) };
            });
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

        // The hardware has given up what it had of these.
        self.end_stranded();
        // SAFETY: As above. These are those that were not to be swept up.
        unsafe { self.order.clear() };
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
