// SPDX-License-Identifier: GPL-2.0

//! Time, as it is handed in.

/// A point of a clock that never goes back, in nanoseconds since an epoch of the caller's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// A point that does not come.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `ns` nanoseconds later; the end of time if that is beyond it.
    #[must_use]
    pub const fn after(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds since `earlier`; none if that is yet to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_an_end() {
        assert_eq!(Instant(1).after(2), Instant(3));
        assert_eq!(Instant(1).after(u64::MAX), Instant(u64::MAX));
    }

    #[test]
    fn what_is_yet_to_come_has_not_lasted() {
        assert_eq!(Instant(5).since(Instant(2)), 3);
        assert_eq!(Instant(2).since(Instant(5)), 0);
    }
}
