// SPDX-License-Identifier: GPL-2.0

//! Sysctls of a network namespace.
//!
//! They are [`Number`]s in what there is for each namespace, see
//! [`PerNamespace::sysctls`](super::pernet::PerNamespace::sysctls). Who is in the namespace finds them
//! below `/proc/sys`.
//!
//! C headers: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h),
//! [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use super::namespace::NewNamespace;
use crate::bindings;
use core::{
    mem::size_of,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic,
            AtomicType, //
        },
        Arc, //
    },
};

/// A number that can be read and set, within limits.
///
/// The limits hold for who sets it by the sysctl.
pub struct Number<N: AtomicType> {
    value: Atomic<N>,
    min: N,
    max: N,
}

/// Implements what is the same for each type.
macro_rules! number {
    ($type:ty) => {
        impl Number<$type> {
            /// Creates a number with limits, both of which it may be.
            pub const fn new(value: $type, min: $type, max: $type) -> Self {
                Self {
                    value: Atomic::new(value),
                    min,
                    max,
                }
            }

            /// Returns the value.
            #[inline]
            pub fn get(&self) -> $type {
                self.value.load(Relaxed)
            }
        }
    };
}

number!(u32);
number!(usize);

/// Where a number is in a struct of values.
pub enum Field<V> {
    /// A 32-bit number.
    U32(fn(&V) -> &Number<u32>),
    /// Like [`Field::U32`], and nobody can set it.
    Fixed(fn(&V) -> &Number<u32>),
    /// A number of the size of a register.
    Usize(fn(&V) -> &Number<usize>),
    /// Like [`Field::Usize`], and not above a second number of the struct.
    NotAbove(fn(&V) -> &Number<usize>, fn(&V) -> &Number<usize>),
    /// Like [`Field::Usize`], and not below a second number of the struct.
    NotBelow(fn(&V) -> &Number<usize>, fn(&V) -> &Number<usize>),
}

/// A folder of sysctls: its path, such as `net/example`, and what is in it.
pub struct Folder<V: 'static>(pub &'static CStr, pub &'static [Entry<V>]);

/// A sysctl: its name and its number.
pub struct Entry<V>(pub &'static CStr, pub Field<V>);

impl<V> Entry<V> {
    /// Returns the C form of the entry.
    ///
    /// It has pointers to the numbers, through which C writes the values.
    fn raw(&self, values: &V) -> bindings::ctl_table {
        let mut raw = bindings::ctl_table {
            procname: self.0.as_char_ptr(),
            mode: 0o644,
            ..pin_init::zeroed()
        };

        match &self.1 {
            Field::U32(get) | Field::Fixed(get) => {
                let number = get(values);

                raw.data = number.value.as_ptr().cast();
                raw.maxlen = size_of::<u32>() as c_int;
                raw.proc_handler = Some(bindings::proc_douintvec_minmax);
                raw.extra1 = ptr::from_ref(&number.min).cast_mut().cast();
                raw.extra2 = ptr::from_ref(&number.max).cast_mut().cast();
            }
            Field::Usize(get) | Field::NotAbove(get, _) | Field::NotBelow(get, _) => {
                let number = get(values);

                raw.data = number.value.as_ptr().cast();
                raw.maxlen = size_of::<usize>() as c_int;
                raw.proc_handler = Some(bindings::proc_doulongvec_minmax);
                raw.extra1 = ptr::from_ref(&number.min).cast_mut().cast();
                raw.extra2 = ptr::from_ref(&number.max).cast_mut().cast();
            }
        }
        match &self.1 {
            Field::NotAbove(_, other) => raw.extra2 = other(values).value.as_ptr().cast(),
            Field::NotBelow(_, other) => raw.extra1 = other(values).value.as_ptr().cast(),
            Field::Fixed(_) => raw.mode = 0o444,
            _ => {}
        }
        raw
    }
}

/// Sysctls that are registered.
///
/// # Invariants
///
/// `header` is registered with `_entries`, which point to numbers of `_values`. The namespace that it
/// is registered in exists.
pub(super) struct Table<V: Send + Sync + 'static> {
    header: NonNull<bindings::ctl_table_header>,
    _entries: KVec<bindings::ctl_table>,
    _values: Arc<V>,
}

// SAFETY: A table may be unregistered by any thread, and so may the values be dropped.
unsafe impl<V: Send + Sync + 'static> Send for Table<V> {}

// SAFETY: Nothing can be done through `&self`.
unsafe impl<V: Send + Sync + 'static> Sync for Table<V> {}

impl<V: Send + Sync + 'static> Table<V> {
    /// Registers a folder of numbers of `values` in a namespace.
    ///
    /// Errors: [`ENOMEM`], also if there are such sysctls already. Sleeps.
    ///
    /// # Safety
    ///
    /// The table must be dropped before the namespace goes.
    pub(super) unsafe fn new(
        ns: NewNamespace<'_>,
        folder: &Folder<V>,
        values: Arc<V>,
    ) -> Result<Self> {
        let Folder(path, entries) = folder;
        let mut raw = KVec::with_capacity(entries.len(), GFP_KERNEL)?;
        for entry in *entries {
            raw.push(entry.raw(&values), GFP_KERNEL)?;
        }

        // SAFETY: The entries, and the numbers that they point to, stay until the table is
        // unregistered: nobody has the values exclusively as long as we share them.
        let header = unsafe {
            bindings::register_net_sysctl_sz(
                ns.as_raw(),
                path.as_char_ptr(),
                raw.as_ptr(),
                raw.len(),
            )
        };

        // INVARIANT: It was registered.
        Ok(Self {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _entries: raw,
            _values: values,
        })
    }
}

impl<V: Send + Sync + 'static> Drop for Table<V> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the table is registered. Who uses it is waited for.
        unsafe { bindings::unregister_net_sysctl_table(self.header.as_ptr()) };
    }
}
