// SPDX-License-Identifier: GPL-2.0

//! Devices, and what the connections over one share.

use super::{
    link::COPIED,
    pools::{
        OnReceived,
        Pools, //
    },
    Shared, //
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
        Client,
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
        Request, //
    },
    settings::Settings, //
};

/// The client of the RDMA core: takes each device that is fit for RDS.
pub(crate) struct Devices(pub(crate) Arc<Shared>);

krdma::client_slot!(Devices);

impl Client for Devices {
    const NAME: &'static CStr = c"rrds";

    type Data = Arc<Station>;

    fn add(&self, dev: &Device) -> impl PinInit<Arc<Station>, Error> {
        self.take(dev)
    }

    fn remove(&self, dev: &Device, data: Pin<&Arc<Station>>) {
        self.0
            .stations
            .lock()
            .retain(|station| station.device() != dev);
        data.close();
        pr_info!("{}: removed\n", dev.name());
    }
}

impl Devices {
    /// Decides whether a device carries RDS, and makes what all its connections share.
    ///
    /// Errors: [`EOPNOTSUPP`] if the device is not fit, and what its parts fail with.
    fn take(&self, dev: &Device) -> Result<Arc<Station>> {
        let wanted = Request {
            shared_recv: consts::RECV_RING,
            // Nothing is registered yet.
            registration_room: 0,
            ..Request::default()
        };
        let profile = Profile::new(&attributes(dev), &wanted).map_err(|refusal| {
            // The pure crate can't implement the kernel's own Display.
            pr_info!("{}: not used: {}\n", dev.name(), format_args!("{refusal}"));
            EOPNOTSUPP
        })?;
        let station = Station::new(dev, self.0.module, profile).inspect_err(|err| {
            pr_err!(
                "{}: not used ({:?}); remove and add the device to try again\n",
                dev.name(),
                err
            );
        })?;
        let mut stations = self.0.stations.lock();
        if let Err(err) = stations.push(station.clone(), GFP_KERNEL) {
            drop(stations);
            station.close();
            return Err(err.into());
        }

        pr_info!(
            "{}: added, {} sends in flight per connection, {} receives for all\n",
            dev.name(),
            profile.send_ring,
            profile.recv_cqe
        );
        Ok(station)
    }
}

/// What the connections over one device share.
pub(crate) struct Station {
    pd: Arc<Pd>,
    profile: Profile,
    pools: Arc<Pools>,
    // Fills the shared receive queue where memory was short.
    _job: Job<Pools>,
}

impl Station {
    fn new(dev: &Device, module: &'static ThisModule, profile: Profile) -> Result<Arc<Self>> {
        let Receive::Shared(depth) = profile.receive else {
            // Devices of this century have shared receive queues.
            return Err(EOPNOTSUPP);
        };
        let job = krdma::new_job!(module, |waker| Pools::new(dev, module, depth, waker))?;
        let pools = job.data().clone();
        let pd = Arc::new(Pd::new(dev, module)?, GFP_KERNEL)?;
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
    fn close(&self) {
        self.pools.close();
    }

    /// Returns the device.
    pub(crate) fn device(&self) -> &Device {
        self.pd.device()
    }

    pub(crate) fn pd(&self) -> &Arc<Pd> {
        &self.pd
    }

    /// Returns how large the queues of a connection are.
    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Returns the tunables for a connection over the device.
    pub(crate) fn settings(&self, wanted: Settings) -> Settings {
        Settings {
            send_ring: wanted.send_ring.min(self.profile.send_ring),
            copied: COPIED,
            ..wanted
        }
    }

    /// Writes a line about the device, for `/sys/kernel/debug/rrds/devices`. May sleep.
    pub(crate) fn dump(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receive::Shared(depth) = self.profile.receive else {
            return Ok(());
        };

        f.write_fmt(fmt!(
            "device={} receive_ring={} receive_missing={} send_ring={} spare_sends={}\n",
            self.device().name(),
            depth,
            self.pools.receives_aside(),
            self.profile.send_ring,
            self.pools.spare_sends(),
        ))
    }

    pub(crate) fn pools(&self) -> &Arc<Pools> {
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
