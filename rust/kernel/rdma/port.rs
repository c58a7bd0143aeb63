// SPDX-License-Identifier: GPL-2.0

//! Ports of a device.
//!
//! # Counters
//!
//! What a port counts and other modules can read is in [`PortAttributes`]. The counters of
//! `/sys/class/infiniband/*/ports/*/hw_counters` are not among it: the RDMA core keeps them in
//! structures of its own (`hw_stats_data`), behind a lock that it does not export, and the drivers'
//! operations that fill them in (`get_hw_stats`) rely on that lock. Nor are those of `rdma statistic`:
//! to bind a counter to a queue pair, and to read it, is for netlink only (`rdma_counter_*`).
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use crate::{
    bindings,
    rdma::{
        Device,
        Lid,
        PKey, //
    },
};
use kernel::{
    error::to_result,
    fmt,
    prelude::*, //
};

/// A port of a registered device.
#[derive(Clone, Copy)]
pub struct Port<'a> {
    dev: &'a Device,
    number: u32,
}

impl Device {
    /// Returns the device's ports.
    ///
    /// Does not sleep.
    pub fn ports(&self) -> impl Iterator<Item = Port<'_>> {
        // SAFETY: By the type invariant, the device is valid. The functions read constants.
        let (first, last) = unsafe {
            (
                bindings::rdma_start_port(self.as_raw()),
                bindings::rdma_end_port(self.as_raw()),
            )
        };

        (first..=last).map(move |number| Port::new(self, number))
    }
}

impl<'a> Port<'a> {
    /// The caller has checked `number` against the device.
    pub(crate) fn new(dev: &'a Device, number: u32) -> Self {
        Self { dev, number }
    }

    /// Returns the device.
    #[inline]
    pub fn device(&self) -> &'a Device {
        self.dev
    }

    /// Returns the port's number, which counts from one (zero is the management port of a switch).
    #[inline]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Asks the driver for the port's present attributes.
    pub fn query(&self) -> Result<PortAttributes> {
        let mut attr: bindings::ib_port_attr = pin_init::zeroed();

        // SAFETY: `dev` is registered, and `attr` is valid for writes.
        to_result(unsafe { bindings::ib_query_port(self.dev.as_raw(), self.number, &mut attr) })?;
        Ok(PortAttributes(attr))
    }

    /// Returns the link layer that the port's addresses belong to.
    ///
    /// Does not sleep.
    pub fn link_layer(&self) -> LinkLayer {
        // SAFETY: `dev` is registered. The function reads constants of the driver.
        let raw = unsafe { bindings::rdma_port_get_link_layer(self.dev.as_raw(), self.number) };

        match raw {
            bindings::rdma_link_layer_IB_LINK_LAYER_INFINIBAND => LinkLayer::InfiniBand,
            bindings::rdma_link_layer_IB_LINK_LAYER_ETHERNET => LinkLayer::Ethernet,
            _ => LinkLayer::Unspecified,
        }
    }

    /// Returns whether the port speaks iWARP, which queue pairs of this crate can't be made for: see
    /// [`Qp::new`](crate::rdma::Qp::new).
    ///
    /// Does not sleep.
    pub fn is_iwarp(&self) -> bool {
        // SAFETY: `dev` is registered, and `number` was checked against it. The function reads a constant of
        // the driver.
        unsafe { bindings::rdma_protocol_iwarp(self.dev.as_raw(), self.number) }
    }

    /// Asks the driver for the P_Key with this index of the port's table.
    ///
    /// Errors: [`EINVAL`] if the table has no such index.
    pub fn pkey(&self, index: u16) -> Result<PKey> {
        let mut pkey = 0;

        // SAFETY: `dev` is registered, and `pkey` is valid for writes.
        to_result(unsafe {
            bindings::ib_query_pkey(self.dev.as_raw(), self.number, index, &mut pkey)
        })?;
        Ok(PKey::new(pkey))
    }
}

/// The link layer under a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// The driver does not say.
    Unspecified,
    /// InfiniBand: LIDs and a subnet manager.
    InfiniBand,
    /// Ethernet: RoCE and iWARP.
    Ethernet,
}

/// As the RDMA tools name them.
impl fmt::Display for LinkLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "Unspecified",
            Self::InfiniBand => "InfiniBand",
            Self::Ethernet => "Ethernet",
        })
    }
}

/// The logical state of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortState {
    /// No change: of use in requests to change the state only.
    Nop,
    /// The link is down.
    Down,
    /// The link is up; the subnet manager has not configured the port.
    Init,
    /// Configured; data is not transmitted yet.
    Armed,
    /// Ready for data.
    Active,
    /// Active, with the link failing.
    ActiveDefer,
    /// A state that this crate does not know.
    Unknown(u32),
}

impl PortState {
    fn from_raw(raw: bindings::ib_port_state) -> Self {
        match raw {
            bindings::ib_port_state_IB_PORT_NOP => Self::Nop,
            bindings::ib_port_state_IB_PORT_DOWN => Self::Down,
            bindings::ib_port_state_IB_PORT_INIT => Self::Init,
            bindings::ib_port_state_IB_PORT_ARMED => Self::Armed,
            bindings::ib_port_state_IB_PORT_ACTIVE => Self::Active,
            bindings::ib_port_state_IB_PORT_ACTIVE_DEFER => Self::ActiveDefer,
            raw => Self::Unknown(raw),
        }
    }
}

/// As the RDMA tools name them.
impl fmt::Display for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nop => f.write_str("PORT_NOP"),
            Self::Down => f.write_str("PORT_DOWN"),
            Self::Init => f.write_str("PORT_INIT"),
            Self::Armed => f.write_str("PORT_ARMED"),
            Self::Active => f.write_str("PORT_ACTIVE"),
            Self::ActiveDefer => f.write_str("PORT_ACTIVE_DEFER"),
            Self::Unknown(raw) => write!(f, "invalid state ({raw})"),
        }
    }
}

/// The largest payload of one packet on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtu(u32);

impl Mtu {
    pub(crate) fn from_raw(raw: bindings::ib_mtu) -> Self {
        Self(match raw {
            bindings::ib_mtu_IB_MTU_256 => 256,
            bindings::ib_mtu_IB_MTU_512 => 512,
            bindings::ib_mtu_IB_MTU_1024 => 1024,
            bindings::ib_mtu_IB_MTU_2048 => 2048,
            bindings::ib_mtu_IB_MTU_4096 => 4096,
            _ => 0,
        })
    }

    /// Returns the MTU in bytes; zero if the driver reported none that is defined.
    #[inline]
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a driver reported of a port at one moment.
pub struct PortAttributes(bindings::ib_port_attr);

impl PortAttributes {
    /// Returns the logical state.
    pub fn state(&self) -> PortState {
        PortState::from_raw(self.0.state)
    }

    /// Returns the largest MTU that the port can have.
    pub fn max_mtu(&self) -> Mtu {
        Mtu::from_raw(self.0.max_mtu)
    }

    /// Returns the MTU in force.
    pub fn active_mtu(&self) -> Mtu {
        Mtu::from_raw(self.0.active_mtu)
    }

    /// Returns the number of entries of the GID table, used or not.
    pub fn gid_table_len(&self) -> u32 {
        u32::try_from(self.0.gid_tbl_len).unwrap_or(0)
    }

    /// Returns the number of entries of the P_Key table, used or not.
    pub fn pkey_table_len(&self) -> u16 {
        self.0.pkey_tbl_len
    }

    /// Returns the largest message in bytes.
    pub fn max_message_size(&self) -> u32 {
        self.0.max_msg_sz
    }

    /// Returns how many datagrams had another Q_Key than the queue pair that they were for.
    ///
    /// It stops counting at 65535, where the device counts at all.
    pub fn qkey_violations(&self) -> u32 {
        self.0.qkey_viol_cntr
    }

    /// Returns how many packets had a P_Key that the port does not have. See
    /// [`qkey_violations`](Self::qkey_violations).
    pub fn pkey_violations(&self) -> u32 {
        self.0.bad_pkey_cntr
    }

    /// Returns the port's LID.
    pub fn lid(&self) -> Lid {
        Lid::new(self.0.lid)
    }

    /// Returns the number of low bits of the LID that the port ignores.
    pub fn lmc(&self) -> u8 {
        self.0.lmc
    }

    /// Returns the LID of the subnet manager.
    pub fn sm_lid(&self) -> Lid {
        Lid::new(self.0.sm_lid)
    }
}

#[kunit_tests(krdma_port)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_c() {
        assert_eq!(PortState::from_raw(1), PortState::Down);
        assert_eq!(PortState::from_raw(4), PortState::Active);
        assert_eq!(PortState::from_raw(17), PortState::Unknown(17));
    }

    #[test]
    fn mtus_are_in_bytes() {
        let bytes = [1, 2, 3, 4, 5].map(|raw| Mtu::from_raw(raw).bytes());

        assert_eq!(bytes, [256, 512, 1024, 2048, 4096]);
        assert_eq!(Mtu::from_raw(0).bytes(), 0);
        assert_eq!(Mtu::from_raw(6).bytes(), 0);
    }
}
