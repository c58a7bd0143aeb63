// SPDX-License-Identifier: GPL-2.0

//! Lanes between nodes, as reliable connections behave.

use std::collections::VecDeque;

/// One of two ends of a link.
pub type Side = usize;

/// A lane between two nodes.
#[derive(Debug, Default)]
pub struct Link {
    /// The two nodes, the smaller first.
    pub nodes: [usize; 2],
    /// Number of the lane.
    pub lane: u8,
    /// It is in this life, which counts up.
    pub life: u32,
    /// Packets get through.
    pub works: bool,
    /// The ends that have it.
    pub up: [bool; 2],
    /// A new life is on its way.
    pub coming: bool,
    /// Nothing gets through until it is over: datagrams are lost, and other packets wait.
    pub silent: bool,
    /// It carries datagrams.
    pub datagrams: bool,
    /// Datagrams on their way, with the end that they are for.
    pub air: Vec<Option<(Side, Vec<u8>)>>,
    /// Packets of a reliable lane on their way to each end.
    pub queues: [VecDeque<Vec<u8>>; 2],
    /// When the last packet arrives at each end.
    pub last: [u64; 2],
}

impl Link {
    /// The end at a node.
    pub fn side(&self, node: usize) -> Side {
        usize::from(self.nodes[1] == node)
    }

    /// One end has a lane of datagrams of which the other, in another life, knows nothing.
    pub fn outlives(&self) -> bool {
        self.datagrams && self.works && self.up[0] != self.up[1]
    }

    /// It is gone, or one end does not know that yet: it may come again.
    pub fn may_come(&self) -> bool {
        self.up == [false; 2] || self.outlives()
    }

    /// Everything on its way is lost but the first `kept` packets to each end.
    pub fn kill(&mut self, kept: [usize; 2]) {
        self.works = false;
        self.air.clear();
        for (queue, kept) in self.queues.iter_mut().zip(kept) {
            queue.truncate(kept);
        }
    }
}
