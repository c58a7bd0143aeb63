// SPDX-License-Identifier: GPL-2.0

//! Memory for fragments, kept when a message has been read, or what was sent is done with.

use super::{
    piece::Piece,
    Payload, //
};
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
};
use krdma::page::SharedPage;
use rds_proto::consts::FRAGMENT_BYTES;

/// Most fragments that are kept of each kind of memory: those of four messages of the greatest length.
const MOST: usize = 1024;

/// Fragments that are taken at a time, at most.
pub(super) const RUN: usize = 8;

/// Memory for fragments. New memory would have to be zeroed; this has what was in an earlier message,
/// and is written over before a piece of it is shown to anyone.
#[pin_data]
pub(crate) struct Spares {
    #[pin]
    list: SpinLockIrq<KVec<KVec<u8>>>,
    /// The network refers to none of these.
    #[pin]
    pages: SpinLockIrq<KVec<SharedPage>>,
}

impl Spares {
    /// None at first.
    pub(crate) fn new() -> Result<Arc<Self>> {
        // Namespaces can be made by anybody.
        let list = KVec::with_capacity(MOST, GFP_KERNEL_ACCOUNT)?;
        let pages = KVec::with_capacity(MOST, GFP_KERNEL_ACCOUNT)?;

        Arc::pin_init(
            pin_init!(Self {
                list <- new_spinlock_irq!(list, "rrds::Spares::list"),
                pages <- new_spinlock_irq!(pages, "rrds::Spares::pages"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns memory of [`FRAGMENT_BYTES`], if there is any.
    pub(crate) fn take(&self) -> Option<KVec<u8>> {
        self.list.lock().pop()
    }

    /// Returns up to `count` pieces of such memory, as far as there is any.
    pub(super) fn take_some(&self, count: usize) -> [Option<KVec<u8>>; RUN] {
        let mut list = self.list.lock();
        let mut left = count;

        core::array::from_fn(|_| {
            left = left.checked_sub(1)?;
            list.pop()
        })
    }

    /// Returns a page, if there is any.
    fn take_page(&self) -> Option<SharedPage> {
        self.pages.lock().pop()
    }

    /// Returns a page: new one, if there is none.
    ///
    /// Errors: [`ENOMEM`].
    pub(crate) fn get_page(&self, flags: kernel::alloc::Flags) -> Result<SharedPage> {
        match self.take_page() {
            Some(page) => Ok(page),
            None => SharedPage::new(flags),
        }
    }

    /// Returns memory of [`FRAGMENT_BYTES`]: new one, if there is none.
    ///
    /// Errors: [`ENOMEM`].
    pub(crate) fn get(&self, flags: kernel::alloc::Flags) -> Result<KVec<u8>> {
        match self.take() {
            Some(bytes) => Ok(bytes),
            None => Ok(KVec::from_elem(0, FRAGMENT_BYTES, flags)?),
        }
    }

    /// Keeps the memory of a message, as far as there is room and a fragment fits into its pieces.
    fn keep(&self, payload: Payload) {
        let mut pieces = payload.into_pieces();
        let mut next = pieces.next();

        while let Some(piece) = next {
            next = match piece {
                Piece::Slab(_) => keep_run(&self.list, piece, &mut pieces, slab),
                Piece::Page(_) => keep_run(&self.pages, piece, &mut pieces, page),
            };
        }
    }
}

/// Keeps `first` and the pieces after it that are of the same kind in a list, as far as there is room. Takes the lock
/// once. Returns the piece that follows.
///
/// `keepable` returns the memory of a piece if it is to be kept, or a piece of another kind.
fn keep_run<T>(
    list: &SpinLockIrq<KVec<T>>,
    first: Piece,
    pieces: &mut impl Iterator<Item = Piece>,
    keepable: impl Fn(Piece) -> Result<Option<T>, Piece>,
) -> Option<Piece> {
    let mut kept = list.lock();
    let mut piece = first;

    loop {
        let refused = match keepable(piece) {
            Ok(Some(memory)) => kept.push_within_capacity(memory).err(),
            Ok(None) => None,
            Err(other) => return Some(other),
        };
        if refused.is_some() {
            // It is freed without the lock.
            drop(kept);
            return pieces.next();
        }
        piece = pieces.next()?;
    }
}

/// Returns the memory of a piece from `kmalloc` that a fragment fits into.
fn slab(piece: Piece) -> Result<Option<KVec<u8>>, Piece> {
    match piece {
        Piece::Slab(bytes) if bytes.len() == FRAGMENT_BYTES => Ok(Some(bytes)),
        Piece::Slab(mut bytes) if bytes.capacity() >= FRAGMENT_BYTES => {
            // What was cut off is zeroed, nothing is allocated.
            let filled = bytes.resize(FRAGMENT_BYTES, 0, GFP_ATOMIC);
            Ok(filled.is_ok().then_some(bytes))
        }
        Piece::Slab(_) => Ok(None),
        Piece::Page(_) => Err(piece),
    }
}

/// Returns the page of a piece that the network does not refer to: it frees a page when it has done with it.
fn page(piece: Piece) -> Result<Option<SharedPage>, Piece> {
    match piece {
        Piece::Page(page) => Ok((!page.is_shared()).then_some(page)),
        Piece::Slab(_) => Err(piece),
    }
}

/// The data of a message, whose memory goes back to where it is from.
pub(crate) struct Pooled {
    payload: Payload,
    spares: Option<Arc<Spares>>,
}

impl Pooled {
    /// Data whose pieces are to go to `spares`, if there is such and a fragment fits into them, and else
    /// to the allocator.
    pub(crate) fn new(payload: Payload, spares: Option<Arc<Spares>>) -> Self {
        Self { payload, spares }
    }

    /// No data.
    pub(crate) fn empty() -> Self {
        Self::new(Payload::empty(), None)
    }

    /// Takes the data out, to be kept.
    pub(crate) fn into_payload(mut self) -> Payload {
        core::mem::take(&mut self.payload)
    }

    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }

    pub(super) fn payload_mut(&mut self) -> &mut Payload {
        &mut self.payload
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(spares) = &self.spares {
            spares.keep(core::mem::take(&mut self.payload));
        }
    }
}

#[kunit_tests(rrds_spares)]
mod tests {
    use super::{
        super::piece::IS_PAGE,
        *, //
    };
    use krdma::page::PAGE_SIZE;

    /// Data in one piece of so many bytes.
    fn piece(len: usize) -> Result<Payload> {
        let mut payload = Payload::empty();

        payload.push(KVec::from_elem(1, len, GFP_KERNEL)?, GFP_KERNEL)?;
        Ok(payload)
    }

    #[test]
    fn no_more_are_kept_than_there_is_room() -> Result {
        let spares = Spares::new()?;

        // Whatever the list has for them: it is of so many, and does not grow.
        for _ in 0..=MOST {
            drop(Pooled::new(piece(FRAGMENT_BYTES)?, Some(spares.clone())));
        }
        for left in (0..MOST).rev() {
            let kept = spares.take().ok_or(ENOENT)?;

            assert_eq!(kept.len(), FRAGMENT_BYTES);
            assert_eq!(spares.list.lock().len(), left);
        }
        assert!(spares.take().is_none());
        Ok(())
    }

    #[test]
    fn a_message_of_many_pieces_is_kept_as_far_as_there_is_room() -> Result {
        let spares = Spares::new()?;
        let mut long = Payload::empty();

        for _ in 0..2 {
            long.push(KVec::from_elem(1, FRAGMENT_BYTES, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        for _ in 1..MOST {
            spares.keep(piece(FRAGMENT_BYTES)?);
        }
        spares.keep(long);
        assert_eq!(spares.list.lock().len(), MOST);
        Ok(())
    }

    #[test]
    fn what_a_fragment_does_not_fit_into_is_not_kept() -> Result {
        let spares = Spares::new()?;

        for len in [1, 100, FRAGMENT_BYTES / 2] {
            drop(Pooled::new(piece(len)?, Some(spares.clone())));
            assert!(spares.take().is_none());
        }
        // What was cut off is there again, and tells nothing.
        let mut cut = KVec::from_elem(1, FRAGMENT_BYTES, GFP_KERNEL)?;
        cut.truncate(10);
        let mut payload = Payload::empty();
        payload.push(cut, GFP_KERNEL)?;
        drop(Pooled::new(payload, Some(spares.clone())));
        let kept = spares.take().ok_or(ENOENT)?;
        assert_eq!(kept.len(), FRAGMENT_BYTES);
        assert!(kept.iter().skip(10).all(|byte| *byte == 0));
        // A message that is kept itself has its memory.
        let pooled = Pooled::new(piece(FRAGMENT_BYTES)?, Some(spares.clone()));
        assert_eq!(pooled.into_payload().len(), FRAGMENT_BYTES as u32);
        assert!(spares.take().is_none());
        Ok(())
    }

    #[test]
    fn pages_are_kept_beside_the_rest() -> Result {
        if !IS_PAGE {
            return Ok(());
        }
        let spares = Spares::new()?;
        let mut payload = Payload::empty();

        for _ in 0..2 {
            payload.push(SharedPage::new(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        payload.push(KVec::from_elem(1, 10, GFP_KERNEL)?, GFP_KERNEL)?;
        let page = PAGE_SIZE as u32;
        assert!(payload.is_in_pages(0) && payload.is_in_pages(page));
        assert!(!payload.is_in_pages(2 * page) && !payload.is_in_pages(3 * page));
        assert!(
            !payload.is_in_pages(1)
                && payload
                    .part(page, 7, 10)
                    .is_some_and(|part| part.len() == 3)
        );

        drop(Pooled::new(payload, Some(spares.clone())));
        assert!(spares.take().is_none());
        assert!(spares.take_page().is_some() && spares.take_page().is_some());
        assert!(spares.take_page().is_none());
        Ok(())
    }
}
