// SPDX-License-Identifier: GPL-2.0

//! The sockets of a network namespace, the transports that they can choose, and what a bound socket owns
//! of both.

use super::{
    binds::{
        BindKey,
        Binds,
        Place, //
    },
    seam::{
        Held,
        Transport, //
    },
};
use crate::{
    key::Endpoint,
    registry::Registry,
    space::Space, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::net::{
    Sock,
    SocketData, //
};
use rds_proto::stats::Counters;

/// The sockets of a namespace, with the data `T`, and what they can choose.
#[pin_data]
pub(crate) struct Directory<T: SocketData> {
    /// In the order in which they are asked whose a local address is.
    pub(crate) transports: KVec<Arc<dyn Transport>>,
    #[pin]
    pub(super) binds: Binds<T>,
    /// All sockets.
    #[pin]
    pub(super) sockets: Registry<T>,
    /// Those of them that want to be told when a congested port gets free.
    #[pin]
    pub(super) watchers: Registry<T>,
    /// Those of them that wait for room on a way that is crowded.
    #[pin]
    pub(super) crowd: Registry<T>,
    /// Those that modules have opened, and that are told of peers.
    #[pin]
    pub(super) taps: Registry<T>,
}

impl<T: SocketData> Directory<T> {
    pub(super) fn new(transports: KVec<Arc<dyn Transport>>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                transports,
                binds <- Binds::new(),
                sockets <- Registry::new(),
                watchers <- Registry::new(),
                crowd <- Registry::new(),
                taps <- Registry::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Calls `f` with each socket, without any lock. The last reference to a socket may be dropped
    /// by this.
    pub(crate) fn for_each_socket(&self, f: impl FnMut(&Sock<T>)) {
        self.sockets.for_each(f);
    }

    /// Returns what transports have counted in the namespace, and sockets have not.
    pub(crate) fn counted(&self, space: &Space) -> Counters {
        let mut counters = space.retired.lock().retired();

        for transport in self.transports.iter() {
            transport.count(&mut counters);
        }
        space.retired.lock().tell(&counters)
    }
}

impl<T: SocketData> AsRef<Binds<T>> for Directory<T> {
    #[inline]
    fn as_ref(&self) -> &Binds<T> {
        &self.binds
    }
}

/// What a socket owns because it is bound. It is made when nothing can fail any more, and each part gives
/// back just what it took.
pub(super) struct Bound<T: SocketData> {
    place: Place<T, Directory<T>>,
    held: Held,
}

impl<T: SocketData> Bound<T> {
    pub(super) fn new(place: Place<T, Directory<T>>, held: Held) -> Self {
        Self { place, held }
    }

    /// Returns what the socket is found by.
    pub(super) fn key(&self) -> &BindKey {
        self.place.key()
    }

    /// Returns the address and the port.
    pub(super) fn at(&self) -> Endpoint {
        self.key().at()
    }

    /// Takes the socket out of the table of bound ones. What carries its messages is held as long as what
    /// is returned.
    pub(super) fn unbind(self) -> Held {
        self.held
    }
}
