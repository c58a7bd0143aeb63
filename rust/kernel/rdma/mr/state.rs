// SPDX-License-Identifier: GPL-2.0

//! What is known of a memory region's key: whether the hardware may let somebody use it.
//!
//! A region is registered in rounds, each under another key. What a request has asked for is noted with
//! the round that it was asked in: so a request that ends late, or a peer that revokes an old key, changes
//! nothing in a later round.
//!
//! ```text
//!           register                done, or not known
//!    Idle ------------> Registering -------------------> Exposed <---------+
//!     ^  <------------                                      |              | failed, or
//!     |    not posted        | invalidate,                  | invalidate   | not posted
//!     |                      | same request                 v              |
//!     |                      +---------> Passing       Invalidating -------+
//!     |                                     |               |
//!     +-------------------------------------+---------------+
//!      done: the next round                    done: the next round
//! ```
//!
//! That a peer has revoked the key of the round leads from every state to the next round. All that ends
//! without a confirmation leads to `Exposed`: a request that was flushed may have been carried out, or not.
//! From there only another invalidation leads away, or the end of the region.

use kernel::prelude::*;

/// Where a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The hardware lets nobody use the key, and has no request that would change that.
    Idle,
    /// A request registers the key.
    Registering,
    /// Somebody may be able to use the key.
    Exposed,
    /// A request revokes the key, which was registered before that was described.
    Invalidating,
    /// One request registers the key and revokes it, in this order.
    Passing,
}

impl Phase {
    pub(super) const BITS: u32 = 3;

    pub(super) fn from_bits(bits: u64) -> Self {
        match bits & ((1 << Self::BITS) - 1) {
            0 => Self::Idle,
            1 => Self::Registering,
            3 => Self::Invalidating,
            4 => Self::Passing,
            // What is not known is not safe.
            _ => Self::Exposed,
        }
    }

    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Idle => 0,
            Self::Registering => 1,
            Self::Exposed => 2,
            Self::Invalidating => 3,
            Self::Passing => 4,
        }
    }
}

/// A round, by its number. At a million a second there are enough for 70 000 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round(pub(super) u64);

impl Round {
    /// No request is of it: the first round is another.
    pub(crate) const NONE: Self = Self(0);

    /// The part of the key that is the user's to choose, given that of the region when it was made.
    pub(crate) fn key_byte(self, first: u8) -> u8 {
        // CAST: The low byte is meant; keys come round.
        first.wrapping_add(self.0 as u8)
    }
}

/// How a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The hardware has carried it out.
    Done,
    /// The hardware may have carried it out, or a part of it, and has no part any more.
    Unknown,
    /// The hardware never had any part of it.
    NotPosted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) round: Round,
    pub(super) phase: Phase,
}

impl State {
    fn next_round(self) -> Self {
        Self {
            // OVERFLOW: See `Round`.
            round: Round(self.round.0.wrapping_add(1)),
            phase: Phase::Idle,
        }
    }

    fn enter(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// A request is to register the key.
    pub(super) fn register(self) -> Result<Self> {
        match self.phase {
            Phase::Idle => Ok(self.enter(Phase::Registering)),
            _ => Err(EBUSY),
        }
    }

    /// A request is to revoke the key, which registers it before if its round is `own`.
    pub(super) fn invalidate(self, own: Round) -> Result<Self> {
        match self.phase {
            Phase::Idle => Err(ENOENT),
            Phase::Registering if self.round == own => Ok(self.enter(Phase::Passing)),
            Phase::Exposed => Ok(self.enter(Phase::Invalidating)),
            Phase::Registering | Phase::Invalidating | Phase::Passing => Err(EBUSY),
        }
    }

    /// The request that was to register the key has ended. Of one that was to revoke it as well this comes
    /// first.
    pub(super) fn registered(self, round: Round, end: End) -> Self {
        match (self.phase, end) {
            _ if self.round != round => self,
            (Phase::Registering | Phase::Passing, End::NotPosted) => self.enter(Phase::Idle),
            (Phase::Registering | Phase::Passing, End::Unknown) => self.enter(Phase::Exposed),
            (Phase::Registering, End::Done) => self.enter(Phase::Exposed),
            _ => self,
        }
    }

    /// The request that was to revoke the key has ended.
    pub(super) fn invalidated(self, round: Round, end: End) -> Self {
        match (self.phase, end) {
            _ if self.round != round => self,
            (Phase::Invalidating | Phase::Passing, End::Done) => self.next_round(),
            (Phase::Invalidating | Phase::Passing, _) => self.enter(Phase::Exposed),
            _ => self,
        }
    }

    /// A peer has revoked the key of the round.
    pub(super) fn revoked(self) -> Option<Self> {
        (self.phase != Phase::Idle).then(|| self.next_round())
    }
}

#[kunit_tests(krdma_mr_state)]
mod tests {
    use super::*;

    /// What a request asks for.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Links {
        Register,
        Invalidate,
        RegisterInvalidate,
        InvalidateRegister,
    }

    /// A request that was described.
    #[derive(Clone, Copy)]
    struct Asked {
        registers: Option<Round>,
        revokes: Option<Round>,
        posted: bool,
        /// Links that the hardware has carried out, and whether one has failed.
        carried_out: usize,
        failed: bool,
    }

    impl Asked {
        /// The links in their order: what each does to the key of which round.
        fn links(&self) -> [Option<(bool, Round)>; 2] {
            [
                self.registers.map(|round| (true, round)),
                self.revokes.map(|round| (false, round)),
            ]
        }

        fn end(&self, state: State, end: End) -> State {
            let state = self
                .registers
                .map_or(state, |round| state.registered(round, end));

            self.revokes
                .map_or(state, |round| state.invalidated(round, end))
        }
    }

    const SLOTS: usize = 2;

    /// A region, its requests (each to a queue pair of its own, so that any may be first), and what the
    /// hardware has.
    #[derive(Clone, Copy)]
    struct World {
        state: State,
        requests: [Option<Asked>; SLOTS],
        /// The round whose key is valid.
        valid: Option<Round>,
        /// Keys that the peer has revoked, which we do not know of yet.
        unseen: Option<Round>,
    }

    impl World {
        fn new() -> Self {
            Self {
                state: State {
                    round: Round(1),
                    phase: Phase::Idle,
                },
                requests: [None; SLOTS],
                valid: None,
                unseen: None,
            }
        }

        /// What must hold at all times: when the pages may go nobody can use them, now or later.
        fn check(&self) -> bool {
            if self.state.phase != Phase::Idle {
                return true;
            }
            let pending =
                self.requests.iter().flatten().any(|asked| {
                    asked.registers.is_some() && !asked.failed && asked.carried_out == 0
                });

            self.valid.is_none() && !pending
        }

        /// Describes a request, as `Links` does: what can't be described is withdrawn.
        fn describe(mut self, slot: usize, links: Links) -> Option<Self> {
            let mut asked = Asked {
                registers: None,
                revokes: None,
                posted: false,
                carried_out: 0,
                failed: false,
            };
            let steps: &[bool] = match links {
                Links::Register => &[true],
                Links::Invalidate => &[false],
                Links::RegisterInvalidate => &[true, false],
                Links::InvalidateRegister => &[false, true],
            };

            if self.requests[slot].is_some() {
                return None;
            }
            for register in steps {
                let round = self.state.round;
                let next = if *register {
                    self.state.register()
                } else {
                    self.state
                        .invalidate(asked.registers.unwrap_or(Round::NONE))
                };
                match next {
                    Ok(next) => self.state = next,
                    Err(_) => {
                        self.state = asked.end(self.state, End::NotPosted);
                        return Some(self);
                    }
                }
                if *register {
                    asked.registers = Some(round);
                } else {
                    asked.revokes = Some(round);
                }
            }
            self.requests[slot] = Some(asked);
            Some(self)
        }

        /// The hardware carries out the next link of a request, as far as the keys allow that.
        fn carry_out(mut self, slot: usize) -> Option<Self> {
            let asked = self.requests[slot].as_mut()?;
            if !asked.posted || asked.failed {
                return None;
            }
            let mut links = asked.links().into_iter().flatten();
            let (register, round) = links.nth(asked.carried_out)?;

            if register {
                if self.valid.is_some() {
                    asked.failed = true;
                } else {
                    self.valid = Some(round);
                }
            } else if self.valid == Some(round) {
                self.valid = None;
            }
            asked.carried_out += 1;
            Some(self)
        }

        /// The queue pair fails: what is not carried out is flushed.
        fn fail(mut self, slot: usize) -> Option<Self> {
            let asked = self.requests[slot].as_mut()?;
            if !asked.posted || asked.failed {
                return None;
            }
            asked.failed = true;
            Some(self)
        }

        fn post(mut self, slot: usize) -> Option<Self> {
            let asked = self.requests[slot].as_mut()?;
            if asked.posted {
                return None;
            }
            asked.posted = true;
            Some(self)
        }

        /// The handler is called; or the request is dropped, by a batch or with the queue pair.
        fn end(mut self, slot: usize) -> Option<Self> {
            let asked = self.requests[slot].take()?;
            let count = asked.links().into_iter().flatten().count();
            let end = match asked {
                Asked { posted: false, .. } => End::NotPosted,
                Asked { failed: true, .. } => End::Unknown,
                _ if asked.carried_out == count => End::Done,
                // Not yet.
                _ => return None,
            };

            self.state = asked.end(self.state, end);
            Some(self)
        }

        /// The peer revokes the key, and another peer might have before.
        fn peer_revokes(mut self) -> Option<Self> {
            self.unseen = Some(self.valid.take()?);
            Some(self)
        }

        /// The message by which it did is received, or is received again.
        fn see(mut self, forget: bool) -> Option<Self> {
            let round = self.unseen?;

            if self.state.round == round {
                if let Some(state) = self.state.revoked() {
                    self.state = state;
                }
            }
            if forget {
                self.unseen = None;
            }
            Some(self)
        }

        /// Every step that may come next.
        fn step(self, step: usize) -> Option<Self> {
            let slot = step % SLOTS;

            match step / SLOTS {
                0 => self.describe(slot, Links::Register),
                1 => self.describe(slot, Links::Invalidate),
                2 => self.describe(slot, Links::RegisterInvalidate),
                3 => self.describe(slot, Links::InvalidateRegister),
                4 => self.post(slot),
                5 => self.carry_out(slot),
                6 => self.fail(slot),
                7 => self.end(slot),
                8 if slot == 0 => self.peer_revokes(),
                8 => None,
                _ => self.see(slot == 0),
            }
        }
    }

    const STEPS: usize = 10 * SLOTS;

    /// Worlds that behave alike have the same number: rounds are counted back from the current one, and
    /// what is older than three rounds is as old as these.
    fn number(world: &World) -> u32 {
        let age = |round: Option<Round>| match round {
            None => 0,
            // CAST: It is small.
            Some(round) => 1 + world.state.round.0.saturating_sub(round.0).min(3) as u32,
        };
        let mut slots = world.requests.map(|asked| match asked {
            None => 0,
            Some(asked) => {
                let links = age(asked.registers) * 5 + age(asked.revokes);
                let stands = u32::from(asked.posted) * 2 + u32::from(asked.failed);

                // CAST: A request has two links.
                1 + (links * 4 + stands) * 3 + asked.carried_out as u32
            }
        });

        slots.sort_unstable();
        let [low, high] = slots;
        // CAST: The phases are few.
        let here = (age(world.valid) * 5 + age(world.unseen)) * 8 + world.state.phase.bits() as u32;
        (here << 20) | (high << 10) | low
    }

    #[test]
    fn pages_go_only_when_nobody_can_use_them() -> Result {
        // All worlds that there can be, however many steps lead there. `seen` has their numbers, each at
        // the first free place after the one that its value leads to.
        let mut seen = KVec::from_elem(u32::MAX, 1 << 14, GFP_KERNEL)?;
        let mut worlds = KVec::new();
        let mut next = Some(World::new());
        let mut looked_at = 0;

        while let Some(world) = next {
            assert!(world.check());
            for later in (0..STEPS).filter_map(|step| world.step(step)) {
                let number = number(&later);
                let mut at = number.wrapping_mul(0x9e37_79b1) >> 18;
                let place = loop {
                    match seen.get_mut(at as usize).ok_or(EINVAL)? {
                        place if *place == number => break None,
                        place if *place == u32::MAX => break Some(place),
                        _ => at = (at + 1) % (1 << 14),
                    }
                };
                if let Some(place) = place {
                    *place = number;
                    worlds.push(later, GFP_KERNEL)?;
                }
            }
            next = worlds.get(looked_at).copied();
            looked_at += 1;
            assert!(looked_at < 1 << 13);
        }
        pr_info!("{} worlds of a region\n", looked_at);
        assert!(looked_at > 1000);
        Ok(())
    }
}
