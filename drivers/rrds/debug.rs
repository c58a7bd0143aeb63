// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/rrds`: what there is at the moment, for administrators.
//!
//! Each file begins with its name and the version of its form. A line is a thing, as pairs of a name
//! and a value.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

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

/// What the files show. May sleep.
pub(crate) trait Source: Send + Sync + 'static {
    /// Writes a line for each path.
    fn paths(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Writes a line for each device that carries RDS.
    fn devices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// All paths.
struct Paths<S>(Arc<S>);

impl<S: Source> Writer for Paths<S> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rrds paths 1")?;
        self.0.paths(f)
    }
}

/// All devices that carry RDS.
struct Devices<S>(Arc<S>);

impl<S: Source> Writer for Devices<S> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rrds devices 1")?;
        self.0.devices(f)
    }
}

/// The files, as long as this exists. Without debugfs there are none, and that is no error.
#[pin_data]
pub(crate) struct Debug<S: Source> {
    #[pin]
    paths: File<Paths<S>>,
    #[pin]
    devices: File<Devices<S>>,
    dir: Dir,
}

impl<S: Source> Debug<S> {
    /// Makes the files. May sleep.
    pub(crate) fn new(source: Arc<S>) -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"rrds");

        try_pin_init!(Self {
            paths <- dir.read_only_file(c"paths", Paths(source.clone())),
            devices <- dir.read_only_file(c"devices", Devices(source)),
            dir,
        })
    }
}
