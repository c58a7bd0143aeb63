// SPDX-License-Identifier: GPL-2.0

//! The addresses of a socket: bind, connect, getsockname and getpeername (spec-bind, spec-connect).

use super::{
    binds::{
        self,
        BindKey,
        Entry, //
    },
    directory::{
        Bound,
        Directory, //
    },
    names::{
        self,
        Checked,
        Fault, //
    },
    seam::{
        Chosen,
        Held,
        Transport, //
    },
    Locked,
    Socket, //
};
use crate::{
    congestion::Port,
    key::Endpoint, //
};
use core::net::{
    Ipv4Addr,
    Ipv6Addr,
    SocketAddrV4,
    SocketAddrV6, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::{
    net::{
        Name,
        NameIn,
        Open, //
    },
    random::random_u32,
};
use rds_proto::{
    account::Overhead,
    consts::PROBE_PORT,
    wire::Addr, //
};

/// The entry of a socket in the table of its namespace.
type Place = binds::Place<Socket, Directory<Socket>>;

pub(super) fn bind(sock: &Open<'_, Socket>, name: NameIn<'_>) -> Result {
    bind_to(sock, names::check(name).map_err(|_| EINVAL)?)
}

/// Binds a socket to an address that was checked. May sleep.
pub(crate) fn bind_to(sock: &Open<'_, Socket>, to: Checked) -> Result {
    let Checked { at, scope } = to;
    let this = sock.data();
    let mut locked = sock.lock();

    if locked.bound.is_some() {
        return Err(EINVAL);
    }
    if locked.connected.is_some() && scope != 0 && locked.scope != 0 && scope != locked.scope {
        return Err(EINVAL);
    }

    let preset = locked.transport.take();
    // On failure the transport is let go of, even one that was preset.
    let transport = match preset {
        Some(transport) => {
            let owned = owns(sock, &transport, at.addr, scope);
            if owned != Ok(true) {
                // But not on this one.
                locked.transport = Some(transport);
                return Err(owned.err().unwrap_or(ENOPROTOOPT));
            }
            transport
        }
        None => {
            let mut transports = this.directory.transports.iter();
            loop {
                let transport = transports.next().ok_or(EADDRNOTAVAIL)?;
                if owns(sock, transport, at.addr, scope)? {
                    break Chosen::new(transport.clone(), locked.chosen);
                }
            }
        }
    };

    let held = Held::new(&transport, sock.namespace(), &this.space)?;
    let place = take_place(sock, at, scope, transport.overhead())?;
    // Nothing fails from here on.
    this.names.lock().bound = Some(place.key().at());
    locked.scope = place.key().scope();
    locked.bound = Some(Bound::new(place, held));
    locked.transport = Some(transport);
    Ok(())
}

pub(super) fn owns(
    sock: &Open<'_, Socket>,
    transport: &Arc<dyn Transport>,
    addr: Addr,
    scope: u32,
) -> Result<bool> {
    transport.owns(sock.namespace(), &sock.data().space, addr, scope)
}

/// Enters a socket in the table of bound ones, under any free port if it asked for port 0.
fn take_place(
    sock: &Open<'_, Socket>,
    at: Endpoint,
    scope: u32,
    overhead: Overhead,
) -> Result<Place> {
    let binds = &sock.data().directory.binds;

    if at.port == PROBE_PORT {
        return Err(EINVAL);
    }
    if at.port != 0 {
        return take(sock, BindKey::new(at, scope), overhead);
    }

    // Ports 0 and 1 are not for sockets. Start anywhere among the others and try each once.
    const FIRST: u32 = 2;
    const COUNT: u32 = 65536 - FIRST;
    let start = random_u32() % COUNT;
    for offset in 0..COUNT {
        // OVERFLOW: All of these are far below 2^32; the sum is a port.
        let port = u16::try_from(FIRST + (start + offset) % COUNT).map_err(|_| EINVAL)?;
        let key = BindKey::new(Endpoint { port, ..at }, scope);

        // To look is cheaper than to try.
        if binds.find(&key).is_some() {
            continue;
        }
        match take(sock, key, overhead) {
            Err(err) if err == EADDRINUSE => {}
            other => return other,
        }
    }
    Err(EADDRINUSE)
}

/// Enters a socket in the table of bound ones. What is delivered from here on is accounted for.
fn take(sock: &Open<'_, Socket>, key: BindKey, overhead: Overhead) -> Result<Place> {
    let this = sock.data();
    let Endpoint { addr, port } = key.at();
    let port = Port::new(this.space.local(addr, key.scope())?, port);
    let entry = Entry::new(key, sock)?;
    let mut receives = this.receives.lock();

    match Place::take(&this.directory, entry) {
        Ok(place) => {
            receives.port = Some(port);
            receives.overhead = overhead;
            Ok(place)
        }
        Err((err, entry)) => {
            drop(receives);
            drop(entry);
            Err(err)
        }
    }
}

pub(super) fn connect(sock: &Open<'_, Socket>, name: NameIn<'_>) -> Result {
    let Checked { at, scope } = names::check(name).map_err(|fault| match fault {
        Fault::Short | Fault::ManyV4 | Fault::NoScope => EINVAL,
        Fault::AnyV4 => EDESTADDRREQ,
        Fault::NotOneV6 => EPROTOTYPE,
        Fault::Family => EAFNOSUPPORT,
    })?;
    let mut locked = sock.lock();

    if scope != 0 {
        if locked.bound.is_some() && locked.scope != 0 && scope != locked.scope {
            return Err(EINVAL);
        }
        // Until the socket is bound this is what the bound address is checked against.
        locked.scope = scope;
    }
    locked.connected = Some(at);
    sock.data().names.lock().connected = Some(at);
    Ok(())
}

pub(super) fn name(sock: &Open<'_, Socket>, peer: bool) -> Result<Name> {
    let locked = sock.lock();
    let Locked {
        bound,
        connected,
        scope,
        ..
    } = &*locked;

    if peer {
        return connected.map(|at| names::show(at, *scope)).ok_or(ENOTCONN);
    }
    Ok(match (bound, connected) {
        (Some(bound), _) => names::show(bound.at(), *scope),
        (None, Some(at)) if names::is_v4(at.addr) => {
            Name::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))
        }
        (None, Some(_)) => Name::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)),
        (None, None) => Name::Unspecified,
    })
}
