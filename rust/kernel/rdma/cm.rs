// SPDX-License-Identifier: GPL-2.0

//! The RDMA connection manager: connections by IP address.
//!
//! # Objects
//!
//! A [`Builder`] makes either a [`Connection`], by resolving a peer's address, or a [`Listener`].
//! A listener is asked about each connection that comes in, and makes a [`Connection`] of the
//! [`Request`], or refuses it. Both are owners of an [`Id`] (C: `rdma_cm_id`), which has the user's
//! handler in it: a type that implements [`Handler`] or [`Acceptor`]. Callbacks get the [`Id`] by
//! reference and can do with it what the owner can.
//!
//! ```text
//!  active side                                                   passive side
//!
//!  Builder::resolve                                              Builder::listen
//!  ResolvingAddress                                              Listening
//!     | AddressResolved
//!     | resolve_route()
//!  ResolvingRoute
//!     | RouteResolved
//!     | connect()  ----------------- private data ---------->  Acceptor::request
//!  Connecting                                                    Requested (a new connection)
//!     | Response  <----------------- private data -----------    | accept()
//!  Responded                                                    Accepted
//!     | accept_response()  -------------------------------->     | Established
//!  Established                                                  Established
//!     | Disconnected                                             | Disconnected
//!  Disconnected  <---------------- disconnect() ------------>  Disconnected
//! ```
//!
//! With [`PortSpace::Udp`] no connection is made: `connect` asks the peer for its queue pair's number
//! and Q_Key, and [`Event::ServiceResolved`] is the answer.
//!
//! # The id's lock
//!
//! The callbacks of one connection never run at the same time: C holds the id's lock
//! (`handler_mutex`) meanwhile. Methods that change the state take the same lock, unless they are
//! called in a callback of the same id, which has it. So what a callback learns of its id stays true
//! until it returns. It follows that code must not call such a method while it holds a lock that the
//! callbacks take too, and that a callback which does so with *another* id takes the lock of both.
//! The documentation of each method says whether it takes the lock.
//!
//! # Destruction
//!
//! A [`Connection`] or a [`Listener`] can be dropped anywhere: in its own callback, in that of another id,
//! and where nothing may sleep. A work item of krdma ends the id, waits for the callback that runs, if any,
//! and drops the handler then. Meanwhile more events may come. Who has to know that it is over, as the
//! address is to be used again or as the callbacks are to run no more, calls [`Connection::close`] or
//! [`Listener::close`], which waits.
//!
//! Nothing of this outlives the module: before a module's code is freed, krdma waits until all ids that were
//! made for it are gone.
//!
//! # Giving up
//!
//! A message of the connection manager that is not answered is repeated, and 66 to 74 s after the first one,
//! over InfiniBand up to some minutes, C reports the end to the id. For some instructions before it calls the id C has nothing that keeps it: if the
//! id is destroyed by another processor just then, C uses freed memory. krdma does not close this window, which
//! every user of `rdma_cm` has. It concerns a [`Connection`] in [`State::Connecting`] or [`State::Accepted`], or
//! after [`Id::disconnect`]. To stay out of it, either wait for the event that ends the attempt,
//! [`Event::Unreachable`] or [`Event::Disconnected`], and drop the [`Connection`] in its callback or later; or
//! drop it many seconds before: that cancels the message. A timer of one to two minutes is what to avoid.
//!
//! # Devices
//!
//! From the moment that an id is bound to a device, the device stays until the id is dropped: when
//! it is to be removed, [`Event::DeviceRemoval`] or [`Acceptor::device_removal`] says so, and who
//! removes it waits. It is enough to drop the owner there.
//!
//! C header: [`include/rdma/rdma_cm.h`](srctree/include/rdma/rdma_cm.h)

mod addr;
mod builder;
mod callback;
mod connection;
mod event;
mod id;
mod listener;
mod multicast;
mod namespace;
mod path;
mod port_space;
mod state;

pub use builder::Builder;
pub use connection::{
    Connection,
    Handler, //
};
pub use event::{
    ConnParams,
    Datagram,
    Event,
    RejectReason,
    Rejection, //
};
pub use id::Id;
pub use listener::{
    Acceptor,
    Listener,
    Request, //
};
pub use multicast::Membership;
pub use path::Path;
pub use port_space::{
    Message,
    PortSpace,
    ServiceType, //
};
pub use state::State;
