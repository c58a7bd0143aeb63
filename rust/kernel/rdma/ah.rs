// SPDX-License-Identifier: GPL-2.0

//! Address handles: the ways to peers of unconnected queue pairs.
//!
//! An [`AhAttr`] tells a way, an [`Ah`] is one that the device knows. Attributes are made of what is
//! known of the fabric, or come from the connection manager
//! ([`Datagram::ah_attr`](crate::rdma::cm::Datagram::ah_attr)).
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

mod reply;

use crate::{
    bindings,
    rdma::{
        Device,
        Gid,
        Lid,
        Pd, //
    },
    reaper::Deferred,
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::Arc, //
};

/// The way to a port, or to a multicast group.
///
/// It is plain data. The source is an index of the port's GID table, which is looked up when the way
/// is used: by then another GID may have got the index, or none have it.
///
/// # Invariants
///
/// `grh.sgid_attr` of `raw`, which is a counted reference where C holds one, is null.
#[derive(Clone, Copy)]
pub struct AhAttr {
    raw: bindings::rdma_ah_attr,
}

/// The part of a way that leads through routers; on RoCE all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalRoute {
    /// The GID of the destination, or of a multicast group.
    pub dgid: Gid,
    /// The index of the source in the port's GID table.
    pub sgid_index: u8,
    /// The label of the flow: 20 bits.
    pub flow_label: u32,
    /// How many routers may be crossed.
    pub hop_limit: u8,
    /// The class of the traffic (the DS field and ECN, on RoCE).
    pub traffic_class: u8,
}

impl AhAttr {
    /// The way to a port with this LID in the same InfiniBand subnet.
    pub fn infiniband(port: u32, dlid: Lid, service_level: u8) -> Result<Self> {
        let mut raw: bindings::rdma_ah_attr = pin_init::zeroed();

        raw.type_ = bindings::rdma_ah_attr_type_RDMA_AH_ATTR_TYPE_IB;
        raw.port_num = port;
        raw.sl = service_level;
        raw.__bindgen_anon_1.ib.dlid = u16::try_from(dlid.as_u32()).map_err(|_| EINVAL)?;
        // INVARIANT: All that was not set is zero.
        Ok(Self { raw })
    }

    /// The way to a port with this GID, over an Ethernet station (the port itself, or a router).
    ///
    /// The RDMA core looks for the station of a GID that is not link-local or multicast by itself when
    /// a queue pair is to be connected, and takes `mac` for address handles.
    pub fn roce(port: u32, route: GlobalRoute, mac: [u8; 6], service_level: u8) -> Self {
        let mut raw: bindings::rdma_ah_attr = pin_init::zeroed();

        raw.type_ = bindings::rdma_ah_attr_type_RDMA_AH_ATTR_TYPE_ROCE;
        raw.port_num = port;
        raw.sl = service_level;
        raw.__bindgen_anon_1.roce.dmac = mac;
        // INVARIANT: All that was not set is zero.
        Self { raw }.with_route(route)
    }

    /// Adds the part that leads through routers.
    pub fn with_route(mut self, route: GlobalRoute) -> Self {
        self.raw.ah_flags = bindings::ib_ah_flags_IB_AH_GRH as u8;
        // INVARIANT: `sgid_attr` is zeroed.
        self.raw.grh = bindings::ib_global_route {
            dgid: bindings::ib_gid {
                raw: *route.dgid.as_bytes(),
            },
            sgid_index: route.sgid_index,
            flow_label: route.flow_label,
            hop_limit: route.hop_limit,
            traffic_class: route.traffic_class,
            ..pin_init::zeroed()
        };
        self
    }

    /// Copies what C has filled in, or returns nothing if it has not.
    pub(crate) fn from_raw(raw: &bindings::rdma_ah_attr) -> Option<Self> {
        if raw.type_ == bindings::rdma_ah_attr_type_RDMA_AH_ATTR_TYPE_UNDEFINED {
            return None;
        }

        let mut raw = *raw;
        raw.grh.sgid_attr = ptr::null();
        // INVARIANT: It was just set.
        Some(Self { raw })
    }

    pub(crate) fn as_raw(&self) -> &bindings::rdma_ah_attr {
        &self.raw
    }

    /// Returns the number of the local port.
    pub fn port_number(&self) -> u32 {
        self.raw.port_num
    }

    /// Returns the service level.
    pub fn service_level(&self) -> u8 {
        self.raw.sl
    }

    /// Returns the LID of the peer's port or of the group; [`Lid::RESERVED`] on RoCE.
    pub fn destination_lid(&self) -> Lid {
        let raw = &self.raw.__bindgen_anon_1;

        match self.raw.type_ {
            // SAFETY: The type says which member is in use; all are plain integers.
            bindings::rdma_ah_attr_type_RDMA_AH_ATTR_TYPE_IB => unsafe {
                Lid::new(raw.ib.dlid.into())
            },
            // SAFETY: As above.
            bindings::rdma_ah_attr_type_RDMA_AH_ATTR_TYPE_OPA => unsafe { Lid::new(raw.opa.dlid) },
            _ => Lid::RESERVED,
        }
    }

    /// Returns the Ethernet address of the station to send to, on RoCE.
    pub fn destination_mac(&self) -> Option<[u8; 6]> {
        if self.raw.type_ != bindings::rdma_ah_attr_type_RDMA_AH_ATTR_TYPE_ROCE {
            return None;
        }
        // SAFETY: The type says that this member is in use; it is initialized as a whole.
        Some(unsafe { self.raw.__bindgen_anon_1.roce.dmac })
    }

    /// Returns the part that leads through routers, if packets have one. On RoCE they always do.
    pub fn route(&self) -> Option<GlobalRoute> {
        if u32::from(self.raw.ah_flags) & bindings::ib_ah_flags_IB_AH_GRH == 0 {
            return None;
        }
        let grh = &self.raw.grh;

        Some(GlobalRoute {
            dgid: Gid::from_raw(&grh.dgid),
            sgid_index: grh.sgid_index,
            flow_label: grh.flow_label,
            hop_limit: grh.hop_limit,
            traffic_class: grh.traffic_class,
        })
    }

    /// Returns the GID of the peer's port or of the group, if packets carry it.
    pub fn destination_gid(&self) -> Option<Gid> {
        self.route().map(|route| route.dgid)
    }
}

/// Bytes in front of a datagram in its receive buffer, whether it has a GRH or not.
pub const GRH_LEN: usize = 40;

/// An address handle.
///
/// Requests that use one own it or a share of it, so that it stays until they are done.
pub struct Ah {
    inner: Deferred<Inner>,
}

/// # Invariants
///
/// `ptr` points to an address handle in `pd` that this type owns.
struct Inner {
    ptr: NonNull<bindings::ib_ah>,
    // Dropped after the handle is destroyed.
    pd: Arc<Pd>,
}

// SAFETY: An address handle may be used and destroyed by any thread.
unsafe impl Send for Inner {}

// SAFETY: No method that takes `&self` touches anything but constants.
unsafe impl Sync for Inner {}

impl Ah {
    /// Makes a handle.
    ///
    /// Errors: [`EINVAL`] if the way is not one of the device, or it has no more handles, [`ENODATA`] if
    /// the port has no such GID, [`ENOMEM`].
    pub fn new(pd: &Arc<Pd>, attr: &AhAttr) -> Result<Self> {
        let mut raw = *attr.as_raw();

        // SAFETY: `pd` is a protection domain of a registered device. The core checks the attributes
        // and looks up the source GID.
        let ah = unsafe {
            bindings::rdma_create_ah(
                pd.as_raw(),
                &mut raw,
                bindings::rdma_create_ah_flags_RDMA_CREATE_AH_SLEEPABLE,
            )
        };

        Self::from_raw(pd, ah)
    }

    fn from_raw(pd: &Arc<Pd>, ah: *mut bindings::ib_ah) -> Result<Self> {
        let inner = Inner {
            // INVARIANT: The callers have just made it in `pd`.
            ptr: NonNull::new(from_err_ptr(ah)?).ok_or(ENOMEM)?,
            pd: pd.clone(),
        };

        Ok(Self {
            inner: pd.charge().defer(inner)?,
        })
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        self.inner.pd.device()
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::ib_ah {
        self.inner.ptr.as_ptr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, we own the handle. Requests that use it keep it alive.
        unsafe {
            bindings::rdma_destroy_ah_user(
                self.ptr.as_ptr(),
                bindings::rdma_destroy_ah_flags_RDMA_DESTROY_AH_SLEEPABLE,
                ptr::null_mut(),
            )
        };
    }
}

#[kunit_tests(krdma_ah)]
mod tests {
    use super::*;

    const ROUTE: GlobalRoute = GlobalRoute {
        dgid: Gid::from_bytes([7; 16]),
        sgid_index: 3,
        flow_label: 0x12345,
        hop_limit: 64,
        traffic_class: 0x20,
    };

    #[test]
    fn what_goes_in_comes_out() {
        let attr = AhAttr::roce(2, ROUTE, [1, 2, 3, 4, 5, 6], 5);

        assert_eq!(attr.port_number(), 2);
        assert_eq!(attr.service_level(), 5);
        assert_eq!(attr.route(), Some(ROUTE));
        assert_eq!(attr.destination_mac(), Some([1, 2, 3, 4, 5, 6]));
        assert_eq!(attr.destination_lid(), Lid::RESERVED);
    }

    #[test]
    fn lids_have_16_bits() {
        let attr = AhAttr::infiniband(1, Lid::new(0xc001), 0);

        assert_eq!(
            attr.map(|attr| attr.destination_lid()),
            Ok(Lid::new(0xc001))
        );
        assert!(attr.is_ok_and(|attr| attr.route().is_none() && attr.destination_mac().is_none()));
        assert!(AhAttr::infiniband(1, Lid::new(0x1_0000), 0).is_err());
    }

    #[test]
    fn copies_hold_no_reference() {
        let mut raw = *AhAttr::roce(1, ROUTE, [0; 6], 0).as_raw();

        raw.grh.sgid_attr = ptr::dangling();
        assert!(AhAttr::from_raw(&raw).is_some_and(|attr| attr.as_raw().grh.sgid_attr.is_null()));
        raw.type_ = bindings::rdma_ah_attr_type_RDMA_AH_ATTR_TYPE_UNDEFINED;
        assert!(AhAttr::from_raw(&raw).is_none());
    }
}
