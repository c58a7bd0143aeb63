// SPDX-License-Identifier: GPL-2.0

//! Work to be done soon or after a while, in process or softirq context.
//!
//! Completion handlers may not sleep, and callbacks of the connection manager can't wait for
//! themselves: what needs either is left to a [`Job`]. As it can run again after a time, it is also
//! how to notice that something did not happen.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::{
    account::Charge,
    bindings,
    callback::Runner,
    clock::jiffies,
    reaper::Deferred, //
};
use core::{
    mem::ManuallyDrop,
    ptr, //
};
use kernel::{
    container_of,
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        LockClassKey,
        SpinLockIrq, //
    },
    time::{
        ClockSource,
        Delta,
        Monotonic, //
    },
    types::Opaque, //
};

/// What a [`Job`] does, and what it does it with.
pub trait Work: Send + Sync + 'static {
    /// Does what is to be done now. It is called again after the time that it returns, if any, or
    /// sooner if it is asked for.
    ///
    /// # Context
    ///
    /// That of the job: process context, where it may sleep, if the job was made by [`Job::new`],
    /// softirq context if it was by [`Job::in_softirq`]. Calls for one job never overlap.
    fn run(this: &Arc<Self>) -> Option<Delta>;
}

/// Does work when a [`Waker`] asks for it.
///
/// When the job is dropped, in any context, no run of the work begins any more. One that has begun goes
/// on, and the data is let go of after it. To wait for that there is [`close`](Self::close).
///
/// # Examples
///
/// ```
/// use kernel::{sync::Arc, time::Delta};
/// # use kernel::prelude::*;
/// use krdma::work::{Job, Waker, Work};
///
/// struct Greeter {
///     waker: Waker,
/// }
///
/// impl Work for Greeter {
///     fn run(_this: &Arc<Self>) -> Option<Delta> {
///         pr_info!("hello\n");
///         None
///     }
/// }
///
/// # fn greeter(module: &'static ThisModule) -> Result<Job<Greeter>> {
/// let job = krdma::new_job!(module, |waker| Ok(Arc::new(Greeter { waker }, GFP_KERNEL)?))?;
/// // In an interrupt handler, say.
/// job.data().waker.wake();
/// # Ok(job)
/// # }
/// ```
pub struct Job<T: Work> {
    inner: Deferred<Inner<T>>,
}

/// # Invariants
///
/// `work` is initialized, with the function of this type. From when it is made to when its [`Job`] is
/// dropped, `target` has its address.
#[pin_data(PinnedDrop)]
struct Inner<T: Work> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    runner: Runner,
    data: Arc<T>,
    target: Arc<Target>,
}

// SAFETY: Work may be queued and cancelled by any thread; the data may be used and dropped by any.
unsafe impl<T: Work> Send for Inner<T> {}

// SAFETY: As above.
unsafe impl<T: Work> Sync for Inner<T> {}

/// Asks for the work of a [`Job`]. It does not keep the job.
#[derive(Clone)]
pub struct Waker(Arc<Target>);

/// Where work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Process,
    Softirq,
}

/// Where the work of a job is.
#[pin_data]
struct Target {
    context: Context,
    #[pin]
    work: SpinLockIrq<Address>,
}

/// # Invariants
///
/// `work` is null, or the address of initialized work.
struct Address {
    work: *mut bindings::delayed_work,
    /// When the work's timer runs off, in nanoseconds of the monotonic clock, if it was set since the last run began.
    timer: Option<i64>,
}

// SAFETY: The address is used with the lock held that it is behind, with functions that any thread
// may call.
unsafe impl Send for Address {}

impl<T: Work> Job<T> {
    /// Makes a job for process context. `data` makes what it works with, and may keep the waker.
    ///
    /// It belongs to `owner`, whose code stays until the job is gone. `name` and `key` are for lockdep,
    /// see [`new_job!`](crate::new_job).
    ///
    /// Errors: [`ENOMEM`], and what `data` fails with.
    pub fn new(
        owner: &'static ThisModule,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
        data: impl FnOnce(Waker) -> Result<Arc<T>>,
    ) -> Result<Self> {
        Self::on(Context::Process, owner, (name, key), data)
    }

    /// Makes a job for softirq context, on the processor that asks for the work, soon after. It is for
    /// short work that can't wait for a task to be scheduled. See
    /// [`new_softirq_job!`](crate::new_softirq_job).
    ///
    /// Errors: [`ENOMEM`], and what `data` fails with.
    pub fn in_softirq(
        owner: &'static ThisModule,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
        data: impl FnOnce(Waker) -> Result<Arc<T>>,
    ) -> Result<Self> {
        Self::on(Context::Softirq, owner, (name, key), data)
    }

    fn on(
        context: Context,
        owner: &'static ThisModule,
        (name, key): (&'static CStr, Pin<&'static LockClassKey>),
        data: impl FnOnce(Waker) -> Result<Arc<T>>,
    ) -> Result<Self> {
        let charge = Charge::to(owner)?;
        let target = Target::new(context)?;
        let data = data(Waker(target.clone()))?;
        let inner = charge.defer(try_pin_init!(Inner {
            work <- Opaque::ffi_init(|work: *mut bindings::delayed_work| {
                // SAFETY: `work` is pinned, and disabled before its memory goes.
                unsafe {
                    bindings::init_work_with_key(
                        &raw mut (*work).work,
                        Some(Inner::<T>::callback),
                        false,
                        name.as_char_ptr(),
                        key.as_ptr(),
                    );
                    bindings::krdma_setup_delayed_work_timer(work);
                }
            }),
            runner: Runner::new(),
            data,
            target,
        }))?;

        // INVARIANT: The work is initialized; the address is taken back when it goes.
        inner.target.work.lock().work = inner.work.get();
        Ok(Self { inner })
    }

    /// Returns what the job works with.
    pub fn data(&self) -> &Arc<T> {
        &self.inner.data
    }

    /// Asks for the work, as [`Waker::wake`] does.
    pub fn wake(&self) {
        self.inner.target.wake();
    }

    /// Cancels the work and waits for it if it has begun. Nothing of the job runs when this returns.
    ///
    /// In the work itself it does not wait, and is no more than a drop. Sleeps; must not be called with a
    /// lock that the work takes.
    pub fn close(self) {
        if self.inner.runner.is_current() {
            return;
        }
        let mut this = ManuallyDrop::new(self);

        this.retire();
        // SAFETY: The field is not used after this, as `this` is not dropped.
        unsafe { ptr::read(&raw mut this.inner) }.close();
    }

    /// Lets nobody ask for the work any more.
    fn retire(&self) {
        // INVARIANT: The job is being dropped.
        self.inner.target.work.lock().work = ptr::null_mut();
    }
}

impl<T: Work> Drop for Job<T> {
    fn drop(&mut self) {
        self.retire();
    }
}

/// Makes a [`Job`](crate::work::Job) for process context: `new_job!(owner, data)`.
///
/// The jobs that are made at one place are one class to lockdep.
#[macro_export]
macro_rules! new_job {
    ($owner:expr, $data:expr $(,)?) => {
        $crate::work::Job::new(
            $owner,
            ::kernel::optional_name!(),
            ::kernel::static_lock_class!(),
            $data,
        )
    };
}

/// Makes a [`Job`](crate::work::Job) for softirq context: `new_softirq_job!(owner, data)`.
///
/// The jobs that are made at one place are one class to lockdep.
#[macro_export]
macro_rules! new_softirq_job {
    ($owner:expr, $data:expr $(,)?) => {
        $crate::work::Job::in_softirq(
            $owner,
            ::kernel::optional_name!(),
            ::kernel::static_lock_class!(),
            $data,
        )
    };
}

impl Waker {
    /// Asks for the work: it runs soon. If it runs now it runs again, for it may have missed the
    /// reason. Nothing happens if the job was dropped.
    ///
    /// Any context.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Asks for the work after a time. If it is asked for already this changes nothing, nor if the job
    /// was dropped.
    ///
    /// Any context.
    pub fn wake_after(&self, after: Delta) {
        self.0.wake_after(after);
    }
}

impl Target {
    /// Makes one, without work.
    ///
    /// Not in generic code, which each client has a copy of: a lock has one name.
    #[inline(never)]
    fn new(context: Context) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                context,
                // INVARIANT: There is no work yet.
                work <- new_spinlock_irq!(Address {
                    work: ptr::null_mut(),
                    timer: None,
                }),
            }),
            GFP_KERNEL,
        )
    }

    fn wake(&self) {
        let mut asked = self.work.lock();

        if !asked.work.is_null() {
            asked.timer = None;
            // SAFETY: By the type invariant, the work is initialized, and the lock keeps its memory.
            unsafe { requeue(self.context, asked.work, Delta::ZERO) };
        }
    }

    fn wake_after(&self, after: Delta) {
        self.ask(&mut self.work.lock(), after);
    }

    /// Asks for the work after the time that a run of it has returned, or sooner if it is asked for.
    fn run_again(&self, after: Delta) {
        let mut asked = self.work.lock();
        let due = due(after);

        if !asked.work.is_null() && asked.timer.is_some_and(|timer| timer > due) {
            asked.timer = Some(due);
            // SAFETY: As for `wake`.
            unsafe { requeue(self.context, asked.work, after) };
        } else {
            self.ask(&mut asked, after);
        }
    }

    /// Asks for the work after a time, unless it is asked for already.
    fn ask(&self, asked: &mut Address, after: Delta) {
        // SAFETY: As for `wake`.
        if !asked.work.is_null() && unsafe { queue(self.context, asked.work, after) } {
            asked.timer = Some(due(after));
        }
    }
}

/// The time on the monotonic clock after a time from now on, in nanoseconds.
fn due(after: Delta) -> i64 {
    Monotonic::ktime_get().saturating_add(after.as_nanos())
}

/// Queues work, unless it is queued already. Returns whether it was not.
///
/// # Safety
///
/// `work` must be initialized, and not be freed while it is queued.
unsafe fn queue(context: Context, work: *mut bindings::delayed_work, after: Delta) -> bool {
    // SAFETY: By the function's requirements.
    unsafe { bindings::queue_delayed_work_on(any_cpu(), workqueue(context), work, jiffies(after)) }
}

/// Queues work for another time than before, if it is queued already.
///
/// # Safety
///
/// As for [`queue`].
unsafe fn requeue(context: Context, work: *mut bindings::delayed_work, after: Delta) {
    // SAFETY: By the function's requirements.
    unsafe { bindings::mod_delayed_work_on(any_cpu(), workqueue(context), work, jiffies(after)) };
}

fn any_cpu() -> c_int {
    // CAST: The constant is a small number.
    bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int
}

/// Returns the workqueue that jobs run on: in process context, one for work that may take long.
fn workqueue(context: Context) -> *mut bindings::workqueue_struct {
    // SAFETY: The kernel sets the variables early and never changes them.
    unsafe {
        match context {
            Context::Process => bindings::system_dfl_long_wq,
            Context::Softirq => bindings::system_bh_wq,
        }
    }
}

impl<T: Work> Inner<T> {
    /// # Safety
    ///
    /// To be called by a workqueue only, as the function of [`Inner::work`].
    unsafe extern "C" fn callback(work: *mut bindings::work_struct) {
        // SAFETY: A work item of this function is part of a delayed one, which is the field of a
        // pinned object. Its drop waits for this call.
        let this = unsafe {
            let work = container_of!(work, bindings::delayed_work, work);
            &*container_of!(Opaque::cast_from(work), Self, work)
        };
        {
            let mut asked = this.target.work.lock();

            if asked.work.is_null() {
                return;
            }
            // What is asked for from here on is.
            asked.timer = None;
        }
        this.runner.enter();
        let after = T::run(&this.data);
        this.runner.leave();
        if let Some(after) = after {
            this.target.run_again(after);
        }
    }
}

#[pinned_drop]
impl<T: Work> PinnedDrop for Inner<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, the work is initialized, and nobody asks for it any more. This
        // waits for a run that has begun.
        unsafe { bindings::disable_delayed_work_sync(self.work.get()) };
    }
}

#[kunit_tests(krdma_work)]
mod tests {
    use super::*;
    use kernel::{
        module::this_module,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Completion, //
        },
        time::delay::fsleep, //
    };

    /// Runs until it has so often.
    #[pin_data]
    struct Counter {
        often: u32,
        runs: Atomic<u32>,
        returned: Atomic<u32>,
        #[pin]
        begun: Completion,
        #[pin]
        done: Completion,
    }

    impl Work for Counter {
        fn run(this: &Arc<Self>) -> Option<Delta> {
            // OVERFLOW: It wraps.
            let runs = this.runs.fetch_add(1, Relaxed) + 1;

            this.begun.complete_all();
            fsleep(Delta::from_millis(5));
            this.returned.store(runs, Relaxed);
            if runs < this.often {
                return Some(Delta::from_millis(1));
            }
            this.done.complete_all();
            None
        }
    }

    fn counter(often: u32) -> Result<(Job<Counter>, Waker)> {
        let mut kept = None;
        let job = crate::new_job!(this_module::<crate::LocalModule>(), |waker| {
            kept = Some(waker);
            Arc::pin_init(
                pin_init!(Counter {
                    often,
                    runs: Atomic::new(0),
                    returned: Atomic::new(0),
                    begun <- Completion::new(),
                    done <- Completion::new(),
                }),
                GFP_KERNEL,
            )
        })?;

        Ok((job, kept.ok_or(EINVAL)?))
    }

    #[test]
    fn it_runs_again_as_often_as_it_wants() -> Result {
        let (job, waker) = counter(3)?;

        assert_eq!(job.data().runs.load(Relaxed), 0);
        waker.wake();
        job.data().done.wait_for_completion();
        assert_eq!(job.data().runs.load(Relaxed), 3);
        Ok(())
    }

    #[test]
    fn it_runs_after_a_time_or_sooner() -> Result {
        let (job, waker) = counter(1)?;

        waker.wake_after(Delta::from_millis(1));
        job.data().done.wait_for_completion();

        let (job, waker) = counter(1)?;
        waker.wake_after(Delta::from_secs(3600));
        waker.wake_after(Delta::from_secs(7200));
        waker.wake();
        job.data().done.wait_for_completion();
        Ok(())
    }

    /// Asks for itself after an hour, and then for sooner.
    #[pin_data]
    struct Early {
        waker: Waker,
        runs: Atomic<u32>,
        #[pin]
        done: Completion,
    }

    impl Work for Early {
        fn run(this: &Arc<Self>) -> Option<Delta> {
            // OVERFLOW: It wraps.
            match this.runs.fetch_add(1, Relaxed) {
                0 => {
                    this.waker.wake_after(Delta::from_secs(3600));
                    Some(Delta::from_millis(1))
                }
                _ => {
                    this.done.complete_all();
                    None
                }
            }
        }
    }

    #[test]
    fn it_runs_after_the_shorter_time() -> Result {
        let job = crate::new_job!(this_module::<crate::LocalModule>(), |waker| {
            Arc::pin_init(
                pin_init!(Early {
                    waker,
                    runs: Atomic::new(0),
                    done <- Completion::new(),
                }),
                GFP_KERNEL,
            )
        })?;

        job.wake();
        job.data().done.wait_for_completion();
        Ok(())
    }

    #[test]
    fn to_close_it_waits_for_it_and_ends_it() -> Result {
        let (job, waker) = counter(u32::MAX)?;
        let data = job.data().clone();

        job.wake();
        data.begun.wait_for_completion();
        job.close();
        let runs = data.runs.load(Relaxed);
        assert_eq!(data.returned.load(Relaxed), runs);

        waker.wake();
        fsleep(Delta::from_millis(20));
        assert_eq!(data.runs.load(Relaxed), runs);
        Ok(())
    }

    #[test]
    fn who_fails_to_make_the_data_has_no_job() {
        let owner = this_module::<crate::LocalModule>();
        let job: Result<Job<Counter>> = crate::new_job!(owner, |_| Err(EBUSY));

        assert!(job.is_err_and(|err| err == EBUSY));
    }

    /// Drops or closes its own job.
    #[pin_data]
    struct Suicide {
        #[pin]
        job: SpinLockIrq<Option<Job<Suicide>>>,
        close: bool,
        #[pin]
        done: Completion,
    }

    impl Work for Suicide {
        fn run(this: &Arc<Self>) -> Option<Delta> {
            let job = this.job.lock().take();

            match job {
                Some(job) if this.close => job.close(),
                job => drop(job),
            }
            this.done.complete_all();
            Some(Delta::from_millis(0))
        }
    }

    #[test]
    fn the_work_may_end_its_own_job() -> Result {
        for close in [false, true] {
            let job = crate::new_job!(this_module::<crate::LocalModule>(), |_| {
                Arc::pin_init(
                    pin_init!(Suicide {
                        job <- new_spinlock_irq!(None),
                        close,
                        done <- Completion::new(),
                    }),
                    GFP_KERNEL,
                )
            })?;
            let data = job.data().clone();

            *data.job.lock() = Some(job);
            if let Some(job) = &*data.job.lock() {
                job.wake();
            }
            data.done.wait_for_completion();
        }
        Ok(())
    }
}
