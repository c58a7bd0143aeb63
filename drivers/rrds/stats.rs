// SPDX-License-Identifier: GPL-2.0

//! What is counted in a namespace (spec-info).

use kernel::sync::atomic::{
    ordering::Relaxed,
    Atomic, //
};
use rds_proto::stats::Counters;

/// A counter. It wraps.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    /// Adds to the counter. Any context.
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Returns the count.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($name:ident)*) => {
        /// The counters of a namespace: those of C in its order, first the generic ones, then those of
        /// its InfiniBand transport, which have a prefix; then ours.
        pub(crate) struct Stats {
            $(pub(crate) $name: Counter,)*
        }

        impl Stats {
            /// All zero.
            pub(crate) const fn new() -> Self {
                Self {
                    $($name: Counter(Atomic::new(0)),)*
                }
            }

            const NAMES: &[&'static str] = &[$(stringify!($name)),*];

            /// Calls `tell` with each name and count, in order.
            fn for_each_own(&self, mut tell: impl FnMut(&'static str, u64)) {
                $(tell(stringify!($name), self.$name.get());)*
            }
        }
    };
}

counters! {
    conn_reset recv_drop_bad_checksum recv_drop_old_seq recv_drop_no_sock recv_drop_dead_sock
    recv_deliver_raced recv_delivered recv_queued recv_immediate_retry recv_delayed_retry
    recv_ack_required recv_rdma_bytes recv_ping send_queue_empty send_queue_full
    send_lock_contention send_lock_queue_raced send_immediate_retry send_delayed_retry
    send_drop_acked send_ack_required send_queued send_rdma send_rdma_bytes send_pong
    page_remainder_hit page_remainder_miss copy_to_user copy_from_user cong_update_queued
    cong_update_received cong_send_error cong_send_blocked recv_bytes_added_to_sock
    recv_bytes_freed_fromsock send_stuck_rm mprds_catchup_tx0_retries
    ib_connect_raced ib_listen_closed_stale ib_evt_handler_call ib_tasklet_call ib_tx_cq_event
    ib_tx_ring_full ib_tx_throttle ib_tx_sg_mapping_failure ib_tx_stalled ib_tx_credit_updates
    ib_rx_cq_event ib_rx_ring_empty ib_rx_refill_from_cq ib_rx_refill_from_thread
    ib_rx_alloc_limit ib_rx_total_frags ib_rx_total_incs ib_rx_credit_updates ib_ack_sent
    ib_ack_send_failure ib_ack_send_delayed ib_ack_send_piggybacked ib_ack_received
    ib_rdma_mr_8k_alloc ib_rdma_mr_8k_free ib_rdma_mr_8k_used ib_rdma_mr_8k_pool_flush
    ib_rdma_mr_8k_pool_wait ib_rdma_mr_8k_pool_depleted ib_rdma_mr_1m_alloc ib_rdma_mr_1m_free
    ib_rdma_mr_1m_used ib_rdma_mr_1m_pool_flush ib_rdma_mr_1m_pool_wait
    ib_rdma_mr_1m_pool_depleted ib_rdma_mr_8k_reused ib_rdma_mr_1m_reused ib_atomic_cswp
    ib_atomic_fadd
    recv_bytes_copied
}

/// The name of C for a counter of the paths.
fn name_of_c(name: &str) -> &str {
    match name {
        // What waits for the connection is not counted apart.
        "cong_update_sent" => "cong_update_queued",
        name => name,
    }
}

/// Whether a counter of a namespace has this name, which may lack the prefix of the transport.
fn is(name: &str, other: &str) -> bool {
    name == other || name.strip_prefix("ib_") == Some(other)
}

impl Stats {
    /// Calls `tell` with each name and count: those of C in its order, to which what paths have counted
    /// is added, and then what C does not count.
    pub(crate) fn for_each(&self, paths: &Counters, mut tell: impl FnMut(&'static str, u64)) {
        self.for_each_own(|name, mut count| {
            paths.for_each(|other, more| {
                // Sockets have counted what they have sent; pongs are sent by nobody else.
                let counted = other == "send_queued";
                let pongs = other == "send_pong" && name == "send_queued";

                if is(name, name_of_c(other)) && !counted || pongs {
                    count = count.wrapping_add(more);
                }
            });
            tell(name, count);
        });
        paths.for_each(|name, count| {
            if !Self::NAMES.iter().any(|other| is(other, name_of_c(name))) {
                tell(name, count);
            }
        });
    }
}
