// SPDX-License-Identifier: GPL-2.0

//! Frames that belong to no message: bare acknowledgements and probes.
//!
//! They go out after everything else, in a place beside the ring, so that a full ring does not hold
//! them up.
//!
//! A peer that sends and gets nothing but acknowledgements gets one at a time, as from C: the next is
//! held back until the completion of the last. Under load each then stands for twice as many messages,
//! and one costs as much as a message. Where messages go both ways nothing waits for a completion.

use super::transmit::{Posted, Shape};
use super::{Body, Context, Data, Entry, Frame, Payload, Sender};
use crate::ring::Storage;
use crate::stats::bump;
use crate::wire::Header;

impl<M: Payload, S: Storage<Entry<M>>> Sender<M, S> {
    /// Posts a frame that carries nothing but an acknowledgement, if one is due.
    pub(super) fn bare_ack<E>(
        &mut self,
        cx: &mut Context<'_>,
        emit: &mut impl FnMut(Frame<'_, M>) -> Result<(), E>,
    ) -> Result<(), E> {
        let due = cx.ack.is_wanted();
        if !due || self.is_acking() || !self.slots.has_ack_room(cx.settings.send_ring) {
            return Ok(());
        }
        let shape = Shape {
            last: true,
            follows: false,
            fence: false,
            awaited: self.only_acks,
        };
        let id = self.slots.next_id(1);
        let posted = self.send(cx, Header::default(), Data::None, shape, emit)?;
        bump(&mut cx.stats.ack_sent);
        self.account(cx, posted);
        self.bare = shape.awaited.then_some(id);
        self.only_acks = true;
        Ok(())
    }

    /// Posts an empty RDMA WRITE, if the peer is to be probed; any SEND serves as well.
    pub(super) fn probe<E>(
        &mut self,
        cx: &mut Context<'_>,
        emit: &mut impl FnMut(Frame<'_, M>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.probe_pending || !self.slots.has_ack_room(cx.settings.send_ring) {
            return Ok(());
        }
        emit(Frame {
            id: self.slots.next_id(1),
            body: Body::Probe,
            signaled: true,
            solicited: false,
            fence: false,
        })?;
        self.probe_pending = false;
        bump(&mut cx.stats.probe_sent);
        self.account(
            cx,
            Posted {
                wrs: 1,
                signaled: true,
                send: false,
                bare: false,
            },
        );
        Ok(())
    }
}
