// SPDX-License-Identifier: GPL-2.0

//! The memory regions of a device: programs' memory that peers read and write.
//!
//! A region is registered before its key is told to anybody. When it is given up, its key is revoked by a job, several at a
//! time; who wants to know that this has happened waits for it. Pages are unpinned only after that was confirmed, or after the
//! region was taken from the device. What remains of a region is used for the next one.

use super::registration::{
    Queue,
    Revokes,
    Turn,
    TurnRequest,
    QUEUE, //
};
use crate::{
    region::Region,
    table::Table, //
};
use core::mem;
use kernel::{
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    page::PinnedPages,
    rdma::{
        dma::ProgramPages,
        Pd, //
    },
    work::{
        Waker,
        Work, //
    },
};
use rds_proto::wire::Cookie;

/// The most pages of a small region, and of a large one: a message of the greatest length, that begins within a page.
const SIZES: [u32; 2] = [17, 257];

/// So many unused regions of each size are kept.
const SPARE: usize = 32;

/// Requests that revoke regions and are not done, at most.
const REVOKING: usize = QUEUE as usize / 2;

/// The regions of a device.
#[pin_data]
pub(crate) struct Registrar {
    module: &'static ThisModule,
    waker: Waker,
    /// Is held by who posts and, but for the job, waits.
    #[pin]
    state: Mutex<State>,
    #[pin]
    regions: SpinLockIrq<Regions>,
}

/// What keeps the device: sockets keep the registrar, and do not keep the device from going.
struct State {
    /// None when the device goes.
    pd: Option<Arc<Pd>>,
    /// None if it is not needed yet, or has failed.
    queue: Option<Queue>,
}

struct Regions {
    /// All that are registered, and those that are being revoked.
    all: Table<Entry>,
    count: usize,
    /// The last one that was given up, and the last one that was revoked.
    given_up: Option<usize>,
    revoked: Option<usize>,
    /// How many are being revoked.
    revoking: usize,
    /// What is to be used again, by size.
    spare: [KVec<TurnRequest>; 2],
    closed: bool,
}

/// A region.
struct Entry {
    /// Is with the device while the region is being revoked, and with who waits for that.
    request: Option<TurnRequest>,
    /// The one before it in its list.
    next: Option<usize>,
    /// It is revoked, if it was to be.
    is_success: bool,
}

impl Registrar {
    pub(super) fn new(pd: Arc<Pd>, module: &'static ThisModule, waker: Waker) -> Result<Arc<Self>> {
        let regions = Regions {
            all: Table::new(),
            count: 0,
            given_up: None,
            revoked: None,
            revoking: 0,
            spare: [
                KVec::with_capacity(SPARE, GFP_KERNEL)?,
                KVec::with_capacity(SPARE, GFP_KERNEL)?,
            ],
            closed: false,
        };

        Arc::pin_init(
            pin_init!(Self {
                module,
                waker,
                state <- new_mutex!(
                    State {
                        pd: Some(pd),
                        queue: None,
                    },
                    "rrds::Registrar::state"
                ),
                regions <- new_spinlock_irq!(regions, "rrds::Registrar::regions"),
            }),
            GFP_KERNEL,
        )
    }

    /// Registers memory of a program. Sleeps.
    ///
    /// Errors: [`EMSGSIZE`] if it is more than a message may be, [`ENODEV`] if the device goes, [`EIO`] if it has refused the
    /// region, [`ENOMEM`].
    pub(super) fn register(self: &Arc<Self>, pages: PinnedPages) -> Result<Arc<dyn Region>> {
        let count = u32::try_from(pages.pages()).map_err(|_| EMSGSIZE)?;
        let size = SIZES
            .iter()
            .position(|most| count <= *most)
            .ok_or(EMSGSIZE)?;
        // CAST: It lies within a page.
        let offset = pages.offset() as u32;
        let pd = self.state.lock().pd.clone().ok_or(ENODEV)?;
        let memory = ProgramPages::new(pd.device(), pages)?;
        let mut request = self.take(&pd, size)?;

        request
            .as_mut()
            .data_mut()
            .get_mut()
            .mr
            .attach_program(memory)?;
        // What can't be registered goes, and its memory with it.
        let request = self.post_and_wait(request, true)?;
        let key = request.data().mr.remote().key;
        let number = self.enter(request)?;

        // Without memory what it would be of is dropped, which gives the region up.
        let region: Arc<dyn Region> = Arc::new(
            Registered {
                registrar: self.clone(),
                number,
                cookie: Cookie { rkey: key, offset },
            },
            GFP_KERNEL,
        )?;
        Ok(region)
    }

    /// Returns what a region is made of, of one of the [sizes](SIZES).
    fn take(&self, pd: &Arc<Pd>, size: usize) -> Result<TurnRequest> {
        let spare = {
            let mut regions = self.regions.lock();
            if regions.closed {
                return Err(ENODEV);
            }
            regions.spare.get_mut(size).and_then(KVec::pop)
        };

        match spare {
            Some(request) => Ok(request),
            None => Turn::new(pd, SIZES.get(size).copied().unwrap_or_default()),
        }
    }

    /// Enters a region that is registered. Returns its number.
    fn enter(&self, mut request: TurnRequest) -> Result<usize> {
        loop {
            let wanted = {
                let mut regions = self.regions.lock();
                if regions.closed {
                    return Err(ENODEV);
                }
                let entry = Entry {
                    request: Some(request),
                    next: None,
                    is_success: false,
                };
                match regions.all.insert(entry) {
                    Ok(number) => {
                        // OVERFLOW: It counts the entries of a table.
                        regions.count = regions.count.wrapping_add(1);
                        let entry = regions.all.get_mut(number);
                        if let Some(request) = entry.and_then(|entry| entry.request.as_mut()) {
                            request.as_mut().data_mut().get_mut().number = number;
                        }
                        return Ok(number);
                    }
                    Err(Entry {
                        request: Some(back),
                        ..
                    }) => request = back,
                    Err(_) => return Err(EIO),
                }
                regions.all.wanted()
            };
            let storage = Table::storage(wanted, GFP_KERNEL)?;
            let old = self.regions.lock().all.grow(storage);
            drop(old);
        }
    }

    /// Has a request done by the queue pair, which is made if there is none, and waits.
    ///
    /// Errors: [`ENODEV`] if the device goes, [`EIO`] if the request has failed, and what making and posting fail with. The
    /// region goes then.
    fn post_and_wait(
        self: &Arc<Self>,
        request: TurnRequest,
        registers: bool,
    ) -> Result<TurnRequest> {
        let mut state = self.state.lock();
        let queue = self.queue_of(&mut state)?;
        let result = queue.post_and_wait(request, registers);

        match result {
            Ok((request, true)) => Ok(request),
            Ok((request, false)) => {
                // It is in the error state.
                let failed = state.queue.take();
                drop(state);
                drop((failed, request));
                Err(EIO)
            }
            Err(err) => Err(err),
        }
    }

    fn queue_of<'a>(self: &Arc<Self>, state: &'a mut State) -> Result<&'a Queue> {
        let pd = state.pd.as_ref().ok_or(ENODEV)?;

        match &mut state.queue {
            Some(queue) => Ok(queue),
            none => Ok(none.insert(Queue::new(self.clone(), pd, self.module)?)),
        }
    }

    /// Has a region revoked some time. Any context.
    fn give_up(&self, number: usize) {
        let mut guard = self.regions.lock();
        let regions = &mut *guard;
        let Some(entry) = regions.all.get_mut(number) else {
            return;
        };

        entry.next = regions.given_up.replace(number);
        drop(guard);
        self.waker.wake();
    }

    /// Takes the next one out that was given up, to be revoked.
    fn next_given_up(&self) -> Option<TurnRequest> {
        let mut guard = self.regions.lock();
        let regions = &mut *guard;

        while regions.revoking < REVOKING {
            let number = regions.given_up?;
            let entry = regions.all.get_mut(number)?;
            regions.given_up = entry.next.take();
            if let Some(request) = entry.request.take() {
                // OVERFLOW: It is less than the limit.
                regions.revoking = regions.revoking.wrapping_add(1);
                return Some(request);
            }
            // It was revoked by who waited for that.
            regions.remove(number);
        }
        None
    }

    /// A region can't be revoked: it is taken from the device.
    fn drop_given_up(&self, request: TurnRequest) {
        let mut regions = self.regions.lock();

        regions.revoking = regions.revoking.saturating_sub(1);
        let entry = regions.remove(request.data().number);
        drop(regions);
        drop((entry, request));
    }

    /// Takes the next one out that was revoked, and whether it was.
    fn next_revoked(&self) -> Option<(TurnRequest, bool)> {
        let mut guard = self.regions.lock();
        let regions = &mut *guard;
        let number = regions.revoked?;
        let entry = regions.all.get_mut(number)?;

        regions.revoked = entry.next.take();
        let entry = regions.remove(number)?;
        Some((entry.request?, entry.is_success))
    }

    /// Unpins the memory of a region that is revoked, and keeps what is left. Sleeps.
    fn recycle(&self, mut request: TurnRequest) {
        let mr = &mut request.as_mut().data_mut().get_mut().mr;
        // If somebody might use it, it is dropped, and taken from the device by that.
        let Ok(memory) = mr.detach_program() else {
            return;
        };
        memory.unpin();

        let size = SIZES
            .iter()
            .position(|most| *most == request.data().mr.max_pages());
        let mut regions = self.regions.lock();
        let refused = match size.and_then(|size| regions.spare.get_mut(size)) {
            Some(spare) => spare.push_within_capacity(request).map_err(|err| err.0),
            None => Err(request),
        };
        drop(regions);
        drop(refused);
    }

    /// Revokes a region, and returns when nobody can use it any more. Sleeps.
    fn revoke_now(self: &Arc<Self>, number: usize) {
        let request = {
            let mut regions = self.regions.lock();
            let entry = regions.all.get_mut(number);

            entry.and_then(|entry| entry.request.take())
        };
        if let Some(request) = request {
            if let Ok(request) = self.post_and_wait(request, false) {
                self.recycle(request);
            }
        }
    }

    /// Takes all regions from the device, which goes. Sleeps.
    pub(super) fn close(&self) {
        let device = {
            let mut state = self.state.lock();

            (state.queue.take(), state.pd.take())
        };
        drop(device);
        let gone = {
            let mut regions = self.regions.lock();

            // What is being revoked is dropped when that is done.
            regions.closed = true;
            regions.count = 0;
            regions.given_up = None;
            regions.revoked = None;
            (
                mem::replace(&mut regions.all, Table::new()),
                mem::replace(&mut regions.spare, [KVec::new(), KVec::new()]),
            )
        };
        drop(gone);
    }

    /// The queue pair has failed: the next one is another one.
    fn fail_queue(&self) {
        let failed = self.state.lock().queue.take();

        drop(failed);
    }

    /// How many regions there are, and how many are kept to be used again.
    pub(super) fn counts(&self) -> (usize, usize) {
        let regions = self.regions.lock();
        let [small, large] = &regions.spare;

        (regions.count, small.len().saturating_add(large.len()))
    }
}

impl Regions {
    /// Takes a region out.
    fn remove(&mut self, number: usize) -> Option<Entry> {
        let entry = self.all.remove(number)?;

        self.count = self.count.saturating_sub(1);
        Some(entry)
    }
}

impl Revokes for Registrar {
    fn revoked(&self, request: TurnRequest, is_success: bool) {
        let number = request.data().number;
        let mut guard = self.regions.lock();
        let regions = &mut *guard;

        regions.revoking = regions.revoking.saturating_sub(1);
        if let Some(entry) = regions.all.get_mut(number) {
            entry.request = Some(request);
            entry.is_success = is_success;
            entry.next = regions.revoked.replace(number);
        }
        drop(guard);
        self.waker.wake();
    }
}

impl Work for Registrar {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        while let Some((request, is_success)) = this.next_revoked() {
            if is_success {
                this.recycle(request);
            } else {
                // The region is taken from the device.
                this.fail_queue();
            }
        }
        // There is nothing to do but that.
        this.regions.lock().given_up?;
        let failed = |request| this.drop_given_up(request);
        let mut state = this.state.lock();
        match this.queue_of(&mut state) {
            Ok(queue) => queue.revoke(|| this.next_given_up(), failed),
            Err(_) => {
                while let Some(request) = this.next_given_up() {
                    failed(request);
                }
            }
        }
        None
    }
}

/// A region, until it is given up.
struct Registered {
    registrar: Arc<Registrar>,
    number: usize,
    cookie: Cookie,
}

impl Region for Registered {
    fn cookie(&self) -> Cookie {
        self.cookie
    }

    fn sync(&self, for_cpu: bool) {
        let mut regions = self.registrar.regions.lock();
        let entry = regions.all.get_mut(self.number);

        if let Some(request) = entry.and_then(|entry| entry.request.as_ref()) {
            request.data().mr.sync_program(for_cpu);
        }
    }

    fn revoke(&self) {
        self.registrar.revoke_now(self.number);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registrar.give_up(self.number);
    }
}
