// SPDX-License-Identifier: GPL-2.0

//! What has callbacks of the connection manager: who connects, who accepts.

use super::*;

/// One end of a connection.
pub(super) struct Peer {
    all: Arc<All>,
    qp: SetOnce<Arc<Qp>>,
    /// Whether it is to be dropped.
    pub(super) over: Atomic<bool>,
}

impl Peer {
    pub(super) fn new(all: &Arc<All>) -> Self {
        Self {
            all: all.clone(),
            qp: SetOnce::new(),
            over: Atomic::new(false),
        }
    }

    /// Makes the queue pair of a connection, and returns what the peer is told of it.
    fn prepare(id: &Id<Self>) -> Result<ConnParams<'static>> {
        let this = id.handler();
        let station = id
            .device()
            .and_then(|dev| this.all.station(dev))
            .ok_or(ENODEV)?;
        let qp = station.queue_pair(this.all.module)?;

        id.modify_qp(&qp, QpState::Init)?;
        let number = qp.number();
        this.qp.populate(qp);
        Ok(ConnParams {
            responder_resources: 1,
            initiator_depth: 1,
            retry_count: 7,
            rnr_retry_count: 7,
            srq: true,
            qp_number: number,
            ..ConnParams::default()
        })
    }

    /// Makes the queue pair ready.
    fn ready(id: &Id<Self>) -> Result<Arc<Qp>> {
        let qp = id.handler().qp.as_ref().ok_or(EINVAL)?;

        id.modify_qp(qp, QpState::Rtr)?;
        id.modify_qp(qp, QpState::Rts)?;
        Ok(qp.clone())
    }

    fn begin(id: &Id<Self>) -> Result {
        let qp = Self::ready(id)?;
        id.accept_response()?;

        let job = Arc::new(
            Job {
                all: id.handler().all.clone(),
                next: Atomic::new(0),
                done: Atomic::new(0),
                total: module_parameters::count.value(),
            },
            GFP_KERNEL,
        )?;
        for _ in 0..WINDOW {
            let bytes = KVec::from_elem(0, LEN, GFP_KERNEL)?;
            let request = Request::new(
                Outgoing {
                    buffer: Mapping::new(qp.device(), bytes)?,
                    job: job.clone(),
                },
                GFP_KERNEL,
            )?;
            Outgoing::send(request, qp.poster())?;
        }
        Ok(())
    }
}

impl Handler for Peer {
    fn event(id: &Id<Self>, event: Event<'_>) {
        let ret = match event {
            Event::AddressResolved => id.resolve_route(TIMEOUT),
            Event::RouteResolved => Self::prepare(id).and_then(|params| id.connect(&params)),
            Event::Response(_) => Self::begin(id),
            Event::Rejected(why) => {
                pr_warn!("refused: {:?}\n", why.reason());
                Err(ECONNREFUSED)
            }
            Event::AddressError(err)
            | Event::RouteError(err)
            | Event::ConnectError(err)
            | Event::Unreachable(err) => Err(err),
            Event::Disconnected | Event::DeviceRemoval => {
                id.handler().all.forget(id);
                Ok(())
            }
            _ => Ok(()),
        };

        if let Err(err) = ret {
            pr_warn!("no connection: {:?}\n", err);
            id.handler().all.forget(id);
        }
    }
}

/// Takes the connections that come in.
pub(super) struct Accept {
    pub(super) all: Arc<All>,
}

impl Acceptor for Accept {
    fn request(listener: &Id<Self>, request: cm::Request<'_>) {
        let all = &listener.handler().all;
        let accepted = request
            .into_connection(Peer::new(all))
            .and_then(|connection| {
                let params = Peer::prepare(&connection)?;

                Peer::ready(&connection)?;
                connection.accept(&params)?;
                all.keep(connection)
            });

        if let Err(err) = accepted {
            pr_warn!("a connection was not taken: {:?}\n", err);
        }
    }
}
