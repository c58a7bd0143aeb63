// SPDX-License-Identifier: GPL-2.0

//! What is done when requests complete, and when something happens to a queue pair.

use super::{
    marker::Rc,
    pools::Pools,
    receive::Receive,
    send::Sending, //
};
use crate::path::Path;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    },
};
use krdma::rdma::{
    qp::{
        QpContext,
        QpEvent, //
    },
    request::Status,
    Completion,
    Operation,
    Request, //
};
use rds_proto::{
    conn::ConnId,
    consts::HEADER_LEN,
    error::DropReason, //
};

/// Whose queue pair it is, for completion handlers.
///
/// It keeps the path, which keeps the queue pair until the connection is closed.
pub(super) struct Owner {
    pub(super) path: Arc<Path<Rc>>,
    pub(super) conn: ConnId,
    pub(super) pools: Arc<Pools>,
    /// Parts of operations that are with the device.
    pub(super) operations: Atomic<u32>,
}

impl QpContext for Owner {
    fn event(&self, event: QpEvent) {
        match event {
            // A frame was faster than the last message of the handshake, which may be lost.
            QpEvent::CommunicationEstablished => self.path.heard(self.conn),
            // They come as the connection is taken down.
            QpEvent::LastWqeReached | QpEvent::SendQueueDrained => {}
            _ => self.path.lost(self.conn, DropReason::Transport),
        }
    }
}

impl Operation for Sending {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let send = this.as_mut().data_mut().get_mut();
        let id = send.id();
        let is_operation = send.is_operation();
        if is_operation {
            send.end(completion.status());
        }
        send.clear();
        let Some(owner) = completion.poster().context::<Owner>() else {
            return;
        };
        if is_operation {
            owner.operations.fetch_sub(1, Relaxed);
        }

        owner.pools.put_send(this);
        match id {
            _ if !completion.is_success() => owner.path.lost(owner.conn, DropReason::Transport),
            Some(id) => {
                if owner.path.sent(owner.conn, id) {
                    owner.pools.touch(&owner.path);
                }
            }
            // A later one tells.
            None => {}
        }
    }
}

impl Operation for Receive {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let Some(owner) = completion.poster().context::<Owner>() else {
            return;
        };

        match completion.received() {
            // When the connection is closed they are flushed.
            None if completion.status() == Status::Flushed => {}
            None => owner.path.lost(owner.conn, DropReason::Transport),
            // There is no frame: the buffers still have what came before.
            Some(received) if received.is_write() => owner.path.refuse_write(owner.conn),
            Some(received) => {
                let (header, data) = this.as_mut().data_mut().get_mut().frame();
                let receipt = owner.path.receive(
                    owner.conn,
                    header.first_chunk().unwrap_or(&[0; HEADER_LEN]),
                    received.byte_len(),
                    data,
                    owner.pools.spares(),
                );
                if receipt.wants_pump {
                    owner.pools.touch(&owner.path);
                }
            }
        }
        owner.pools.put_receive(this);
    }
}
