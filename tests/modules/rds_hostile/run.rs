// SPDX-License-Identifier: GPL-2.0

//! How cases are run and judged.

use crate::{
    door::{
        Answer,
        Door,
        Doorman, //
    },
    link::{
        Facts,
        Link,
        Manners,
        Plan,
        Stage,
        Until,
        MANNERS, //
    },
    wire::{
        Ack,
        Frame,
        Numbers,
        Private,
        Seq,
        ACK,
        HONEST,
        MAP,
        PING, //
    },
    Config, //
};
use core::ops::RangeInclusive;
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    },
};
use krdma::rdma::cm::{
    Listener,
    RejectReason, //
};

/// The type of service of connections for frames, for requests, and for deeds.
pub(crate) const TOS: u8 = 1;
pub(crate) const TOS_OF_REQUESTS: u8 = 2;
pub(crate) const TOS_OF_DEEDS: u8 = 3;

/// What is wanted of the other node when it has got frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// It keeps the connection, and answers a ping.
    Up,
    /// It takes the connection down.
    Down,
    /// It keeps the connection and does not answer a ping, as it was told that our ports are congested.
    Mute,
}

/// What is wanted of the other node when it has got a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    /// It accepts in that version, and answers a ping.
    Accepted(u8, u8),
    /// It accepts, maybe after several requests, as it may ask itself and be first.
    InTheEnd,
    /// It refuses, with the datum that says to try again.
    Refused,
}

/// What is done.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    Frames(Want, &'static [Frame]),
    Request {
        v6: bool,
        private: Private,
        manners: Manners,
        welcome: Welcome,
    },
    /// The answer to a request of the other node, and whether it takes the connection for good.
    Reply(Answer, bool),
    Deed(fn(&mut Run) -> Verdict),
}

/// Cases of frames: `"name", Want: [frame, ...];`.
macro_rules! frames {
    ($($name:literal, $want:ident: [$($frame:expr),* $(,)?];)*) => {
        &[$(crate::run::Case {
            name: $name,
            act: crate::run::Act::Frames(crate::run::Want::$want, &const { [$($frame),*] }),
        }),*]
    };
}
pub(crate) use frames;

/// A case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) act: Act,
}

/// What was wrong, and what was seen.
pub(crate) struct Fault(pub(crate) &'static str, pub(crate) Option<Facts>);

pub(crate) type Verdict = core::result::Result<(), Fault>;

impl From<Error> for Fault {
    fn from(err: Error) -> Self {
        Self(
            "it can't be done from here",
            Some(Facts {
                stage: Stage::Failed(err),
                ..Facts::default()
            }),
        )
    }
}

/// All cases, by what they are about.
const TABLES: [(&str, &[Case]); 5] = [
    ("frame", crate::frames::CASES),
    ("message", crate::messages::CASES),
    ("request", crate::requests::CASES),
    ("deed", crate::deeds::CASES),
    ("reply", crate::replies::CASES),
];

/// Runs the cases whose numbers are wanted.
pub(crate) fn all(config: Config, wanted: RangeInclusive<u32>) -> Result {
    let door = Door::new(config)?;
    let mut run = Run {
        config,
        usual: None,
        numbers: Numbers {
            sent: 1000,
            received: 0,
        },
        received: KVec::from_elem(0, crate::link::PATHS, GFP_KERNEL)?,
        port: 10_000,
        doorman: None,
        door,
    };
    let (mut count, mut failed) = (0, 0);
    let mut number = 0;

    for (about, cases) in TABLES {
        for case in cases {
            number += 1;
            if !wanted.contains(&number) {
                continue;
            }
            count += 1;
            match run.judge(&case.act) {
                Ok(()) => pr_info!("case {} {}: {}: ok\n", number, about, case.name),
                Err(Fault(wrong, facts)) => {
                    failed += 1;
                    // After what was not foreseen everything begins anew.
                    run.usual = None;
                    pr_info!(
                        "case {} {}: {}: not ok: {}\n",
                        number,
                        about,
                        case.name,
                        wrong
                    );
                    if let Some(facts) = facts {
                        pr_info!("case {}: seen: {:?}\n", number, facts);
                    }
                }
            }
        }
    }
    pr_info!("{} cases of {}, {} failed\n", count, number, failed);
    Ok(())
}

/// What is kept from one case to the next.
pub(crate) struct Run {
    pub(crate) config: Config,
    /// The connection that frames are sent over; it is kept as long as it lasts.
    usual: Option<Link>,
    pub(crate) numbers: Numbers,
    /// The highest message that came, on each path.
    received: KVec<u64>,
    /// The port that the last ping was from.
    port: u16,
    doorman: Option<Listener<Doorman>>,
    door: Arc<Door>,
}

impl Run {
    fn judge(&mut self, act: &Act) -> Verdict {
        match act {
            Act::Frames(want, frames) => self.frames(*want, frames),
            Act::Deed(deed) => deed(self),
            Act::Reply(answer, taken) => self.reply(*answer, *taken),
            Act::Request {
                v6,
                private,
                manners,
                welcome,
            } => self.request(*v6, *private, *manners, *welcome),
        }
    }

    /// Makes a connection as an honest peer does, with our map first, and waits until it is up.
    ///
    /// While the other node takes earlier ones down it may say that it is to be asked again.
    pub(crate) fn honest(&mut self, tos: u8) -> core::result::Result<Link, Fault> {
        const AGAIN: Stage = Stage::Rejected(RejectReason::Consumer, Some(1));
        let mut tries = 40;
        let link = loop {
            let link = self.ask(tos, Until::Up)?;
            let (_, facts) = self.wait(&link, |facts| facts.stage == Stage::Up || facts.is_over());

            tries -= 1;
            if facts.stage != AGAIN || tries == 0 {
                break link;
            }
            fsleep(Delta::from_millis(20));
        };

        self.come_to(&link, Stage::Up, "an honest connection is not made")?;
        for half in [MAP, MAP] {
            self.send(&link, &half)?;
        }
        Ok(link)
    }

    /// Asks for a connection as an honest peer does.
    pub(crate) fn ask(&self, tos: u8, until: Until) -> Result<Link> {
        Link::ask(
            &self.config,
            false,
            Plan {
                tos,
                private: HONEST,
                manners: MANNERS,
                until,
            },
        )
    }

    pub(crate) fn wait(&self, link: &Link, wanted: impl Fn(&Facts) -> bool) -> (bool, Facts) {
        link.seen.wait(self.config.patience, wanted)
    }

    /// Wants a connection to come to a stage; what is `wrong` if it does not.
    pub(crate) fn come_to(&self, link: &Link, stage: Stage, wrong: &'static str) -> Verdict {
        let (told, facts) = self.wait(link, |facts| facts.stage == stage || facts.is_over());

        if !told || facts.is_over() {
            return Err(Fault(wrong, Some(facts)));
        }
        Ok(())
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, link: &Link, frame: &Frame) -> Result {
        self.numbers.received = self.received(link);
        let bytes = frame.build(&mut self.numbers)?;

        link.post(bytes, frame.carrier, self.config.patience)
    }

    /// Returns the highest message that came on a path, over whatever connection, this one included.
    fn received(&mut self, link: &Link) -> u64 {
        let received = link.seen.facts().received;

        match self.received.get_mut(link.path) {
            None => received,
            Some(highest) => {
                *highest = received.max(*highest);
                *highest
            }
        }
    }

    /// Pings, and wants the answer, which acknowledges the ping.
    ///
    /// Answers that are not acknowledged take room, and for want of room the other node may leave one out.
    /// So it is asked again, when those that came are acknowledged.
    pub(crate) fn ping(&mut self, link: &Link) -> Verdict {
        const ONCE: Delta = Delta::from_millis(1000);
        let mut facts = link.seen.facts();

        for _ in 0..(self.config.patience.as_millis() / ONCE.as_millis()).max(1) {
            self.port = self.port.checked_add(1).unwrap_or(10_000);
            let port = self.port;
            let is_ours = |facts: &Facts| facts.pong.is_some_and(|(to, ..)| to == port);

            // If the connection is down this is said below.
            let ping = PING.ports(port, 0).seq(Seq::Next).ack(Ack::Last);
            let _ = self.send(link, &ping);
            (_, facts) = link
                .seen
                .wait(ONCE, |facts| is_ours(facts) || facts.is_over());
            // Else the other node would be after us to send it again.
            let _ = self.send(link, &ACK.ack(Ack::Last));
            if let Some((.., ack)) = facts.pong.filter(|_| is_ours(&facts)) {
                return if ack != self.numbers.sent {
                    Err(Fault(
                        "the answer to a ping does not acknowledge it",
                        Some(facts),
                    ))
                } else if facts.wrong != 0 {
                    Err(Fault("a frame came that is not right", Some(facts)))
                } else {
                    Ok(())
                };
            }
            if facts.is_over() {
                break;
            }
        }
        Err(Fault("a ping is not answered", Some(facts)))
    }

    /// Wants the connection to be taken down.
    pub(crate) fn down(&self, link: &Link) -> Verdict {
        let (over, facts) = self.wait(link, Facts::is_over);

        if !over || facts.stage != Stage::Down {
            return Err(Fault("the connection is not taken down", Some(facts)));
        }
        Ok(())
    }

    /// Returns the usual connection, up and answering.
    fn usual(&mut self) -> core::result::Result<Link, Fault> {
        if let Some(link) = self.usual.take() {
            if link.seen.facts().stage == Stage::Up {
                return Ok(link);
            }
        }
        let link = self.honest(TOS)?;
        self.ping(&link)?;
        Ok(link)
    }

    fn frames(&mut self, want: Want, frames: &[Frame]) -> Verdict {
        let link = self.usual()?;

        for frame in frames {
            match self.send(&link, frame) {
                // It was faster than our next frame.
                Err(err) if err == ENOTCONN && want == Want::Down => break,
                result => result?,
            }
        }
        match want {
            Want::Down => return self.down(&link),
            Want::Up => self.ping(&link)?,
            Want::Mute => {
                let before = link.seen.facts().pongs;

                for _ in 0..3 {
                    self.send(&link, &PING)?;
                }
                // There is no sign of an answer that is left out but that time goes by.
                fsleep(Delta::from_millis(300));
                let facts = link.seen.facts();
                if facts.stage != Stage::Up || facts.pongs != before {
                    return Err(Fault("it is not mute", Some(facts)));
                }
            }
        }
        self.usual = Some(link);
        Ok(())
    }

    fn request(
        &mut self,
        v6: bool,
        private: Private,
        manners: Manners,
        welcome: Welcome,
    ) -> Verdict {
        let plan = Plan {
            tos: TOS_OF_REQUESTS,
            private,
            manners,
            until: Until::Up,
        };
        // What it asks for itself is refused, so that soon it does not ask.
        for tries in (0..40).rev() {
            let link = Link::ask(&self.config, v6, plan)?;
            let (_, facts) = self.wait(&link, |facts| facts.stage == Stage::Up || facts.is_over());
            let refused = facts.stage == Stage::Rejected(RejectReason::Consumer, Some(1));

            match welcome {
                Welcome::Refused if refused => return Ok(()),
                Welcome::Refused => return Err(Fault("it is not refused", Some(facts))),
                Welcome::InTheEnd if refused && tries > 0 => {
                    fsleep(Delta::from_millis(20));
                    continue;
                }
                _ if facts.stage != Stage::Up => {
                    return Err(Fault("it is not accepted", Some(facts)));
                }
                Welcome::Accepted(major, minor) if facts.version != (major, minor) => {
                    return Err(Fault("another version is chosen", Some(facts)));
                }
                _ if manners.qp_number.is_some() || manners.receives == 0 => return Ok(()),
                _ => return self.ping(&link),
            }
        }
        Ok(())
    }

    fn reply(&mut self, answer: Answer, taken: bool) -> Verdict {
        if self.doorman.is_none() {
            self.doorman = Some(Door::open(&self.door)?);
        }
        self.door.plan(answer);
        let Ok(link) = self.door.answered() else {
            return Err(Fault("it does not ask for a connection", None));
        };
        if let Some(link) = link {
            if taken {
                // The map comes first on a connection that is up, and in halves.
                let (up, facts) = self.wait(&link, |facts| facts.halves >= 2 || facts.is_over());

                if !up || facts.is_over() {
                    return Err(Fault("it does not take the connection", Some(facts)));
                }
            } else if !matches!(answer, Answer::Ignore(_)) {
                let (over, facts) = self.wait(&link, Facts::is_over);

                if !over || facts.halves != 0 {
                    return Err(Fault("it takes the connection", Some(facts)));
                }
            }
            drop(link);
        }
        // Whatever it was, it tries again.
        self.door
            .asked_again()
            .map_err(|_| Fault("it does not ask again", None))
    }
}
