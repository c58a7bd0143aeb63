// SPDX-License-Identifier: GPL-2.0

//! Options of the level SOL_RDS (spec-options).

use super::{
    notify,
    rdma,
    seam::Chosen,
    send,
    Socket, //
};
use crate::{
    info,
    message::Endpoint,
    space::Tracing, //
};
use kernel::prelude::*;
use krdma::net::{
    NameIn,
    Open,
    OptionIn,
    OptionOut,
    Timestamps, //
};
use rds_proto::{
    uapi::{
        self,
        cmsg::MAX_TRACES,
        option::{
            transport,
            CANCEL_SENT_TO,
            CONG_MONITOR,
            FREE_MR,
            GET_MR,
            GET_MR_FOR_DEST,
            RECVERR,
            RXPATH_LATENCY,
            SO_TIMESTAMP_NEW,
            SO_TIMESTAMP_OLD,
            TRANSPORT, //
        },
        SOL_RDS, //
    },
    wire::Addr, //
};

/// Transports that SO_RDS_TRANSPORT can choose have smaller numbers.
const TRANSPORTS: i32 = 3;

pub(super) fn set(sock: &Open<'_, Socket>, level: i32, name: i32, value: OptionIn<'_>) -> Result {
    if level != SOL_RDS {
        return Err(ENOPROTOOPT);
    }
    match name {
        CANCEL_SENT_TO => cancel(sock, value),
        RECVERR => {
            let on = flag(&value)?;
            sock.lock().recverr = on;
            Ok(())
        }
        CONG_MONITOR => monitor(sock, flag(&value)?),
        TRANSPORT => transport_option(sock, &value),
        RXPATH_LATENCY => trace(sock, value),
        SO_TIMESTAMP_OLD => timestamps(sock, value, Timestamps::Old),
        SO_TIMESTAMP_NEW => timestamps(sock, value, Timestamps::New),
        GET_MR => rdma::get_mr(sock, &value),
        GET_MR_FOR_DEST => rdma::get_mr_for_dest(sock, &value),
        FREE_MR => rdma::free_mr(sock, &value),
        _ => Err(ENOPROTOOPT),
    }
}

pub(super) fn get(
    sock: &Open<'_, Socket>,
    level: i32,
    name: i32,
    value: &mut OptionOut<'_>,
) -> Result<i32> {
    if level != SOL_RDS {
        return Err(ENOPROTOOPT);
    }
    match name {
        RECVERR => {
            let on = sock.lock().recverr;
            value.write_int(on.into()).map(|()| 0)
        }
        TRANSPORT => {
            let number = sock
                .lock()
                .transport
                .as_ref()
                .map_or(transport::NONE, |transport| transport.number());
            value.write_int(number).map(|()| 0)
        }
        uapi::info::COUNTERS..=uapi::info::RDMA_CONNECTIONS6 => info::get(sock, name, value),
        _ => Err(ENOPROTOOPT),
    }
}

/// Reads an `int` that says yes or no.
fn flag(value: &OptionIn<'_>) -> Result<bool> {
    Ok(i32::from_ne_bytes(value.read()?) != 0)
}

/// Reads a value that must have exactly its length, where another length is the fault of an address.
fn exactly<const N: usize>(value: &OptionIn<'_>) -> Result<[u8; N]> {
    if value.len() == N {
        value.read()
    } else {
        Err(EFAULT)
    }
}

/// Drops all messages to an address. Which kind of address it is, is told by its length only.
fn cancel(sock: &Open<'_, Socket>, value: OptionIn<'_>) -> Result {
    const V6_LEN: usize = 28;

    if sock.lock().bound.is_none() {
        return Err(ENOTCONN);
    }
    let dest = if value.len() < V6_LEN {
        let raw = value.read::<16>()?;
        let addr = NameIn::new(&raw).v4().ok_or(EINVAL)?;
        Endpoint {
            addr: Addr::v4(addr.ip().octets()),
            port: addr.port(),
        }
    } else {
        let raw = value.read::<V6_LEN>()?;
        let addr = NameIn::new(&raw).v6().ok_or(EINVAL)?;
        Endpoint {
            addr: Addr(addr.ip().octets()),
            port: addr.port(),
        }
    };

    send::cancel(sock, Some(dest));
    Ok(())
}

fn monitor(sock: &Open<'_, Socket>, on: bool) -> Result {
    if on {
        notify::watch(sock)?;
    }
    sock.data().receives.lock().monitor.set(on);
    Ok(())
}

fn transport_option(sock: &Open<'_, Socket>, value: &OptionIn<'_>) -> Result {
    // Before the value is looked at.
    if sock.lock().transport.is_some() {
        return Err(EOPNOTSUPP);
    }
    if value.len() != 4 {
        return Err(EINVAL);
    }

    choose_transport(sock, i32::from_ne_bytes(value.read()?))
}

/// Chooses a transport by its [number](transport) for a socket that is to be bound.
///
/// Errors: [`EOPNOTSUPP`] if one is chosen, or the socket is bound; [`EINVAL`] if none of RDS's has the number;
/// [`ENOPROTOOPT`] if it is not there.
pub(crate) fn choose_transport(sock: &Open<'_, Socket>, number: i32) -> Result {
    let mut locked = sock.lock();

    if locked.transport.is_some() {
        return Err(EOPNOTSUPP);
    }
    if !(0..TRANSPORTS).contains(&number) {
        return Err(EINVAL);
    }

    let transports = &sock.data().directory.transports;
    let transport = transports.iter().find(|t| t.number() == number);
    let transport = transport.ok_or(ENOPROTOOPT)?.clone();
    locked.chosen = Some(number);
    locked.transport = Some(Chosen::new(transport, locked.chosen));
    Ok(())
}

/// Chooses the parts of a message's way whose time is to be told.
fn trace(sock: &Open<'_, Socket>, value: OptionIn<'_>) -> Result {
    let [count, traces @ ..] = exactly::<{ 1 + MAX_TRACES }>(&value)?;
    if usize::from(count) > MAX_TRACES {
        return Err(EFAULT);
    }
    let bad = |trace: &u8| usize::from(*trace) >= MAX_TRACES;
    let faulty = traces.iter().take(count.into()).any(bad);
    let traced = if faulty { 0 } else { count };
    let tracing = (traced != 0).then(|| Tracing::new(&sock.data().space));
    let mut receives = sock.data().receives.lock();

    receives.traces = traces;
    receives.traced = traced;
    receives.tracing = tracing;
    if faulty {
        return Err(EFAULT);
    }
    Ok(())
}

fn timestamps(sock: &Open<'_, Socket>, value: OptionIn<'_>, form: Timestamps) -> Result {
    let on = i32::from_ne_bytes(exactly(&value)?) != 0;

    sock.lock().set_timestamps(on, form);
    Ok(())
}
