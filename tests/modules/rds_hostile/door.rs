// SPDX-License-Identifier: GPL-2.0

//! Requests of the other node, which is let in as the case at hand wants it.

use crate::{
    link::{
        Link,
        Plan,
        Seen,
        Side, //
    },
    Config,
    PORT, //
};
use core::net::{
    Ipv4Addr,
    SocketAddr, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};
use krdma::{
    net::Namespace,
    rdma::cm::{
        Acceptor,
        Builder,
        Id,
        Listener,
        PortSpace,
        Request, //
    },
};

/// What the next request gets.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// A refusal with these bytes.
    Refuse(&'static [u8]),
    /// The connection, as planned.
    Accept(Plan),
    /// Nothing, until it is dropped.
    Ignore(Plan),
}

/// The answers that are planned, and what came of them.
#[pin_data]
pub(crate) struct Door {
    config: Config,
    #[pin]
    next: Mutex<Option<Answer>>,
    #[pin]
    taken: Mutex<Option<Link>>,
    /// How many requests have come.
    asked: Atomic<u32>,
}

impl Door {
    pub(crate) fn new(config: Config) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                config,
                next <- new_mutex!(None),
                taken <- new_mutex!(None),
                asked: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Waits for requests, which are refused unless an answer is planned.
    pub(crate) fn open(this: &Arc<Self>) -> Result<Listener<Doorman>> {
        Builder::new(Namespace::initial(), PortSpace::Tcp, this.config.module).listen(
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
            16,
            Doorman(this.clone()),
        )
    }

    pub(crate) fn plan(&self, answer: Answer) {
        *self.next.lock() = Some(answer);
    }

    /// Waits until the planned answer was given; returns the connection if one was made.
    pub(crate) fn answered(&self) -> Result<Option<Link>> {
        self.wait(|this| this.next.lock().is_none())?;
        // The handler holds this until it is done.
        Ok(self.taken.lock().take())
    }

    /// Waits for one more request.
    pub(crate) fn asked_again(&self) -> Result {
        let so_far = self.asked.load(Relaxed);

        self.wait(|this| this.asked.load(Relaxed) != so_far)
    }

    fn wait(&self, wanted: impl Fn(&Self) -> bool) -> Result {
        for _ in 0..self.config.patience.as_millis() / 5 {
            if wanted(self) {
                return Ok(());
            }
            fsleep(Delta::from_millis(5));
        }
        Err(ETIMEDOUT)
    }

    fn answer(&self, request: Request<'_>) -> Result {
        // The type of service, where private data of IPv4 has it: the cases are about the first.
        let usual = request.params().private_data.get(12) == Some(&0);
        if !usual {
            return request.reject(&1_i32.to_ne_bytes());
        }
        self.asked.fetch_add(1, Relaxed);
        let mut taken = self.taken.lock();

        match self.next.lock().take() {
            None => request.reject(&1_i32.to_ne_bytes()),
            Some(Answer::Refuse(bytes)) => request.reject(bytes),
            Some(answer @ (Answer::Accept(plan) | Answer::Ignore(plan))) => {
                let seen = Seen::new()?;
                let side = Side::new(self.config, plan, seen.clone());
                let connection = request.into_connection(side)?;

                if matches!(answer, Answer::Accept(_)) {
                    Side::accept(&connection)?;
                }
                *taken = Some(Link::new(connection, seen));
                Ok(())
            }
        }
    }
}

/// Answers requests.
pub(crate) struct Doorman(Arc<Door>);

impl Acceptor for Doorman {
    fn request(listener: &Id<Self>, request: Request<'_>) {
        if let Err(err) = listener.handler().0.answer(request) {
            pr_warn!("no answer was given: {:?}\n", err);
        }
    }
}
