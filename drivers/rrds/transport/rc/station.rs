// SPDX-License-Identifier: GPL-2.0

//! A device: what the connections over it share.

use super::{
    pools::{
        OnReceived,
        Pools, //
    },
    regions::Registrar, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};
use krdma::{
    rdma::{
        cq::Poll,
        device::NodeType,
        Cq,
        Device,
        Pd,
        Srq, //
    },
    work::Job, //
};
use rds_proto::{
    consts,
    limits::{
        Attributes,
        Kind,
        Profile,
        Receive,
        Refusal,
        Request, //
    },
};

/// Decides how a device is used, if it is fit for RDS.
pub(super) fn profile(dev: &Device) -> Result<Profile, Refusal> {
    let wanted = Request {
        shared_recv: consts::RECV_RING,
        // Nothing is registered yet.
        registration_room: 0,
        ..Request::default()
    };

    Profile::new(&attributes(dev), &wanted)
}

/// What the connections over one device share.
pub(crate) struct Station {
    pd: Arc<Pd>,
    profile: Profile,
    pools: Arc<Pools>,
    // Revokes regions.
    registrar: Job<Registrar>,
    // Fills the shared receive queue where memory was short.
    _job: Job<Pools>,
}

impl Station {
    pub(super) fn new(
        dev: &Device,
        module: &'static ThisModule,
        profile: Profile,
    ) -> Result<Arc<Self>> {
        let Receive::Shared(depth) = profile.receive else {
            // Devices of this century have shared receive queues.
            return Err(EOPNOTSUPP);
        };
        let job = krdma::new_job!(module, |waker| Pools::new(dev, module, depth, waker))?;
        let pools = job.data().clone();
        let pd = Arc::new(Pd::new(dev, module)?, GFP_KERNEL)?;
        let registrar = krdma::new_job!(module, |waker| Registrar::new(pd.clone(), module, waker))?;
        let cq = Cq::with_batch_end(
            dev,
            module,
            profile.recv_cqe,
            0,
            Poll::Softirq,
            OnReceived(pools.clone()),
        )?;
        let srq = Srq::new(&pd, &cq, depth, profile.recv_sge, None)?;
        let this = Arc::new(
            Self {
                pd,
                profile,
                pools,
                registrar,
                _job: job,
            },
            GFP_KERNEL,
        )?;

        if let Err(err) = this.pools.open(srq, depth) {
            this.pools.close();
            return Err(err);
        }
        Ok(this)
    }

    /// Receives nothing more. The connections are ended by the connection manager's event.
    pub(super) fn close(&self) {
        self.pools.close();
        self.registrar().close();
    }

    /// Returns who registers memory.
    pub(super) fn registrar(&self) -> &Arc<Registrar> {
        self.registrar.data()
    }

    /// Returns the device.
    pub(super) fn device(&self) -> &Device {
        self.pd.device()
    }

    pub(super) fn pd(&self) -> &Arc<Pd> {
        &self.pd
    }

    /// Returns how large the queues of a connection are.
    pub(super) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Writes a line about the device, for `/sys/kernel/debug/rrds/devices`. May sleep.
    pub(super) fn dump(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receive::Shared(depth) = self.profile.receive else {
            return Ok(());
        };

        let (regions, spare_regions) = self.registrar().counts();

        f.write_fmt(fmt!(
            "device={} receive_ring={} receive_missing={} send_ring={} spare_sends={} regions={} spare_regions={}\n",
            self.device().name(),
            depth,
            self.pools.receives_aside(),
            self.profile.send_ring,
            self.pools.spare_sends(),
            regions,
            spare_regions,
        ))
    }

    pub(super) fn pools(&self) -> &Arc<Pools> {
        &self.pools
    }
}

/// The numbers that the decision rests on.
fn attributes(dev: &Device) -> Attributes {
    let attr = dev.attributes();

    Attributes {
        kind: match dev.node_type() {
            // krdma makes no queue pairs there, whatever the kind of node.
            _ if dev.ports().any(|port| port.is_iwarp()) => Kind::Iwarp,
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
