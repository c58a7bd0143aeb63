// SPDX-License-Identifier: GPL-2.0

//! What is tried, and what has to become of it.

use crate::stream::{Stream, Victim, Wrong};

/// What has to become of the connection.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The victim answers on it.
    Kept,
    /// The victim ends it.
    Ended,
    /// Whatever. That the next one comes up is asked for by the next case.
    Any,
}

/// What is done on a connection.
pub type Act = Box<dyn Fn(&mut Stream) -> Result<(), Wrong>>;

/// What is done by other means.
pub type Deed = Box<dyn Fn(&mut Victim) -> Result<(), Wrong>>;

/// How it is done.
pub enum How {
    /// On a connection of the first lane, where hello was said.
    Said(Act, End),
    /// With connections of its own.
    Done(Deed),
}

/// Something to try.
pub struct Case {
    pub name: String,
    pub how: How,
}

impl Case {
    /// Tries it.
    pub fn run(&self, victim: &mut Victim) -> Result<(), Wrong> {
        match &self.how {
            How::Done(deed) => deed(victim),
            How::Said(act, end) => {
                let mut stream = victim.greet()?;
                act(&mut stream)?;
                match end {
                    End::Kept => stream.ask(),
                    End::Ended => stream.await_end(),
                    End::Any => Ok(()),
                }
            }
        }
    }
}

/// A case on a connection where hello was said.
pub fn said(
    name: impl Into<String>,
    end: End,
    act: impl Fn(&mut Stream) -> Result<(), Wrong> + 'static,
) -> Case {
    Case {
        name: name.into(),
        how: How::Said(Box::new(act), end),
    }
}

/// A case with connections of its own.
pub fn done(
    name: impl Into<String>,
    deed: impl Fn(&mut Victim) -> Result<(), Wrong> + 'static,
) -> Case {
    Case {
        name: name.into(),
        how: How::Done(Box::new(deed)),
    }
}
