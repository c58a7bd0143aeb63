// SPDX-License-Identifier: GPL-2.0

//! The way to a peer: path records.
//!
//! C header: [`include/rdma/ib_sa.h`](srctree/include/rdma/ib_sa.h)

use crate::{
    bindings,
    rdma::{
        gid::GidType,
        port::Mtu,
        Gid,
        Lid,
        PKey, //
    },
};
use kernel::prelude::*;

/// A path record: what a subnet says of the way between two ports.
///
/// On RoCE there is no subnet manager that would say it: the record is made of the routing table and
/// the network interface.
#[derive(Clone)]
pub struct Path(bindings::sa_path_rec);

impl Path {
    pub(super) fn new(raw: &bindings::sa_path_rec) -> Self {
        Self(*raw)
    }

    /// Returns the GID of the local port.
    pub fn source_gid(&self) -> Gid {
        Gid::from_raw(&self.0.sgid)
    }

    /// Returns the GID of the peer's port.
    pub fn destination_gid(&self) -> Gid {
        Gid::from_raw(&self.0.dgid)
    }

    /// Returns the LID of the local port; [`Lid::RESERVED`] on RoCE.
    pub fn source_lid(&self) -> Lid {
        let raw = &self.0.__bindgen_anon_1;

        match self.0.rec_type {
            // SAFETY: The type says which member is in use; all are plain integers.
            bindings::sa_path_rec_type_SA_PATH_REC_TYPE_IB => unsafe {
                Lid::new(u16::from_be(raw.ib.slid).into())
            },
            // SAFETY: As above.
            bindings::sa_path_rec_type_SA_PATH_REC_TYPE_OPA => unsafe {
                Lid::new(u32::from_be(raw.opa.slid))
            },
            _ => Lid::RESERVED,
        }
    }

    /// Returns the LID of the peer's port; [`Lid::RESERVED`] on RoCE.
    pub fn destination_lid(&self) -> Lid {
        let raw = &self.0.__bindgen_anon_1;

        match self.0.rec_type {
            // SAFETY: The type says which member is in use; all are plain integers.
            bindings::sa_path_rec_type_SA_PATH_REC_TYPE_IB => unsafe {
                Lid::new(u16::from_be(raw.ib.dlid).into())
            },
            // SAFETY: As above.
            bindings::sa_path_rec_type_SA_PATH_REC_TYPE_OPA => unsafe {
                Lid::new(u32::from_be(raw.opa.dlid))
            },
            _ => Lid::RESERVED,
        }
    }

    /// Returns what network the path is in.
    pub fn gid_type(&self) -> GidType {
        match self.0.rec_type {
            bindings::sa_path_rec_type_SA_PATH_REC_TYPE_ROCE_V1 => GidType::RoceV1,
            bindings::sa_path_rec_type_SA_PATH_REC_TYPE_ROCE_V2 => GidType::RoceV2,
            _ => GidType::Ib,
        }
    }

    /// Returns whether the path is in an Ethernet (RoCE of either version).
    pub fn is_roce(&self) -> bool {
        matches!(self.gid_type(), GidType::RoceV1 | GidType::RoceV2)
    }

    /// Returns the Ethernet address of the next hop, on RoCE.
    pub fn destination_mac(&self) -> Option<[u8; 6]> {
        if !self.is_roce() {
            return None;
        }
        // SAFETY: The type says that this member is in use; it is initialized as a whole.
        Some(unsafe { self.0.__bindgen_anon_1.roce.dmac })
    }

    /// Returns the partition.
    pub fn pkey(&self) -> PKey {
        PKey::new(u16::from_be(self.0.pkey))
    }

    /// Returns the service level.
    pub fn service_level(&self) -> u8 {
        self.0.sl
    }

    /// Returns the largest MTU that the path carries.
    pub fn mtu(&self) -> Mtu {
        Mtu::from_raw(self.0.mtu.into())
    }

    /// Returns the number of routers that a packet may cross.
    pub fn hop_limit(&self) -> u8 {
        self.0.hop_limit
    }

    /// Returns the traffic class; on RoCE version 2 the type of service.
    pub fn traffic_class(&self) -> u8 {
        self.0.traffic_class
    }

    /// Returns the flow label.
    pub fn flow_label(&self) -> u32 {
        u32::from_be(self.0.flow_label)
    }

    /// Returns how long a packet may live, as `t` of 4.096 µs · 2^t.
    pub fn packet_life_time(&self) -> u8 {
        self.0.packet_life_time
    }
}

#[kunit_tests(krdma_cm_path)]
mod tests {
    use super::*;

    #[test]
    fn lids_are_where_the_type_says() {
        let mut raw: bindings::sa_path_rec = pin_init::zeroed();

        raw.rec_type = bindings::sa_path_rec_type_SA_PATH_REC_TYPE_IB;
        raw.__bindgen_anon_1.ib.dlid = 0x12_u16.to_be();
        raw.__bindgen_anon_1.ib.slid = 0x34_u16.to_be();
        raw.pkey = 0x8001_u16.to_be();
        let path = Path::new(&raw);
        assert_eq!(path.destination_lid(), Lid::new(0x12));
        assert_eq!(path.source_lid(), Lid::new(0x34));
        assert_eq!(path.pkey(), PKey::new(0x8001));
        assert!(path.destination_mac().is_none());

        raw.rec_type = bindings::sa_path_rec_type_SA_PATH_REC_TYPE_ROCE_V2;
        let path = Path::new(&raw);
        assert!(path.is_roce());
        assert_eq!(path.destination_lid(), Lid::RESERVED);
    }
}
