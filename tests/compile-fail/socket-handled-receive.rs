// SPDX-License-Identifier: GPL-2.0

//! Messages of a socket with a handler are the handler's: they can't be taken as well.

use kernel::prelude::*;
use krdma::net::Timeout;
use rrds::api::{Handled, Message, Socket};

/// Would wait for what never comes.
pub fn take(socket: &Socket<Handled>) -> Result<Message> {
    socket.receive(Timeout::FOREVER) //~ E0599
}
