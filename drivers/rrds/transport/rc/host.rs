// SPDX-License-Identifier: GPL-2.0

//! What there is once for all namespaces: the devices, and the ports that peers connect to.

use super::{
    operation,
    station::{
        self,
        Station, //
    }, //
};
use crate::{
    addr,
    params::Ports,
    region::Region, //
};
use kernel::{
    fmt, new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};
use krdma::{
    net::Namespace,
    page::PinnedPages,
    rdma::{
        cm::{
            Builder,
            PortSpace, //
        },
        device::AtomicCapability,
        Client,
        Device, //
    },
};
use rds_proto::wire::{
    Addr,
    Family, //
};

/// What there is once for all namespaces.
#[pin_data]
pub(crate) struct Host {
    module: &'static ThisModule,
    ports: Ports,
    #[pin]
    stations: Mutex<KVec<Arc<Station>>>,
}

impl Host {
    /// Makes one without devices, which come by [`Devices`].
    pub(crate) fn new(module: &'static ThisModule, ports: Ports) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                module,
                ports,
                stations <- new_mutex!(KVec::new(), "rrds::Host::stations"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the port that peers listen to.
    pub(super) fn port(&self, family: Family) -> u16 {
        match family {
            Family::V4 => self.ports.v4,
            Family::V6 => self.ports.v6,
        }
    }

    /// Writes a line for each device that carries RDS. May sleep.
    pub(crate) fn dump(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stations
            .lock()
            .iter()
            .try_for_each(|station| station.dump(f))
    }

    /// Returns what is made of a device, if it carries RDS.
    pub(super) fn station(&self, dev: &Device) -> Option<Arc<Station>> {
        self.stations
            .lock()
            .iter()
            .find(|station| station.device() == dev)
            .cloned()
    }

    /// Starts an id of the connection manager in a namespace.
    pub(super) fn builder<'a>(&self, ns: &'a Namespace) -> Builder<'a> {
        Builder::new(ns, PortSpace::Tcp, self.module)
    }

    /// Returns how many pieces of memory a work request of an operation has at most, whatever the device.
    pub(super) fn operation_pieces(&self) -> u32 {
        self.stations
            .lock()
            .iter()
            .map(|station| station.profile().send_sge)
            .fold(operation::PIECES, u32::min)
    }

    /// Returns whether all devices have atomic operations, or masked ones. May sleep.
    pub(super) fn has_atomics(&self, masked: bool) -> bool {
        self.stations.lock().iter().all(|station| {
            let attributes = station.device().attributes();
            let capability = match masked {
                true => attributes.masked_atomic_capability(),
                false => attributes.atomic_capability(),
            };

            capability != AtomicCapability::None
        })
    }

    /// Registers memory on the device that an address of a namespace is on. May sleep.
    ///
    /// Errors: [`ENODEV`] if there is none that carries RDS, and those of [`Registrar::register`](super::regions::Registrar::register).
    pub(super) fn register(
        &self,
        ns: &Namespace,
        local: Addr,
        scope: u32,
        pages: PinnedPages,
    ) -> Result<Arc<dyn Region>> {
        let dev = self
            .builder(ns)
            .device_of(addr::to_ip(local), scope)
            .map_err(|err| if err == ENOMEM { err } else { ENODEV })?;
        let station = self.station(&dev).ok_or(ENODEV)?;

        station.registrar().register(pages)
    }

    /// Returns whether an address is one of a namespace, on a device that carries RDS. May sleep.
    ///
    /// The only error is [`ENOMEM`]: it may be one.
    pub(super) fn owns(&self, ns: &Namespace, addr: Addr, scope: u32) -> Result<bool> {
        match self.builder(ns).device_of(addr::to_ip(addr), scope) {
            Ok(dev) => Ok(self.station(&dev).is_some()),
            Err(err) if err == ENOMEM => Err(err),
            Err(_) => Ok(false),
        }
    }
}

/// The client of the RDMA core: takes each device that is fit for RDS.
pub(crate) struct Devices(pub(crate) Arc<Host>);

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
        let profile = station::profile(dev).map_err(|refusal| {
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
