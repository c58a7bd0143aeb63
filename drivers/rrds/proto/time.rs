// SPDX-License-Identifier: GPL-2.0

//! Time, as it is handed in.

/// A point of a clock that never goes back, in nanoseconds since an epoch of the caller's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// The point `ns` nanoseconds later; the end of time if that is beyond it.
    #[must_use]
    pub const fn after(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
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
}
