// SPDX-License-Identifier: GPL-2.0

//! RDMA devices.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use crate::{
    bindings,
    rdma::{
        name::Name,
        Guid, //
    },
};
use core::ptr::NonNull;
use kernel::{
    fmt,
    num::casts::usize_as_u64,
    prelude::*,
    sync::aref::AlwaysRefCounted,
    types::Opaque, //
};

/// A device that is registered with the RDMA core.
///
/// # Removal
///
/// The reference count of this type is the device's *registration* count: a device does not go away
/// while somebody holds an [`ARef<Device>`](kernel::sync::aref::ARef), and who removes it (a driver's
/// unload, `rdma link delete`) waits, without a time limit. So drop what you hold when
/// [`Client::remove`](crate::rdma::Client::remove) is called. To keep it in the per-device data is
/// enough.
///
/// # Invariants
///
/// The `ib_device` is registered, and stays so as long as a reference to this type exists.
#[repr(transparent)]
pub struct Device(Opaque<bindings::ib_device>);

// SAFETY: The registration count may be dropped by any thread.
unsafe impl Send for Device {}

// SAFETY: The methods that take `&self` read what does not change while the device is registered,
// read single values that may change, or call functions of the RDMA core that lock for themselves.
unsafe impl Sync for Device {}

// SAFETY: A device with a positive registration count cannot become unregistered, and all instances
// of this type are registered devices.
unsafe impl AlwaysRefCounted for Device {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: By the type invariant, the device is registered.
        let registered = unsafe { bindings::ib_device_try_get(self.as_raw()) };

        // It can't fail: that `self` exists means that the count is positive.
        debug_assert!(registered);
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the function's requirements, there is a count for us to drop.
        unsafe { bindings::ib_device_put(obj.as_ref().as_raw()) };
    }
}

impl Device {
    /// Returns a reference to the device behind a C pointer.
    ///
    /// # Safety
    ///
    /// `ptr` must point to a device that is registered, and stays so for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::ib_device) -> &'a Self {
        // SAFETY: `Device` is transparent to `ib_device`; the rest is the function's requirement.
        unsafe { &*ptr.cast() }
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::ib_device {
        self.0.get()
    }

    /// Returns the device's present name, such as `rxe0`.
    ///
    /// The administrator may rename a device at any time: this is for people to read. See
    /// [`index`](Self::index) for what does not change.
    ///
    /// Does not sleep.
    pub fn name(&self) -> DeviceName {
        // SAFETY: The name is an array inside of the device; a concurrent rename changes bytes of
        // it, never its size.
        unsafe { Name::copy_from((&raw const (*self.as_raw()).name).cast()) }
    }

    /// Returns the number that tells the device from all others present.
    ///
    /// Does not sleep.
    pub fn index(&self) -> u32 {
        // SAFETY: By the type invariant, the device is valid. The index is constant.
        unsafe { (*self.as_raw()).index }
    }

    /// Returns the node's GUID.
    ///
    /// Does not sleep.
    pub fn node_guid(&self) -> Guid {
        // SAFETY: By the type invariant, the device is valid. A driver may change the GUID, so it
        // is read once, as C's READ_ONCE does.
        let raw = unsafe { (&raw const (*self.as_raw()).node_guid).read_volatile() };

        Guid::from_be(raw)
    }

    /// Returns what kind of node the device is.
    ///
    /// Does not sleep.
    pub fn node_type(&self) -> NodeType {
        // SAFETY: By the type invariant, the device is valid. The type is constant.
        let raw = unsafe { (*self.as_raw()).node_type };

        NodeType::from_raw(u32::from(raw))
    }

    /// Returns the version of the device's firmware, empty if it has none.
    pub fn firmware_version(&self) -> Name<{ bindings::IB_FW_VERSION_NAME_MAX as usize }> {
        let mut buf: [c_char; bindings::IB_FW_VERSION_NAME_MAX as usize] =
            [0; bindings::IB_FW_VERSION_NAME_MAX as usize];

        // SAFETY: By the type invariant, the device is registered. `buf` is as long as the function
        // requires.
        unsafe { bindings::ib_get_device_fw_str(self.as_raw(), buf.as_mut_ptr()) };

        // SAFETY: `buf` may be read up to its end.
        unsafe { Name::copy_from(buf.as_ptr()) }
    }

    /// Returns the limits and abilities of the device.
    ///
    /// Does not sleep.
    pub fn attributes(&self) -> Attributes<'_> {
        // SAFETY: By the type invariant, the device is valid. The core fills the attributes in
        // before it registers a device, and does not change them after.
        Attributes(unsafe { &(*self.as_raw()).attrs })
    }

    /// Fails with [`EOPNOTSUPP`] on a device that speaks iWARP at one of its ports.
    ///
    /// This crate relies on what InfiniBand and RoCE promise and iWARP, or a driver for it, does not: see
    /// [`Qp::new`](crate::rdma::Qp::new).
    pub(crate) fn refuse_iwarp(&self) -> Result {
        if self.ports().any(|port| port.is_iwarp()) {
            return Err(EOPNOTSUPP);
        }
        Ok(())
    }

    /// Returns whether the device has a port of this number. C takes numbers of ports as indices, and
    /// checks few of them.
    pub(crate) fn has_port(&self, number: u32) -> bool {
        self.ports().any(|port| port.number() == number)
    }

    /// Returns the number of completion vectors, over which completion queues can be spread.
    ///
    /// Does not sleep.
    pub fn completion_vectors(&self) -> u32 {
        // SAFETY: By the type invariant, the device is valid. The number is constant.
        let raw = unsafe { (*self.as_raw()).num_comp_vectors };

        u32::try_from(raw).unwrap_or(0)
    }
}

/// Two references to the same device are equal.
impl PartialEq for Device {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for Device {}

/// The name of a device, at one moment.
pub type DeviceName = Name<{ bindings::IB_DEVICE_NAME_MAX as usize }>;

/// What kind of node a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeType {
    /// A channel adapter: InfiniBand and RoCE network cards.
    ChannelAdapter,
    /// An InfiniBand switch.
    Switch,
    /// An InfiniBand router.
    Router,
    /// An iWARP network card.
    Rnic,
    /// A Cisco usNIC device.
    Usnic,
    /// A Cisco usNIC device that uses UDP.
    UsnicUdp,
    /// A device of no defined kind.
    Unspecified,
    /// A kind that this crate does not know.
    Unknown(u32),
}

impl NodeType {
    fn from_raw(raw: u32) -> Self {
        match raw {
            bindings::RDMA_NODE_IB_CA => Self::ChannelAdapter,
            bindings::RDMA_NODE_IB_SWITCH => Self::Switch,
            bindings::RDMA_NODE_IB_ROUTER => Self::Router,
            bindings::RDMA_NODE_RNIC => Self::Rnic,
            bindings::RDMA_NODE_USNIC => Self::Usnic,
            bindings::RDMA_NODE_USNIC_UDP => Self::UsnicUdp,
            bindings::RDMA_NODE_UNSPECIFIED => Self::Unspecified,
            raw => Self::Unknown(raw),
        }
    }

    /// Returns the transport that devices of this kind speak, as the RDMA tools name it.
    pub const fn transport(self) -> &'static str {
        match self {
            Self::ChannelAdapter | Self::Switch | Self::Router => "InfiniBand",
            Self::Rnic => "iWARP",
            Self::Usnic => "usNIC",
            Self::UsnicUdp => "usNIC UDP",
            Self::Unspecified => "unspecified",
            Self::Unknown(_) => "invalid transport",
        }
    }
}

/// The limits and abilities of a device. They do not change while it is registered.
///
/// Each limit is what the device can do at most: a request for as much may still fail.
#[derive(Clone, Copy)]
pub struct Attributes<'a>(&'a bindings::ib_device_attr);

/// Makes a getter for each field of `ib_device_attr` that is a plain number.
macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $ty:ty,)*) => {
        $(
            $(#[$doc])*
            #[inline]
            pub fn $name(&self) -> $ty {
                self.0.$name
            }
        )*
    };
}

impl Attributes<'_> {
    limits! {
        /// Returns the firmware's version as the driver packs it.
        fw_ver: u64,
        /// Returns the largest memory region in bytes.
        max_mr_size: u64,
        /// Returns a mask with a bit set for each page size in bytes that can be registered.
        page_size_cap: u64,
        /// Returns the vendor's number (an IEEE OUI).
        vendor_id: u32,
        /// Returns the vendor's number of the part.
        vendor_part_id: u32,
        /// Returns the hardware's revision.
        hw_ver: u32,
        /// Returns the number of queue pairs.
        max_qp: u32,
        /// Returns the number of work requests outstanding in one queue.
        max_qp_wr: u32,
        /// Returns the number of scatter/gather entries of a send request.
        max_send_sge: u32,
        /// Returns the number of scatter/gather entries of a receive request.
        max_recv_sge: u32,
        /// Returns the number of scatter/gather entries of an RDMA read request.
        max_sge_rd: u32,
        /// Returns the number of completion queues.
        max_cq: u32,
        /// Returns the number of entries of one completion queue.
        max_cqe: u32,
        /// Returns the number of memory regions.
        max_mr: u32,
        /// Returns the number of protection domains.
        max_pd: u32,
        /// Returns the number of RDMA reads and atomics outstanding at one queue pair as target.
        max_qp_rd_atom: u32,
        /// Returns the number of RDMA reads and atomics outstanding from one queue pair.
        max_qp_init_rd_atom: u32,
        /// Returns the number of address handles.
        max_ah: u32,
        /// Returns the number of shared receive queues.
        max_srq: u32,
        /// Returns the number of work requests outstanding in one shared receive queue.
        max_srq_wr: u32,
        /// Returns the number of scatter/gather entries of a shared receive queue's request.
        max_srq_sge: u32,
        /// Returns the number of multicast groups.
        max_mcast_grp: u32,
        /// Returns the number of queue pairs attached to one multicast group.
        max_mcast_qp_attach: u32,
        /// Returns the number of pages of one fast registration.
        max_fast_reg_page_list_len: u32,
        /// Returns the number of partitions.
        max_pkeys: u16,
    }

    /// Returns the GUID of the system that the device is part of.
    #[inline]
    pub fn sys_image_guid(&self) -> Guid {
        Guid::from_be(self.0.sys_image_guid)
    }

    /// Returns whether the device can register memory by work requests, invalidate it remotely, and
    /// has a local DMA key (the verbs' "base memory management extensions").
    #[inline]
    pub fn has_memory_extensions(&self) -> bool {
        self.0.device_cap_flags
            & usize_as_u64(bindings::ib_device_cap_flags_IB_DEVICE_MEM_MGT_EXTENSIONS)
            != 0
    }

    /// Returns whether shared receive queues can be resized.
    #[inline]
    pub fn can_resize_srq(&self) -> bool {
        self.0.device_cap_flags & usize_as_u64(bindings::ib_device_cap_flags_IB_DEVICE_SRQ_RESIZE)
            != 0
    }

    /// Returns how far the device's atomic operations are atomic.
    #[inline]
    pub fn atomic_capability(&self) -> AtomicCapability {
        AtomicCapability::from_raw(self.0.atomic_cap)
    }

    /// Returns how far the device's masked atomic operations are atomic.
    #[inline]
    pub fn masked_atomic_capability(&self) -> AtomicCapability {
        AtomicCapability::from_raw(self.0.masked_atomic_cap)
    }
}

/// With what RDMA atomic operations are atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomicCapability {
    /// The device has no atomic operations.
    None,
    /// With all other atomic operations of the same device.
    Device,
    /// Also with those of the processors and of other devices.
    Global,
}

impl AtomicCapability {
    #[inline]
    fn from_raw(raw: bindings::ib_atomic_cap) -> Self {
        match raw {
            bindings::ib_atomic_cap_IB_ATOMIC_HCA => Self::Device,
            bindings::ib_atomic_cap_IB_ATOMIC_GLOB => Self::Global,
            _ => Self::None,
        }
    }
}

/// As the RDMA tools name them.
impl fmt::Display for AtomicCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "ATOMIC_NONE",
            Self::Device => "ATOMIC_HCA",
            Self::Global => "ATOMIC_GLOB",
        })
    }
}

#[kunit_tests(krdma_device)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_c() {
        assert_eq!(NodeType::from_raw(1), NodeType::ChannelAdapter);
        assert_eq!(NodeType::from_raw(4), NodeType::Rnic);
        assert_eq!(NodeType::from_raw(4711), NodeType::Unknown(4711));
        assert_eq!(NodeType::Rnic.transport(), "iWARP");
        assert_eq!(
            [0, 1, 2, 4711].map(AtomicCapability::from_raw),
            [
                AtomicCapability::None,
                AtomicCapability::Device,
                AtomicCapability::Global,
                AtomicCapability::None
            ]
        );
    }
}
