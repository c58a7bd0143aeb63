// SPDX-License-Identifier: GPL-2.0

//! The requests that are in a shared receive queue.

use core::ptr;
use kernel::sync::SpinLockIrq;

/// The place of a request in the list of those in a shared receive queue.
///
/// The hardware says nothing of the requests that are left in a queue when it is destroyed, so they
/// are listed.
pub(crate) struct Posted {
    prev: *mut Posted,
    next: *mut Posted,
    /// The list, or null.
    list: *const SpinLockIrq<List>,
}

/// The requests. Handlers take theirs out, in softirq context too.
pub(super) struct List {
    head: *mut Posted,
    len: u32,
    /// The queue goes: nothing is posted any more.
    shut: bool,
}

// SAFETY: The pointers are to requests that the list owns, which are `Send`.
unsafe impl Send for List {}

impl List {
    /// There are no requests.
    pub(super) const fn new() -> Self {
        Self {
            head: ptr::null_mut(),
            len: 0,
            shut: false,
        }
    }

    /// Returns the place of one of the requests, or null if there are none.
    pub(super) fn head(&self) -> *mut Posted {
        self.head
    }

    /// Returns the number of requests.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Notes that the queue goes.
    pub(super) fn shut(&mut self) {
        self.shut = true;
    }

    /// Returns whether the queue goes.
    pub(super) fn is_shut(&self) -> bool {
        self.shut
    }
}

impl Posted {
    /// The place of a request that is in no list.
    pub(crate) const fn new() -> Self {
        Self {
            prev: ptr::null_mut(),
            next: ptr::null_mut(),
            list: ptr::null(),
        }
    }

    /// Enters a request in a list.
    ///
    /// # Safety
    ///
    /// `this` must be valid and in no list, and be removed before it or `list` go. `guard` must be of
    /// `list`.
    pub(super) unsafe fn insert(this: *mut Self, list: &SpinLockIrq<List>, guard: &mut List) {
        // SAFETY: The lock protects the links of all that are in the list; `this` is the caller's.
        unsafe {
            (*this).list = list;
            (*this).prev = ptr::null_mut();
            (*this).next = guard.head;
            if !guard.head.is_null() {
                (*guard.head).prev = this;
            }
        }
        guard.head = this;
        // OVERFLOW: There is not room for that many.
        guard.len = guard.len.wrapping_add(1);
    }

    /// Takes a request out of the list that it is in, if any.
    ///
    /// # Safety
    ///
    /// `this` must be valid, and the caller must own the request.
    pub(crate) unsafe fn remove(this: *mut Self) {
        // SAFETY: `this` is valid. Only its owner changes `list`.
        let list = unsafe { (*this).list };
        if list.is_null() {
            return;
        }

        // SAFETY: A list outlives what is in it.
        let mut guard = unsafe { &*list }.lock();
        // SAFETY: The lock protects the links.
        unsafe {
            if (*this).prev.is_null() {
                guard.head = (*this).next;
            } else {
                (*(*this).prev).next = (*this).next;
            }
            if !(*this).next.is_null() {
                (*(*this).next).prev = (*this).prev;
            }
            (*this).list = ptr::null();
        }
        guard.len = guard.len.wrapping_sub(1);
    }
}
