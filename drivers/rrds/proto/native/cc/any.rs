// SPDX-License-Identifier: GPL-2.0

//! Any of the controllers.

use super::bbr::Bbr;
use super::controller::{Config, Controller, Lost};
use super::cubic::Cubic;
use super::delivery::{Delivery, Sample, Snapshot};
use super::reno::Reno;
use super::units::Rate;
use crate::time::Instant;

/// Which controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// BBR version 3.
    #[default]
    Bbr,
    /// CUBIC.
    Cubic,
    /// Reno.
    Reno,
}

/// A controller of any kind, without a table of functions.
///
/// BBR is three times as large as the others; it is also what nearly all flows use.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum AnyController {
    /// BBR version 3.
    Bbr(Bbr),
    /// CUBIC.
    Cubic(Cubic),
    /// Reno.
    Reno(Reno),
}

impl AnyController {
    /// A controller of `kind` for a flow that begins at `now`.
    pub fn new(kind: Kind, config: &Config, now: Instant) -> Self {
        match kind {
            Kind::Bbr => Self::Bbr(Bbr::new(config, now)),
            Kind::Cubic => Self::Cubic(Cubic::new(config)),
            Kind::Reno => Self::Reno(Reno::new(config)),
        }
    }

    /// BBR, if it is that.
    pub const fn bbr(&self) -> Option<&Bbr> {
        match self {
            Self::Bbr(bbr) => Some(bbr),
            Self::Cubic(_) | Self::Reno(_) => None,
        }
    }
}

/// Calls a method of whichever controller it is.
macro_rules! each {
    ($any:expr, $c:ident => $call:expr) => {
        match $any {
            AnyController::Bbr($c) => $call,
            AnyController::Cubic($c) => $call,
            AnyController::Reno($c) => $call,
        }
    };
}

impl Controller for AnyController {
    fn on_transmit(&mut self, now: Instant, flow: &Delivery) {
        each!(self, c => c.on_transmit(now, flow));
    }

    fn on_ack(&mut self, sample: &Sample, flow: &mut Delivery) {
        each!(self, c => c.on_ack(sample, flow));
    }

    fn on_loss(&mut self, now: Instant, lost: &Lost, flow: &Delivery) {
        each!(self, c => c.on_loss(now, lost, flow));
    }

    fn on_ecn(&mut self, now: Instant, newest: &Snapshot, flow: &Delivery) {
        each!(self, c => c.on_ecn(now, newest, flow));
    }

    fn on_persistent_loss(&mut self, now: Instant, flow: &Delivery) {
        each!(self, c => c.on_persistent_loss(now, flow));
    }

    fn on_spurious(&mut self, now: Instant, flow: &Delivery) {
        each!(self, c => c.on_spurious(now, flow));
    }

    fn cwnd(&self) -> u32 {
        each!(self, c => c.cwnd())
    }

    fn pacing_rate(&self) -> Rate {
        each!(self, c => c.pacing_rate())
    }

    fn quantum(&self) -> u32 {
        each!(self, c => c.quantum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::hand::{ack, lose, Step};
    use super::*;

    #[test]
    fn any_controller_is_the_one_asked_for() {
        for kind in [Kind::Bbr, Kind::Cubic, Kind::Reno] {
            let mut t = Step::new(1000);
            let mut c = AnyController::new(kind, &t.config(), t.now);
            assert_eq!(c.bbr().is_some(), kind == Kind::Bbr);
            assert_eq!(c.cwnd(), 10_000);
            assert!(c.pacing_rate() > Rate::ZERO && c.quantum() >= 2000);
            ack(&mut t, &mut c, 10);
            assert!(c.cwnd() > 10_000);
            lose(&mut t, &mut c, 1);
            let sent = t.sent();
            c.on_ecn(t.now, &sent, &t.flow);
            c.on_persistent_loss(t.now, &t.flow);
            assert!(c.cwnd() < 10_000);
            c.on_spurious(t.now, &t.flow);
            assert!(c.cwnd() >= 10_000);
        }
        assert_eq!(Config::new(0, 0).mss, 1);
        assert_eq!(Kind::default(), Kind::Bbr);
    }
}
