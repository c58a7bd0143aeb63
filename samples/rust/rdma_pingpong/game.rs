// SPDX-License-Identifier: GPL-2.0

//! The side that serves: one game, which is all round trips over one connection.
//!
//! Two requests take turns. One sends a message and is back when the peer has acknowledged it, the
//! other receives the answer. When both are back the next round begins.
//!
//! Or messages go one way: several requests send, and each sends the next message when it is back.

use crate::{
    new_buffer,
    new_qp,
    table,
    Buffer,
    Config,
    Wish, //
};
use kernel::{
    new_spinlock_irq,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};
use krdma::{
    rdma::{
        cm::RejectReason,
        post::{
            Flags,
            RecvBatch,
            SendBatch,
            With, //
        },
        request::Status,
        Completion,
        Device,
        Operation,
        Qp,
        Request, //
    },
    work::Waker, //
};

/// Why a game has failed.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "it is for being printed")]
pub(crate) enum Failure {
    /// The peer was not found.
    Address(Error),
    /// No path to the peer was found.
    Route(Error),
    /// The peer does not answer, or the connection was not made.
    Unreachable(Error),
    /// The peer does not want to.
    Rejected(RejectReason),
    /// The peer has gone.
    Disconnected,
    /// Our device has gone.
    DeviceRemoved,
    /// A request failed.
    Request(Status),
    /// What came back is not what was sent.
    Corrupt { size: u32, round: u32 },
    /// Nothing has happened for too long.
    Silence,
    /// Something can't be done here.
    Local(Error),
}

pub(crate) type Ball = Pin<KBox<Request<Message>>>;

/// What a request works on.
pub(crate) struct Message {
    buffer: Buffer,
    /// The bytes of it that are sent; none if the request receives.
    send: Option<u32>,
    game: Arc<Game>,
}

#[pin_data]
pub(crate) struct Game {
    qp: Qp,
    config: Config,
    waker: Waker,
    #[pin]
    play: SpinLockIrq<Play>,
}

/// How far the game is.
struct Play {
    /// One way: those that have not begun, how many messages were sent, and how many acknowledged.
    senders: KVec<Ball>,
    posted: u32,
    acked: u32,
    sender: Option<Ball>,
    receiver: Option<Ball>,
    /// When the message was sent that is under way.
    sent: Instant<Monotonic>,
    /// The times of the rounds that are done, in nanoseconds.
    times: KVec<u64>,
    end: Option<Result<(), Failure>>,
}

impl Config {
    /// Returns what the peer is told.
    pub(crate) fn wish(&self) -> Wish {
        Wish {
            size: self.max_size,
            window: self.window,
        }
    }

    /// Returns the number of round trips in a game.
    pub(crate) fn total(&self) -> usize {
        if self.window > 0 {
            return 1;
        }
        // One, and all larger powers of two that are allowed.
        let sizes = u32_as_usize(u32::BITS - self.max_size.leading_zeros());

        sizes * u32_as_usize(self.rounds)
    }

    /// Returns the number of bytes of a message.
    fn size(&self, number: usize) -> u32 {
        let exponent = number.checked_div(u32_as_usize(self.rounds)).unwrap_or(0);

        1 << exponent.min(31)
    }
}

impl Game {
    /// Makes the queue pair for a game.
    pub(crate) fn new(
        dev: &Device,
        module: &'static ThisModule,
        config: Config,
        waker: Waker,
    ) -> Result<Arc<Self>> {
        let qp = new_qp(dev, module, 4.max(config.window))?;
        let senders = KVec::with_capacity(u32_as_usize(config.window), GFP_KERNEL)?;
        let times = KVec::with_capacity(config.total(), GFP_KERNEL)?;

        Arc::pin_init(
            pin_init!(Self {
                qp,
                config,
                waker,
                play <- new_spinlock_irq!(Play {
                    senders,
                    posted: 0,
                    acked: 0,
                    sender: None,
                    receiver: None,
                    sent: Instant::now(),
                    times,
                    end: None,
                }),
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn qp(&self) -> &Qp {
        &self.qp
    }

    /// Makes both requests and posts the one that receives. The queue pair must be in a state in
    /// which it takes receives.
    pub(crate) fn prepare(self: &Arc<Self>) -> Result {
        let new = || {
            Request::new(
                Message {
                    buffer: new_buffer(self.qp.device(), self.config.max_size)?,
                    send: None,
                    game: self.clone(),
                },
                GFP_KERNEL,
            )
        };
        for _ in 0..self.config.window {
            let sender = new()?;
            // There is room.
            let _ = self.play.lock().senders.push_within_capacity(sender);
        }
        if self.config.window > 0 {
            return Ok(());
        }

        let (sender, receiver) = (new()?, new()?);

        self.play.lock().sender = Some(sender);
        self.receive(receiver)
    }

    /// Begins the first round. The queue pair must be ready to send.
    pub(crate) fn begin(&self) -> Result {
        if self.config.window > 0 {
            return self.begin_one_way();
        }
        let sender = self.play.lock().sender.take().ok_or(EINVAL)?;

        self.serve(sender, 0)
    }

    /// Sends as many messages as may be under way.
    fn begin_one_way(&self) -> Result {
        let senders = {
            let mut play = self.play.lock();

            play.sent = Instant::now();
            core::mem::replace(&mut play.senders, KVec::new())
        };

        for sender in senders {
            self.pass(sender)?;
        }
        Ok(())
    }

    /// Sends the next message, if there is one. Nobody looks at what is in it.
    fn pass(&self, mut sender: Ball) -> Result {
        {
            let mut play = self.play.lock();

            if play.posted == self.config.rounds {
                return Ok(());
            }
            play.posted += 1;
        }
        let size = self.config.max_size;
        sender.as_mut().data_mut().get_mut().send = Some(size);

        let mut batch: SendBatch<'_, _, 1, 1> = SendBatch::new(&self.qp);
        batch
            .push(sender, |message, links| {
                links.send(&[message.buffer.sge()], With::Nothing, Flags::default())
            })
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    /// A message that goes one way has come.
    fn passed(&self, sender: Ball) -> Result<(), Failure> {
        let over = {
            let mut play = self.play.lock();

            play.acked += 1;
            if play.acked == self.config.rounds {
                let took = u64::try_from(play.sent.elapsed().as_nanos()).unwrap_or(0);
                // There is room.
                let _ = play.times.push_within_capacity(took);
            }
            play.acked == self.config.rounds
        };

        if over {
            self.finish(Ok(()));
            return Ok(());
        }
        self.pass(sender).map_err(Failure::Local)
    }

    /// Returns how many round trips are done, or messages one way.
    pub(crate) fn progress(&self) -> usize {
        let play = self.play.lock();

        play.times.len() + u32_as_usize(play.acked)
    }

    /// Returns how the game has ended, if it has.
    pub(crate) fn end(&self) -> Option<Result<(), Failure>> {
        self.play.lock().end
    }

    /// Takes the times.
    pub(crate) fn take_times(&self) -> KVec<u64> {
        core::mem::replace(&mut self.play.lock().times, KVec::new())
    }

    /// Ends the game. Only the first call counts.
    pub(crate) fn finish(&self, how: Result<(), Failure>) {
        self.play.lock().end.get_or_insert(how);
        self.waker.wake();
    }

    /// Waits until no request is under way, and drops them.
    pub(crate) fn clear(&self) {
        if let Err(err) = self.qp.drain() {
            // Only a handler of the queue pair is refused.
            pr_err!("a queue pair is left: {:?}\n", err);
        }

        let all = {
            let mut play = self.play.lock();
            let senders = core::mem::replace(&mut play.senders, KVec::new());

            (play.sender.take(), play.receiver.take(), senders)
        };
        // They keep the game: so this is not left to its drop, which would never come.
        drop(all);
    }

    fn receive(&self, receiver: Ball) -> Result {
        let mut batch: RecvBatch<'_, _, _, 1, 1> = RecvBatch::new(&self.qp);

        batch
            .push(receiver, |message, buffers| {
                buffers.add(&[message.buffer.sge_mut()])
            })
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    /// Sends the message with this number, which travels with it as immediate data.
    fn serve(&self, mut sender: Ball, number: usize) -> Result {
        let size = self.config.size(number);
        let round = u32::try_from(number).map_err(|_| EOVERFLOW)?;
        let message = sender.as_mut().data_mut().get_mut();

        table::fill(&mut message.buffer.cpu()[..u32_as_usize(size)], round);
        message.send = Some(size);

        let mut batch: SendBatch<'_, _, 1, 1> = SendBatch::new(&self.qp);
        batch
            .push(sender, |message, links| {
                let sge = message.buffer.sge().slice(0..size)?;

                links.send(&[sge], With::Immediate(round), Flags::default())
            })
            .map_err(|refused| refused.error)?;
        self.play.lock().sent = Instant::now();
        batch.post().map_err(|unposted| unposted.error)
    }

    /// Begins the next round if nothing is under way any more.
    fn next(&self) -> Result<(), Failure> {
        let (sender, receiver, number) = {
            let mut play = self.play.lock();

            if play.sender.is_none() || play.receiver.is_none() {
                return Ok(());
            }
            (play.sender.take(), play.receiver.take(), play.times.len())
        };
        if number == self.config.total() {
            self.finish(Ok(()));
            return Ok(());
        }

        let (Some(sender), Some(receiver)) = (sender, receiver) else {
            return Ok(());
        };
        // There must be a receive before there can be an answer.
        self.receive(receiver)
            .and_then(|()| self.serve(sender, number))
            .map_err(Failure::Local)
    }

    /// An answer has come.
    fn answered(&self, mut receiver: Ball, completion: &Completion<'_>) -> Result<(), Failure> {
        let elapsed = self.play.lock().sent.elapsed().as_nanos();
        let number = self.progress();
        let size = self.config.size(number);
        let message = receiver.as_mut().data_mut().get_mut();

        let received = completion.received();
        let told = received.map(|received| (received.byte_len(), received.immediate()));
        let intact = u32::try_from(number).is_ok_and(|round| {
            told == Some((size, Some(round)))
                && table::is_intact(&message.buffer.cpu()[..u32_as_usize(size)], round)
        });
        if !intact {
            return Err(Failure::Corrupt {
                size,
                round: number as u32,
            });
        }

        let mut play = self.play.lock();
        // There is room for all.
        let _ = play
            .times
            .push_within_capacity(u64::try_from(elapsed).unwrap_or(0));
        play.receiver = Some(receiver);
        Ok(())
    }
}

impl Operation for Message {
    fn done(mut this: Ball, completion: &Completion<'_>) {
        let game = this.data().game.clone();
        let status = completion.status();

        if !status.is_success() {
            // What is flushed has not failed by itself.
            if status != Status::Flushed {
                game.finish(Err(Failure::Request(status)));
            }
            return;
        }

        let sent = this.as_mut().data_mut().get_mut().send.take().is_some();
        let ret = if game.config.window > 0 {
            game.passed(this)
        } else if sent {
            game.play.lock().sender = Some(this);
            game.next()
        } else {
            game.answered(this, completion).and_then(|()| game.next())
        };
        if let Err(failure) = ret {
            game.finish(Err(failure));
        }
    }
}
