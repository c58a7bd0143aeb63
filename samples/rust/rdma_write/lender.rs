// SPDX-License-Identifier: GPL-2.0

//! B: lends memory.

use crate::{
    borrower::FIRST,
    message::{
        letter,
        receive,
        Letter,
        Message,
        Side, //
    },
    new_qp,
    Failure, //
};
use kernel::{
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};
use krdma::{
    rdma::{
        self,
        cm::{
            self,
            Acceptor,
            ConnParams,
            Connection,
            Event,
            Handler,
            Id, //
        },
        dma::PageList,
        mr::AccessFlag,
        post::{
            Flags,
            SendBatch,
            With, //
        },
        qp_attr::QpState,
        Completion,
        Device,
        Mr,
        Operation,
        Qp, //
    },
    work::{
        Waker,
        Work, //
    },
};

/// Pages that are lent.
const PAGES: u32 = 2;
const LEN: usize = PAGES as usize * PAGE_SIZE;

/// What is lent to one A.
#[pin_data]
struct Loan {
    qp: Qp,
    mr: Arc<Mr>,
    waker: Waker,
    #[pin]
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    /// Whether the request that registers the region has ended. A's message may come before that.
    Lent {
        registered: bool,
    },
    /// Whether the key is to be revoked when that has ended.
    Written {
        revoke: bool,
    },
    Over(Result<(), Failure>),
}

impl Loan {
    fn new(dev: &Device, module: &'static ThisModule, waker: Waker) -> Result<Arc<Self>> {
        let qp = new_qp(dev, module)?;
        let mut mr = Mr::new(qp.pd(), PAGES)?;
        let pages = PageList::new(dev, kernel::num::casts::u32_as_usize(PAGES))?;

        mr.attach(pages).map_err(|refused| refused.error)?;
        Arc::pin_init(
            try_pin_init!(Self {
                qp,
                mr: Arc::new(mr, GFP_KERNEL)?,
                waker,
                state <- new_mutex!(State::Lent { registered: false }),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Registers the region and tells A, in this order.
    fn lend(self: &Arc<Self>) -> Result {
        let offer = Message::Lend(self.mr.remote(), LEN as u32);
        let lending = Lending {
            mr: self.mr.clone(),
            letter: letter(self.qp.device(), offer)?,
            loan: self.clone(),
        };
        let mut batch: SendBatch<'_, _> = SendBatch::new(&self.qp);

        batch
            .push(
                rdma::Request::new(lending, GFP_KERNEL)?,
                |lending, links| {
                    let access = AccessFlag::LocalWrite | AccessFlag::RemoteWrite;

                    links.register(&lending.mr, access, Flags::default())?;
                    links.send(&[lending.letter.sge()], With::Nothing, Flags::default())
                },
            )
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    /// Takes the key back. A is told when that is done.
    fn revoke(self: &Arc<Self>) -> Result {
        let revocation = Revocation {
            mr: self.mr.clone(),
            loan: self.clone(),
        };
        let mut batch: SendBatch<'_, _> = SendBatch::new(&self.qp);

        batch
            .push(
                rdma::Request::new(revocation, GFP_KERNEL)?,
                |revocation, links| links.invalidate(&revocation.mr, Flags::default()),
            )
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    /// Tells A that the key is revoked.
    fn tell(self: &Arc<Self>) -> Result {
        let telling = Telling {
            letter: letter(self.qp.device(), Message::Revoked)?,
            loan: self.clone(),
        };
        let mut batch: SendBatch<'_, _> = SendBatch::new(&self.qp);

        batch
            .push(
                rdma::Request::new(telling, GFP_KERNEL)?,
                |telling, links| {
                    links.send(&[telling.letter.sge()], With::Nothing, Flags::default())
                },
            )
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    /// The region is registered: from here on its key can be revoked.
    fn registered(self: &Arc<Self>) -> Result {
        let revoke = match &mut *self.state.lock() {
            State::Lent { registered } => {
                *registered = true;
                false
            }
            State::Written { revoke } => core::mem::take(revoke),
            State::Over(_) => false,
        };

        if revoke {
            self.revoke()?;
        }
        Ok(())
    }

    /// Looks at the memory that was lent.
    fn inspect(&self) -> Result<(), Failure> {
        let mut bytes = KVec::from_elem(0, LEN, GFP_KERNEL).map_err(|_| Failure::Local(ENOMEM))?;
        let pages = self.mr.pages().ok_or(Failure::Confused)?;

        pages.read(0, &mut bytes).map_err(Failure::Local)?;
        if bytes.iter().any(|&byte| byte != FIRST) {
            return Err(Failure::WrongBytes);
        }
        Ok(())
    }

    /// The conversation is over: what A has tried last must not have changed anything.
    fn conclude(&self) {
        let mut state = self.state.lock();

        match *state {
            State::Over(_) => return,
            State::Lent { .. } => *state = State::Over(Err(Failure::Disconnected)),
            State::Written { .. } if self.mr.is_exposed() => {
                *state = State::Over(Err(Failure::Confused));
            }
            State::Written { .. } => *state = State::Over(self.inspect()),
        }
        drop(state);
        self.waker.wake();
    }
}

impl Side for Loan {
    fn qp(&self) -> &Qp {
        &self.qp
    }

    fn read(
        self: &Arc<Self>,
        message: Message,
        completion: &Completion<'_>,
    ) -> Result<(), Failure> {
        let Message::Written = message else {
            return Err(Failure::Confused);
        };

        self.inspect()?;
        pr_info!("B: the other side has written {} bytes\n", LEN);

        let revoked = self.mr.revoked_by(completion);
        let mut state = self.state.lock();
        let registered = matches!(*state, State::Lent { registered: true });
        *state = State::Written {
            revoke: !revoked && !registered,
        };
        drop(state);

        if revoked {
            pr_info!("B: the other side has revoked the key\n");
            self.tell().map_err(Failure::Local)
        } else if registered {
            self.revoke().map_err(Failure::Local)
        } else {
            Ok(())
        }
    }

    fn fail(&self, failure: Failure) {
        let mut state = self.state.lock();

        if !matches!(*state, State::Over(_)) {
            *state = State::Over(Err(failure));
        }
        drop(state);
        self.waker.wake();
    }
}

/// The request that registers the region and tells A.
struct Lending {
    mr: Arc<Mr>,
    letter: Letter,
    loan: Arc<Loan>,
}

impl Operation for Lending {
    fn done(this: Pin<KBox<rdma::Request<Self>>>, completion: &Completion<'_>) {
        let loan = &this.data().loan;
        if !completion.status().is_success() {
            return loan.fail_by(completion.status());
        }

        if let Err(err) = loan.registered() {
            loan.fail(Failure::Local(err));
        }
    }
}

/// The request that revokes the key.
struct Revocation {
    mr: Arc<Mr>,
    loan: Arc<Loan>,
}

impl Operation for Revocation {
    fn done(this: Pin<KBox<rdma::Request<Self>>>, completion: &Completion<'_>) {
        let loan = &this.data().loan;
        if !completion.status().is_success() {
            return loan.fail_by(completion.status());
        }

        // From here on nobody can write.
        pr_info!("B: revoked the key\n");
        if let Err(err) = loan.tell() {
            loan.fail(Failure::Local(err));
        }
    }
}

/// The request that tells A of the revocation.
struct Telling {
    letter: Letter,
    loan: Arc<Loan>,
}

impl Operation for Telling {
    fn done(this: Pin<KBox<rdma::Request<Self>>>, completion: &Completion<'_>) {
        if !completion.status().is_success() {
            this.data().loan.fail_by(completion.status());
        }
    }
}

/// The handler of a connection.
struct Guest {
    loan: Arc<Loan>,
}

impl Handler for Guest {
    fn event(id: &Id<Self>, event: Event<'_>) {
        let loan = &id.handler().loan;

        match event {
            Event::Established(_) => {
                if let Err(err) = loan.lend() {
                    loan.fail(Failure::Local(err));
                }
            }
            Event::Disconnected => {
                // The other side waits for this answer, unless it has gone.
                let _ = id.disconnect();
                loan.conclude();
            }
            Event::DeviceRemoval => loan.fail(Failure::DeviceRemoved),
            Event::ConnectError(err) | Event::Unreachable(err) => {
                loan.fail(Failure::Unreachable(err));
            }
            _ => {}
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The requests keep the queue pair, and it keeps them: they go when they are given back.
        if let Err(err) = self.loan.qp.drain() {
            // Only a handler of the queue pair is refused.
            pr_err!("a queue pair is left: {:?}\n", err);
        }
    }
}

/// The handler of the listener.
pub(crate) struct Door(pub(crate) Arc<Lender>);

impl Acceptor for Door {
    fn request(listener: &Id<Self>, request: cm::Request<'_>) {
        if let Err(err) = listener.handler().0.admit(request) {
            pr_err!("B: a connection was not accepted: {:?}\n", err);
        }
    }
}

/// What the job works with.
#[pin_data]
pub(crate) struct Lender {
    module: &'static ThisModule,
    timeout: Delta,
    waker: Waker,
    #[pin]
    guests: Mutex<KVec<(Connection<Guest>, Instant<Monotonic>)>>,
}

impl Lender {
    pub(crate) fn new(
        module: &'static ThisModule,
        timeout: Delta,
        waker: Waker,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                module,
                timeout,
                waker,
                guests <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL,
        )
    }

    /// Accepts a connection, or refuses it by dropping it.
    fn admit(&self, request: cm::Request<'_>) -> Result {
        let loan = Loan::new(request.device(), self.module, self.waker.clone())?;
        let connection = request.into_connection(Guest { loan: loan.clone() })?;

        connection.modify_qp(&loan.qp, QpState::Init)?;
        // There are receives before the other side can send.
        receive(&loan)?;
        connection.modify_qp(&loan.qp, QpState::Rtr)?;
        connection.modify_qp(&loan.qp, QpState::Rts)?;
        connection.accept(&ConnParams {
            rnr_retry_count: 7,
            qp_number: loan.qp.number(),
            ..ConnParams::default()
        })?;

        self.guests
            .lock()
            .push((connection, Instant::now()), GFP_KERNEL)?;
        self.waker.wake();
        Ok(())
    }

    /// Takes out a connection that is over.
    fn next_to_go(&self) -> Option<Connection<Guest>> {
        let mut guests = self.guests.lock();
        let at = guests.iter().position(|(connection, since)| {
            let state = *connection.handler().loan.state.lock();

            matches!(state, State::Over(_)) || since.elapsed() >= self.timeout
        })?;

        Some(guests.remove(at).ok()?.0)
    }
}

impl Work for Lender {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        // The lock is one that callbacks take, and to drop a connection waits for callbacks: so they
        // are dropped after it is released.
        while let Some(connection) = this.next_to_go() {
            match *connection.handler().loan.state.lock() {
                State::Over(Ok(())) => pr_info!("B: nothing was written after the revocation\n"),
                State::Over(Err(failure)) => pr_err!("B: failed: {:?}\n", failure),
                _ => pr_err!("B: failed: {:?}\n", Failure::Timeout),
            }
        }
        (!this.guests.lock().is_empty()).then_some(this.timeout)
    }
}
