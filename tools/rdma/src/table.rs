// SPDX-License-Identifier: GPL-2.0

//! A check, and what becomes of it.

use crate::link::Link;
use crate::World;
use std::fmt;
use std::io;

/// Why a check did not go through.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It failed.
    Bad(String),
    /// It makes no sense here.
    Skip(String),
}

/// What a check gives.
pub type Outcome = Result<(), Wrong>;

/// A failure.
pub fn bad<T>(why: impl fmt::Display) -> Result<T, Wrong> {
    Err(Wrong::Bad(why.to_string()))
}

/// Not here.
pub fn skip<T>(why: impl fmt::Display) -> Result<T, Wrong> {
    Err(Wrong::Skip(why.to_string()))
}

/// Fails unless it is so.
pub fn ensure(so: bool, why: impl fmt::Display) -> Outcome {
    if so {
        Ok(())
    } else {
        bad(why)
    }
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Bad(reason(&error))
    }
}

impl From<String> for Wrong {
    fn from(why: String) -> Self {
        Self::Bad(why)
    }
}

/// An error by its name.
pub fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => named(errno),
        None => error.to_string(),
    }
}

/// An error number by its name.
pub fn named(errno: i32) -> String {
    rds::errno_name(errno).map_or_else(|| format!("errno {errno}"), str::to_string)
}

/// Fails unless a call gave this error.
pub fn refused<T>(result: io::Result<T>, wanted: i32) -> Outcome {
    match result {
        Ok(_) => bad(format!("it worked, wanted {}", named(wanted))),
        Err(error) if error.raw_os_error() == Some(wanted) => Ok(()),
        Err(error) => bad(format!("{}, wanted {}", reason(&error), named(wanted))),
    }
}

/// What is done.
type Run = dyn Fn(&World, &mut Link) -> Outcome;

/// A check.
pub struct Row {
    pub name: String,
    pub run: Box<Run>,
}

/// All of them, in groups.
#[derive(Default)]
pub struct Table {
    pub rows: Vec<Row>,
    group: &'static str,
}

impl Table {
    pub fn group(&mut self, group: &'static str) {
        self.group = group;
    }

    pub fn add(
        &mut self,
        name: impl fmt::Display,
        run: impl Fn(&World, &mut Link) -> Outcome + 'static,
    ) {
        self.rows.push(Row {
            name: format!("{}: {name}", self.group),
            run: Box::new(run),
        });
    }
}
