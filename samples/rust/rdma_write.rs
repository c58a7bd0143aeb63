// SPDX-License-Identifier: GPL-2.0

//! One host writes into the memory of another one, until it may not any more.
//!
//! B lends A a piece of its memory: it registers a region and sends A the address and the key. A
//! writes into it, without anything running on B, and says so. B looks at what was written, revokes
//! the key, and says so. A, which is not to be trusted, writes once more: that fails, and B sees that
//! nothing was written.
//!
//! ```text
//!        A                                            B
//!        |  ------------- connect ----------------->  |
//!        |  <------------ accept -------------------  |
//!        |  <------------ Lend: address, key, length  |  register
//!  write |  ============= bytes ===================>  |
//!        |  ------------- Written ----------------->  |  looks
//!        |  <------------ Revoked ------------------  |  revoke
//!  write |  ============= bytes ===================X  |
//!        |  <------------ remote access error         |  looks again
//! ```
//!
//! In a second conversation A revokes the key itself: its `Written` is a send with invalidate.
//!
//! Every module is a B, and with the parameter `peer` also an A, which talks to the B at that
//! address. The page "Verbs from Rust" of the documentation goes through this file line by line.
//!
//! ```sh
//! modprobe -a rdma_rxe rdma_cm
//! rdma link add rxe0 type rxe netdev eth0
//! insmod krdma.ko
//! insmod rdma_write.ko                     # on A: peer=0x0a000001, the address of B
//! dmesg | grep rdma_write
//! ```

use core::net::{
    Ipv4Addr,
    SocketAddr, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};
use krdma::{
    net::Namespace,
    rdma::{
        cm::{
            Builder,
            Listener,
            PortSpace,
            RejectReason, //
        },
        cq::{
            Cq,
            Poll, //
        },
        qp::{
            Capabilities,
            QpInit,
            Receive, //
        },
        request::Status,
        Device,
        Pd,
        Qp, //
    },
    work::Job, //
};

#[path = "rdma_write/borrower.rs"]
mod borrower;
#[path = "rdma_write/lender.rs"]
mod lender;
#[path = "rdma_write/message.rs"]
mod message;

module! {
    type: Write,
    name: "rdma_write",
    authors: ["The krdma developers"],
    description: "Writes into the memory of another host",
    license: "GPL",
    params: {
        peer: u32 {
            default: 0,
            description: "The IPv4 address of B, as a number; not an A if zero",
        },
        port: u16 {
            default: 7473,
            description: "The port that B listens on",
        },
        timeout: u32 {
            default: 10_000,
            description: "Milliseconds that a conversation may take",
        },
    },
}

struct Write {
    // Dropped first: no new connections come in then.
    _listener: Listener<lender::Door>,
    _borrower: Option<Job<borrower::Borrower>>,
    _lender: Job<lender::Lender>,
}

impl kernel::Module for Write {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let port = module_parameters::port.value();
        let peer = Ipv4Addr::from_bits(module_parameters::peer.value());
        let timeout = Delta::from_millis(i64::from(module_parameters::timeout.value()));

        let lender = krdma::new_job!(module, |waker| lender::Lender::new(module, timeout, waker))?;
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener = Builder::new(Namespace::initial(), PortSpace::Tcp, module)
            .listen(any, 16, lender::Door(lender.data().clone()))
            .inspect_err(|err| pr_err!("can't listen on port {}: {:?}\n", port, err))?;
        pr_info!("B: listening on port {}\n", port);

        let borrower = if peer.is_unspecified() {
            None
        } else {
            let peer = SocketAddr::from((peer, port));
            let job = krdma::new_job!(module, |waker| borrower::Borrower::new(
                module, peer, timeout, waker
            ))?;

            job.wake();
            Some(job)
        };

        Ok(Self {
            _listener: listener,
            _borrower: borrower,
            _lender: lender,
        })
    }
}

/// Makes a queue pair with all that it needs.
fn new_qp(dev: &Device, module: &'static ThisModule) -> Result<Qp> {
    // Handlers run on a workqueue: they may sleep, so nothing has to be left to somebody else.
    let cq = Cq::new(dev, module, 32, 0, Poll::Workqueue)?;

    Qp::new(
        QpInit {
            pd: Arc::new(Pd::new(dev, module)?, GFP_KERNEL)?,
            send_cq: cq.clone(),
            receive: Receive::Own(cq),
            cap: Capabilities {
                max_send_wr: 8,
                max_recv_wr: 4,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data: 0,
            },
            port: 0,
            context: None,
        },
        module,
    )
}

/// Why a conversation has failed.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "it is for being printed")]
enum Failure {
    /// The other side was not found, or does not answer.
    Unreachable(Error),
    /// The other side does not want to talk.
    Rejected(RejectReason),
    /// The other side has gone too early.
    Disconnected,
    /// Our device has gone.
    DeviceRemoved,
    /// It takes too long.
    Timeout,
    /// A request has ended in another way than it should.
    Request(Status),
    /// The other side has said something that makes no sense now.
    Confused,
    /// The memory does not hold what it should.
    WrongBytes,
    /// Something can't be done here.
    Local(Error),
}
