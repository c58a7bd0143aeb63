// SPDX-License-Identifier: GPL-2.0

//! The rows, by what they call.

mod address;
mod create;
mod full;
mod lend;
mod options;
mod receive;
mod send;

use crate::table::Table;

/// Those that need TCP.
pub fn tcp() -> Table {
    let mut table = Table::default();
    lend::add(&mut table);
    table
}

/// All others.
pub fn all() -> Table {
    let mut table = Table::default();
    create::add(&mut table);
    address::add(&mut table);
    send::add(&mut table);
    receive::add(&mut table);
    full::add(&mut table);
    options::add(&mut table);
    table
}
