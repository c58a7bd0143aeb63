// SPDX-License-Identifier: GPL-2.0

//! The services of queue pairs, as types.
//!
//! What a service does not have is not there for its type: a read on a queue pair for datagrams does not
//! compile. In C it would be up to the driver, and not each refuses it.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`enum ib_qp_type`)

use crate::bindings;

/// The service that a queue pair gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QpType {
    /// Reliable connection.
    Rc,
    /// Unreliable connection.
    Uc,
    /// Unreliable datagrams.
    Ud,
    /// The general services interface, queue pair 1.
    Gsi,
}

impl QpType {
    /// Returns whether each message needs an address.
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Ud | Self::Gsi)
    }

    pub(crate) fn as_raw(self) -> bindings::ib_qp_type {
        match self {
            Self::Rc => bindings::ib_qp_type_IB_QPT_RC,
            Self::Uc => bindings::ib_qp_type_IB_QPT_UC,
            Self::Ud => bindings::ib_qp_type_IB_QPT_UD,
            Self::Gsi => bindings::ib_qp_type_IB_QPT_GSI,
        }
    }
}

/// Nobody else makes services.
mod sealed {
    pub trait Sealed {}
}

/// A service, as a type.
pub trait Service: sealed::Sealed + Send + Sync + 'static {
    /// The same as a value.
    const TYPE: QpType;
}

/// A service that connects two queue pairs: messages, and writes to the peer's memory.
pub trait Connected: Service {}

/// A service that tells what became of each request: reads, atomic operations, and the registration of
/// memory too.
pub trait Reliable: Connected {}

/// A service whose messages have an address each.
pub trait Datagram: Service {}

/// Reliable connection: [`QpType::Rc`].
pub enum Rc {}

/// Unreliable connection: [`QpType::Uc`].
pub enum Uc {}

/// Unreliable datagrams: [`QpType::Ud`].
pub enum Ud {}

/// The general services interface: [`QpType::Gsi`].
pub enum Gsi {}

/// A service that is not known where the program is compiled. Nothing can be sent by it.
pub enum Any {}

impl sealed::Sealed for Rc {}
impl sealed::Sealed for Uc {}
impl sealed::Sealed for Ud {}
impl sealed::Sealed for Gsi {}

impl Service for Rc {
    const TYPE: QpType = QpType::Rc;
}

impl Service for Uc {
    const TYPE: QpType = QpType::Uc;
}

impl Service for Ud {
    const TYPE: QpType = QpType::Ud;
}

impl Service for Gsi {
    const TYPE: QpType = QpType::Gsi;
}

impl Connected for Rc {}
impl Connected for Uc {}
impl Reliable for Rc {}
impl Datagram for Ud {}
impl Datagram for Gsi {}
