// SPDX-License-Identifier: GPL-2.0

//! What a path needs of the transport that carries its frames.
//!
//! | Trait | Is | Is called |
//! |---|---|---|
//! | [`Carrier`] | the transport, as a set of types | |
//! | [`Link`] | a connection that frames are posted to | with the path's lock held, but for `send`, `settle` and `drain`, which may sleep |
//! | [`Conn`] | a connection, from the first attempt to its end | by the path's job, may sleep |
//! | [`Buffer`] | the data of a frame that came in | with the path's lock held |
//! | [`Dial`](super::Dial) | how connections come about | by the path's job, may sleep |
//! | [`Request`](super::Request) | a peer that asks for a connection | by whoever has got it, may sleep |
//! | [`Listen`](super::Listen) | how peers find this host | as a namespace begins to be used, may sleep |
//!
//! A path is generic over its carrier: no call is made through a table of functions. The last three traits
//! name paths, and so are beside what calls them.
//!
//! The transport calls [`Path::receive`](super::Path::receive) for each frame,
//! [`Path::sent`](super::Path::sent) as frames are done with, or [`Path::acked`](super::Path::acked) as a stream
//! has acknowledged them, and [`Path::lost`](super::Path::lost) if the
//! connection breaks; [`Path::pump`](super::Path::pump) follows at the end of a batch.

use crate::{
    key::RouteKey,
    message::Outgoing,
    region::Region, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc,
    time::Delta, //
};
use krdma::{
    net::Namespace,
    page::PinnedPages, //
};
use rds_proto::{
    conn::ConnId,
    send::Frame,
    settings::Settings,
    tcp::Acked,
    uapi::info::Detail,
    wire::{
        Addr,
        PrivateData, //
    },
};

/// A transport that carries the frames of paths, in order, over one connection for each path.
pub(crate) trait Carrier: Sized + Send + Sync + 'static {
    /// State that all namespaces share: the devices, say.
    type Host: Send + Sync + 'static;
    /// A connection, as the job has it.
    type Conn: Conn;
    /// A connection, as senders have it.
    type Link: Link;

    /// The number that SO_RDS_TRANSPORT knows the transport by.
    const NUMBER: i32;
    /// The name in lists of connections.
    const NAME: &'static str;
    /// Whether a connection acknowledges what comes in by itself (spec-tcp): then no frame may be lost.
    const IS_STREAM: bool;
    /// Whether full fragments are sent without a copy if they are pages.
    const TAKES_PAGES: bool = false;
    /// Most connections to a peer at a time, see [`lanes`](super::lanes).
    const LANES: u8 = 1;
    /// Whether programs can register memory, and messages carry RDMA operations.
    const HAS_RDMA: bool = false;
    /// Whether loopback addresses are among those that connections can be made from.
    const HAS_LOOPBACK: bool = false;

    /// Returns whether an address is one of a namespace that connections can be made from. May sleep.
    ///
    /// The only error is [`ENOMEM`]: it may be one.
    fn owns(host: &Self::Host, ns: &Namespace, addr: Addr, scope: u32) -> Result<bool>;

    /// Returns the type of service of the path for a socket's.
    fn service(tos: u8) -> u8;

    /// Returns whether messages to an address of this host are carried, or else left to the loopback transport.
    /// `chosen` tells whether the program has chosen this carrier by its number, `loopback` what the administrator prefers.
    fn carries_own(chosen: bool, loopback: bool) -> bool {
        let _ = (chosen, loopback);
        false
    }

    /// Returns how many pieces of memory a work request of an operation has at most. Only if it
    /// [has RDMA](Self::HAS_RDMA).
    fn operation_pieces(host: &Self::Host) -> u32 {
        let _ = host;
        0
    }

    /// Returns whether there are atomic operations, or masked ones. Only if it [has RDMA](Self::HAS_RDMA). May sleep.
    fn has_atomics(host: &Self::Host, masked: bool) -> bool {
        let _ = (host, masked);
        false
    }

    /// Registers memory on the device that a local address is on. Only if it [has RDMA](Self::HAS_RDMA). May sleep.
    ///
    /// Errors: As [`Transport::register`](crate::socket::seam::Transport::register).
    fn register(
        host: &Self::Host,
        ns: &Namespace,
        local: Addr,
        scope: u32,
        pages: PinnedPages,
    ) -> Result<Arc<dyn Region>> {
        let _ = (host, ns, local, scope, pages);
        Err(EOPNOTSUPP)
    }

    /// Returns whether it is for this host to connect the lanes beside the first one.
    fn dials_lanes(key: &RouteKey) -> bool {
        let _ = key;
        false
    }

    /// Writes what is special about a connection, or that there is none: pairs of a name and a value, a
    /// space before each.
    fn dump(link: Option<&Self::Link>, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Returns what lists have of the connection of a path. `link` is that if it is up. With the path's lock.
    fn detail(key: &RouteKey, link: Option<&Self::Link>, settings: &Settings) -> Option<Detail>;
}

/// A connection that frames are posted to, from when it can be used to when it is closed.
///
/// Any context, with the path's lock held, but for [`send`](Self::send) and [`drain`](Self::drain).
pub(crate) trait Link: Send + Sync + 'static {
    /// Frames that are posted together.
    type Batch<'a>
    where
        Self: 'a;

    /// Returns the number of the connection.
    fn conn(&self) -> ConnId;

    /// Returns the number by which traces name the connection: that of a queue pair, say.
    fn number(&self) -> u32;

    /// Returns the lane that a peer has made the connection for, if it has so many lanes and its port tells.
    fn lane(&self, count: u8) -> Option<u8> {
        let _ = count;
        None
    }

    /// Returns the tunables for this connection: those of the namespace, as far as the connection can do
    /// what they say.
    fn settings(&self, wanted: Settings) -> Settings;

    /// Starts a batch of frames.
    fn batch(&self) -> Self::Batch<'_>;

    /// Adds a frame to a batch, which is posted when it is full. `map` copies our congestion map from a
    /// byte on: the data of frames that carry a part of it.
    ///
    /// Errors: [`ENOMEM`]: the frame is not in the batch, and is tried again. With any other error the
    /// connection is given up.
    fn push(
        &self,
        batch: &mut Self::Batch<'_>,
        frame: &Frame<'_, Outgoing>,
        map: impl FnOnce(usize, &mut [u8]),
    ) -> Result;

    /// Posts what is left of a batch. If `is_sent_next`, whoever posts calls [`send`](Self::send) without the lock, unless
    /// the connection is being closed by then.
    ///
    /// Errors: If any frame of the batch was not posted. The connection is given up.
    fn flush(&self, batch: &mut Self::Batch<'_>, is_sent_next: bool) -> Result;

    /// Sends, in the time of who has queued it, what was posted, if posting does not. Returns what the peer has
    /// acknowledged meanwhile, if anything.
    ///
    /// Without a lock; may sleep.
    fn send(&self) -> Option<Acked> {
        None
    }

    /// Waits a moment, before the connection is [hung up](Conn::hang_up), for what the peer says of RDMA operations in
    /// flight: after that it is not known why one has failed.
    ///
    /// By the job, without a lock; may sleep.
    fn settle(&self) {}

    /// Waits until nothing of the connection is in flight, and no frame of it will come in.
    ///
    /// Nothing may be posted meanwhile. By the job, without a lock; may sleep.
    fn drain(&self);
}

/// A connection, or an attempt at one, or a request of the peer, until it is closed.
///
/// By the path's job only, or after it has ended.
pub(crate) trait Conn: Send + Unpin + 'static {
    /// Accepts a request that was [held](super::Request::hold), see [`Dial::dial`](super::Dial::dial). `hello`
    /// is what this side tells. May sleep.
    fn accept(&self, hello: &PrivateData) -> Result;

    /// A frame has come in, so the peer regards the connection as established, whether or not its
    /// confirmation has come: it may be lost. See [`Path::heard`](super::Path::heard).
    ///
    /// Does not sleep.
    fn confirm(&self) {}

    /// Tells the peer that the connection ends: refuses a request, or disconnects. May sleep.
    fn hang_up(&self);

    /// After what time to look again whether what the peer has sent is taken in, if it has to be and is not yet; none
    /// if the connection can be closed. After [`hang_up`](Self::hang_up); does not wait.
    fn lingers(&self) -> Option<Delta> {
        None
    }

    /// Destroys the connection. Returns after the last callback. May sleep.
    fn close(self);
}

/// The data of a frame that came in.
///
/// Any context.
pub(crate) trait Buffer {
    /// Calls `f` with the bytes, at least as many as the frame has, unless they were taken.
    fn read<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> Option<R>;

    /// Copies the first bytes.
    ///
    /// Errors: [`EIO`] if there are not so many, or they were taken.
    fn copy(&mut self, to: &mut [u8]) -> Result {
        self.read(|bytes| {
            let from = bytes.get(..to.len()).ok_or(EIO)?;
            to.copy_from_slice(from);
            Ok(())
        })
        .unwrap_or(Err(EIO))
    }

    /// Takes the memory out.
    fn take(&mut self) -> Option<KVec<u8>>;
}
