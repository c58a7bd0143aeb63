// SPDX-License-Identifier: GPL-2.0

//! Whether an RDMA device is fit for RDS, and how large its queues may be.
//!
//! A pure decision from the plain numbers of the device's attributes, so that every odd device can be
//! a test. spec-constants, spec-identity and spec-cm-parameters; C: `rds_ib_add_one()` in
//! `net/rds/ib.c` and `rds_ib_setup_qp()` in `net/rds/ib_cm.c`. C checks only the device kind and the
//! memory-management extensions, and leaves the rest to fail at the first connection; here a device
//! that cannot work is refused by name at once.
//!
//! ```
//! use rds_proto::limits::{Attributes, Kind, Profile, Refusal, Request};
//!
//! let rxe = Attributes {
//!     kind: Kind::Infiniband,
//!     memory_management: true,
//!     max_qp_wr: 1_048_576,
//!     max_send_sge: 32,
//!     max_recv_sge: 32,
//!     max_srq: 917_504,
//!     max_srq_wr: 32_767,
//!     max_srq_sge: 27,
//!     max_cqe: 32_767,
//!     max_qp_rd_atom: 128,
//!     max_qp_init_rd_atom: 128,
//! };
//! let profile = Profile::new(&rxe, &Request::default())?;
//! assert_eq!(profile.send_ring, 253);
//! assert_eq!(
//!     Profile::new(&Attributes { kind: Kind::Iwarp, ..rxe }, &Request::default()),
//!     Err(Refusal::NotInfiniband(Kind::Iwarp)),
//! );
//! # Ok::<(), Refusal>(())
//! ```

use crate::consts;
use core::cmp::min;
use core::fmt;

/// Fewest send and receive work requests with which RDS makes progress at a useful rate.
///
/// One would do for correctness; a device that offers less than this is not one of the hardware or
/// software adapters RDS is meant for, and more likely reports nonsense.
pub const MIN_RING: u32 = 16;

/// What a device is, by its node type and transport (C: `RDMA_NODE_*`, `RDMA_TRANSPORT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel adapter that speaks InfiniBand or RoCE, the software `rdma_rxe` included.
    Infiniband,
    /// An iWARP adapter.
    Iwarp,
    /// A device that only has user-space interfaces (usNIC).
    Usnic,
    /// Anything else, such as a switch, a router or a device without node type.
    Other,
}

impl Kind {
    /// A name for logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Infiniband => "InfiniBand",
            Self::Iwarp => "iWARP",
            Self::Usnic => "usNIC",
            Self::Other => "of no supported kind",
        }
    }
}

/// The attributes of a device that the decision rests on (C: `struct ib_device_attr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Kind of device.
    pub kind: Kind,
    /// Whether memory regions can be registered by work requests (`IB_DEVICE_MEM_MGT_EXTENSIONS`).
    pub memory_management: bool,
    /// Most work requests in one queue of a queue pair.
    pub max_qp_wr: u32,
    /// Most scatter/gather entries of a send work request.
    pub max_send_sge: u32,
    /// Most scatter/gather entries of a receive work request.
    pub max_recv_sge: u32,
    /// Number of shared receive queues; 0 if the device has none.
    pub max_srq: u32,
    /// Most work requests in a shared receive queue.
    pub max_srq_wr: u32,
    /// Most scatter/gather entries of a work request on a shared receive queue.
    pub max_srq_sge: u32,
    /// Most entries of a completion queue.
    pub max_cqe: u32,
    /// RDMA READ and atomic operations that a queue pair can serve at a time.
    pub max_qp_rd_atom: u32,
    /// RDMA READ and atomic operations that a queue pair can have outstanding.
    pub max_qp_init_rd_atom: u32,
}

/// What is asked of the device; defaults are those of C (spec-sysctl).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// SEND work requests in flight per connection (`net.rds.ib.max_send_wr`).
    pub send_ring: u32,
    /// Receive buffers per connection without a shared queue (`net.rds.ib.max_recv_wr`).
    pub recv_ring: u32,
    /// Receive buffers in the device's shared queue; 0 to use no shared queue.
    pub shared_recv: u32,
    /// Room beside the send ring for registration and invalidation work requests.
    pub registration_room: u32,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            send_ring: consts::SEND_RING,
            recv_ring: consts::RECV_RING,
            shared_recv: 4 * consts::RECV_RING,
            registration_room: consts::REGISTRATION_ROOM,
        }
    }
}

/// How receive buffers are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// One shared receive queue for all connections of the device, of this many buffers.
    Shared(u32),
    /// A receive queue in each connection, of this many buffers.
    PerConnection(u32),
}

/// The sizes of the queues of a device that is fit for RDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// SEND work requests of messages that may be in flight on a connection.
    pub send_ring: u32,
    /// Registration work requests that may be in flight beside them.
    pub registration_room: u32,
    /// `max_send_wr` of a queue pair: the two above and the ACK frame.
    pub send_queue: u32,
    /// Where receive buffers are posted, and how many.
    pub receive: Receive,
    /// `max_recv_wr` of a queue pair; 0 with a shared receive queue.
    pub recv_queue: u32,
    /// Entries of a connection's send completion queue.
    pub send_cqe: u32,
    /// Entries of the completion queue for the receive buffers.
    pub recv_cqe: u32,
    /// Scatter/gather entries of a send work request, header included.
    pub send_sge: u32,
    /// Scatter/gather entries of a receive work request.
    pub recv_sge: u32,
    /// Most pieces in which the payload of one fragment may lie in memory.
    pub pieces_per_fragment: u32,
    /// Fragments of the longest message; with a shorter send ring it goes out in several batches.
    pub fragments_per_message: u32,
    /// `responder_resources` to offer in a connection request (spec-cm-parameters).
    pub responder_resources: u8,
    /// `initiator_depth` to offer in a connection request (spec-cm-parameters).
    pub initiator_depth: u8,
}

/// Why a device is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The device is not an InfiniBand or RoCE channel adapter.
    NotInfiniband(Kind),
    /// The device cannot register memory by work requests, which C requires of every device.
    NoMemoryManagement,
    /// A queue pair has too few work requests: how many it has, how many are needed.
    QueueTooShort(u32, u32),
    /// A send work request has too few scatter/gather entries: how many it has.
    SendSgeTooFew(u32),
    /// A receive work request has no scatter/gather entry.
    RecvSgeTooFew,
    /// A completion queue has too few entries: how many it has, how many are needed.
    CompletionQueueTooShort(u32, u32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotInfiniband(kind) => {
                write!(f, "device is {}, RDS needs InfiniBand or RoCE", kind.name())
            }
            Self::NoMemoryManagement => {
                f.write_str("device lacks memory management extensions (FRWR)")
            }
            Self::QueueTooShort(has, needs) => {
                write!(f, "max_qp_wr is {has}, RDS needs {needs}")
            }
            Self::SendSgeTooFew(has) => write!(f, "max_send_sge is {has}, RDS needs 2"),
            Self::RecvSgeTooFew => f.write_str("max_recv_sge is 0, RDS needs 1"),
            Self::CompletionQueueTooShort(has, needs) => {
                write!(f, "max_cqe is {has}, RDS needs {needs}")
            }
        }
    }
}

impl Profile {
    /// Decides on a device.
    ///
    /// The send ring yields before the registration room does, but never below [`MIN_RING`]; requests
    /// of 0 count as [`MIN_RING`].
    ///
    /// # Errors
    ///
    /// The first [`Refusal`] in the order of its variants that applies.
    pub fn new(device: &Attributes, wanted: &Request) -> Result<Self, Refusal> {
        if device.kind != Kind::Infiniband {
            return Err(Refusal::NotInfiniband(device.kind));
        }
        if !device.memory_management {
            return Err(Refusal::NoMemoryManagement);
        }
        let least = MIN_RING + consts::ACK_ROOM;
        if device.max_qp_wr < least {
            return Err(Refusal::QueueTooShort(device.max_qp_wr, least));
        }
        if device.max_send_sge < 2 {
            return Err(Refusal::SendSgeTooFew(device.max_send_sge));
        }
        if device.max_recv_sge == 0 {
            return Err(Refusal::RecvSgeTooFew);
        }
        if device.max_cqe < least {
            return Err(Refusal::CompletionQueueTooShort(device.max_cqe, least));
        }

        // Nothing saturates here: both limits are at least MIN_RING + ACK_ROOM.
        let room = min(device.max_qp_wr, device.max_cqe).saturating_sub(consts::ACK_ROOM);
        let registration_room = min(wanted.registration_room, room.saturating_sub(MIN_RING));
        let send_ring = min(
            wanted.send_ring.max(MIN_RING),
            room.saturating_sub(registration_room),
        );
        let send_queue = send_ring
            .saturating_add(registration_room)
            .saturating_add(consts::ACK_ROOM);

        let has_srq = device.max_srq > 0
            && device.max_srq_sge > 0
            && min(device.max_srq_wr, device.max_cqe) >= MIN_RING
            && wanted.shared_recv > 0;
        let (receive, recv_queue, recv_cqe, sge_limit) = if has_srq {
            let depth = min(
                wanted.shared_recv.max(MIN_RING),
                min(device.max_srq_wr, device.max_cqe),
            );
            (Receive::Shared(depth), 0, depth, device.max_srq_sge)
        } else {
            let depth = min(wanted.recv_ring.max(MIN_RING), room);
            // As C: one work request more than is ever posted.
            let queue = depth.saturating_add(1);
            (
                Receive::PerConnection(depth),
                queue,
                depth,
                device.max_recv_sge,
            )
        };

        let send_sge = min(device.max_send_sge, consts::SEND_SGE_MAX);
        Ok(Self {
            send_ring,
            registration_room,
            send_queue,
            receive,
            recv_queue,
            send_cqe: send_queue,
            recv_cqe,
            send_sge,
            recv_sge: min(sge_limit, consts::RECV_SGE),
            pieces_per_fragment: send_sge.saturating_sub(1),
            fragments_per_message: consts::MAX_FRAGMENTS,
            responder_resources: saturate(device.max_qp_rd_atom),
            initiator_depth: saturate(device.max_qp_init_rd_atom),
        })
    }
}

/// As many as a byte of the connection request can say.
fn saturate(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RXE: Attributes = Attributes {
        kind: Kind::Infiniband,
        memory_management: true,
        max_qp_wr: 1_048_576,
        max_send_sge: 32,
        max_recv_sge: 32,
        max_srq: 917_504,
        max_srq_wr: 32_767,
        max_srq_sge: 27,
        max_cqe: 32_767,
        max_qp_rd_atom: 128,
        max_qp_init_rd_atom: 300,
    };

    fn decide(device: Attributes) -> Result<Profile, Refusal> {
        Profile::new(&device, &Request::default())
    }

    #[test]
    fn rxe_gets_all_that_is_asked_for() {
        assert_eq!(
            decide(RXE),
            Ok(Profile {
                send_ring: 253,
                registration_room: 512,
                send_queue: 766,
                receive: Receive::Shared(4096),
                recv_queue: 0,
                send_cqe: 766,
                recv_cqe: 4096,
                send_sge: 8,
                recv_sge: 2,
                pieces_per_fragment: 7,
                fragments_per_message: 256,
                responder_resources: 128,
                initiator_depth: 255,
            })
        );
    }

    #[test]
    fn without_srq_each_connection_has_its_own_queue() {
        for device in [
            Attributes { max_srq: 0, ..RXE },
            Attributes {
                max_srq_wr: 3,
                ..RXE
            },
            Attributes {
                max_srq_sge: 0,
                ..RXE
            },
        ] {
            let p = decide(device).unwrap();
            assert_eq!(
                (p.receive, p.recv_queue),
                (Receive::PerConnection(1024), 1025)
            );
        }
        let asked = Request {
            shared_recv: 0,
            ..Request::default()
        };
        let p = Profile::new(&RXE, &asked).unwrap();
        assert_eq!(p.receive, Receive::PerConnection(1024));
    }

    #[test]
    fn wrong_devices_are_refused_by_name() {
        for (device, why, text) in [
            (
                Attributes {
                    kind: Kind::Iwarp,
                    ..RXE
                },
                Refusal::NotInfiniband(Kind::Iwarp),
                "device is iWARP, RDS needs InfiniBand or RoCE",
            ),
            (
                Attributes {
                    kind: Kind::Usnic,
                    ..RXE
                },
                Refusal::NotInfiniband(Kind::Usnic),
                "device is usNIC, RDS needs InfiniBand or RoCE",
            ),
            (
                Attributes {
                    kind: Kind::Other,
                    ..RXE
                },
                Refusal::NotInfiniband(Kind::Other),
                "device is of no supported kind, RDS needs InfiniBand or RoCE",
            ),
            (
                Attributes {
                    memory_management: false,
                    ..RXE
                },
                Refusal::NoMemoryManagement,
                "device lacks memory management extensions (FRWR)",
            ),
            (
                Attributes {
                    max_qp_wr: 16,
                    ..RXE
                },
                Refusal::QueueTooShort(16, 17),
                "max_qp_wr is 16, RDS needs 17",
            ),
            (
                Attributes {
                    max_send_sge: 1,
                    ..RXE
                },
                Refusal::SendSgeTooFew(1),
                "max_send_sge is 1, RDS needs 2",
            ),
            (
                Attributes {
                    max_recv_sge: 0,
                    ..RXE
                },
                Refusal::RecvSgeTooFew,
                "max_recv_sge is 0, RDS needs 1",
            ),
            (
                Attributes { max_cqe: 2, ..RXE },
                Refusal::CompletionQueueTooShort(2, 17),
                "max_cqe is 2, RDS needs 17",
            ),
        ] {
            let refusal = decide(device).unwrap_err();
            assert_eq!(refusal, why);
            assert_eq!(std::format!("{refusal}"), text);
        }
        assert_eq!(Kind::Infiniband.name(), "InfiniBand");
    }

    #[test]
    fn no_size_exceeds_what_the_device_has() {
        let steps = [
            17,
            18,
            33,
            100,
            255,
            256,
            257,
            528,
            529,
            769,
            1024,
            1025,
            70_000,
            u32::MAX,
        ];
        for max_qp_wr in steps {
            for max_cqe in steps {
                for max_srq_wr in [0, 15, 16, 4096, u32::MAX] {
                    for want in [0, 1, 16, 256, 70_000, u32::MAX] {
                        let device = Attributes {
                            max_qp_wr,
                            max_cqe,
                            max_srq_wr,
                            ..RXE
                        };
                        let wanted = Request {
                            send_ring: want,
                            recv_ring: want,
                            shared_recv: want,
                            registration_room: want,
                        };
                        let p = Profile::new(&device, &wanted).unwrap();
                        assert!(p.send_queue <= max_qp_wr && p.recv_queue <= max_qp_wr);
                        assert!(p.send_cqe <= max_cqe && p.recv_cqe <= max_cqe);
                        assert!(p.send_ring >= MIN_RING);
                        match p.receive {
                            Receive::Shared(n) => assert!((MIN_RING..=max_srq_wr).contains(&n)),
                            Receive::PerConnection(n) => assert!(n >= MIN_RING),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_short_queue_gives_the_ring_what_registration_leaves() {
        let p = decide(Attributes {
            max_qp_wr: 600,
            ..RXE
        })
        .unwrap();
        assert_eq!(
            (p.registration_room, p.send_ring, p.send_queue),
            (512, 87, 600)
        );
        let p = decide(Attributes {
            max_qp_wr: 100,
            ..RXE
        })
        .unwrap();
        assert_eq!(
            (p.registration_room, p.send_ring, p.send_queue),
            (83, 16, 100)
        );
    }
}
