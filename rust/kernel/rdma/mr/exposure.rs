// SPDX-License-Identifier: GPL-2.0

//! Whether the hardware may let somebody use a region, and under which key: the [state](super::state) of a
//! region, shared by who describes requests and who is told of their ends.
//!
//! The part of a key that changes has eight bits, so that after 256 rounds a key comes round. A message that
//! has revoked it in the earlier round may come late: its completion waits in a queue, or somebody shows it
//! twice. So each receive is stamped when it is posted, by a [clock](Stamp) that ticks with the blocks of
//! rounds; and of a message whose receive was posted before the last block it is not taken that it is about
//! the current round.

use super::state::{
    End,
    Phase,
    Round,
    State, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        ordering::{
            Acquire,
            Full,
            Relaxed,
            Release, //
        },
        Atomic, //
    },
};

/// Rounds between two ticks of the clock: a quarter of those that have different keys.
///
/// Half of them would do if a key ended with its round. But a device may take it as valid, and let peers
/// revoke it once more, until the next one is registered.
const BLOCK: u64 = 64;

/// Counts the blocks of rounds, of all regions.
static CLOCK: Atomic<u64> = Atomic::new(0);

/// When a receive was posted, by the clock, or somewhat before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// Before all.
    pub(crate) const OLDEST: Self = Self(0);

    /// Returns what the clock says. What is posted after this is posted after the ticks that it has seen.
    #[inline]
    pub(crate) fn now() -> Self {
        Self(CLOCK.load(Acquire))
    }

    /// Returns one that nobody had before.
    fn tick() -> Self {
        // OVERFLOW: As for rounds.
        Self(CLOCK.fetch_add(1, Full).wrapping_add(1))
    }
}

/// Whether the hardware may let somebody use a region, and under which key.
///
/// # Invariants
///
/// A receive that was posted at `since` or later, and whose message has revoked a key, has revoked the one
/// of the current round if it has the value of that, provided that `block` is the current block.
pub(crate) struct Exposure {
    state: Atomic<u64>,
    /// The first round of the current block, as far as somebody has registered the region in it.
    block: Atomic<u64>,
    /// A stamp that was taken when the last block began.
    since: Atomic<u64>,
    /// A stamp that was taken when the current block began.
    next: Atomic<u64>,
}

impl Exposure {
    /// Of a region that was never registered.
    pub(crate) fn new() -> Self {
        // INVARIANT: No key was ever valid.
        Self {
            state: Atomic::new(Self::pack(State {
                round: Round(1),
                phase: Phase::Idle,
            })),
            block: Atomic::new(0),
            since: Atomic::new(Stamp::OLDEST.0),
            next: Atomic::new(Stamp::OLDEST.0),
        }
    }

    fn pack(state: State) -> u64 {
        // OVERFLOW: See `Round`.
        (state.round.0 << Phase::BITS) | state.phase.bits()
    }

    fn state(&self) -> State {
        let bits = self.state.load(Acquire);

        State {
            round: Round(bits >> Phase::BITS),
            phase: Phase::from_bits(bits),
        }
    }

    /// Changes the state, and returns the one before.
    fn change(&self, step: impl Fn(State) -> Result<State>) -> Result<State> {
        loop {
            let old = self.state();
            let new = step(old)?;

            if self
                .state
                .cmpxchg(Self::pack(old), Self::pack(new), Full)
                .is_ok()
            {
                return Ok(old);
            }
        }
    }

    /// Returns the round, the key of which is registered or is the next to be.
    pub(crate) fn round(&self) -> Round {
        self.state().round
    }

    /// Returns whether nobody can use the region, and no request would change that.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().phase == Phase::Idle
    }

    /// A request is described that registers the key of the round, which is returned.
    ///
    /// Errors: [`EBUSY`] if the region is not idle.
    pub(crate) fn register(&self) -> Result<Round> {
        let round = self.change(State::register)?.round;

        self.begin_block(round);
        Ok(round)
    }

    /// Looks at the clock, if the first round of a block is registered. To be called by who has taken the
    /// region out of the idle state, before the request is posted.
    fn begin_block(&self, round: Round) {
        let block = round.0 & !(BLOCK - 1);

        if block == self.block.load(Relaxed) {
            return;
        }
        // INVARIANT: A round of the current block has the key of one that was at least two blocks before the
        // last. The device knows a later key since before `next` was taken, so whatever has revoked the
        // earlier one had come in by then, and its receive was posted before that.
        self.since.store(self.next.load(Relaxed), Relaxed);
        self.next.store(Stamp::tick().0, Relaxed);
        self.block.store(block, Release);
    }

    /// A request is described that revokes the key of the round, which is returned. If it registers the
    /// region before, `own` is the round of that.
    ///
    /// Errors: [`ENOENT`] if the region is idle, [`EBUSY`] if a request that registers or revokes it has
    /// not ended.
    pub(crate) fn invalidate(&self, own: Round) -> Result<Round> {
        self.change(|state| state.invalidate(own))
            .map(|state| state.round)
    }

    /// The request that was to register the key of a round has ended.
    pub(crate) fn registered(&self, round: Round, end: End) {
        // It can't fail.
        let _ = self.change(|state| Ok(state.registered(round, end)));
    }

    /// The request that was to revoke the key of a round has ended.
    pub(crate) fn invalidated(&self, round: Round, end: End) {
        // It can't fail.
        let _ = self.change(|state| Ok(state.invalidated(round, end)));
    }

    /// A peer has revoked the key that `is_key` knows a round by, by a message whose receive was posted at
    /// `posted`. Returns whether it is the round's.
    pub(crate) fn revoked(&self, posted: Stamp, is_key: impl Fn(Round) -> bool) -> bool {
        self.change(|state| {
            let block = state.round.0 & !(BLOCK - 1);

            if !is_key(state.round) {
                return Err(ENOENT);
            }
            // Where the block has not begun, nothing is posted yet that registers the key. Who begins another
            // one meanwhile has changed the state.
            if block != self.block.load(Acquire) || posted < Stamp(self.since.load(Relaxed)) {
                return Err(ENOENT);
            }
            state.revoked().ok_or(ENOENT)
        })
        .is_ok()
    }
}

#[kunit_tests(krdma_mr_exposure)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_registered_once() {
        let exposure = Exposure::new();
        let first = exposure.round();

        assert!(exposure.is_idle());
        assert_eq!(exposure.invalidate(Round::NONE), Err(ENOENT));
        assert_eq!(exposure.register(), Ok(first));
        assert_eq!(exposure.register(), Err(EBUSY));
        assert_eq!(exposure.invalidate(Round::NONE), Err(EBUSY));
        exposure.registered(first, End::Done);
        assert_eq!(exposure.register(), Err(EBUSY));
        assert_eq!(exposure.invalidate(Round::NONE), Ok(first));
        assert_eq!(exposure.invalidate(Round::NONE), Err(EBUSY));
        exposure.invalidated(first, End::Done);
        assert!(exposure.is_idle());
        assert!(exposure.round() != first);
    }

    #[test]
    fn what_was_not_posted_changes_nothing() {
        let exposure = Exposure::new();
        let first = exposure.round();

        assert_eq!(exposure.register(), Ok(first));
        exposure.registered(first, End::NotPosted);
        assert!(exposure.is_idle());
        assert_eq!(exposure.round(), first);
        assert_eq!(exposure.register(), Ok(first));
        exposure.registered(first, End::Done);
        assert_eq!(exposure.invalidate(Round::NONE), Ok(first));
        exposure.invalidated(first, End::NotPosted);
        assert!(!exposure.is_idle());
        assert_eq!(exposure.invalidate(Round::NONE), Ok(first));
    }

    #[test]
    fn what_ends_unknown_stays_exposed() {
        let exposure = Exposure::new();
        let first = exposure.round();

        assert_eq!(exposure.register(), Ok(first));
        assert_eq!(exposure.invalidate(first), Ok(first));
        exposure.registered(first, End::Unknown);
        exposure.invalidated(first, End::Unknown);
        assert!(!exposure.is_idle());
        assert_eq!(exposure.register(), Err(EBUSY));
        assert_eq!(exposure.invalidate(Round::NONE), Ok(first));
        exposure.invalidated(first, End::Unknown);
        assert!(!exposure.is_idle());
    }

    #[test]
    fn a_peer_revokes_the_key_of_its_round_only() {
        let exposure = Exposure::new();
        let first = exposure.round();

        assert!(!exposure.revoked(Stamp::now(), |_| true));
        assert_eq!(exposure.register(), Ok(first));
        assert!(!exposure.revoked(Stamp::now(), |round| round != first));
        assert!(exposure.revoked(Stamp::now(), |round| round == first));
        assert!(exposure.is_idle());

        // The request ends late.
        let second = exposure.register();
        exposure.registered(first, End::Unknown);
        assert!(second.is_ok_and(|second| second != first));
        assert!(!exposure.revoked(Stamp::now(), |round| round == first));
        assert!(!exposure.is_idle());
    }

    /// Ends a round by a request of ours, and returns it.
    fn round(exposure: &Exposure) -> Result<Round> {
        let round = exposure.register()?;

        exposure.registered(round, End::Done);
        exposure.invalidate(Round::NONE)?;
        exposure.invalidated(round, End::Done);
        Ok(round)
    }

    /// Whether a round has the key of another.
    fn same_key(one: Round, other: Round) -> bool {
        one.key_byte(200) == other.key_byte(200)
    }

    #[test]
    fn each_round_has_another_key() -> Result {
        let exposure = Exposure::new();
        let first = round(&exposure)?;

        for _ in 0..255 {
            assert!(!same_key(round(&exposure)?, first));
        }
        assert!(same_key(exposure.round(), first));
        Ok(())
    }

    #[test]
    fn a_late_message_is_not_about_the_round_that_has_its_key_now() -> Result {
        // Wherever in a block the first of both rounds lies.
        for skipped in 0..=256 {
            let exposure = Exposure::new();
            for _ in 0..skipped {
                round(&exposure)?;
            }

            let posted = Stamp::now();
            let first = round(&exposure)?;
            for _ in 0..255 {
                round(&exposure)?;
            }
            let now = exposure.register()?;
            let is_key = |round| same_key(round, first);

            assert!(is_key(now) && now != first);
            assert!(!exposure.revoked(posted, is_key));
            assert!(!exposure.is_idle());
            assert!(exposure.revoked(Stamp::now(), is_key));
            assert!(exposure.is_idle());
        }
        Ok(())
    }

    /// Ends a round by a message of a peer, and returns it.
    fn revoked_round(exposure: &Exposure) -> Result<Round> {
        let round = exposure.register()?;

        exposure.registered(round, End::Done);
        assert!(exposure.revoked(Stamp::now(), |other| same_key(other, round)));
        Ok(round)
    }

    #[test]
    fn a_receive_may_be_posted_a_block_before() -> Result {
        for end in [round, revoked_round] {
            let exposure = Exposure::new();
            let old = Stamp::now();
            for _ in 0..1000 {
                end(&exposure)?;
            }

            let posted = Stamp::now();
            for _ in 0..BLOCK {
                end(&exposure)?;
            }
            let now = exposure.register()?;
            assert!(!exposure.revoked(old, |round| round == now));
            assert!(exposure.revoked(posted, |round| round == now));
        }
        Ok(())
    }

    #[test]
    fn a_message_counts_for_its_round_only() -> Result {
        let exposure = Exposure::new();
        let posted = Stamp::now();
        let first = exposure.register()?;
        let is_key = |round| same_key(round, first);

        assert!(exposure.revoked(posted, is_key));
        for _ in 0..255 {
            revoked_round(&exposure)?;
        }
        let now = exposure.register()?;
        assert!(is_key(now) && now != first);
        // The same message once more.
        assert!(!exposure.revoked(posted, is_key));
        assert!(!exposure.is_idle());
        Ok(())
    }

    #[test]
    fn nothing_is_revoked_before_its_block_has_begun() -> Result {
        let exposure = Exposure::new();

        for _ in 1..BLOCK {
            round(&exposure)?;
        }
        // As another thread sees it that registers the region.
        let first = exposure.change(State::register)?.round;
        assert!(!exposure.revoked(Stamp::now(), |_| true));
        exposure.begin_block(first);
        assert!(exposure.revoked(Stamp::now(), |_| true));
        Ok(())
    }

    #[test]
    fn what_was_not_posted_begins_no_block() -> Result {
        let exposure = Exposure::new();

        for _ in 1..BLOCK {
            round(&exposure)?;
        }
        let posted = Stamp::now();
        for _ in 0..3 {
            let first = exposure.register()?;
            exposure.registered(first, End::NotPosted);
            assert!(!exposure.revoked(posted, |round| round == first));
        }
        assert!(exposure.register().is_ok());
        // No key has come round yet.
        assert!(exposure.revoked(posted, |_| true));
        Ok(())
    }
}
