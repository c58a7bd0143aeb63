// SPDX-License-Identifier: GPL-2.0

//! What the connection manager reports, and parameters of connections.

use super::{
    Message,
    PortSpace,
    ServiceType, //
};
use crate::{
    bindings,
    rdma::ah::AhAttr, //
};
use core::{
    ptr,
    slice, //
};
use kernel::{
    num::casts::u8_as_usize,
    prelude::*, //
};

/// Parameters of a connection: what one side tells the other one.
///
/// What it is told is a proposal, which the peer is free not to follow.
#[derive(Clone, Copy, Default)]
pub struct ConnParams<'a> {
    /// Data for the peer's program: at most [`PortSpace::max_private_data`] bytes. What is received
    /// has that length, with zeros after what was sent.
    pub private_data: &'a [u8],
    /// The number of RDMA reads and atomics that this side accepts at one time.
    pub responder_resources: u8,
    /// The number of RDMA reads and atomics that this side sends at one time.
    pub initiator_depth: u8,
    /// Whether the device has end-to-end flow control.
    pub flow_control: bool,
    /// How often a packet is sent again when it is not acknowledged: at most 7. Of no meaning when
    /// accepting.
    pub retry_count: u8,
    /// How often a packet is sent again when the receiver was not ready: at most 7, which means
    /// without end.
    pub rnr_retry_count: u8,
    /// Whether the queue pair takes its receives from a shared queue.
    pub srq: bool,
    /// The number of the queue pair.
    pub qp_number: u32,
    /// The Q_Key of the queue pair, when accepting with [`PortSpace::Udp`]; the connection
    /// manager's own if zero.
    pub qkey: u32,
}

impl<'a> ConnParams<'a> {
    /// # Safety
    ///
    /// `raw` must be part of an event that is being reported, for the length of `'a`.
    unsafe fn from_raw(raw: &'a bindings::rdma_conn_param) -> Self {
        Self {
            // SAFETY: By the function's requirements.
            private_data: unsafe { private_data(raw.private_data, raw.private_data_len) },
            responder_resources: raw.responder_resources,
            initiator_depth: raw.initiator_depth,
            flow_control: raw.flow_control != 0,
            retry_count: raw.retry_count,
            rnr_retry_count: raw.rnr_retry_count,
            srq: raw.srq != 0,
            qp_number: raw.qp_num,
            qkey: raw.qkey,
        }
    }

    /// Returns the C struct, which borrows the private data.
    ///
    /// Errors: [`EINVAL`] if there is more private data than the message can carry.
    pub(super) fn to_raw(
        self,
        space: PortSpace,
        message: Message,
    ) -> Result<bindings::rdma_conn_param> {
        Ok(bindings::rdma_conn_param {
            private_data_len: private_data_len(self.private_data, space, message)?,
            private_data: private_data_ptr(self.private_data),
            responder_resources: self.responder_resources,
            initiator_depth: self.initiator_depth,
            flow_control: self.flow_control.into(),
            retry_count: self.retry_count,
            rnr_retry_count: self.rnr_retry_count,
            srq: self.srq.into(),
            qp_num: self.qp_number,
            qkey: self.qkey,
        })
    }
}

/// Returns the length of private data as C takes it, or [`EINVAL`] if it is too long.
pub(super) fn private_data_len(data: &[u8], space: PortSpace, message: Message) -> Result<u8> {
    if data.len() > space.max_private_data(message) {
        return Err(EINVAL);
    }
    u8::try_from(data.len()).map_err(|_| EINVAL)
}

/// Returns the address of private data as C takes it.
pub(super) fn private_data_ptr(data: &[u8]) -> *const c_void {
    if data.is_empty() {
        ptr::null()
    } else {
        data.as_ptr().cast()
    }
}

/// # Safety
///
/// `data` and `len` must be those of an event that is being reported, for the length of `'a`.
unsafe fn private_data<'a>(data: *const c_void, len: u8) -> &'a [u8] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: Private data of an event is in a buffer that is valid, and not written to, until the
    // callback returns.
    unsafe { slice::from_raw_parts(data.cast(), u8_as_usize(len)) }
}

/// Something that happened to a [`Connection`](super::Connection).
#[non_exhaustive]
pub enum Event<'a> {
    /// The peer's address was found, and with it the device to reach it by. Next is
    /// [`Id::resolve_route`](super::Id::resolve_route).
    AddressResolved,
    /// The peer's address was not found. The connection is of no use any more.
    AddressError(Error),
    /// The path to the peer was found. Next is [`Id::connect`](super::Id::connect).
    RouteResolved,
    /// The path to the peer was not found. It may be tried again.
    RouteError(Error),
    /// The peer has accepted. The queue pair is to be made ready to receive and to send; next is
    /// [`Id::accept_response`](super::Id::accept_response) or [`Id::reject`](super::Id::reject).
    Response(ConnParams<'a>),
    /// The connection could not be made, after the peer had accepted.
    ConnectError(Error),
    /// The peer does not answer; or the network says that it cannot be reached at its address any
    /// more, which may come at any time.
    Unreachable(Error),
    /// The peer has refused.
    Rejected(Rejection<'a>),
    /// The connection is made. On iWARP the parameters are the peer's; else there are none in this
    /// event.
    Established(ConnParams<'a>),
    /// The peer has said how to reach it ([`PortSpace::Udp`]).
    ServiceResolved(Datagram<'a>),
    /// The group was joined ([`Id::join_multicast`](super::Id::join_multicast)): how to send to it.
    /// To receive from it, a queue pair must be
    /// [attached](crate::rdma::mcast::Attachment::new) to it.
    MulticastJoined(Datagram<'a>),
    /// The group was not joined, or (on InfiniBand) the membership has ended.
    MulticastError(Error),
    /// One of the two sides has disconnected. The queue pair is to be moved to the error state, if
    /// that is not done; then call [`Id::disconnect`](super::Id::disconnect), if the peer was first.
    Disconnected,
    /// The device is about to go, and waits for the connection to be dropped.
    DeviceRemoval,
    /// The network interface has got another hardware address (it is a bond that has failed over).
    /// The connection should be made anew.
    AddressChange,
    /// The queue pair's number may be used again: no packet of the connection is under way any more.
    TimewaitExit,
    /// An event that this crate does not know.
    Unknown(u32),
}

impl<'a> Event<'a> {
    /// # Safety
    ///
    /// `event` must be an event for `id` that is being reported, for the length of `'a`.
    pub(super) unsafe fn from_raw(
        id: *mut bindings::rdma_cm_id,
        event: &'a bindings::rdma_cm_event,
        service: ServiceType,
    ) -> Self {
        let datagram = service == ServiceType::Datagram;
        let status = || status_error(event.status);
        // SAFETY: An event is initialized as a whole, and all members of the union are plain data.
        // It is being reported by the function's requirements.
        let conn = || unsafe { ConnParams::from_raw(&event.param.conn) };

        match event.event {
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_RESOLVED => Self::AddressResolved,
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_ERROR => Self::AddressError(status()),
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_ROUTE_RESOLVED => Self::RouteResolved,
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_ROUTE_ERROR => Self::RouteError(status()),
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_CONNECT_RESPONSE => Self::Response(conn()),
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_CONNECT_ERROR => {
                Self::ConnectError(status())
            }
            // For datagrams a refusal comes as this event, with the reason as a positive status.
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_UNREACHABLE
                if datagram && event.status > 0 =>
            {
                // SAFETY: As above.
                let ud = unsafe { &event.param.ud };

                Self::Rejected(Rejection {
                    reason: RejectReason::from_sidr_status(event.status),
                    // SAFETY: This is an event.
                    private_data: unsafe { private_data(ud.private_data, ud.private_data_len) },
                })
            }
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_UNREACHABLE => Self::Unreachable(status()),
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_REJECTED => {
                // SAFETY: By the function's requirements.
                Self::Rejected(unsafe { Rejection::from_raw(id, event) })
            }
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_ESTABLISHED if datagram => {
                // SAFETY: As above.
                // INVARIANT: By the function's requirements.
                Self::ServiceResolved(Datagram(unsafe { &event.param.ud }))
            }
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_ESTABLISHED => Self::Established(conn()),
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_MULTICAST_JOIN => {
                // SAFETY: As above.
                // INVARIANT: By the function's requirements.
                Self::MulticastJoined(Datagram(unsafe { &event.param.ud }))
            }
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_MULTICAST_ERROR => {
                Self::MulticastError(status())
            }
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_DISCONNECTED => Self::Disconnected,
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_DEVICE_REMOVAL => Self::DeviceRemoval,
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_CHANGE => Self::AddressChange,
            bindings::rdma_cm_event_type_RDMA_CM_EVENT_TIMEWAIT_EXIT => Self::TimewaitExit,
            raw => Self::Unknown(raw),
        }
    }
}

/// Returns what an event says has failed.
fn status_error(status: c_int) -> Error {
    let is_errno = i32::try_from(bindings::MAX_ERRNO).is_ok_and(|max| (-max..0).contains(&status));

    if is_errno {
        Error::from_errno(status)
    } else {
        EIO
    }
}

/// Returns what a connection request says. With datagrams it is the private data only.
///
/// # Safety
///
/// `event` must be an event of type `CONNECT_REQUEST` that is being reported, for the length of
/// `'a`.
pub(super) unsafe fn request_params<'a>(
    event: &'a bindings::rdma_cm_event,
    service: ServiceType,
) -> ConnParams<'a> {
    if service == ServiceType::Datagram {
        // SAFETY: An event is initialized as a whole, and all members of the union are plain data.
        let ud = unsafe { &event.param.ud };

        ConnParams {
            // SAFETY: By the function's requirements.
            private_data: unsafe { private_data(ud.private_data, ud.private_data_len) },
            ..ConnParams::default()
        }
    } else {
        // SAFETY: As above, and by the function's requirements.
        unsafe { ConnParams::from_raw(&event.param.conn) }
    }
}

/// How to reach a peer, or a multicast group, by datagrams.
///
/// # Invariants
///
/// The struct is part of an event that is being reported, for the length of `'a`.
#[derive(Clone, Copy)]
pub struct Datagram<'a>(&'a bindings::rdma_ud_param);

impl<'a> Datagram<'a> {
    /// Returns the peer's private data.
    pub fn private_data(&self) -> &'a [u8] {
        // SAFETY: By the type invariant.
        unsafe { private_data(self.0.private_data, self.0.private_data_len) }
    }

    /// Returns the number of the peer's queue pair; for a group
    /// [`MULTICAST_QP`](crate::rdma::mcast::MULTICAST_QP).
    pub fn qp_number(&self) -> u32 {
        self.0.qp_num
    }

    /// Returns the Q_Key of the peer's queue pair, or of the group.
    pub fn qkey(&self) -> u32 {
        self.0.qkey
    }

    /// Returns what to make an address handle of. It can be kept.
    pub fn ah_attr(&self) -> Option<AhAttr> {
        AhAttr::from_raw(&self.0.ah_attr)
    }
}

/// Why a peer has refused a connection.
#[derive(Clone, Copy)]
pub struct Rejection<'a> {
    reason: RejectReason,
    private_data: &'a [u8],
}

impl<'a> Rejection<'a> {
    /// # Safety
    ///
    /// `event` must be an event of type `REJECTED` for `id` that is being reported, for the length
    /// of `'a`.
    unsafe fn from_raw(id: *mut bindings::rdma_cm_id, event: &'a bindings::rdma_cm_event) -> Self {
        let mut len = 0;
        // SAFETY: By the function's requirements; the id has a device, as it was connecting. The
        // event is not written to.
        let data = unsafe {
            bindings::rdma_consumer_reject_data(id, ptr::from_ref(event).cast_mut(), &mut len)
        };

        Self {
            reason: RejectReason::from_raw(event.status),
            // SAFETY: This is an event.
            private_data: unsafe { private_data(data, len) },
        }
    }

    /// Returns the reason.
    pub fn reason(&self) -> RejectReason {
        self.reason
    }

    /// Returns the peer's private data: empty unless it was the peer's program that has refused.
    pub fn private_data(&self) -> &'a [u8] {
        self.private_data
    }
}

/// Reasons for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectReason {
    /// The peer's program does not want the connection.
    Consumer,
    /// Nobody listens there.
    NoListener,
    /// The peer has no queue pair left.
    NoQp,
    /// The peer has no memory, or something else, left.
    NoResources,
    /// The peer has given up waiting for a message of ours.
    Timeout,
    /// The peer does not know the connection any more, or still knows an old one of the same queue
    /// pair.
    StaleConnection,
    /// The peer does not know a service of this kind.
    Unsupported,
    /// Another reason: an IBTA code of a REJ message; if negative, an errno of an iWARP device.
    Other(i32),
}

impl RejectReason {
    fn from_raw(status: c_int) -> Self {
        // iWARP has but this one.
        if status == ECONNREFUSED.to_errno() {
            return Self::Consumer;
        }
        let Ok(code) = u32::try_from(status) else {
            return Self::Other(status);
        };

        match code {
            bindings::ib_cm_rej_reason_IB_CM_REJ_CONSUMER_DEFINED => Self::Consumer,
            bindings::ib_cm_rej_reason_IB_CM_REJ_INVALID_SERVICE_ID => Self::NoListener,
            bindings::ib_cm_rej_reason_IB_CM_REJ_NO_QP => Self::NoQp,
            bindings::ib_cm_rej_reason_IB_CM_REJ_NO_RESOURCES => Self::NoResources,
            bindings::ib_cm_rej_reason_IB_CM_REJ_TIMEOUT => Self::Timeout,
            bindings::ib_cm_rej_reason_IB_CM_REJ_STALE_CONN => Self::StaleConnection,
            bindings::ib_cm_rej_reason_IB_CM_REJ_UNSUPPORTED => Self::Unsupported,
            _ => Self::Other(status),
        }
    }

    /// The answers to requests for datagrams have numbers of their own.
    fn from_sidr_status(status: c_int) -> Self {
        let Ok(code) = u32::try_from(status) else {
            return Self::Other(status);
        };

        match code {
            bindings::ib_cm_sidr_status_IB_SIDR_UNSUPPORTED => Self::NoListener,
            bindings::ib_cm_sidr_status_IB_SIDR_REJECT => Self::Consumer,
            bindings::ib_cm_sidr_status_IB_SIDR_NO_QP => Self::NoQp,
            bindings::ib_cm_sidr_status_IB_SIDR_UNSUPPORTED_VERSION => Self::Unsupported,
            _ => Self::Other(status),
        }
    }
}

#[kunit_tests(krdma_cm_event)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        assert_eq!(RejectReason::from_raw(28), RejectReason::Consumer);
        assert_eq!(RejectReason::from_raw(8), RejectReason::NoListener);
        assert_eq!(RejectReason::from_raw(-111), RejectReason::Consumer);
        assert_eq!(RejectReason::from_raw(17), RejectReason::Other(17));
        assert_eq!(RejectReason::from_sidr_status(2), RejectReason::Consumer);
        assert_eq!(RejectReason::from_sidr_status(1), RejectReason::NoListener);
    }

    #[test]
    fn statuses_out_of_range_are_io_errors() {
        assert_eq!(status_error(-110), ETIMEDOUT);
        assert_eq!(status_error(0), EIO);
        assert_eq!(status_error(2), EIO);
        assert_eq!(status_error(-1_000_000), EIO);
    }

    #[test]
    fn too_much_private_data_is_refused() {
        let params = |data| ConnParams {
            private_data: data,
            ..ConnParams::default()
        };
        let len = |data| {
            params(data)
                .to_raw(PortSpace::Tcp, Message::Request)
                .map(|raw| raw.private_data_len)
        };

        assert_eq!(len(&[0; 56]), Ok(56));
        assert_eq!(len(&[]), Ok(0));
        assert_eq!(len(&[0; 57]), Err(EINVAL));
    }

    #[test]
    fn event_numbers() {
        let mut raw: bindings::rdma_cm_event = pin_init::zeroed();
        let id = ptr::null_mut();

        raw.event = bindings::rdma_cm_event_type_RDMA_CM_EVENT_UNREACHABLE;
        raw.status = ETIMEDOUT.to_errno();
        // SAFETY: Events of this type have nothing that is looked up in the id.
        let event = unsafe { Event::from_raw(id, &raw, ServiceType::Datagram) };
        assert!(matches!(event, Event::Unreachable(err) if err == ETIMEDOUT));

        raw.status = 2;
        // SAFETY: As above.
        let event = unsafe { Event::from_raw(id, &raw, ServiceType::Datagram) };
        assert!(matches!(event, Event::Rejected(why) if why.reason() == RejectReason::Consumer));

        raw.event = 4711;
        // SAFETY: As above.
        let event = unsafe { Event::from_raw(id, &raw, ServiceType::Reliable) };
        assert!(matches!(event, Event::Unknown(4711)));
    }
}
