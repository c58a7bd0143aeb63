// SPDX-License-Identifier: GPL-2.0

//! Address handles: the ways to peers of unconnected queue pairs.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use crate::{
    bindings,
    rdma::{
        Completion,
        Device,
        Gid,
        Lid,
        Pd, //
    },
    reaper::Deferred,
};
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::Arc, //
};

/// The way to a port.
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
        Ok(Self { raw })
    }

    /// The way to a port with this GID, over an Ethernet station (the port itself, or a router).
    pub fn roce(port: u32, route: GlobalRoute, mac: [u8; 6], service_level: u8) -> Self {
        let mut raw: bindings::rdma_ah_attr = pin_init::zeroed();

        raw.type_ = bindings::rdma_ah_attr_type_RDMA_AH_ATTR_TYPE_ROCE;
        raw.port_num = port;
        raw.sl = service_level;
        raw.__bindgen_anon_1.roce.dmac = mac;
        Self { raw }.with_route(route)
    }

    /// Adds the part that leads through routers.
    pub fn with_route(mut self, route: GlobalRoute) -> Self {
        self.raw.ah_flags = bindings::ib_ah_flags_IB_AH_GRH as u8;
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

    pub(crate) fn as_raw(&self) -> &bindings::rdma_ah_attr {
        &self.raw
    }
}

/// An address handle.
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
    /// Errors: [`EINVAL`] if the way is not one of the device, [`ENOMEM`].
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

    /// Makes a handle that leads back to who sent a datagram.
    ///
    /// `grh` is what the first 40 bytes of its receive buffer hold, if
    /// [`has_grh`](Completion::has_grh); RoCE needs it.
    ///
    /// Errors: [`EINVAL`] if `grh` is missing, or the source can't be reached, [`ENOMEM`].
    pub fn reply(
        pd: &Arc<Pd>,
        port: u32,
        completion: &Completion<'_>,
        grh: Option<&[u8; 40]>,
    ) -> Result<Self> {
        const { assert!(size_of::<bindings::ib_grh>() == 40) };
        if completion.has_grh() && grh.is_none() {
            return Err(EINVAL);
        }

        // Aligned as C wants it.
        let mut copy: bindings::ib_grh = pin_init::zeroed();
        if let Some(grh) = grh {
            // SAFETY: Both are 40 bytes, of which any value is valid.
            unsafe {
                core::ptr::copy_nonoverlapping(
                    grh.as_ptr(),
                    (&raw mut copy).cast(),
                    size_of::<bindings::ib_grh>(),
                )
            };
        }
        // SAFETY: `pd` is a protection domain of a registered device; the core checks the port. The
        // header is there if the completion says so.
        let ah = unsafe {
            bindings::ib_create_ah_from_wc(pd.as_raw(), completion.as_raw(), &copy, port)
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
            inner: Deferred::new(inner)?,
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
                core::ptr::null_mut(),
            )
        };
    }
}
