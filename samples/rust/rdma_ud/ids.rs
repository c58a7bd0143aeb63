// SPDX-License-Identifier: GPL-2.0

//! What has callbacks of the connection manager: who tells, who asks, who joins.

use super::*;

/// Tells who asks how to reach our queue pair.
pub(super) struct Teller {
    pub(super) all: Arc<All>,
}

impl Acceptor for Teller {
    fn request(listener: &Id<Self>, request: cm::Request<'_>) {
        // Dropped, it is refused.
        let Some(station) = listener.handler().all.station(request.device()) else {
            return;
        };
        let told = request.into_connection(Told).and_then(|connection| {
            connection.accept(&ConnParams {
                qp_number: station.qp.number(),
                qkey: QKEY,
                ..ConnParams::default()
            })
        });

        if let Err(err) = told {
            pr_warn!("nothing told: {:?}\n", err);
        }
    }
}

/// Somebody that was told, which nothing happens to any more.
struct Told;

impl Handler for Told {
    fn event(_id: &Id<Self>, _event: cm::Event<'_>) {}
}

/// Asks a peer.
pub(super) struct Asker {
    pub(super) all: Arc<All>,
}

impl Asker {
    fn begin(&self, dev: Option<&Device>, peer: &Datagram<'_>) -> Result {
        let station = dev.and_then(|dev| self.all.station(dev)).ok_or(ENODEV)?;
        let count = module_parameters::count.value();
        let job = Arc::new(Job::new(&station, peer, count)?, GFP_KERNEL)?;

        station.begin(job.clone())?;
        for _ in 0..WINDOW {
            job.ask()?;
        }
        Ok(())
    }
}

impl Handler for Asker {
    fn event(id: &Id<Self>, event: cm::Event<'_>) {
        let all = &id.handler().all;
        let ret = match event {
            cm::Event::AddressResolved => id.resolve_route(TIMEOUT),
            cm::Event::RouteResolved => id.connect(&ConnParams::default()),
            cm::Event::ServiceResolved(peer) => id.handler().begin(id.device(), &peer),
            cm::Event::Rejected(why) => {
                pr_warn!("refused: {:?}\n", why.reason());
                Ok(())
            }
            cm::Event::AddressError(err)
            | cm::Event::RouteError(err)
            | cm::Event::Unreachable(err) => Err(err),
            cm::Event::DeviceRemoval => {
                let gone = all.ids.lock().asker.take();
                drop(gone);
                Ok(())
            }
            _ => Ok(()),
        };

        if let Err(err) = ret {
            pr_warn!("can't ask: {:?}\n", err);
        }
    }
}

/// Joins a group.
pub(super) struct Joiner {
    pub(super) all: Arc<All>,
    pub(super) group: SocketAddr,
}

impl Joiner {
    fn begin(&self, id: &Id<Self>, group: &Datagram<'_>) -> Result {
        let dev = id.device().ok_or(ENODEV)?;
        let station = self.all.station(dev).ok_or(ENODEV)?;
        let attr = group.ah_attr().ok_or(EINVAL)?;
        let gid = attr.destination_gid().ok_or(EINVAL)?;

        for _ in 0..module_parameters::members.value() {
            let member =
                Station::with_key(station.qp.pd(), station.port, group.qkey(), self.all.module)?;
            let added = Attachment::new(&member.qp, gid, attr.destination_lid())
                .and_then(|attachment| station.add_member(attachment, member.clone()));

            if let Err(err) = added {
                member.qp.drain()?;
                return Err(err);
            }
        }
        pr_info!(
            "{}: {} members of {}, qkey 0x{:x}\n",
            dev.name(),
            module_parameters::members.value(),
            gid,
            group.qkey()
        );

        let burst = module_parameters::burst.value();
        if burst == 0 {
            return Ok(());
        }
        let mut job = Job::new(&station, group, burst)?;
        job.streams = true;
        let job = Arc::new(job, GFP_KERNEL)?;
        let Some(number) = job.next() else {
            return Ok(());
        };
        Outgoing::new(job.clone())?.send_as(Kind::Group, number, job.qkey)
    }
}

impl Handler for Joiner {
    fn event(id: &Id<Self>, event: cm::Event<'_>) {
        let this = id.handler();
        let ret = match event {
            cm::Event::AddressResolved => id.join_multicast(this.group, Membership::Full),
            cm::Event::MulticastJoined(group) => this.begin(id, &group),
            cm::Event::AddressError(err) | cm::Event::MulticastError(err) => Err(err),
            cm::Event::DeviceRemoval => {
                let gone = this.all.ids.lock().joiner.take();
                drop(gone);
                Ok(())
            }
            _ => Ok(()),
        };

        if let Err(err) = ret {
            pr_warn!("can't join: {:?}\n", err);
        }
    }
}
