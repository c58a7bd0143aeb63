// SPDX-License-Identifier: GPL-2.0

//! Messages: what sockets hand to paths, and paths to sockets.

mod copy;
mod loan;
mod notice;
mod operation;
mod payload;
mod piece;
mod spares;

pub(crate) use crate::key::Endpoint;
pub(crate) use copy::{
    copy,
    Source, //
};
pub(crate) use loan::{
    Lender,
    Loan,
    Receipt, //
};
pub(crate) use notice::Notice;
pub(crate) use operation::{
    AtomicOperation,
    Extra,
    Target,
    Transfer, //
};
pub(crate) use payload::{
    Payload,
    SHORT, //
};
pub(crate) use piece::Piece;
pub(crate) use spares::{
    Pooled,
    Spares, //
};

use crate::{
    backlog::Charge,
    trace::Traced, //
};
use core::{
    mem,
    ptr, //
};
use kernel::{
    alloc::AllocError,
    list::{
        impl_list_arc_safe,
        impl_list_item,
        ListLinks, //
    },
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        UniqueArc, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};
use krdma::net::{
    ErasedSock,
    Sock,
    SocketData, //
};
use rds_proto::{
    consts::EXT_LEN,
    send::{
        self,
        Outcome, //
    },
    wire::{
        Cookie,
        Extension,
        Extensions,
        Flags, //
    }, //
};

/// The memory that a [`Message`] takes beside its data.
const MESSAGE_BYTES: u32 = 192;

/// A socket, as messages know it that it has sent.
pub(crate) trait Sender: Send + Sync {
    /// Notes that a message is done with: its room is given back, and who waits for that is woken.
    ///
    /// Any context; the locks that this takes are the innermost ones.
    fn ended(&self, message: &Message, outcome: Outcome);

    /// Takes a message back that was not sent after all: nobody is told of an end.
    ///
    /// As for [`ended`](Self::ended).
    fn withdraw(&self, message: &Message);

    /// Notes that the operations of a message that has ended are done: no device uses their memory any more.
    ///
    /// As for [`ended`](Self::ended).
    fn operated(&self, extra: &Extra);
}

/// The message is not among those of its socket that are not done with.
const NO_NUMBER: usize = usize::MAX;

/// No user has this number.
const NOBODY: u32 = u32::MAX;

/// A message to send. It does not change once it is made, so that a device may read it while others
/// do.
pub(crate) struct Message {
    payload: Pooled,
    source: Endpoint,
    dest: Endpoint,
    /// The number that its path gave it; 0 before.
    seq: Atomic<u64>,
    sender: ErasedSock<dyn Sender>,
    /// Its number among those of the socket that are not done with.
    number: Atomic<usize>,
    /// Whose share of a path's queue it counts for.
    user: u32,
    /// What it has beside its data.
    extra: Option<KBox<Extra>>,
}

impl Message {
    /// Returns the data.
    pub(crate) fn payload(&self) -> &Payload {
        self.payload.payload()
    }

    /// Returns what the message has beside its data, if it is about RDMA.
    #[inline]
    pub(crate) fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    /// Returns where the message comes from.
    pub(crate) fn source(&self) -> Endpoint {
        self.source
    }

    /// Returns where the message goes.
    pub(crate) fn dest(&self) -> Endpoint {
        self.dest
    }

    /// Returns the number that the path gave it, 0 before. It changes while others overtake the message or
    /// are overtaken, until it is sent.
    pub(crate) fn seq(&self) -> u64 {
        self.seq.load(Relaxed)
    }

    /// Notes the number that the path gave it. To be called under the path's lock.
    pub(crate) fn set_seq(&self, seq: u64) {
        self.seq.store(seq, Relaxed);
    }

    /// Returns the user whose share of a path's queue the message counts for; none for what the kernel
    /// sends.
    #[inline]
    pub(crate) fn user(&self) -> Option<u32> {
        (self.user != NOBODY).then_some(self.user)
    }

    /// Returns the number that the socket knows the message by, if it has one.
    #[inline]
    pub(crate) fn number(&self) -> Option<usize> {
        let number = self.number.load(Relaxed);

        (number != NO_NUMBER).then_some(number)
    }

    /// Notes the number that the socket knows the message by, or that it has none any more.
    #[inline]
    pub(crate) fn set_number(&self, number: Option<usize>) {
        self.number.store(number.unwrap_or(NO_NUMBER), Relaxed);
    }

    /// Whether the message is the one with this number among those of a socket.
    pub(crate) fn is_of<T: SocketData>(&self, sock: &Sock<T>, number: usize) -> bool {
        ptr::addr_eq(&*self.sender, sock) && self.number() == Some(number)
    }
}

impl Drop for Message {
    #[inline]
    fn drop(&mut self) {
        // Requests have the message as long as a device uses its memory.
        if let Some(extra) = self.extra.as_deref() {
            self.sender.operated(extra);
        }
    }
}

impl Traced for Message {
    fn ends(&self) -> (Endpoint, Endpoint) {
        (self.source, self.dest)
    }

    fn seq(&self) -> u64 {
        Message::seq(self)
    }

    fn len(&self) -> u32 {
        self.payload().len()
    }
}

/// A message that is being made: nobody else has it yet.
pub(crate) struct Draft(UniqueArc<Message>);

impl Draft {
    /// Begins a message of what a socket sends, with the data that is there already. It counts for the share
    /// of `user`, if any.
    ///
    /// Allocates with `flags`. The data comes back if there is no memory.
    #[inline(always)] // The data is moved once, if it is not empty, and else not at all.
    pub(crate) fn new<T: SocketData>(
        sock: &Sock<T>,
        user: Option<u32>,
        payload: Pooled,
        source: Endpoint,
        dest: Endpoint,
        flags: kernel::alloc::Flags,
    ) -> Result<Self, Pooled>
    where
        Sock<T>: Sender,
    {
        // As below.
        const { assert!(mem::size_of::<Message>() <= MESSAGE_BYTES as usize - mem::size_of::<u64>()) };

        let Ok(room) = UniqueArc::new_uninit(flags) else {
            return Err(payload);
        };
        // It is the socket.
        let Some(sender) = ErasedSock::<dyn Sender>::new(sock, |sock| sock) else {
            return Err(payload);
        };
        Ok(Self(room.write(Message {
            payload,
            source,
            dest,
            seq: Atomic::new(0),
            sender,
            number: Atomic::new(NO_NUMBER),
            user: user.unwrap_or(NOBODY),
            extra: None,
        })))
    }

    /// Returns where the message goes.
    pub(crate) fn dest(&self) -> Endpoint {
        self.0.dest
    }

    /// Returns the data, to be written.
    pub(crate) fn payload_mut(&mut self) -> &mut Payload {
        self.0.payload.payload_mut()
    }

    /// Makes it a message about RDMA.
    pub(crate) fn set_extra(&mut self, extra: KBox<Extra>) {
        self.0.extra = Some(extra);
    }

    /// Takes the data back.
    pub(crate) fn into_payload(mut self) -> Pooled {
        mem::replace(&mut self.0.payload, Pooled::empty())
    }
}

/// The one right to say how a message ended.
///
/// Whoever is responsible for the message holds this: the socket until it is queued, the path
/// afterwards. A message whose `Outgoing` is dropped has been [dropped](Outcome::Dropped). Others,
/// such as work requests in flight, hold clones of [`Outgoing::message`].
///
/// # Context
///
/// May be dropped in any context, also with the lock of a path held: the socket's own locks nest
/// inside.
pub(crate) struct Outgoing {
    message: Arc<Message>,
    outcome: Outcome,
}

impl Outgoing {
    /// Takes a message that is complete.
    pub(crate) fn new(draft: Draft) -> Self {
        Self {
            message: draft.0.into(),
            outcome: Outcome::Dropped,
        }
    }

    /// Returns the message.
    pub(crate) fn message(&self) -> &Arc<Message> {
        &self.message
    }

    /// Takes the message back, if it was given to nobody, to be sent again or not.
    pub(crate) fn take_back(self) -> Option<Draft> {
        let message = self.message.clone();

        // The socket forgets it, and nobody is told of an end when the right to tell is dropped.
        message.sender.withdraw(&message);
        drop(self);
        let message = Arc::into_unique_or_drop(message)?;
        Some(Draft(Pin::into_inner(message)))
    }

    /// Tells the sending socket how the message ended: its space is given back, its writers are
    /// woken.
    ///
    /// Any context.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.message.sender.ended(&self.message, self.outcome);
    }
}

impl core::ops::Deref for Outgoing {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl send::Payload for Outgoing {
    fn len(&self) -> u32 {
        self.payload().len()
    }

    fn sport(&self) -> u16 {
        self.source.port
    }

    fn dport(&self) -> u16 {
        self.dest.port
    }

    fn renumber(&self, seq: u64) {
        self.set_seq(seq);
    }

    #[inline]
    fn extensions(&self) -> [u8; EXT_LEN] {
        match self.extra() {
            None => [0; EXT_LEN],
            Some(extra) => extra.extensions(self.payload().len() == 0),
        }
    }

    #[inline]
    fn flags(&self) -> Flags {
        match self.extra() {
            None => Flags::NONE,
            Some(extra) => extra.header_flags(self.payload().len() == 0),
        }
    }

    #[inline]
    fn operation(&self) -> Option<send::Operation> {
        self.extra()?.operation()
    }
}

/// When a message passed the points of its way that RXPATH_LATENCY can ask for (spec-options).
#[derive(Clone, Copy)]
pub(crate) struct Stamps {
    /// Its first header was received, and its reassembly began.
    pub(crate) start: Instant<Monotonic>,
    /// It was complete.
    pub(crate) complete: Instant<Monotonic>,
}

impl Stamps {
    /// All at once: for a message that was never in pieces.
    pub(crate) fn now() -> Self {
        let now = Instant::now();

        Self {
            start: now,
            complete: now,
        }
    }

    /// Of a message whose first frame has come. The clock is looked at only if somebody wants to know.
    pub(crate) fn begin(traced: bool) -> Option<Self> {
        traced.then(Self::now)
    }
}

/// What a received message says.
pub(crate) enum Body {
    /// It was received from another host, whose account it is charged to, or made by us.
    Own {
        payload: Pooled,
        charge: Option<Charge>,
    },
    /// It was sent on this host, and is shared with what was sent.
    Shared(Arc<Message>),
}

/// What the sender of a message tells of a memory region (spec-extensions).
#[derive(Clone, Copy, Default)]
pub(crate) enum Told {
    /// Nothing.
    #[default]
    Nothing,
    /// The cookie of a region of its own.
    Dest(Cookie),
    /// The key of a region of the receiver's, which it has used.
    Used(u32),
}

/// Where a received message comes from and goes to.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) source: Endpoint,
    pub(crate) dest: Endpoint,
    /// The interface of a link-local destination, else 0.
    pub(crate) scope: u32,
    pub(crate) tos: u8,
    pub(crate) region: Told,
}

impl Origin {
    /// Takes in what the extension headers of the first frame tell.
    #[cold]
    pub(crate) fn extend(&mut self, space: &[u8; EXT_LEN]) {
        for extension in Extensions::new(space) {
            match extension {
                Extension::RdmaDest(cookie) => self.region = Told::Dest(cookie),
                Extension::Rdma(key) => self.region = Told::Used(key),
                _ => {}
            }
        }
    }
}

/// A message that was received in full.
#[pin_data]
pub(crate) struct Incoming {
    body: Body,
    pub(crate) source: Endpoint,
    pub(crate) dest: Endpoint,
    /// The interface of a link-local destination, else 0.
    pub(crate) scope: u32,
    pub(crate) tos: u8,
    /// Its number on its path, for listings.
    pub(crate) seq: u64,
    pub(crate) region: Told,
    /// None if nobody wanted to know when it came.
    pub(crate) stamps: Option<Stamps>,
    /// The wall clock when it was delivered, in nanoseconds, or 0 if nobody asked for that.
    pub(crate) delivered_ns: Atomic<u64>,
    #[pin]
    links: ListLinks,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Incoming { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Incoming { using ListLinks { self.links }; }
}

impl Incoming {
    /// Makes a message.
    ///
    /// `flags` are those of the allocation: `GFP_ATOMIC` in softirq context.
    pub(crate) fn new(
        body: Body,
        from: Origin,
        seq: u64,
        stamps: Option<Stamps>,
        flags: kernel::alloc::Flags,
    ) -> Result<Pin<UniqueArc<Self>>, AllocError> {
        // New memory is zeroed, and there is one of these for each message.
        const { assert!(mem::size_of::<Self>() <= 256 - mem::size_of::<u64>()) };

        UniqueArc::pin_init(
            pin_init!(Self {
                body,
                source: from.source,
                dest: from.dest,
                scope: from.scope,
                tos: from.tos,
                seq,
                region: from.region,
                stamps,
                delivered_ns: Atomic::new(0),
                links <- ListLinks::new(),
            }),
            flags,
        )
        .map_err(|_| AllocError)
    }

    /// Returns the data of a message that is coming in, to be written; none if it is shared with whoever
    /// sent it.
    #[inline]
    pub(crate) fn payload_mut(self: Pin<&mut Self>) -> Option<&mut Payload> {
        match self.project().body {
            Body::Own { payload, .. } => Some(payload.payload_mut()),
            Body::Shared(_) => None,
        }
    }

    /// Notes that it has come in.
    pub(crate) fn complete(self: Pin<&mut Self>) {
        if let Some(stamps) = self.project().stamps {
            stamps.complete = Instant::now();
        }
    }

    /// Takes the data out, and what it is charged. None if the message is shared with whoever sent it; it is dropped then.
    pub(crate) fn into_payload(message: Arc<Self>) -> Option<(Pooled, Option<Charge>)> {
        let mut message = Arc::into_unique_or_drop(message)?;
        let empty = Body::Own {
            payload: Pooled::empty(),
            charge: None,
        };

        match mem::replace(message.as_mut().project().body, empty) {
            Body::Own { payload, charge } => Some((payload, charge)),
            Body::Shared(_) => None,
        }
    }

    /// Returns the memory that the message takes, all in all.
    pub(crate) fn true_size(&self) -> u32 {
        let sent = match &self.body {
            Body::Own { .. } => 0,
            // It stays as long as this.
            Body::Shared(_) => MESSAGE_BYTES,
        };

        self.payload().true_size().saturating_add(sent)
    }

    /// Whether the message is shared with whoever sent it.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.body, Body::Shared(_))
    }

    /// Returns the data.
    pub(crate) fn payload(&self) -> &Payload {
        match &self.body {
            Body::Own { payload, .. } => payload.payload(),
            Body::Shared(message) => message.payload(),
        }
    }
}

impl Traced for Incoming {
    fn ends(&self) -> (Endpoint, Endpoint) {
        (self.source, self.dest)
    }

    fn seq(&self) -> u64 {
        self.seq
    }

    fn len(&self) -> u32 {
        self.payload().len()
    }
}
