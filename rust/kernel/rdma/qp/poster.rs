// SPDX-License-Identifier: GPL-2.0

//! The right to post to a queue pair.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`ib_post_send`,
//! `ib_post_recv`)

use super::{
    Any,
    Inner,
    Order,
    Qp,
    QpContext,
    QpType,
    Rc,
    ReceiveQueue,
    Service, //
};
use crate::{
    bindings,
    rdma::{
        mr::Mr,
        post::raw::{
            Chain,
            Failed,
            RecvQueue, //
        },
        room::Room,
        Device,
        Pd, //
    },
};
use core::marker::PhantomData;
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc, //
    },
};

/// The right to post to a queue pair, and to look at what never changes of it.
///
/// A completion handler has it of the queue pair that has worked on its request
/// ([`Completion::poster`](crate::rdma::Completion::poster)), for the length of the call; who has the
/// [`Qp`] has it by [`Qp::poster`].
///
/// The right ends when the queue pair is emptied: once its drop, a reset or [`Qp::drain`] has begun,
/// what is posted is given back with [`ESHUTDOWN`]. All that was posted before is waited for, and so is a
/// handler that is about to post. After a drain it is there again.
///
/// `S` is the service. A handler does not know it, and says which it takes it to be: see [`Poster::of`].
///
/// # Invariants
///
/// The queue pair is of the service `S`, unless that is [`Any`].
pub struct Poster<'a, S = Rc>(&'a Inner, PhantomData<S>);

impl<S> Clone for Poster<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Poster<'_, S> {}

impl<S: Service> Qp<S> {
    /// Returns the right to post to the queue pair, as completion handlers
    /// [have it](crate::rdma::Completion::poster).
    #[inline]
    pub fn poster(&self) -> Poster<'_, S> {
        // INVARIANT: By that of the queue pair.
        Poster(&self.inner, PhantomData)
    }
}

impl<'a, S: Service> Poster<'a, S> {
    /// The requests in the send queue; not those of a service of datagrams, each of which is signalled.
    #[inline]
    pub(crate) fn order(&self) -> Option<&'a Order> {
        (!S::TYPE.is_datagram()).then_some(&self.0.order)
    }

    /// The same, of no service in particular.
    #[inline]
    pub(crate) fn any(self) -> Poster<'a, Any> {
        Poster(self.0, PhantomData)
    }
}

impl<'a> Poster<'a, Any> {
    /// Returns the right to post to a queue pair of the service `S`, if it is one.
    #[inline]
    pub fn of<S: Service>(self) -> Option<Poster<'a, S>> {
        // INVARIANT: It is of that service.
        (self.0.qp_type == S::TYPE).then_some(Poster(self.0, PhantomData))
    }

    /// Whether the service is one of datagrams, which need an address each.
    #[inline]
    pub(crate) fn is_datagram(&self) -> bool {
        self.0.qp_type.is_datagram()
    }

    pub(crate) fn modify_raw(&self, attr: &mut bindings::ib_qp_attr, mask: c_int) -> Result {
        self.0.modify_raw(attr, mask)
    }

    /// # Safety
    ///
    /// `qp` must be one of this crate's, and not be destroyed for the lifetime of the result.
    #[inline]
    pub(crate) unsafe fn from_raw(qp: *mut bindings::ib_qp) -> Self {
        // SAFETY: By the function's requirements. The context of our queue pairs is their `Inner`, which
        // is pinned, and goes after the queue pair is destroyed.
        //
        // INVARIANT: It may be of any service.
        Self(unsafe { &*(*qp).qp_context.cast::<Inner>() }, PhantomData)
    }
}

impl<'a, S> Poster<'a, S> {
    /// Returns the queue pair's number, by which peers name it.
    ///
    /// Does not sleep.
    #[inline]
    pub fn number(&self) -> u32 {
        // SAFETY: By the type invariant of `Inner`, it owns the queue pair. The number is constant.
        unsafe { (*self.as_raw()).qp_num }
    }

    /// Returns the service.
    ///
    /// Does not sleep.
    #[inline]
    pub fn qp_type(&self) -> QpType {
        self.0.qp_type
    }

    /// Returns the device.
    ///
    /// Does not sleep.
    #[inline]
    pub fn device(&self) -> &'a Device {
        self.0.pd.device()
    }

    /// Returns what the queue pair knows of its user, if it is of this type.
    ///
    /// Does not sleep.
    #[inline]
    pub fn context<T: QpContext>(&self) -> Option<&'a T> {
        self.0.context.as_ref()?.get()
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::ib_qp {
        self.0.ptr.as_ptr()
    }

    /// The entries of the send queue.
    #[inline]
    pub(crate) fn send_room(&self) -> &'a Room {
        &self.0.send_room
    }

    pub(crate) fn dma_key(&self) -> u32 {
        self.0.pd.dma_key()
    }

    pub(crate) fn max_send_sge(&self) -> usize {
        u32_as_usize(self.0.cap.max_send_sge)
    }

    pub(crate) fn max_inline_data(&self) -> u32 {
        self.0.cap.max_inline_data
    }

    /// Counts the requests that are sent, if the service is one of datagrams: the queue pair waits for
    /// them.
    #[inline]
    pub(crate) fn sending(&self) -> &'a Atomic<u32> {
        &self.0.sending
    }

    /// Whether the queue pair is in a protection domain.
    pub(crate) fn is_in(&self, pd: &Pd) -> bool {
        core::ptr::eq(&*self.0.pd, pd)
    }

    /// Whether a region is in the same protection domain.
    pub(crate) fn has_pd_of(&self, mr: &Mr) -> bool {
        Arc::ptr_eq(&self.0.pd, mr.pd())
    }
}

impl<'a, S: Service> From<&'a Qp<S>> for Poster<'a, S> {
    #[inline]
    fn from(qp: &'a Qp<S>) -> Self {
        qp.poster()
    }
}

// SAFETY: A queue pair is emptied before it is destroyed, so that its requests complete.
unsafe impl RecvQueue for Inner {
    fn device(&self) -> &Device {
        self.pd.device()
    }

    fn dma_key(&self) -> u32 {
        self.pd.dma_key()
    }

    fn max_sge(&self) -> u32 {
        self.cap.max_recv_sge
    }

    unsafe fn post(&self, chain: &Chain<'_>) -> core::result::Result<(), Failed> {
        if let ReceiveQueue::Shared(_) = self.receive {
            // There is no queue of its own.
            return Err(Failed::all(EINVAL));
        }
        let room = &self.recv_room;

        room.take(chain.len()).map_err(Failed::all)?;
        for header in chain.headers {
            // SAFETY: By the function's requirements, the header is valid and the caller's. The queue
            // pair waits for the handler before it goes.
            unsafe {
                (**header).room = room;
                (**header).entries = 1;
            }
        }
        chain
            // SAFETY: By the type invariant, we own the queue pair; the rest is the function's
            // requirement.
            .post(|wr, bad| unsafe { bindings::ib_post_recv(self.ptr.as_ptr(), wr, bad) })
            .inspect_err(|failed| {
                // CAST: There are not more than fit in a batch.
                room.give_back(chain.len() - failed.posted as u32);
            })
    }
}

/// Who has the queue pair can post to its receive queue, and so can a handler.
macro_rules! forward {
    ($name:ty, $field:tt, $($service:tt)*) => {
        // SAFETY: As for what it leads to.
        unsafe impl<$($service)*> RecvQueue for $name {
            fn device(&self) -> &Device {
                RecvQueue::device(&*self.$field)
            }

            fn dma_key(&self) -> u32 {
                RecvQueue::dma_key(&*self.$field)
            }

            fn max_sge(&self) -> u32 {
                RecvQueue::max_sge(&*self.$field)
            }

            unsafe fn post(&self, chain: &Chain<'_>) -> core::result::Result<(), Failed> {
                // SAFETY: By the function's requirements.
                unsafe { RecvQueue::post(&*self.$field, chain) }
            }
        }
    };
}

forward!(Qp<S>, inner, S: Service);
forward!(Poster<'_, S>, 0, S);
