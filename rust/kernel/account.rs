// SPDX-License-Identifier: GPL-2.0

//! What each module has in use.
//!
//! Each object of this crate that C may call, and each whose drop is pending, belongs to the module that
//! it was made for: it holds a [`Charge`] to the account of that module. When a module goes, after its
//! exit has run and before its code is freed, krdma waits until its account is empty. So it does not
//! matter who drops an object, when, and in what context; one that was forgotten keeps the module.
//!
//! A reference to the module would not do. The module's exit is what drops most of its objects, and while
//! there is such a reference it is not called.

use crate::{
    bindings,
    callback::Callbacks, //
};
use core::ptr;
use kernel::{
    num::casts::u32_as_usize,
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
        global_lock,
        Arc, //
    },
    time::{
        delay::fsleep,
        msecs_to_jiffies,
        Delta, //
    },
    types::Opaque, //
};

/// How often it is said that a module can't go.
const PATIENCE_MS: u32 = 10_000;

/// The account of one module.
#[pin_data]
struct Account {
    /// Whose it is; an address to compare with only.
    module: *const bindings::module,
    /// The charges that exist, and one more until the module goes. It never leaves zero.
    charges: Atomic<usize>,
    /// Objects that were given to the reaper and are not gone.
    pending: Atomic<usize>,
    /// Is complete when there are none.
    #[pin]
    empty: Opaque<bindings::completion>,
    #[pin]
    callbacks: Callbacks,
}

// SAFETY: The address is compared only; the rest may be used by any thread.
unsafe impl Send for Account {}

// SAFETY: As above.
unsafe impl Sync for Account {}

global_lock! {
    // SAFETY: `init` is called before the crate's other code.
    unsafe(uninit) static ACCOUNTS: Mutex<KVec<Arc<Account>>> = KVec::new();
}

/// Prepares the table of the accounts.
///
/// # Safety
///
/// Must be called once, before anything else of this crate.
pub(crate) unsafe fn init() {
    // SAFETY: By the function's requirements.
    unsafe { ACCOUNTS.init() };
}

/// Frees the table, when no module is left that has one but krdma.
pub(crate) fn exit() {
    *ACCOUNTS.lock() = KVec::new();
}

/// Counts one object of a module. As long as it exists, the module's code is not freed.
///
/// # Invariants
///
/// It is one of those that `charges` of the account counts.
pub(crate) struct Charge(Arc<Account>);

impl Charge {
    /// Counts an object for a module.
    ///
    /// Errors: [`ENOMEM`]; [`ESHUTDOWN`] if the module has gone.
    ///
    /// Sleeps.
    pub(crate) fn to(module: &'static ThisModule) -> Result<Self> {
        let mut accounts = ACCOUNTS.lock();

        if let Some(account) = find(&accounts, module.as_ptr()) {
            return Self::add(account.clone()).ok_or(ESHUTDOWN);
        }
        accounts.reserve(1, GFP_KERNEL)?;
        let account = Account::new(module.as_ptr())?;
        let charge = Self::add(account.clone()).ok_or(ESHUTDOWN)?;
        accounts.push(account, GFP_KERNEL)?;
        Ok(charge)
    }

    fn add(account: Arc<Account>) -> Option<Self> {
        let mut charges = account.charges.load(Relaxed);

        while charges != 0 {
            // OVERFLOW: There are less than there are objects in memory.
            match account
                .charges
                .cmpxchg(charges, charges.wrapping_add(1), Acquire)
            {
                // INVARIANT: It was counted.
                Ok(_) => return Some(Self(account)),
                Err(now) => charges = now,
            }
        }
        None
    }

    /// Notes that the object is given to the reaper. Any context.
    pub(crate) fn give(&self) {
        // OVERFLOW: There are no more than charges.
        self.0.pending.fetch_add(1, Relaxed);
    }

    /// Notes that the object that was given to the reaper is gone.
    pub(crate) fn reaped(&self) {
        // All that was done before is seen by who sees zero.
        self.0.pending.fetch_sub(1, Release);
    }

    /// Returns the callbacks of the module that run.
    pub(crate) fn callbacks(&self) -> &Callbacks {
        &self.0.callbacks
    }
}

impl Clone for Charge {
    fn clone(&self) -> Self {
        // OVERFLOW: As in `add`.
        self.0.charges.fetch_add(1, Relaxed);
        // INVARIANT: It was counted; as `self` is there, the count was positive.
        Self(self.0.clone())
    }
}

impl Drop for Charge {
    // Not a copy of the module's: the account may get empty by this.
    #[inline(never)]
    fn drop(&mut self) {
        self.0.uncharge();
    }
}

impl Account {
    fn new(module: *const bindings::module) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                module,
                charges: Atomic::new(1),
                pending: Atomic::new(0),
                empty <- Opaque::ffi_init(|slot| {
                    // SAFETY: `slot` is valid for writes, and pinned.
                    unsafe { bindings::init_completion(slot) };
                }),
                callbacks <- Callbacks::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes one from the count. Any context.
    fn uncharge(&self) {
        // All that was done before is seen by who sees zero.
        if self.charges.fetch_sub(1, Full) == 1 {
            // SAFETY: The completion was initialized.
            unsafe { bindings::complete_all(self.empty.get()) };
        }
    }

    /// Waits until there is no charge, other than the one that is given up here. To be called once.
    fn close(&self, name: &CStr) {
        self.uncharge();
        while !self.is_empty_within(PATIENCE_MS) {
            pr_warn!(
                "waiting for {} to give up what it has made: {} left\n",
                name,
                self.charges.load(Relaxed)
            );
        }
    }

    /// Waits so long, at most, until there is no charge. Returns whether that is so.
    fn is_empty_within(&self, ms: u32) -> bool {
        // SAFETY: The completion was initialized.
        let left = unsafe {
            bindings::wait_for_completion_timeout(self.empty.get(), msecs_to_jiffies(ms))
        };

        left != 0
    }
}

fn find(accounts: &KVec<Arc<Account>>, module: *const bindings::module) -> Option<&Arc<Account>> {
    accounts
        .iter()
        .find(|account| ptr::eq(account.module, module))
}

/// Waits until all that was dropped of what was made for a module is gone, and what that has dropped.
///
/// In a callback of the connection manager or of a device's events, which what is dropped may have to wait
/// for, this returns at once.
///
/// Sleeps. Must not be called by another handler of an object that was dropped, nor with a lock that one
/// takes.
pub fn settle(owner: &'static ThisModule) {
    let Some(account) = find(&ACCOUNTS.lock(), owner.as_ptr()).cloned() else {
        return;
    };

    if account.callbacks.are_current() {
        return;
    }
    // The acquire pairs with the release of each that is gone.
    while account.pending.load(Acquire) != 0 {
        fsleep(Delta::from_millis(1));
    }
}

/// Called when a module comes or goes: after its exit has run and before its code is freed.
///
/// # Safety
///
/// To be called by the module loader only.
pub(crate) unsafe extern "C" fn on_module(
    _notifier: *mut bindings::notifier_block,
    action: c_ulong,
    module: *mut c_void,
) -> c_int {
    if action != u32_as_usize(bindings::module_state_MODULE_STATE_GOING) {
        return 0; // NOTIFY_DONE
    }
    let module = module.cast_const().cast::<bindings::module>();
    let Some(account) = find(&ACCOUNTS.lock(), module).cloned() else {
        return 0;
    };

    // SAFETY: The loader calls with a module that exists. Its name is a string, and constant.
    let name = unsafe { CStr::from_char_ptr((&raw const (*module).name).cast()) };
    // The account stays in the table meanwhile: callbacks may make new objects.
    account.close(name);
    ACCOUNTS
        .lock()
        .retain(|other| !Arc::ptr_eq(other, &account));
    0
}

#[kunit_tests(krdma_account)]
mod tests {
    use super::*;
    use kernel::module::this_module;

    #[test]
    fn a_module_has_one_account() -> Result {
        let (one, two) = (
            Charge::to(this_module::<crate::LocalModule>())?,
            Charge::to(this_module::<crate::LocalModule>())?,
        );

        assert!(Arc::ptr_eq(&one.0, &two.0));
        assert!(Arc::ptr_eq(&one.0, &two.clone().0));
        Ok(())
    }

    #[test]
    fn who_closes_it_waits_for_each_charge() -> Result {
        let account = Account::new(ptr::null())?;
        let first = Charge::add(account.clone()).ok_or(EINVAL)?;
        let second = first.clone();

        assert_eq!(account.charges.load(Relaxed), 3);
        drop(first);
        drop(second);
        assert_eq!(account.charges.load(Relaxed), 1);
        account.close(c"nobody");
        Ok(())
    }

    #[test]
    fn an_account_that_is_empty_takes_no_more() -> Result {
        let account = Account::new(ptr::null())?;

        account.close(c"nobody");
        assert!(Charge::add(account).is_none());
        Ok(())
    }

    #[test]
    fn what_is_pending_for_one_module_holds_up_no_other() -> Result {
        let (one, other) = (Account::new(ptr::null())?, Account::new(ptr::null())?);
        let charge = Charge::add(one.clone()).ok_or(EINVAL)?;

        charge.give();
        assert_eq!(other.pending.load(Relaxed), 0);
        other.uncharge();
        assert!(other.is_empty_within(0));
        // The one waits for it.
        one.uncharge();
        assert!(!one.is_empty_within(0));
        charge.reaped();
        drop(charge);
        assert!(one.is_empty_within(0));
        Ok(())
    }

    /// A value that can't be made.
    #[pin_data]
    struct Never {
        _nothing: (),
    }

    #[test]
    fn a_value_that_fails_is_charged_to_nobody() -> Result {
        let account = Account::new(ptr::null())?;
        let charge = Charge::add(account.clone()).ok_or(EINVAL)?;
        let fails = try_pin_init!(Never {
            _nothing: Err::<(), Error>(EBUSY)?,
        }? Error);

        assert!(charge.defer(fails).is_err_and(|err| err == EBUSY));
        // The account's own, and ours.
        assert_eq!(account.charges.load(Relaxed), 2);
        Ok(())
    }
}
