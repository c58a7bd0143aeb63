// SPDX-License-Identifier: GPL-2.0

//! A small store of keys and values in the kernels of several nodes: what is put on one can be got on all, and
//! a node that starts again has it from the others.
//!
//! Programs send requests to the node's port, one to a message, and get an answer for each:
//!
//! | Request | Answer |
//! |---|---|
//! | `put KEY VALUE` | `ok` as soon as this node has it; it is on its way to the others |
//! | `get KEY` | `ok VALUE` |
//! | Anything else, or what can't be done | `error: ` and why |
//!
//! All nodes have the same keys and values when all that was put has arrived everywhere: of two values for a
//! key the later one wins, by the clock of [`store::Stamp`]. A node that has just been started serves nobody
//! before one of the others has told it everything, if there are others.
//!
//! Three nodes with the addresses 10.0.0.1, 10.0.0.2 and 10.0.0.3:
//!
//! ```sh
//! insmod rds_kv.ko local=0x0a000001 first=0x0a000001 count=3      # on the first, and so on
//! make build/programs/rds_ask                                     # asks, and prints the answers
//! rds_ask 10.0.0.1 10.0.0.2 4700 "put colour dark green" "get colour"
//! ```
//!
//! What comes is handled in softirq context, with all data behind one spin lock. Nothing that comes takes more
//! memory than the limits in [`store`] allow.

use core::net::{
    Ipv4Addr,
    SocketAddr,
    SocketAddrV4, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};
use krdma::net::{
    Namespace,
    Timeout, //
};
use rrds::api::{
    Handled,
    Socket, //
};

#[path = "rds_kv/node.rs"]
mod node;
#[path = "rds_kv/peer.rs"]
mod peer;
#[path = "rds_kv/request.rs"]
mod request;
#[path = "rds_kv/store.rs"]
mod store;
#[path = "rds_kv/wire.rs"]
mod wire;

use node::Node;
use peer::Peer;
use wire::Said;

module! {
    type: Module,
    name: "rds_kv",
    authors: ["The krdma developers"],
    description: "Keys and values, the same on several nodes, over reliable datagrams",
    license: "GPL",
    params: {
        local: u32 {
            default: 0x7f00_0001,
            description: "The IPv4 address of this node, as a number",
        },
        port: u16 {
            default: 4700,
            description: "The port, the same on all nodes",
        },
        first: u32 {
            default: 0,
            description: "The first of the nodes' IPv4 addresses, which are consecutive, as a number",
        },
        count: u8 {
            default: 0,
            description: "How many nodes there are from that on; this one may be among them",
        },
    },
}

/// How long messages may take when the module goes.
const PATIENCE: Delta = Delta::from_secs(5);

/// The module.
struct Module {
    socket: Option<Socket<Handled>>,
    node: Arc<Node>,
}

/// Returns the other nodes.
fn others(local: u32) -> Result<KVec<Peer>> {
    let mut peers = KVec::new();
    let first = module_parameters::first.value();
    let port = module_parameters::port.value();

    for index in 0..u32::from(module_parameters::count.value()) {
        let addr = first.checked_add(index).ok_or(EINVAL).inspect_err(|_| {
            pr_err!(
                "no addresses follow {:#x}: first and count name none\n",
                first
            )
        })?;
        if addr != local {
            let at = SocketAddrV4::new(Ipv4Addr::from_bits(addr), port);
            peers.push(Peer::new(at), GFP_KERNEL)?;
        }
    }
    Ok(peers)
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let addr = module_parameters::local.value();
        let local = SocketAddrV4::new(Ipv4Addr::from_bits(addr), module_parameters::port.value());
        let mut peers = KVec::new();
        let others = others(addr)?;
        for peer in &others {
            peers.push(SocketAddr::from(peer.at), GFP_KERNEL)?;
        }
        let node = Arc::pin_init(Node::new(addr, others)?, GFP_KERNEL)?;
        let socket = Socket::with_handler(module, Namespace::initial(), node.clone())?;

        socket.bind(local.into()).inspect_err(|err| {
            pr_err!(
                "can't serve at {:?}: {:?}; is it an address of this host?\n",
                local,
                err
            )
        })?;
        for peer in peers {
            // If a connection is there already, nobody tells. What can't be sent now is asked later, when
            // one is.
            Said::Ask
                .write(|parts| {
                    socket.prepare(peer)?;
                    match socket.send_parts(Some(peer), parts, Timeout::NONE) {
                        Err(err) if err == EAGAIN || err == ENOBUFS => Ok(()),
                        other => other,
                    }
                })
                .inspect_err(|err| {
                    pr_err!(
                        "can't reach {:?} from {:?}: {:?}; are first and count right?\n",
                        peer,
                        local,
                        err
                    )
                })?;
        }
        Ok(Self {
            socket: Some(socket),
            node,
        })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // What was put here last is to arrive. Nodes that are not there are not waited for.
        self.node.close();
        let socket = self.socket.take();
        if socket.is_some_and(|socket| socket.close(Timeout::new(PATIENCE)).is_err()) {
            pr_warn!("some messages were not acknowledged in time, and are lost\n");
        }
        let (answered, dropped) = self.node.counts();
        pr_info!("{} answered, {} dropped\n", answered, dropped);
    }
}
