// SPDX-License-Identifier: GPL-2.0

//! Addresses of devices that belong to another network namespace.
//!
//! The cases run in the namespace of who loads the module. In the initial one, which the devices are in, their
//! addresses can be used. Elsewhere they cannot, even if an interface there has the same address.

use crate::{
    bench::Bench,
    own::address,
    Case, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion, //
    },
    time::Delta, //
};
use krdma::{
    net::Namespace,
    rdma::cm::{
        Acceptor,
        Builder,
        Event,
        Handler,
        Id,
        PortSpace,
        Request, //
    },
};

pub(crate) const CASES: &[Case] = &[
    ("the device of an address", device),
    ("a listener", listener),
    ("a connection", connection),
];

/// Returns the namespace of who loads the module.
pub(crate) fn namespace() -> Result<ARef<Namespace>> {
    Namespace::of_current().ok_or(ESRCH)
}

/// Returns whether the device is in the namespace, and its IPv4 address.
fn place(bench: &Bench<'_>, ns: &Namespace) -> Result<(bool, SocketAddr)> {
    Ok((
        ns == Namespace::initial(),
        SocketAddr::from((address(bench)?, 0)),
    ))
}

/// It must be as `own` says: used, or refused as if there were no device.
fn must<T>(own: bool, ret: Result<T>) -> Result {
    match (own, ret) {
        (true, Ok(_)) | (false, Err(ENODEV)) => Ok(()),
        (_, Err(err)) => Err(err),
        (false, Ok(_)) => Err(EPROTO),
    }
}

fn device(bench: &Bench<'_>) -> Result {
    let ns = namespace()?;
    let (own, addr) = place(bench, &ns)?;

    must(
        own,
        Builder::new(&ns, PortSpace::Tcp, bench.module).device_of(addr.ip(), 0),
    )
}

/// Refuses all.
struct Closed;

impl Acceptor for Closed {
    fn request(_: &Id<Self>, _: Request<'_>) {}
}

fn listener(bench: &Bench<'_>) -> Result {
    let ns = namespace()?;
    let (own, addr) = place(bench, &ns)?;

    must(
        own,
        Builder::new(&ns, PortSpace::Tcp, bench.module).listen(addr, 1, Closed),
    )
}

/// What the connection manager says of a peer's address: an errno value, or zero.
#[pin_data]
struct Answer {
    errno: Atomic<i32>,
    #[pin]
    came: Completion,
}

struct Asking(Arc<Answer>);

impl Handler for Asking {
    fn event(id: &Id<Self>, event: Event<'_>) {
        let answer = &id.handler().0;

        match event {
            Event::AddressResolved => answer.errno.store(0, Relaxed),
            Event::AddressError(err) => answer.errno.store(err.to_errno(), Relaxed),
            _ => return,
        }
        answer.came.complete_all();
    }
}

fn connection(bench: &Bench<'_>) -> Result {
    let ns = namespace()?;
    let (own, addr) = place(bench, &ns)?;

    for src in [Some(addr), None] {
        let answer = Arc::pin_init(
            pin_init!(Answer {
                errno: Atomic::new(0),
                came <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        let asking = Asking(answer.clone());
        let asked = Builder::new(&ns, PortSpace::Tcp, bench.module).resolve(
            src,
            SocketAddr::new(addr.ip(), 4711),
            Delta::from_millis(2000),
            asking,
        );
        let ret = asked.and_then(|_connection| {
            answer.came.wait_for_completion();
            match answer.errno.load(Relaxed) {
                0 => Ok(()),
                errno => Err(Error::from_errno(errno)),
            }
        });

        must(own, ret)?;
    }
    Ok(())
}
