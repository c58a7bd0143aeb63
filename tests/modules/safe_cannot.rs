// SPDX-License-Identifier: GPL-2.0

//! What safe code must not be able to break: each case does what no client should, and sees that krdma
//! refuses it, or that it does no harm.
//!
//! For each device that comes the cases run one after the other, within the device. Each has a line in
//! the kernel's log, which ends in `ok` or in `not ok`, and a last line counts them. What a case would break
//! may show as a report of the kernel only: the strict one sees most.
//!
//! | File | Concern |
//! |---|---|
//! | `bench.rs` | what the cases need of a device |
//! | `counted.rs` | requests that are counted |
//! | `kinds.rs` | one object of each kind |
//! | `mr.rs` | memory regions: pages that a peer can still use |
//! | `posting.rs` | posting while a queue pair or a shared queue goes or is reset, and in states that refuse it |
//! | `drains.rs` | queue pairs that are drained by several at a time, or were never used |
//! | `own.rs` | who ends what, where and when |
//! | `elsewhere.rs` | addresses of devices of another network namespace |
//!
//! Loaded in another namespace than the initial one, it runs the cases of the last file only.

use kernel::prelude::*;
use krdma::{
    net::Namespace,
    rdma::{
        client::Registration,
        Client,
        Device, //
    }, //
};

#[path = "safe_cannot/bench.rs"]
mod bench;
#[path = "safe_cannot/counted.rs"]
mod counted;
#[path = "safe_cannot/drains.rs"]
mod drains;
#[path = "safe_cannot/elsewhere.rs"]
mod elsewhere;
#[path = "safe_cannot/kinds.rs"]
mod kinds;
#[path = "safe_cannot/mr.rs"]
mod mr;
#[path = "safe_cannot/own.rs"]
mod own;
#[path = "safe_cannot/posting.rs"]
mod posting;

use bench::Bench;

module! {
    type: SafeCannot,
    name: "safe_cannot",
    authors: ["The krdma developers"],
    description: "Does what safe code must not be able to break, for tests",
    license: "GPL",
}

/// One thing that must not break.
pub(crate) type Case = (&'static str, fn(&Bench<'_>) -> Result);

/// The cases of each file.
const TOPICS: &[(&str, &[Case])] = &[
    ("mr", mr::CASES),
    ("posting", posting::CASES),
    ("drains", drains::CASES),
    ("own", own::CASES),
    ("elsewhere", elsewhere::CASES),
];

#[pin_data]
struct SafeCannot {
    #[pin]
    client: Registration<Devices>,
    _exit: own::Exit,
}

impl kernel::InPlaceModule for SafeCannot {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            client <- Registration::new(module, Devices { module }),
            _exit: own::Exit,
        })
    }
}

struct Devices {
    module: &'static ThisModule,
}

krdma::client_slot!(Devices);

impl Client for Devices {
    const NAME: &'static CStr = c"safe_cannot";

    type Data = ();

    fn add(&self, dev: &Device) -> impl PinInit<Self::Data, Error> {
        self.run(dev)
    }
}

impl Devices {
    fn run(&self, dev: &Device) -> Result {
        let (mut cases, mut good) = (0, 0);
        let at_home = *elsewhere::namespace()? == *Namespace::initial();

        for (topic, table) in TOPICS {
            if !at_home && *topic != "elsewhere" {
                continue;
            }
            for (name, case) in *table {
                let ret = dev
                    .ports()
                    .next()
                    .ok_or(ENODEV)
                    .and_then(|port| Bench::new(port, self.module))
                    .and_then(|bench| case(&bench));

                cases += 1;
                match ret {
                    Ok(()) => {
                        good += 1;
                        pr_info!("{}: {}: {}: ok\n", dev.name(), topic, name);
                    }
                    Err(err) => {
                        pr_err!("{}: {}: {}: not ok: {:?}\n", dev.name(), topic, name, err)
                    }
                }
            }
        }
        pr_info!("{}: {} of {} ok\n", dev.name(), good, cases);
        Ok(())
    }
}
