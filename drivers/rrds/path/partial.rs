// SPDX-License-Identifier: GPL-2.0

//! A message that is coming in.

use crate::message::Incoming;
use kernel::{
    prelude::*,
    sync::UniqueArc, //
};

/// A message that is coming in, if one is.
///
/// It is made with its first frame, before it is acknowledged: one that was must not be lost for lack of memory.
#[derive(Default)]
pub(super) struct Partial(pub(super) Option<Pin<UniqueArc<Incoming>>>);
