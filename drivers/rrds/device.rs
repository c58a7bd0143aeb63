// SPDX-License-Identifier: GPL-2.0

//! The RDMA devices that carry RDS.

use kernel::prelude::*;
use krdma::rdma::{
    device::NodeType,
    Client,
    Device,
    Pd, //
};
use rds_proto::limits::{
    Attributes,
    Kind,
    Profile,
    Request, //
};

/// The client of the RDMA core: takes each device that is fit for RDS.
pub(crate) struct Devices {
    module: &'static ThisModule,
}

krdma::client_slot!(Devices);

impl Devices {
    pub(crate) fn new(module: &'static ThisModule) -> Self {
        Self { module }
    }
}

impl Client for Devices {
    const NAME: &'static CStr = c"rrds";

    /// All connections of a device are in one protection domain.
    type Data = Pd;

    fn add(&self, dev: &Device) -> impl PinInit<Pd, Error> {
        self.take(dev)
    }

    fn remove(&self, dev: &Device, _data: Pin<&Pd>) {
        pr_info!("{}: removed\n", dev.name());
    }
}

impl Devices {
    /// Decides whether a device carries RDS, and makes what all its connections share.
    ///
    /// Errors: [`EOPNOTSUPP`] if the device is not fit, and what [`Pd::new`] fails with.
    fn take(&self, dev: &Device) -> Result<Pd> {
        let profile = Profile::new(&attributes(dev), &Request::default()).map_err(|refusal| {
            // The pure crate can't implement the kernel's own Display.
            pr_info!("{}: not used: {}\n", dev.name(), format_args!("{refusal}"));
            EOPNOTSUPP
        })?;
        let pd = Pd::new(dev, self.module).inspect_err(|err| {
            pr_err!(
                "{}: not used: no protection domain ({:?}); remove and add the device to try again\n",
                dev.name(),
                err
            );
        })?;

        pr_info!(
            "{}: added, {} sends of {} pieces in flight per connection\n",
            dev.name(),
            profile.send_ring,
            profile.send_sge
        );
        Ok(pd)
    }
}

/// The numbers that the decision rests on.
fn attributes(dev: &Device) -> Attributes {
    let attr = dev.attributes();

    Attributes {
        kind: match dev.node_type() {
            NodeType::ChannelAdapter => Kind::Infiniband,
            NodeType::Rnic => Kind::Iwarp,
            NodeType::Usnic | NodeType::UsnicUdp => Kind::Usnic,
            _ => Kind::Other,
        },
        memory_management: attr.has_memory_extensions(),
        max_qp_wr: attr.max_qp_wr(),
        max_send_sge: attr.max_send_sge(),
        max_recv_sge: attr.max_recv_sge(),
        max_srq: attr.max_srq(),
        max_srq_wr: attr.max_srq_wr(),
        max_srq_sge: attr.max_srq_sge(),
        max_cqe: attr.max_cqe(),
        max_qp_rd_atom: attr.max_qp_rd_atom(),
        max_qp_init_rd_atom: attr.max_qp_init_rd_atom(),
    }
}
