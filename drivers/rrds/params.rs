// SPDX-License-Identifier: GPL-2.0

//! The module's parameters.

use crate::module_parameters;
use rds_proto::consts;

/// The ports that peers connect to.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) v4: u16,
    pub(crate) v6: u16,
}

/// Returns the number of the address family in use.
pub(crate) fn family() -> u8 {
    module_parameters::family.value()
}

/// Returns the RC retry count to propose.
pub(crate) fn retry_count() -> u8 {
    module_parameters::rds_ib_retry_count
        .value()
        .min(consts::RETRY_COUNT_MAX)
}

/// Returns whether messages are carried by TCP, too.
pub(crate) fn tcp() -> bool {
    module_parameters::tcp.value() != 0
}

/// Returns the TCP port that peers connect to.
pub(crate) fn tcp_port() -> u16 {
    module_parameters::tcp_port.value()
}

/// Returns the ports that peers connect to.
pub(crate) fn ports() -> Ports {
    Ports {
        v4: module_parameters::port.value(),
        v6: module_parameters::port6.value(),
    }
}
