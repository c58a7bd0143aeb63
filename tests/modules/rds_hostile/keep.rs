// SPDX-License-Identifier: GPL-2.0

//! Connections that are kept while the module is loaded, for scripts that look at the other node meanwhile.

use crate::{
    link::{
        Facts,
        Link,
        Manners,
        Plan,
        Stage,
        Until,
        MANNERS, //
    },
    run::TOS_OF_DEEDS,
    wire::HONEST,
    Config, //
};
use kernel::prelude::*;
use krdma::rdma::cm::RejectReason;

/// Makes a connection that receives nothing, and is honest otherwise.
pub(crate) fn deaf(config: &Config) -> Result<KVec<Link>> {
    let mut links = KVec::new();
    let (link, facts) = ask(config, false, TOS_OF_DEEDS, 0)?;

    if facts.stage != Stage::Up {
        pr_info!("no connection: {:?}\n", facts);
        return Err(ECONNREFUSED);
    }
    links.push(link, GFP_KERNEL)?;
    Ok(links)
}

/// Makes a connection for each path that there can be to one node, until it takes no more.
pub(crate) fn crowd(config: &Config) -> Result<KVec<Link>> {
    let mut links = KVec::new();
    let mut refused = 0_u32;

    for v6 in [false, true] {
        for tos in 0..=u8::MAX {
            let (link, facts) = ask(config, v6, tos, 2)?;

            match facts.stage {
                Stage::Up => links.push(link, GFP_KERNEL)?,
                Stage::Rejected(RejectReason::Consumer, Some(_)) => refused += 1,
                _ => {
                    pr_info!("neither accepted nor refused: {:?}\n", facts);
                    return Err(ECONNREFUSED);
                }
            }
        }
    }
    pr_info!("crowd: {} accepted, {} refused\n", links.len(), refused);
    Ok(links)
}

/// Asks for a connection with so many receives, and waits for the answer.
fn ask(config: &Config, v6: bool, tos: u8, receives: u32) -> Result<(Link, Facts)> {
    let manners = Manners {
        receives,
        ..MANNERS
    };
    let plan = Plan {
        tos,
        private: HONEST,
        manners,
        until: Until::Up,
    };
    let link = Link::ask(config, v6, plan)?;
    let (_, facts) = link.seen.wait(config.patience, |facts| {
        facts.stage == Stage::Up || facts.is_over()
    });

    Ok((link, facts))
}
