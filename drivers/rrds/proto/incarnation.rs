// SPDX-License-Identifier: GPL-2.0

//! Which life of the peer we last talked to.
//!
//! A host numbers its messages from a new start in each life. What was received from the last life
//! says nothing about the next one: not which messages are duplicates, and not what to acknowledge.
//! Peers of our own kind say who they are at each handshake (see
//! [`PrivateData`](crate::wire::PrivateData)); C peers do not, so of two C peers at the same address
//! one cannot tell whether they are the same life (spec-sequence).

use core::num::NonZeroU32;

/// Who a peer is, as far as it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// We never talked to it.
    #[default]
    Unknown,
    /// It runs the C implementation.
    C,
    /// It is of our own kind, in this life.
    Own(NonZeroU32),
}

impl Life {
    /// The life that a handshake tells of.
    pub const fn told(incarnation: Option<NonZeroU32>) -> Self {
        match incarnation {
            Some(incarnation) => Self::Own(incarnation),
            None => Self::C,
        }
    }

    /// Whether `next` is certain to be another life than this one.
    pub fn is_replaced_by(self, next: Self) -> bool {
        self != next && self != Self::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_told_apart() {
        let own = |n| Life::told(NonZeroU32::new(n));
        for (old, new, replaced) in [
            (Life::Unknown, own(1), false),
            (Life::Unknown, Life::C, false),
            (Life::C, Life::C, false),
            (own(1), own(1), false),
            (own(1), own(2), true),
            (own(1), Life::C, true),
            (Life::C, own(1), true),
        ] {
            assert_eq!(old.is_replaced_by(new), replaced, "{old:?} {new:?}");
        }
        assert_eq!(own(0), Life::C);
        assert_eq!(Life::default(), Life::Unknown);
    }
}
