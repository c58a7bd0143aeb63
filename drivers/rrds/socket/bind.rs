// SPDX-License-Identifier: GPL-2.0

//! The addresses of a socket: bind, connect, getsockname and getpeername (spec §4.2, §4.3).

use super::{
    names::{
        self,
        Checked,
        Fault, //
    },
    seam::Transport,
    Locked,
    Socket, //
};
use crate::{
    message::Endpoint,
    space::BindKey, //
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
    consts::PROBE_PORT,
    wire::Addr, //
};

/// How many times more than others a socket of the loopback transport may receive before senders
/// are held up.
///
/// C holds nobody up there, so programs may rely on a lot of room; without any limit one process could
/// use up the memory of the host.
const LOOPBACK_PATIENCE: u32 = 64;

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
            let mut transports = this.space.transports.iter();
            loop {
                let transport = transports.next().ok_or(EADDRNOTAVAIL)?;
                if owns(sock, transport, at.addr, scope)? {
                    break transport.clone();
                }
            }
        }
    };

    // Before anything can be delivered.
    let local = this.space.local(at.addr)?;
    if transport.number() == super::loopback::NUMBER {
        // So that who receives from this address can answer where nothing may sleep.
        this.space.peer(at.addr, true)?;
    }
    {
        let mut receives = this.receives.lock();
        receives.local = Some(local);
        if transport.number() == super::loopback::NUMBER {
            receives.patience = LOOPBACK_PATIENCE;
        }
    }
    transport.hold(sock.namespace(), &this.space)?;
    let port = take_port(sock, at, scope).inspect_err(|_| transport.release())?;
    locked.bound = Some(Endpoint { port, ..at });
    this.names.lock().bound = locked.bound;
    locked.scope = scope;
    locked.transport = Some(transport);
    Ok(())
}

fn owns(
    sock: &Open<'_, Socket>,
    transport: &Arc<dyn Transport>,
    addr: Addr,
    scope: u32,
) -> Result<bool> {
    transport.owns(sock.namespace(), &sock.data().space, addr, scope)
}

/// Enters a socket in the table of bound ones, under any free port if it asked for port 0, and
/// returns the port.
fn take_port(sock: &Open<'_, Socket>, at: Endpoint, scope: u32) -> Result<u16> {
    let Endpoint { addr, port } = at;
    let binds = &sock.data().space.binds;

    if port == PROBE_PORT {
        return Err(EINVAL);
    }
    if port != 0 {
        sock.data().receives.lock().port = port;
        return binds
            .insert(BindKey { port, addr, scope }, sock)
            .map(|()| port);
    }

    // Ports 0 and 1 are not for sockets. Start anywhere among the others and try each once.
    const FIRST: u32 = 2;
    const COUNT: u32 = 65536 - FIRST;
    let start = random_u32() % COUNT;
    for offset in 0..COUNT {
        // OVERFLOW: All of these are far below 2^32; the sum is a port.
        let port = u16::try_from(FIRST + (start + offset) % COUNT).map_err(|_| EINVAL)?;
        let key = BindKey { port, addr, scope };

        // To look is cheaper than to try.
        if binds.find(&key).is_some() {
            continue;
        }
        sock.data().receives.lock().port = port;
        match binds.insert(key, sock) {
            Ok(()) => return Ok(port),
            Err(err) if err == EADDRINUSE => {}
            Err(err) => return Err(err),
        }
    }
    Err(EADDRINUSE)
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
        (Some(at), _) => names::show(*at, *scope),
        (None, Some(at)) if names::is_v4(at.addr) => {
            Name::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))
        }
        (None, Some(_)) => Name::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)),
        (None, None) => Name::Unspecified,
    })
}
