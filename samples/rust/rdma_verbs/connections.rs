// SPDX-License-Identifier: GPL-2.0

//! The connection manager, within the device: all services, by IPv4 and IPv6, and groups that are
//! left.

use crate::{
    expect,
    expect_error,
    requests::{
        receive,
        send,
        Log, //
    },
    Bench, //
};
use core::net::{
    IpAddr,
    Ipv4Addr,
    SocketAddr, //
};
use kernel::{
    new_mutex,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        Mutex,
        SetOnce, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};
use krdma::{
    net::Namespace,
    rdma::{
        cm::{
            self,
            Acceptor,
            Builder,
            ConnParams,
            Connection,
            Event,
            Handler,
            Id,
            Membership,
            PortSpace,
            ServiceType,
            State, //
        },
        cq::Poll,
        gid::GidType,
        qp::{
            QpInit,
            Receive,
            Uc,
            Ud, //
        },
        qp_attr::QpState,
        request::Status,
        Cq,
        Pd,
        Qp, //
    },
};

const PORT: u16 = 7479;
const TIMEOUT: Delta = Delta::from_millis(20_000);

/// What both sides share.
#[pin_data]
struct Meeting {
    module: &'static ThisModule,
    pd: Arc<Pd>,
    service: ServiceType,
    sent: Arc<Log>,
    received: Arc<Log>,
    /// What was accepted.
    #[pin]
    accepted: Mutex<Option<Connection<Side>>>,
    /// Sides that are connected, and those that were disconnected.
    connected: Atomic<u32>,
    disconnected: Atomic<u32>,
    #[pin]
    error: Mutex<Option<Error>>,
}

impl Meeting {
    fn new(bench: &Bench<'_>, service: ServiceType) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                module: bench.module,
                pd: bench.pd.clone(),
                service,
                sent: Log::new()?,
                received: Log::new()?,
                accepted <- new_mutex!(None),
                connected: Atomic::new(0),
                disconnected: Atomic::new(0),
                error <- new_mutex!(None),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Returns whether nobody is connected.
    fn is_datagram(&self) -> bool {
        matches!(self.service, ServiceType::Datagram)
    }

    fn queue_pair(&self) -> Result<QueuePair> {
        let cq = Cq::new(self.pd.device(), self.module, 64, 0, Poll::Workqueue)?;
        let init = QpInit {
            pd: self.pd.clone(),
            send_cq: cq.clone(),
            receive: Receive::Own(cq),
            cap: crate::capabilities(),
            port: 0,
            context: None,
        };

        Ok(match self.service {
            ServiceType::Reliable => QueuePair::Rc(Qp::new(init, self.module)?),
            ServiceType::Unreliable => QueuePair::Uc(Qp::new(init, self.module)?),
            ServiceType::Datagram => QueuePair::Ud(Qp::new(init, self.module)?),
        })
    }

    /// Waits until as many are there, or somebody has failed.
    fn wait(&self, what: &str, sides: &Atomic<u32>, count: u32) -> Result {
        for _ in 0..20_000 {
            if let Some(err) = *self.error.lock() {
                return Err(err);
            }
            if sides.load(Relaxed) >= count {
                return Ok(());
            }
            fsleep(Delta::from_millis(1));
        }
        pr_err!("{}: {} of {}\n", what, sides.load(Relaxed), count);
        Err(ETIMEDOUT)
    }

    fn fail(&self, err: Error) {
        self.error.lock().get_or_insert(err);
    }
}

/// A queue pair of the service that is met by.
enum QueuePair {
    Rc(Qp),
    Uc(Qp<Uc>),
    Ud(Qp<Ud>),
}

impl QueuePair {
    fn number(&self) -> u32 {
        match self {
            Self::Rc(qp) => qp.number(),
            Self::Uc(qp) => qp.number(),
            Self::Ud(qp) => qp.number(),
        }
    }

    /// Moves it to states of a connection, if there is one.
    fn modify(&self, id: &Id<Side>, states: &[QpState]) -> Result {
        states.iter().try_for_each(|state| match self {
            Self::Rc(qp) => id.modify_qp(qp, *state),
            Self::Uc(qp) => id.modify_qp(qp, *state),
            Self::Ud(_) => Ok(()),
        })
    }

    /// Posts a receive, if there is a connection.
    fn receive(&self, log: &Arc<Log>) -> Result {
        match self {
            Self::Rc(qp) => receive(qp, qp.device(), log, 64),
            Self::Uc(qp) => receive(qp, qp.device(), log, 64),
            Self::Ud(_) => Ok(()),
        }
    }

    /// Posts a message.
    fn send(&self, log: &Arc<Log>) -> Result {
        match self {
            Self::Rc(qp) => send(qp, log, 7, 64),
            Self::Uc(qp) => send(qp, log, 7, 64),
            Self::Ud(_) => Err(EINVAL),
        }
    }
}

/// One side of a connection.
struct Side {
    meeting: Arc<Meeting>,
    qp: SetOnce<QueuePair>,
}

impl Side {
    fn new(meeting: &Arc<Meeting>) -> Self {
        Self {
            meeting: meeting.clone(),
            qp: SetOnce::new(),
        }
    }

    /// Makes the queue pair, with a receive in it.
    fn prepare(id: &Id<Self>) -> Result<ConnParams<'static>> {
        let meeting = &id.handler().meeting;
        let qp = meeting.queue_pair()?;
        let number = qp.number();

        qp.modify(id, &[QpState::Init])?;
        qp.receive(&meeting.received)?;
        id.handler().qp.populate(qp);
        Ok(ConnParams {
            private_data: b"hello",
            responder_resources: 1,
            initiator_depth: 1,
            retry_count: 7,
            rnr_retry_count: 7,
            qp_number: number,
            ..ConnParams::default()
        })
    }

    fn ready(id: &Id<Self>) -> Result {
        let qp = id.handler().qp.as_ref().ok_or(EINVAL)?;

        qp.modify(id, &[QpState::Rtr, QpState::Rts])
    }

    fn is_connected(&self) {
        self.meeting.connected.fetch_add(1, Relaxed);
    }
}

impl Handler for Side {
    fn event(id: &Id<Self>, event: Event<'_>) {
        let this = id.handler();
        let ret = match event {
            Event::AddressResolved => id.resolve_route(TIMEOUT),
            Event::RouteResolved => Self::prepare(id).and_then(|params| id.connect(&params)),
            Event::Response(params) if !params.private_data.starts_with(b"hello") => Err(EBADMSG),
            Event::Response(_) => Self::ready(id)
                .and_then(|()| id.accept_response())
                .map(|()| this.is_connected()),
            Event::ServiceResolved(peer) if !peer.private_data().starts_with(b"hello") => {
                Err(EBADMSG)
            }
            Event::Established(_) | Event::ServiceResolved(_) => {
                this.is_connected();
                Ok(())
            }
            Event::Disconnected => {
                this.meeting.disconnected.fetch_add(1, Relaxed);
                // The side that was first is told that it is not connected any more.
                let _ = id.disconnect();
                Ok(())
            }
            Event::Rejected(_) => Err(ECONNREFUSED),
            Event::AddressError(err)
            | Event::RouteError(err)
            | Event::ConnectError(err)
            | Event::Unreachable(err) => Err(err),
            _ => Ok(()),
        };

        if let Err(err) = ret {
            this.meeting.fail(err);
        }
    }
}

/// Accepts all.
struct Door(Arc<Meeting>);

impl Acceptor for Door {
    fn request(listener: &Id<Self>, request: cm::Request<'_>) {
        let meeting = &listener.handler().0;
        let datagram = meeting.is_datagram();
        let accepted = request
            .into_connection(Side::new(meeting))
            .and_then(|connection| {
                let params = Side::prepare(&connection)?;

                Side::ready(&connection)?;
                connection.accept(&params)?;
                if datagram {
                    // There is nothing to wait for.
                    connection.handler().is_connected();
                }
                Ok(connection)
            });

        match accepted {
            Ok(connection) => *meeting.accepted.lock() = Some(connection),
            Err(err) => meeting.fail(err),
        }
    }
}

/// Returns the port's own addresses: one IPv4, one IPv6 that is not of one link only.
fn addresses(bench: &Bench<'_>) -> Result<[IpAddr; 2]> {
    let table_len = bench.port.query()?.gid_table_len();
    let mut v4 = None;
    let mut v6 = None;

    for entry in bench.port.gids(table_len) {
        let addr = entry.gid().to_ipv6();

        if entry.gid_type() != GidType::RoceV2 {
            continue;
        }
        match entry.gid().to_ipv4() {
            Some(addr) => v4 = Some(IpAddr::V4(addr)),
            None if addr.segments()[0] != 0xfe80 => v6 = Some(IpAddr::V6(addr)),
            None => {}
        }
    }
    let Some(both) = v4.zip(v6) else {
        pr_err!("the port needs an IPv4 and an IPv6 address\n");
        return Err(EADDRNOTAVAIL);
    };
    Ok([both.0, both.1])
}

/// Connects, sends, disconnects: with each service, by each kind of address.
pub(crate) fn services(bench: &Bench<'_>) -> Result {
    const SPACES: [PortSpace; 5] = [
        PortSpace::Tcp,
        PortSpace::Udp,
        PortSpace::Ib(ServiceType::Reliable),
        PortSpace::Ib(ServiceType::Unreliable),
        PortSpace::Ib(ServiceType::Datagram),
    ];

    for addr in addresses(bench)? {
        for space in SPACES {
            meet(bench, SocketAddr::from((addr, PORT)), space).inspect_err(|err| {
                pr_err!("{:?} at {:?}: {:?}\n", space, addr, err);
            })?;
        }
        let builder = Builder::new(Namespace::initial(), PortSpace::Tcp, bench.module);
        let meeting = Meeting::new(bench, ServiceType::Reliable)?;
        let nobody = builder.resolve(
            None,
            SocketAddr::from((addr, PORT + 1)),
            TIMEOUT,
            Side::new(&meeting),
        )?;
        expect_error(
            "a port that nobody listens on",
            meeting.wait("connected", &meeting.connected, 1),
            ECONNREFUSED,
        )?;
        nobody.close();
    }
    Ok(())
}

fn meet(bench: &Bench<'_>, addr: SocketAddr, space: PortSpace) -> Result {
    let meeting = Meeting::new(bench, space.service_type())?;
    let builder = Builder::new(Namespace::initial(), space, bench.module);
    let listener = builder.listen(addr, 4, Door(meeting.clone()))?;
    let ret = builder
        .resolve(None, addr, TIMEOUT, Side::new(&meeting))
        .and_then(|asking| talk(&meeting, addr, asking));

    // What was accepted keeps the meeting, and the meeting it, unless it was taken out. The callbacks take
    // the lock.
    listener.close();
    let accepted = meeting.accepted.lock().take();
    if let Some(accepted) = accepted {
        accepted.close();
    }
    ret
}

fn talk(meeting: &Meeting, addr: SocketAddr, asking: Connection<Side>) -> Result {
    meeting.wait("connected", &meeting.connected, 2)?;
    expect("where the peer is", asking.peer_addr(), Some(addr))?;
    let accepted = meeting.accepted.lock().take().ok_or(ENOTCONN)?;
    expect(
        "where the peer asks from",
        accepted.peer_addr().map(|peer| peer.ip()),
        Some(addr.ip()),
    )?;

    if !meeting.is_datagram() {
        let qp = asking.handler().qp.as_ref().ok_or(EINVAL)?;
        qp.send(&meeting.sent)?;
        meeting.sent.expect("a send", 1, Status::Success)?;
        expect("what has come", meeting.received.next()?.word as u8, 7)?;

        expect("the state", asking.state(), State::Established)?;
        asking.disconnect()?;
        meeting.wait("disconnected", &meeting.disconnected, 2)?;
        expect("the state", accepted.state(), State::Disconnected)?;
    }
    asking.close();
    accepted.close();
    // The receives that were not used are given back, with the queue pairs.
    let left = if meeting.is_datagram() { 0 } else { 1 };
    meeting
        .received
        .expect("a receive given back", left, Status::Flushed)?;
    expect("receives", meeting.received.len(), u32_as_usize(0))
}

/// Counts how often a group was joined.
pub(crate) struct Member {
    joined: Atomic<u32>,
    resolved: Atomic<u32>,
}

impl Handler for Member {
    fn event(id: &Id<Self>, event: Event<'_>) {
        match event {
            Event::AddressResolved => {
                id.handler().resolved.fetch_add(1, Relaxed);
            }
            Event::MulticastJoined(_) => {
                id.handler().joined.fetch_add(1, Relaxed);
                // It would wait for this callback.
                let left = id.leave_multicast(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
                if left != Err(EDEADLK) {
                    pr_err!("left in a callback: {:?}\n", left);
                }
            }
            _ => {}
        }
    }
}

fn within(counter: impl Fn() -> u32, count: u32) -> Result {
    for _ in 0..20_000 {
        if counter() >= count {
            return Ok(());
        }
        fsleep(Delta::from_millis(1));
    }
    Err(ETIMEDOUT)
}

/// Joins a group, leaves it, and joins it again.
pub(crate) fn multicast(bench: &Bench<'_>) -> Result {
    let [v4, _] = addresses(bench)?;
    let group = SocketAddr::from((Ipv4Addr::new(239, 8, 8, 8), 0));
    let member = Builder::new(Namespace::initial(), PortSpace::Udp, bench.module).resolve(
        Some(SocketAddr::new(v4, 0)),
        group,
        TIMEOUT,
        Member {
            joined: Atomic::new(0),
            resolved: Atomic::new(0),
        },
    )?;
    let this = member.handler();

    within(|| this.resolved.load(Relaxed), 1)?;
    for round in 1..=3 {
        member.join_multicast(group, Membership::Full)?;
        within(|| this.joined.load(Relaxed), round)?;
        member.leave_multicast(group)?;
    }
    // Before the event, and when it is no member.
    member.join_multicast(group, Membership::SendOnly)?;
    member.leave_multicast(group)?;
    member.leave_multicast(group)?;

    expect_error(
        "a group that is none",
        member.join_multicast(SocketAddr::new(v4, 0), Membership::Full),
        EINVAL,
    )?;
    let six = SocketAddr::from((core::net::Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 9), 0));
    expect_error(
        "a group of IPv6",
        member.join_multicast(six, Membership::Full),
        EOPNOTSUPP,
    )?;
    *bench.kept.lock() = Some(member);
    Ok(())
}
