// SPDX-License-Identifier: GPL-2.0

//! The checks, by what they are about.

mod atomics;
mod bytes;
mod death;
mod errors;
mod keys;
mod limits;
mod notices;
mod order;
mod random;
mod raw;

use crate::table::Table;

/// All of them. The last one looks whether memory is still pinned.
pub fn all() -> Table {
    let mut table = Table::default();
    bytes::add(&mut table);
    atomics::add(&mut table);
    keys::add(&mut table);
    order::add(&mut table);
    notices::add(&mut table);
    random::add(&mut table);
    errors::add(&mut table);
    death::add(&mut table);
    limits::add(&mut table);
    table
}
