// SPDX-License-Identifier: GPL-2.0

//! Multicast groups, joined by their IP addresses.
//!
//! To join tells the network to send what is for the group here: by IGMP on RoCE, by the subnet
//! manager on InfiniBand. It also tells how to send to the group. What arrives goes to the queue pairs
//! that are attached to the group, see [`mcast`](crate::rdma::mcast).

use super::{
    id::Core,
    Handler,
    Id,
    ServiceType,
    State, //
};
use crate::{
    bindings,
    net::RawAddr, //
};
use core::{
    net::SocketAddr,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// What a member of a multicast group may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Send and receive.
    Full,
    /// Send only.
    SendOnly,
}

impl Membership {
    const fn as_raw(self) -> u8 {
        let bit = match self {
            Self::Full => bindings::ib_sa_mc_join_states_FULLMEMBER_JOIN,
            Self::SendOnly => bindings::ib_sa_mc_join_states_SENDONLY_FULLMEMBER_JOIN,
        };

        1 << bit
    }
}

impl<T: Handler> Id<T> {
    /// Joins a multicast group. [`Event::MulticastJoined`](super::Event::MulticastJoined) or
    /// [`Event::MulticastError`](super::Event::MulticastError) follows.
    ///
    /// The port that joins is that to which the id was bound when its address was resolved: it is
    /// common to resolve the group's own address. With several groups the events come in the order of
    /// the calls. The membership ends with [`leave_multicast`](Self::leave_multicast), or when the id
    /// is dropped.
    ///
    /// Errors: [`EINVAL`] if the service is not [`Datagram`](ServiceType::Datagram), if the state is
    /// not [`State::AddressResolved`], or if `group` is no group's address; [`EOPNOTSUPP`] for IPv6 on
    /// RoCE version 2, [`ENOSYS`] on iWARP, [`ENODEV`] if the network interface has gone, [`ENOMEM`].
    ///
    /// Takes the id's lock.
    pub fn join_multicast(&self, group: SocketAddr, membership: Membership) -> Result {
        self.core().join_multicast(group, membership)
    }

    /// Leaves a multicast group. If it was joined several times, once.
    ///
    /// No event about that join is delivered when this returns. Queue pairs that are attached to the
    /// group should be detached first.
    ///
    /// Errors: [`EDEADLK`] if called in a callback of the connection manager, which this may have to wait for; [`EINVAL`] if the
    /// id is not bound to a device.
    ///
    /// Must not be called with a lock that the callbacks take.
    pub fn leave_multicast(&self, group: SocketAddr) -> Result {
        self.core().leave_multicast(group)
    }
}

impl Core {
    fn join_multicast(&self, group: SocketAddr, membership: Membership) -> Result {
        if self.service_type() != ServiceType::Datagram || !group.ip().is_multicast() {
            return Err(EINVAL);
        }
        let mut group = RawAddr::from(group);
        // The event waits for the lock, so it comes after C has listed the membership.
        let _lock = self.lock()?;

        if self.state() != State::AddressResolved {
            return Err(EINVAL);
        }
        // SAFETY: The id is valid, and we have its lock. The address is copied. Events of groups carry
        // the context as the address of private data of no length: null is none.
        to_result(unsafe {
            bindings::rdma_join_multicast(
                self.raw(),
                group.as_raw(),
                membership.as_raw(),
                ptr::null_mut(),
            )
        })
        // That is no error of programs.
        .map_err(|err| if err == ENOTSUPP { EOPNOTSUPP } else { err })
    }

    fn leave_multicast(&self, group: SocketAddr) -> Result {
        if self.charge().callbacks().are_current() {
            return Err(EDEADLK);
        }
        if !self.has_device() {
            return Err(EINVAL);
        }

        let mut group = RawAddr::from(group);
        // SAFETY: The id is valid and bound to a device. The function locks its list for itself, and
        // waits for the callback of the join, in which we are not.
        unsafe { bindings::rdma_leave_multicast(self.raw(), group.as_raw()) };
        Ok(())
    }
}

#[kunit_tests(krdma_cm_multicast)]
mod tests {
    use super::*;

    #[test]
    fn memberships_are_bits() {
        assert_eq!(Membership::Full.as_raw(), 1);
        assert_eq!(Membership::SendOnly.as_raw(), 8);
    }
}
