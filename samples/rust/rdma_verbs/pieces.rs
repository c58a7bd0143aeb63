// SPDX-License-Identifier: GPL-2.0

//! Pieces of memory that have no byte, and inline bytes of two pages.

use crate::{
    expect,
    operations::{
        region,
        word, //
    },
    requests::{
        post,
        post_bytes,
        receive,
        receive_as,
        Log, //
    },
    Bench, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use krdma::rdma::{
    post::{
        Flags,
        Inline,
        With, //
    },
    qp::Rc,
    request::Status, //
};

/// Bytes that are all different.
fn counted<const N: usize>() -> [u8; N] {
    core::array::from_fn(|at| 0x40 + at as u8)
}

fn copied(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::new();

    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(copy)
}

/// A piece of no byte is none of those that a message or what is read goes to.
pub(crate) fn empty(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair::<Rc>()?;
    let (sent, received) = (Log::new()?, Log::new()?);
    let mr = region(bench, &b)?;
    let message = counted::<16>();
    let (_, second) = message.split_at(8);
    let second = u64::from_ne_bytes(second.try_into().map_err(|_| EINVAL)?);

    // What comes first goes behind what comes then.
    receive_as(&b, bench.dev(), &received, 16, |piece, buffers| {
        let part = |range| piece.buffer.sge_mut().slice(range);

        buffers.add(&[part(3..3)?, part(8..16)?, part(0..0)?, part(0..8)?])
    })?;
    post_bytes(&a, &sent, copied(&message)?, |piece, links| {
        links.send(&[piece.buffer.sge()], With::Nothing, Flags::default())
    })?;
    sent.expect("a send", 1, Status::Success)?;
    let ended = received.next()?;
    expect("the length of what came", ended.len, 16)?;
    expect("what came", ended.word, second)?;

    // There may be no other piece, where nothing comes.
    receive_as(&b, bench.dev(), &received, 16, |piece, buffers| {
        buffers.add(&[piece.buffer.sge_mut().slice(16..16)?])
    })?;
    post(&a, &sent, 4, 16, |_, links| {
        links.send(Inline(&[]), With::Immediate(9), Flags::default())
    })?;
    sent.expect("a send of nothing", 1, Status::Success)?;
    let ended = received.next()?;
    expect("how it was received", ended.status, Status::Success)?;
    expect(
        "nothing, and what came with it",
        (ended.len, ended.immediate),
        (0, Some(9)),
    )?;

    // The same of a read.
    let remote = mr.remote();
    let there = word(&mr)?;
    post(&a, &sent, 0x77, 8, |piece, links| {
        let part = |range| piece.buffer.sge_mut().slice(range);

        links.read(
            &[part(5..5)?, part(0..3)?, part(8..8)?, part(3..8)?],
            remote,
            Flags::default(),
        )
    })?;
    let ended = sent.next()?;
    expect("how it was read", ended.status, Status::Success)?;
    expect("what was read in pieces", ended.word, there)?;
    post(&a, &sent, 0x77, 8, |piece, links| {
        links.read(
            &[piece.buffer.sge_mut().slice(8..8)?],
            remote,
            Flags::default(),
        )
    })?;
    let ended = sent.next()?;
    expect("how nothing was read", ended.status, Status::Success)?;
    expect("what was there", ended.word, 0x7777_7777_7777_7777)
}

/// Inline bytes may be on both sides of a page's end. They need not be mapped, so there is no other page
/// for the device to go on in.
pub(crate) fn across_pages(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair::<Rc>()?;
    let (sent, received) = (Log::new()?, Log::new()?);
    let mr = region(bench, &b)?;
    let wanted = counted::<8>();
    let remote = mr.remote();
    let mut bytes = KVec::from_elem(0xee, 2 * PAGE_SIZE, GFP_KERNEL)?;
    let end = PAGE_SIZE - bytes.as_ptr().addr() % PAGE_SIZE;
    let place = end.wrapping_sub(4)..end.wrapping_add(4);
    bytes
        .get_mut(place.clone())
        .ok_or(EINVAL)?
        .copy_from_slice(&wanted);

    receive(&b, bench.dev(), &received, 64)?;
    post_bytes(&a, &sent, bytes, |piece, links| {
        let bytes = Inline(piece.bytes.get(place).ok_or(EINVAL)?);

        links.send(bytes, With::Nothing, Flags::default())?;
        links.write(bytes, remote, None, Flags::default())
    })?;
    sent.expect("bytes across pages", 1, Status::Success)?;
    let ended = received.next()?;
    expect("their length", ended.len, 8)?;
    expect(
        "what was sent across pages",
        ended.word,
        u64::from_ne_bytes(wanted),
    )?;
    expect(
        "what was written across pages",
        word(&mr)?,
        u64::from_ne_bytes(wanted),
    )
}
