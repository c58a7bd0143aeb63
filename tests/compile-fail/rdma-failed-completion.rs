// SPDX-License-Identifier: GPL-2.0

//! Of a request that has failed, or was no receive, there is no length and no data.

use krdma::rdma::Completion;

/// Would read what the device has not written.
pub fn len(completion: &Completion<'_>) -> u32 {
    completion.byte_len() //~ E0599
}

/// As above.
pub fn immediate(completion: &Completion<'_>) -> Option<u32> {
    completion.immediate() //~ E0599
}

/// May be none.
pub fn unchecked(completion: &Completion<'_>) -> u32 {
    completion.received().byte_len() //~ E0599
}
