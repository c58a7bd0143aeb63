// SPDX-License-Identifier: GPL-2.0

//! What a device has not so much of.

use crate::{
    capabilities,
    expect,
    expect_error,
    operations::{
        register,
        revoke, //
    },
    Bench, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::{
    ah::{
        AhAttr,
        GlobalRoute, //
    },
    cq::Poll,
    dma::PageList,
    mcast::Attachment,
    qp::{
        Capabilities,
        QpInit,
        Rc,
        Receive,
        Ud, //
    },
    Ah,
    Cq,
    Gid,
    Lid,
    Mr,
    Pd,
    Qp,
    Srq, //
};

/// Queues and regions larger than the device has.
pub(crate) fn sizes(bench: &Bench<'_>) -> Result {
    let dev = bench.dev();
    let limits = dev.attributes();
    let cq = bench.cq(Poll::Workqueue)?;
    let cq_of = |capacity| Cq::new(dev, bench.module, capacity, 0, Poll::Workqueue);

    expect_error(
        "too long a completion queue",
        cq_of(limits.max_cqe() + 1),
        EINVAL,
    )?;
    expect_error("the longest number", cq_of(u32::MAX), EINVAL)?;
    expect(
        "the longest completion queue",
        cq_of(limits.max_cqe())?.capacity() >= limits.max_cqe(),
        true,
    )?;

    let with = |cap| {
        let init = QpInit {
            pd: bench.pd.clone(),
            send_cq: cq.clone(),
            receive: Receive::Own(cq.clone()),
            cap,
            port: 0,
            context: None,
        };
        Qp::<Rc>::new(init, bench.module)
    };
    let usual = capabilities();
    let too_large = [
        ("send requests", {
            Capabilities {
                max_send_wr: limits.max_qp_wr(),
                ..usual
            }
        }),
        ("send requests, the longest number", {
            Capabilities {
                max_send_wr: u32::MAX,
                ..usual
            }
        }),
        ("receive requests", {
            Capabilities {
                max_recv_wr: u32::MAX,
                ..usual
            }
        }),
        ("pieces to send", {
            Capabilities {
                max_send_sge: limits.max_send_sge() + 1,
                ..usual
            }
        }),
        ("pieces to receive", {
            Capabilities {
                max_recv_sge: limits.max_recv_sge() + 1,
                ..usual
            }
        }),
        ("bytes inline", {
            Capabilities {
                max_inline_data: 1 << 20,
                ..usual
            }
        }),
    ];
    for (what, cap) in too_large {
        expect_error(what, with(cap), EINVAL)?;
    }
    // The device has them, the completion queue has not.
    expect_error(
        "more requests than entries",
        with(Capabilities {
            max_send_wr: 4096,
            ..usual
        }),
        ENOSPC,
    )?;
    with(usual)?;

    let deep = cq_of(limits.max_cqe())?;
    let srq_of = |max_wr, max_sge| Srq::new(&bench.pd, &deep, max_wr, max_sge, None);
    expect_error("no shared receives", srq_of(0, 1), EINVAL)?;
    expect_error(
        "more shared receives than entries",
        srq_of(u32::MAX, 1),
        ENOSPC,
    )?;
    expect_error(
        "pieces of a shared receive",
        srq_of(8, limits.max_srq_sge() + 1),
        EINVAL,
    )?;
    let srq = srq_of(8, 1)?;
    expect_error(
        "a limit that is the capacity",
        srq.arm(srq.capacity()),
        EINVAL,
    )?;
    srq.arm(srq.capacity() - 1)?;
    srq.arm(0)?;
    expect_error("a larger one than there is", srq.resize(u32::MAX), ENOSPC)?;
    regions(bench)
}

fn regions(bench: &Bench<'_>) -> Result {
    let dev = bench.dev();
    let mut mr = Mr::new(&bench.pd, 2)?;
    let attach = |mr: &mut Mr, pages: usize| -> Result {
        mr.attach(PageList::new(dev, pages)?)
            .map_err(|refused| refused.error)
    };

    expect_error("pages of a region that has none", mr.detach(), ENOENT)?;
    expect_error(
        "more pages than the region takes",
        attach(&mut mr, 3),
        EINVAL,
    )?;
    attach(&mut mr, 2)?;
    expect_error(
        "pages for a region that has some",
        attach(&mut mr, 1),
        EBUSY,
    )?;
    // Its key is another one when it was revoked, and not before.
    let old = mr.remote().key;
    mr.detach()?;
    attach(&mut mr, 1)?;
    expect("the key of what was never registered", mr.remote().key, old)?;
    let (a, _b) = bench.pair::<Rc>()?;
    let mr = Arc::new(mr, GFP_KERNEL)?;
    for _ in 0..2 {
        let old = mr.remote().key;
        register(&a, &mr)?;
        expect("the key of what is registered", mr.remote().key, old)?;
        revoke(&a, &mr)?;
        expect("an old key again", mr.remote().key == old, false)?;
    }
    Ok(())
}

/// All there is of what there is little of, and one more.
pub(crate) fn exhaustion(bench: &Bench<'_>) -> Result {
    let dev = bench.dev();
    let limits = dev.attributes();

    // Address handles are small, so that all can be made; of others memory runs out first.
    let max = u32_as_usize(limits.max_ah());
    if max <= 1 << 16 {
        let mut handles = KVVec::with_capacity(max + 1, GFP_KERNEL)?;
        let error = loop {
            if handles.len() > max {
                break None;
            }
            match Ah::new(&bench.pd, &bench.path) {
                Ok(ah) => handles.push_within_capacity(ah).map_err(|_| EINVAL)?,
                Err(err) => break Some(err),
            }
        };
        pr_info!(
            "{}: {} address handles, then {:?}\n",
            dev.name(),
            handles.len(),
            error
        );
        expect("an error after the last handle", error.is_some(), true)?;
        handles.pop();
        krdma::settle(bench.module);
        handles
            .push_within_capacity(Ah::new(&bench.pd, &bench.path)?)
            .map_err(|_| EINVAL)?;
    }

    // Members of a group.
    let group = Gid::from(core::net::Ipv4Addr::new(239, 9, 9, 9));
    let cq = bench.cq(Poll::Workqueue)?;
    let member = || -> Result<Attachment> {
        let cap = Capabilities {
            max_send_wr: 0,
            max_recv_wr: 0,
            max_send_sge: 1,
            max_recv_sge: 1,
            max_inline_data: 0,
        };
        let cq = Cq::new(dev, bench.module, 16, 0, Poll::Workqueue)?;
        let init = QpInit {
            pd: bench.pd.clone(),
            send_cq: cq.clone(),
            receive: Receive::Own(cq),
            cap,
            port: 0,
            context: None,
        };
        let qp = Arc::new(Qp::new(init, bench.module)?, GFP_KERNEL)?;

        Attachment::new(&qp, group, Lid::RESERVED)
    };
    let max = u32_as_usize(limits.max_mcast_qp_attach());
    if max <= 1024 {
        let mut members = KVec::new();
        let error = loop {
            match member() {
                Ok(_) if members.len() == max => break None,
                Ok(attachment) => members.push(attachment, GFP_KERNEL)?,
                Err(err) => break Some(err),
            }
        };
        pr_info!(
            "{}: {} members of a group, then {:?}\n",
            dev.name(),
            members.len(),
            error
        );
        expect("members of a group", members.len(), max)?;
        expect("an error after the last member", error.is_some(), true)?;
        drop(members.pop());
        krdma::settle(bench.module);
        members.push(member()?, GFP_KERNEL)?;
    }
    // The group is full until they have left.
    krdma::settle(bench.module);

    // What is none.
    let ud = Arc::new(
        bench.qp::<Ud>('u', &cq, Receive::Own(cq.clone()))?,
        GFP_KERNEL,
    )?;
    let nobody = Gid::from(core::net::Ipv4Addr::LOCALHOST);
    expect_error(
        "a group that is none",
        Attachment::new(&ud, nobody, Lid::RESERVED),
        EINVAL,
    )?;
    let first = Attachment::new(&ud, group, Lid::RESERVED)?;
    expect_error(
        "a member twice",
        Attachment::new(&ud, group, Lid::RESERVED),
        EEXIST,
    )?;
    drop(first);
    krdma::settle(bench.module);
    Attachment::new(&ud, group, Lid::RESERVED)?;

    let route = bench.path.route().unwrap_or(GlobalRoute::default());
    let wrong = AhAttr::roce(
        bench.port.number(),
        GlobalRoute {
            sgid_index: 255,
            ..route
        },
        [0; 6],
        0,
    );
    expect_error(
        "a handle from no address",
        Ah::new(&bench.pd, &wrong),
        ENODATA,
    )?;
    Pd::new(dev, bench.module).map(|_| ())
}
