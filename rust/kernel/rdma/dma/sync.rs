// SPDX-License-Identifier: GPL-2.0

//! Handing part of what a scatter list maps to the processor, or back to the device.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`ib_dma_sync_single_*`)

use super::{
    raw_direction,
    Bidirectional, //
};
use crate::{
    bindings,
    rdma::Device, //
};
use core::ops::Range;
use kernel::{
    num::casts::usize_as_u64,
    page::PAGE_SIZE,
    prelude::*,
    scatterlist::SGTable, //
};

/// Hands a range of the bytes of a table to the processor, or back to the device. Does not sleep.
///
/// # Safety
///
/// `table` must be mapped for `dev` in both directions. Nobody may change it or its list during the call.
pub(super) unsafe fn sync(
    dev: &Device,
    table: &bindings::sg_table,
    range: &Range<usize>,
    for_cpu: bool,
) {
    let dev = dev.as_raw();
    let direction = raw_direction::<Bidirectional>();

    // SAFETY: The device exists.
    if unsafe { bindings::ib_uses_virt_dma(dev) } {
        return;
    }
    // SAFETY: By the function's requirements, it is a table that nobody changes.
    let table = unsafe { SGTable::from_raw((&raw const *table).cast_mut()) };
    let segments = table
        .iter()
        .map(|entry| (entry.dma_address(), entry.dma_len()));

    for_each_piece(segments, range, |addr, len| {
        // CAST: It is no more than a page.
        let len = len as usize;

        // SAFETY: By the function's requirements, the piece is part of what is mapped for the device in
        // this direction.
        unsafe {
            if for_cpu {
                bindings::ib_dma_sync_single_for_cpu(dev, addr, len, direction);
            } else {
                bindings::ib_dma_sync_single_for_device(dev, addr, len, direction);
            }
        }
    });
}

/// Calls `f` with the address and the length of each piece of a range. What it is a range of lies in segments,
/// one behind the other, each of an address and a length.
///
/// Pages that the mapping has merged are one segment. An IOMMU merges pages that lie anywhere, and
/// `dma_sync_single_*()` looks up the first byte only: so no piece goes past the end of a page.
fn for_each_piece(
    segments: impl Iterator<Item = (u64, u64)>,
    range: &Range<usize>,
    mut f: impl FnMut(u64, u64),
) {
    const PAGE: u64 = usize_as_u64(PAGE_SIZE);
    let mut offset = usize_as_u64(range.start);
    let mut left = usize_as_u64(range.len());

    for (addr, len) in segments {
        while left > 0 && offset < len {
            // OVERFLOW: No segment goes past the end of the address space.
            let at = addr.wrapping_add(offset);
            let count = left.min(len - offset).min(PAGE - at % PAGE);

            f(at, count);
            offset += count;
            left -= count;
        }
        if left == 0 {
            return;
        }
        // The rest is in what follows.
        offset -= len;
    }
}

#[kunit_tests(krdma_dma_sync)]
mod tests {
    use super::*;

    const LEN: usize = PAGE_SIZE;
    const PAGE: u64 = usize_as_u64(LEN);

    /// Returns whether a range of what is in these segments consists of these pieces.
    fn consists(segments: &[(u64, u64)], range: Range<usize>, wanted: &[(u64, u64)]) -> bool {
        let mut rest = wanted;
        let mut equal = true;

        for_each_piece(segments.iter().copied(), &range, |addr, len| {
            match rest.split_first() {
                Some((first, others)) => {
                    equal &= *first == (addr, len);
                    rest = others;
                }
                None => equal = false,
            }
        });
        equal && rest.is_empty()
    }

    #[test]
    fn merged_pages_are_a_piece_each() {
        let merged = [(PAGE, 3 * PAGE)];

        assert!(consists(
            &merged,
            0..3 * LEN,
            &[(PAGE, PAGE), (2 * PAGE, PAGE), (3 * PAGE, PAGE)]
        ));
        assert!(consists(
            &merged,
            LEN - 8..LEN + 16,
            &[(2 * PAGE - 8, 8), (2 * PAGE, 16)]
        ));
        assert!(consists(&merged, LEN + 1..LEN + 3, &[(2 * PAGE + 1, 2)]));
        assert!(consists(&merged, 2 * LEN..3 * LEN, &[(3 * PAGE, PAGE)]));
    }

    #[test]
    fn pages_are_those_of_the_address() {
        // Not those of the offset.
        assert!(consists(
            &[(PAGE + 0x800, 2 * PAGE)],
            0..2 * LEN,
            &[
                (PAGE + 0x800, PAGE - 0x800),
                (2 * PAGE, PAGE),
                (3 * PAGE, 0x800)
            ]
        ));
    }

    #[test]
    fn a_range_goes_on_in_the_next_segment() {
        let apart = [(7 * PAGE, PAGE), (PAGE, 2 * PAGE), (5 * PAGE, PAGE)];

        assert!(consists(
            &apart,
            LEN - 1..3 * LEN + 1,
            &[
                (8 * PAGE - 1, 1),
                (PAGE, PAGE),
                (2 * PAGE, PAGE),
                (5 * PAGE, 1)
            ]
        ));
        // None of these fills its page.
        assert!(consists(
            &[(PAGE, 100), (3 * PAGE, 100)],
            50..150,
            &[(PAGE + 50, 50), (3 * PAGE, 50)]
        ));
        // It begins and ends with a segment.
        assert!(consists(&apart, LEN..2 * LEN, &[(PAGE, PAGE)]));
        assert!(consists(
            &apart,
            3 * LEN + 5..4 * LEN,
            &[(5 * PAGE + 5, PAGE - 5)]
        ));
    }

    #[test]
    fn of_nothing_there_is_no_piece() {
        let apart = [(7 * PAGE, PAGE), (PAGE, PAGE)];

        for at in [0, 1, LEN, 2 * LEN] {
            assert!(consists(&apart, at..at, &[]));
        }
    }
}
