// SPDX-License-Identifier: GPL-2.0

//! RDS_INFO_*: lists for administrators, read by getsockopt (spec §4.10).

use crate::socket::Socket;
use kernel::prelude::*;
use krdma::net::{
    Open,
    OptionOut, //
};

/// The first number of a list.
pub(crate) const FIRST: i32 = 10000;
/// The last one.
pub(crate) const LAST: i32 = 10017;

/// Gives a list.
pub(crate) fn get(_sock: &Open<'_, Socket>, _name: i32, _value: &mut OptionOut<'_>) -> Result<i32> {
    Err(ENOPROTOOPT)
}
