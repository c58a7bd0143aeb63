// SPDX-License-Identifier: GPL-2.0

//! A: writes into memory that it was lent.

use crate::{
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
use core::net::SocketAddr;
use kernel::{
    new_mutex,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};
use krdma::{
    net::Namespace,
    rdma::{
        cm::{
            Builder,
            ConnParams,
            Connection,
            Event,
            Handler,
            Id,
            PortSpace, //
        },
        dma::{
            Mapping,
            ToDevice, //
        },
        mr::Remote,
        post::{
            Flags,
            SendBatch,
            With, //
        },
        qp_attr::QpState,
        request::Status,
        Completion,
        Device,
        Operation,
        Qp,
        Request, //
    },
    work::{
        Waker,
        Work, //
    },
};

/// What is written while that is allowed.
pub(crate) const FIRST: u8 = 0x5a;
/// What is written when it is not.
const SECOND: u8 = 0xa5;
/// The most that is written.
const MAX_LEN: u32 = 1 << 16;

/// Who revokes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revoker {
    B,
    A,
}

/// What is borrowed from B.
#[pin_data]
struct Loan {
    qp: Qp,
    revoker: Revoker,
    waker: Waker,
    #[pin]
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    Waiting,
    Lent(Remote, u32),
    Over(Result<(), Failure>),
}

impl Loan {
    fn new(
        dev: &Device,
        module: &'static ThisModule,
        revoker: Revoker,
        waker: Waker,
    ) -> Result<Arc<Self>> {
        let qp = new_qp(dev, module)?;

        Arc::pin_init(
            pin_init!(Self {
                qp,
                revoker,
                waker,
                state <- new_mutex!(State::Waiting),
            }),
            GFP_KERNEL,
        )
    }

    /// Writes into B's memory and tells B, in this order.
    fn write(self: &Arc<Self>, remote: Remote, len: u32) -> Result {
        let writing = Writing {
            bytes: bytes(self.qp.device(), len, FIRST)?,
            letter: letter(self.qp.device(), Message::Written)?,
            loan: self.clone(),
        };
        let mut batch: SendBatch<'_, _> = SendBatch::new(&self.qp);

        batch
            .push(Request::new(writing, GFP_KERNEL)?, |writing, links| {
                links.write(&[writing.bytes.sge()], remote, None, Flags::default())?;
                let letter = &[writing.letter.sge()];
                match self.revoker {
                    Revoker::B => links.send(letter, With::Nothing, Flags::default()),
                    Revoker::A => links.send_invalidate(letter, remote.key, Flags::default()),
                }
            })
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    /// Writes where that is not allowed any more.
    fn trespass(self: &Arc<Self>, remote: Remote, len: u32) -> Result {
        let trespass = Trespass {
            bytes: bytes(self.qp.device(), len, SECOND)?,
            loan: self.clone(),
        };
        let mut batch: SendBatch<'_, _> = SendBatch::new(&self.qp);

        batch
            .push(Request::new(trespass, GFP_KERNEL)?, |trespass, links| {
                links.write(&[trespass.bytes.sge()], remote, None, Flags::default())
            })
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    /// Only the first call counts.
    fn finish(&self, how: Result<(), Failure>) {
        let mut state = self.state.lock();

        if !matches!(*state, State::Over(_)) {
            *state = State::Over(how);
        }
        drop(state);
        self.waker.wake();
    }
}

/// Makes memory that is filled with one value.
fn bytes(dev: &Device, len: u32, value: u8) -> Result<Mapping<KVec<u8>, ToDevice>> {
    Mapping::new(dev, KVec::from_elem(value, u32_as_usize(len), GFP_KERNEL)?)
}

impl Side for Loan {
    fn qp(&self) -> &Qp {
        &self.qp
    }

    fn read(
        self: &Arc<Self>,
        message: Message,
        _completion: &Completion<'_>,
    ) -> Result<(), Failure> {
        let state = *self.state.lock();

        match (state, message) {
            (State::Waiting, Message::Lend(remote, len)) if len <= MAX_LEN => {
                pr_info!("A: was lent {} bytes\n", len);
                *self.state.lock() = State::Lent(remote, len);
                self.write(remote, len)
            }
            (State::Lent(remote, len), Message::Revoked) => self.trespass(remote, len),
            _ => return Err(Failure::Confused),
        }
        .map_err(Failure::Local)
    }

    fn fail(&self, failure: Failure) {
        self.finish(Err(failure));
    }
}

/// The request that writes and tells B.
struct Writing {
    bytes: Mapping<KVec<u8>, ToDevice>,
    letter: Letter,
    loan: Arc<Loan>,
}

impl Operation for Writing {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        if !completion.status().is_success() {
            this.data().loan.fail_by(completion.status());
        }
    }
}

/// The request that must fail.
struct Trespass {
    bytes: Mapping<KVec<u8>, ToDevice>,
    loan: Arc<Loan>,
}

impl Operation for Trespass {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let loan = &this.data().loan;

        match completion.status() {
            Status::RemoteAccess => {
                pr_info!(
                    "A: a write after the revocation: {:?}\n",
                    Status::RemoteAccess
                );
                loan.finish(Ok(()));
            }
            status => loan.fail(Failure::Request(status)),
        }
    }
}

/// The handler of the connection.
struct Visitor {
    module: &'static ThisModule,
    timeout: Delta,
    revoker: Revoker,
    waker: Waker,
    /// There is one once the device is known.
    loan: SetOnce<Arc<Loan>>,
    failure: SetOnce<Failure>,
    disconnected: SetOnce<()>,
}

impl Visitor {
    /// Makes the queue pair, with a receive in it before there can be a message, and asks B.
    fn connect(&self, id: &Id<Self>) -> Result {
        let dev = id.device().ok_or(ENODEV)?;
        let loan = Loan::new(dev, self.module, self.revoker, self.waker.clone())?;

        if !self.loan.populate(loan.clone()) {
            return Err(EEXIST);
        }
        id.modify_qp(&loan.qp, QpState::Init)?;
        receive(&loan)?;
        id.connect(&ConnParams {
            retry_count: 7,
            rnr_retry_count: 7,
            qp_number: loan.qp.number(),
            ..ConnParams::default()
        })
    }

    /// B has accepted.
    fn start(&self, id: &Id<Self>) -> Result {
        let loan = self.loan.as_ref().ok_or(EINVAL)?;

        id.modify_qp(&loan.qp, QpState::Rtr)?;
        id.modify_qp(&loan.qp, QpState::Rts)?;
        id.accept_response()
    }

    /// Returns how the conversation has ended, if it has.
    fn end(&self) -> Option<Result<(), Failure>> {
        let state = self.loan.as_ref().map(|loan| *loan.state.lock());

        match state {
            Some(State::Over(how)) => Some(how),
            _ => self.failure.copy().map(Err),
        }
    }
}

impl Handler for Visitor {
    fn event(id: &Id<Self>, event: Event<'_>) {
        let visitor = id.handler();
        let ret = match event {
            Event::AddressResolved => id.resolve_route(visitor.timeout).map_err(Failure::Local),
            Event::RouteResolved => visitor.connect(id).map_err(Failure::Local),
            Event::Response(_) => visitor.start(id).map_err(Failure::Local),
            Event::AddressError(err)
            | Event::RouteError(err)
            | Event::ConnectError(err)
            | Event::Unreachable(err) => Err(Failure::Unreachable(err)),
            Event::Rejected(why) => Err(Failure::Rejected(why.reason())),
            Event::DeviceRemoval => Err(Failure::DeviceRemoved),
            Event::Disconnected => {
                visitor.disconnected.populate(());
                Err(Failure::Disconnected)
            }
            _ => Ok(()),
        };

        if let Err(failure) = ret {
            visitor.failure.populate(failure);
            visitor.waker.wake();
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if let Some(loan) = self.loan.as_ref() {
            // The requests keep the queue pair, and it keeps them: they go when they are given back.
            if let Err(err) = loan.qp.drain() {
                // Only a handler of the queue pair is refused.
                pr_err!("a queue pair is left: {:?}\n", err);
            }
        }
    }
}

/// What the job works with.
#[pin_data]
pub(crate) struct Borrower {
    module: &'static ThisModule,
    peer: SocketAddr,
    timeout: Delta,
    waker: Waker,
    /// Nobody but the job takes this.
    #[pin]
    talk: Mutex<Talk>,
}

/// The conversation that is going on.
struct Talk {
    connection: Option<Connection<Visitor>>,
    since: Instant<Monotonic>,
    leaving: bool,
    /// Who revokes the key in the next conversation; nobody if there is none.
    next: Option<Revoker>,
}

impl Borrower {
    pub(crate) fn new(
        module: &'static ThisModule,
        peer: SocketAddr,
        timeout: Delta,
        waker: Waker,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                module,
                peer,
                timeout,
                waker,
                talk <- new_mutex!(Talk {
                    connection: None,
                    since: Instant::now(),
                    leaving: false,
                    next: Some(Revoker::B),
                }),
            }),
            GFP_KERNEL,
        )
    }

    fn connect(&self, revoker: Revoker) -> Result<Connection<Visitor>> {
        Builder::new(Namespace::initial(), PortSpace::Tcp, self.module).resolve(
            None,
            self.peer,
            self.timeout,
            Visitor {
                module: self.module,
                timeout: self.timeout,
                revoker,
                waker: self.waker.clone(),
                loan: SetOnce::new(),
                failure: SetOnce::new(),
                disconnected: SetOnce::new(),
            },
        )
    }
}

impl Work for Borrower {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let talk = &mut *this.talk.lock();

        if let Some(connection) = &talk.connection {
            let visitor = connection.handler();
            let left = this.timeout.as_millis() - talk.since.elapsed().as_millis();
            let gone = visitor.disconnected.as_ref().is_some();
            let end = match visitor.end() {
                None if left > 0 => return Some(Delta::from_millis(left)),
                None => Err(Failure::Timeout),
                // B looks at its memory when we leave. That it knows is waited for.
                Some(Ok(())) if !gone && left > 0 => {
                    if !core::mem::replace(&mut talk.leaving, true) {
                        let _ = connection.disconnect();
                    }
                    return Some(Delta::from_millis(left));
                }
                Some(end) => end,
            };

            match end {
                Ok(()) => pr_info!("A: done, the key was revoked by {:?}\n", visitor.revoker),
                Err(failure) => {
                    pr_err!("A: failed: {:?}\n", failure);
                    talk.next = None;
                }
            }
            // Waits for the callbacks and for the requests, which take nothing that we hold.
            talk.connection = None;
        }

        let revoker = talk.next?;
        talk.next = (revoker == Revoker::B).then_some(Revoker::A);
        talk.since = Instant::now();
        talk.leaving = false;
        match this.connect(revoker) {
            Ok(connection) => talk.connection = Some(connection),
            Err(err) => {
                pr_err!("A: failed: {:?}\n", Failure::Local(err));
                talk.next = None;
                return None;
            }
        }
        Some(this.timeout)
    }
}
