// SPDX-License-Identifier: GPL-2.0

//! Who ends what, where and when: drops in any context, ends from within, and what outlives the exit of
//! the module.

use crate::{
    bench::{
        Bench,
        PATIENCE, //
    },
    Case,
};
use core::net::{
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr, //
};
use kernel::{
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion,
        Mutex,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    net::Namespace,
    rdma::{
        cm::{
            Builder,
            Connection,
            Event,
            Handler,
            Id,
            PortSpace, //
        },
        cq::Poll,
        Cq,
        Pd, //
    },
    work::{
        Job,
        Work, //
    },
};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("objects are dropped with a spinlock held", under_a_lock),
    ("a job is closed by its own work", job_from_within),
    ("a connection is closed by its own handler", id_from_within),
    ("a job is in use after the module's exit", outlive),
];

/// The module's exit is over but for what is dropped after this.
static GONE: Atomic<bool> = Atomic::new(false);

/// Notes the exit of the module. Its last field.
pub(crate) struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        GONE.store(true, Relaxed);
    }
}

fn under_a_lock(bench: &Bench<'_>) -> Result {
    let lock = KBox::pin_init(new_spinlock_irq!(()), GFP_KERNEL)?;
    let pd = Pd::new(bench.dev(), bench.module)?;
    let cq = Cq::new(bench.dev(), bench.module, 8, 0, Poll::Workqueue)?;
    let job = krdma::new_job!(bench.module, |_| Ok(Arc::new(Nothing, GFP_KERNEL)?))?;

    let _guard = lock.lock();
    drop((pd, cq, job));
    Ok(())
}

struct Nothing;

impl Work for Nothing {
    fn run(_this: &Arc<Self>) -> Option<Delta> {
        None
    }
}

/// Closes its own job.
#[pin_data]
struct Selfish {
    #[pin]
    job: SpinLockIrq<Option<Job<Selfish>>>,
    #[pin]
    done: Completion,
}

impl Work for Selfish {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let job = this.job.lock().take();

        if let Some(job) = job {
            job.close();
        }
        this.done.complete_all();
        Some(Delta::from_millis(0))
    }
}

fn job_from_within(bench: &Bench<'_>) -> Result {
    let job = krdma::new_job!(bench.module, |_| {
        Arc::pin_init(
            pin_init!(Selfish {
                job <- new_spinlock_irq!(None),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )
    })?;
    let data = job.data().clone();

    data.job.lock().insert(job).wake();
    data.done.wait_for_completion();
    Ok(())
}

/// Closes its own connection.
struct Leaver(Arc<Left>);

#[pin_data]
struct Left {
    #[pin]
    connection: Mutex<Option<Connection<Leaver>>>,
    #[pin]
    done: Completion,
}

impl Handler for Leaver {
    fn event(id: &Id<Self>, _event: Event<'_>) {
        let left = &id.handler().0;
        let connection = left.connection.lock().take();

        if let Some(connection) = connection {
            connection.close();
            left.done.complete_all();
        }
    }
}

fn id_from_within(bench: &Bench<'_>) -> Result {
    let left = Arc::pin_init(
        pin_init!(Left {
            connection <- new_mutex!(None),
            done <- Completion::new(),
        }),
        GFP_KERNEL,
    )?;
    let addr = address(bench)?;
    let mut place = left.connection.lock();

    // Its event, which there is one of whatever happens, waits for the lock.
    *place = Some(
        Builder::new(Namespace::initial(), PortSpace::Tcp, bench.module).resolve(
            None,
            SocketAddr::from((addr, 4711)),
            Delta::from_millis(PATIENCE.into()),
            Leaver(left.clone()),
        )?,
    );
    drop(place);
    left.done.wait_for_completion();
    Ok(())
}

/// Returns an IPv4 address of the device.
fn address(bench: &Bench<'_>) -> Result<Ipv4Addr> {
    let port = bench.dev().ports().next().ok_or(ENODEV)?;

    port.gids(port.query()?.gid_table_len())
        .find_map(|entry| Ipv6Addr::from(*entry.gid().as_bytes()).to_ipv4_mapped())
        .ok_or(EADDRNOTAVAIL)
}

/// Runs on until the module's exit is long over, and keeps its own job until then.
#[pin_data]
struct Late {
    #[pin]
    job: SpinLockIrq<Option<Job<Late>>>,
    left: Atomic<u32>,
}

impl Work for Late {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        if GONE.load(Relaxed) && this.left.fetch_sub(1, Relaxed) == 0 {
            let job = this.job.lock().take();

            pr_info!("the last job goes\n");
            drop(job);
            return None;
        }
        Some(Delta::from_millis(10))
    }
}

fn outlive(bench: &Bench<'_>) -> Result {
    let job = krdma::new_job!(bench.module, |_| {
        Arc::pin_init(
            pin_init!(Late {
                job <- new_spinlock_irq!(None),
                left: Atomic::new(50),
            }),
            GFP_KERNEL,
        )
    })?;
    let data = job.data().clone();

    // Nobody has it but itself.
    data.job.lock().insert(job).wake();
    Ok(())
}
