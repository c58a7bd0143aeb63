// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/rrds`: what there is at the moment, for administrators.
//!
//! Each file begins with its name and the version of its form. A line is a thing, as pairs of a name
//! and a value.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use crate::transport::rc::Shared;
use kernel::{
    debugfs::{
        Dir,
        File,
        Writer, //
    },
    fmt,
    prelude::*,
    sync::Arc, //
};

/// All paths.
struct Paths(Arc<Shared>);

impl Writer for Paths {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rrds paths 1")?;

        let mut result = Ok(());
        self.0.for_each_path(|path| {
            if result.is_ok() {
                result = path.dump(f);
            }
        });
        result
    }
}

/// All devices that carry RDS.
struct Stations(Arc<Shared>);

impl Writer for Stations {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rrds devices 1")?;

        let mut result = Ok(());
        self.0.for_each_station(|station| {
            if result.is_ok() {
                result = station.dump(f);
            }
        });
        result
    }
}

/// The files, as long as this exists. Without debugfs there are none, and that is no error.
#[pin_data]
pub(crate) struct Debug {
    #[pin]
    paths: File<Paths>,
    #[pin]
    devices: File<Stations>,
    dir: Dir,
}

impl Debug {
    /// Makes the files. May sleep.
    pub(crate) fn new(shared: Arc<Shared>) -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"rrds");

        try_pin_init!(Self {
            paths <- dir.read_only_file(c"paths", Paths(shared.clone())),
            devices <- dir.read_only_file(c"devices", Stations(shared)),
            dir,
        })
    }
}
