// SPDX-License-Identifier: GPL-2.0

//! Port spaces: which service connections have, and how much private data their messages carry.
//!
//! C header: [`include/rdma/ib_cm.h`](srctree/include/rdma/ib_cm.h)

use crate::bindings;
use kernel::{
    num::casts::u32_as_usize,
    prelude::*, //
};

/// A space of port numbers, and the service that its connections have.
///
/// # Examples
///
/// ```
/// use krdma::rdma::cm::{Message, PortSpace};
///
/// assert_eq!(PortSpace::Tcp.max_private_data(Message::Request), 56);
/// assert_eq!(PortSpace::Udp.max_private_data(Message::Request), 180);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSpace {
    /// Reliable connections.
    Tcp,
    /// Datagrams: a connection only tells how to reach the peer.
    Udp,
    /// A space apart from those of the Internet protocols, for any service.
    Ib(ServiceType),
}

/// What a connection offers: the type of its queue pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceType {
    /// A reliable connection (RC).
    Reliable,
    /// An unreliable connection (UC).
    Unreliable,
    /// Datagrams (UD).
    Datagram,
}

/// The messages of the connection manager that carry private data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// From the side that connects, by [`Id::connect`](super::Id::connect).
    Request,
    /// The answer of a side that accepts, by [`Id::accept`](super::Id::accept).
    Reply,
    /// The answer of a side that does not, by [`Request::reject`](super::Request::reject) or [`Id::reject`](super::Id::reject).
    Reject,
}

/// The header in front of a request's private data, which carries the IP addresses (`struct
/// cma_hdr`).
const HEADER_LEN: u32 = 36;

impl PortSpace {
    pub(crate) const fn as_raw(self) -> bindings::rdma_ucm_port_space {
        match self {
            Self::Tcp => bindings::rdma_ucm_port_space_RDMA_PS_TCP,
            Self::Udp => bindings::rdma_ucm_port_space_RDMA_PS_UDP,
            Self::Ib(_) => bindings::rdma_ucm_port_space_RDMA_PS_IB,
        }
    }

    /// Returns the service that connections in this space have.
    pub const fn service_type(self) -> ServiceType {
        match self {
            Self::Tcp => ServiceType::Reliable,
            Self::Udp => ServiceType::Datagram,
            Self::Ib(service_type) => service_type,
        }
    }

    /// Returns the number of bytes of private data that a message can carry.
    ///
    /// The receiver always gets that many, with zeros after what was sent: the length is not
    /// transmitted. iWARP, which transmits it, could carry more; the limits hold for it too, so that
    /// what works on one kind of device works on all.
    pub const fn max_private_data(self, message: Message) -> usize {
        let max = match (self.service_type(), message) {
            (ServiceType::Datagram, Message::Request) => {
                bindings::ib_cm_data_size_IB_CM_SIDR_REQ_PRIVATE_DATA_SIZE - HEADER_LEN
            }
            (ServiceType::Datagram, Message::Reply | Message::Reject) => {
                bindings::ib_cm_data_size_IB_CM_SIDR_REP_PRIVATE_DATA_SIZE
            }
            (_, Message::Request) => {
                bindings::ib_cm_data_size_IB_CM_REQ_PRIVATE_DATA_SIZE - HEADER_LEN
            }
            (_, Message::Reply) => bindings::ib_cm_data_size_IB_CM_REP_PRIVATE_DATA_SIZE,
            (_, Message::Reject) => bindings::ib_cm_data_size_IB_CM_REJ_PRIVATE_DATA_SIZE,
        };

        u32_as_usize(max)
    }
}

impl ServiceType {
    pub(crate) const fn as_raw(self) -> bindings::ib_qp_type {
        match self {
            Self::Reliable => bindings::ib_qp_type_IB_QPT_RC,
            Self::Unreliable => bindings::ib_qp_type_IB_QPT_UC,
            Self::Datagram => bindings::ib_qp_type_IB_QPT_UD,
        }
    }
}

#[kunit_tests(krdma_cm)]
mod tests {
    use super::*;

    #[test]
    fn private_data_limits() {
        let of = |space: PortSpace| {
            [Message::Request, Message::Reply, Message::Reject]
                .map(|message| space.max_private_data(message))
        };

        assert_eq!(of(PortSpace::Tcp), [56, 196, 148]);
        assert_eq!(of(PortSpace::Udp), [180, 136, 136]);
        assert_eq!(
            of(PortSpace::Ib(ServiceType::Unreliable)),
            of(PortSpace::Tcp)
        );
        assert_eq!(of(PortSpace::Ib(ServiceType::Datagram)), of(PortSpace::Udp));
    }
}
