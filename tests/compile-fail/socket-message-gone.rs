// SPDX-License-Identifier: GPL-2.0

//! The bytes of a message stay as long as the message.

use kernel::prelude::*;
use rrds::api::{Data, Message};

/// Would keep bytes whose memory is sent on.
pub fn keep(message: Message) -> Result<(usize, Data)> {
    let bytes = message.at(0);
    let data = message.into_data(GFP_KERNEL)?; //~ E0505
    Ok((bytes.len(), data))
}
