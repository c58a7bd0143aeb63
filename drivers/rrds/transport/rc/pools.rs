// SPDX-License-Identifier: GPL-2.0

//! What completion handlers of a device share: its buffers and requests, and the paths that a batch of
//! completions has news for.

use super::{
    marker::Rc,
    receive::{
        Receive,
        RecvRequest, //
    },
    send::{
        SendRequest,
        Sending, //
    },
};
use crate::{
    message::Spares,
    path::Path, //
};
use kernel::{
    list::{
        List,
        ListArc, //
    },
    new_spinlock_irq,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    rdma::{
        cq::BatchEnd,
        post::RecvBatch,
        Device,
        Srq, //
    },
    work::{
        Waker,
        Work, //
    }, //
};

/// Receive requests that are posted by one call.
const BATCH: usize = 4;

/// Send requests that are kept for the next frame.
const SPARE: usize = 512;

/// After what time an attempt to fill the receive queue is repeated.
const RETRY: Delta = Delta::from_millis(10);

/// See the [module](self).
#[pin_data]
pub(crate) struct Pools {
    dev: ARef<Device>,
    module: &'static ThisModule,
    waker: Waker,
    #[pin]
    receives: SpinLockIrq<Receives>,
    /// It is time to [`refill`](Self::refill): many were put aside. Set with the lock of `receives`.
    is_due: Atomic<bool>,
    /// Send requests that are not in use.
    #[pin]
    sends: SpinLockIrq<KVec<SendRequest>>,
    /// Memory for what is received.
    spares: Arc<Spares>,
    /// Paths that are to be pumped at the end of the batch.
    #[pin]
    touched: SpinLockIrq<List<Path<Rc>>>,
    /// There are some. Changed with the lock of `touched`; who has touched one need not have the lock to see it.
    has_touched: Atomic<bool>,
}

/// What there is to receive into.
struct Receives {
    /// None before the device is opened and after it is closed.
    srq: Option<Arc<Srq>>,
    /// Requests that are not in the queue. There is room for all.
    aside: KVec<RecvRequest>,
}

/// So many receive requests may be left aside, to be posted by few calls; of a short queue, less.
const SLACK: usize = 16;

/// Ends a batch of completions of what was received.
pub(super) struct OnReceived(pub(super) Arc<Pools>);

impl BatchEnd for OnReceived {
    fn batch_end(&self, _completions: u32) {
        // First: what is sent below may bring more.
        if self.0.is_due.load(Relaxed) && !self.0.refill(GFP_ATOMIC) {
            self.0.waker.wake();
        }
        self.0.pump();
    }
}

/// Ends a batch of completions of what was sent.
pub(super) struct OnSent(pub(super) Arc<Pools>);

impl BatchEnd for OnSent {
    fn batch_end(&self, _completions: u32) {
        self.0.pump();
    }
}

impl Work for Pools {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        (!this.refill(GFP_KERNEL)).then_some(RETRY)
    }
}

impl Pools {
    pub(super) fn new(
        dev: &Device,
        module: &'static ThisModule,
        depth: u32,
        waker: Waker,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                dev: dev.into(),
                module,
                waker,
                receives <- new_spinlock_irq!(
                    Receives {
                        srq: None,
                        aside: KVec::with_capacity(u32_as_usize(depth), GFP_KERNEL)?,
                    },
                    "rrds::Pools::receives"
                ),
                is_due: Atomic::new(false),
                sends <- new_spinlock_irq!(
                    KVec::with_capacity(SPARE, GFP_KERNEL)?,
                    "rrds::Pools::sends"
                ),
                spares: Spares::new()?,
                touched <- new_spinlock_irq!(List::new(), "rrds::Pools::touched"),
                has_touched: Atomic::new(false),
            }? Error),
            GFP_KERNEL,
        )
    }

    pub(super) fn device(&self) -> &Device {
        &self.dev
    }

    pub(super) fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    pub(super) fn module(&self) -> &'static ThisModule {
        self.module
    }

    /// Fills the receive queue for the first time.
    pub(super) fn open(self: &Arc<Self>, srq: Arc<Srq>, depth: u32) -> Result {
        for _ in 0..depth {
            let request = Receive::new(&self.dev, &self.spares)?;
            self.put_receive(request);
        }
        self.receives.lock().srq = Some(srq);
        if !self.refill(GFP_KERNEL) {
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Gives up the receive queue, which goes with the last connection, and what is not in it.
    pub(super) fn close(&self) {
        let receives = {
            let mut receives = self.receives.lock();
            (receives.srq.take(), core::mem::take(&mut receives.aside))
        };
        drop(receives);
        let sends = core::mem::take(&mut *self.sends.lock());
        drop(sends);
    }

    /// Returns the receive queue, until the device is closed.
    pub(super) fn srq(&self) -> Option<Arc<Srq>> {
        self.receives.lock().srq.clone()
    }

    /// Puts a receive request aside, for [`refill`](Self::refill).
    pub(super) fn put_receive(&self, request: RecvRequest) {
        let mut receives = self.receives.lock();
        let aside = &mut receives.aside;
        let refused = aside.push_within_capacity(request).map_err(|err| err.0);

        if aside.len() >= SLACK.min(aside.capacity() / 16).max(1) {
            self.is_due.store(true, Relaxed);
        }
        drop(receives);
        // When the device is closed there is no room.
        drop(refused);
    }

    /// How many receive requests are not in the queue.
    pub(super) fn receives_aside(&self) -> usize {
        self.receives.lock().aside.len()
    }

    /// How many send requests are kept for the next frame.
    pub(super) fn spare_sends(&self) -> usize {
        self.sends.lock().len()
    }

    /// Takes requests that were put aside, as many as there are places.
    fn take_receives<const N: usize>(&self) -> [Option<RecvRequest>; N] {
        let mut receives = self.receives.lock();

        core::array::from_fn(|_| receives.aside.pop())
    }

    /// Posts the receive requests that were put aside. Returns whether none is left.
    fn refill(&self, flags: kernel::alloc::Flags) -> bool {
        let srq = {
            let receives = self.receives.lock();

            self.is_due.store(false, Relaxed);
            receives.srq.clone()
        };
        match srq {
            Some(srq) => self.post(&srq, flags),
            None => true,
        }
    }

    /// Posts the receive requests that were put aside. Returns whether none is left.
    ///
    /// Not inlined: the batch is large.
    #[inline(never)]
    fn post(&self, srq: &Srq, flags: kernel::alloc::Flags) -> bool {
        loop {
            let mut batch: RecvBatch<'_, Receive, Srq, BATCH, { 2 * BATCH }> = RecvBatch::new(srq);
            let mut complete = true;

            for mut request in self.take_receives::<BATCH>().into_iter().flatten() {
                let receive = request.as_mut().data_mut().get_mut();
                let filled = receive.fill(&self.dev, &self.spares, flags);
                if filled.is_err() {
                    self.put_receive(request);
                    complete = false;
                    continue;
                }
                let refused = batch.push(request, |receive, buffers| receive.describe(buffers));
                if let Err(refused) = refused {
                    self.put_receive(refused.request);
                    complete = false;
                }
            }

            let count = batch.len();
            if let Err(unposted) = batch.post() {
                unposted.for_each(|request| self.put_receive(request));
                return false;
            }
            if !complete {
                return false;
            }
            if count < BATCH {
                return true;
            }
        }
    }

    /// Keeps a send request for the next frame, if there is room.
    pub(super) fn put_send(&self, request: SendRequest) {
        let refused = self
            .sends
            .lock()
            .push_within_capacity(request)
            .map_err(|err| err.0);

        drop(refused);
    }

    /// Takes a send request that was kept, or makes one. Any context.
    ///
    /// Errors: [`ENOMEM`].
    #[inline]
    pub(super) fn take_send(&self) -> Result<SendRequest> {
        let kept = self.sends.lock().pop();

        match kept {
            Some(request) => Ok(request),
            None => Sending::new(&self.dev),
        }
    }

    /// Gives the paths that were listed what there is to do.
    fn pump(&self) {
        if !self.has_touched.load(Relaxed) {
            return;
        }
        let mut touched = {
            let mut touched = self.touched.lock();

            self.has_touched.store(false, Relaxed);
            core::mem::replace(&mut *touched, List::new())
        };

        while let Some(path) = touched.pop_front() {
            // Who touches it from here on lists it again, and sees to it after its own batch.
            path.into_arc().pump();
        }
    }

    /// Lists a path, to be pumped at the end of the batch.
    pub(super) fn touch(&self, path: &Arc<Path<Rc>>) {
        if let Ok(path) = ListArc::try_from_arc(path.clone()) {
            let mut touched = self.touched.lock();

            touched.push_back(path);
            self.has_touched.store(true, Relaxed);
        }
    }
}
