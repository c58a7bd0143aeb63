// SPDX-License-Identifier: GPL-2.0

//! Echoes private data over the connection manager: no queue pair, no data path.
//!
//! The module listens on a UDP port, where it answers each question with the question's private
//! data, or refuses it with that data if it begins with `refuse`. With the parameter `peer` it also
//! asks such a question and prints the answer.
//!
//! To try it, on a machine with address 10.0.0.1, then on another one:
//!
//! ```sh
//! modprobe -a rdma_rxe rdma_cm
//! rdma link add rxe0 type rxe netdev eth0
//! insmod krdma.ko
//! insmod rdma_cm_echo.ko                  # on the other one: peer=0x0a000001 [refuse=1]
//! dmesg | grep rdma_cm_echo
//! ```

use core::net::{
    Ipv4Addr,
    SocketAddr, //
};
use kernel::{
    prelude::*,
    str::BStr,
    time::Delta, //
};
use krdma::{
    net::Namespace,
    rdma::cm::{
        Acceptor,
        Builder,
        ConnParams,
        Connection,
        Event,
        Handler,
        Id,
        Listener,
        PortSpace,
        Request, //
    },
};

module! {
    type: EchoModule,
    name: "rdma_cm_echo",
    authors: ["The krdma developers"],
    description: "Echoes private data over the RDMA connection manager",
    license: "GPL",
    params: {
        port: u16 {
            default: 7471,
            description: "The port to listen on and to ask at",
        },
        peer: u32 {
            default: 0,
            description: "The IPv4 address to ask, as a number; none if zero",
        },
        refuse: u8 {
            default: 0,
            description: "Ask to be refused if not zero",
        },
    },
}

/// What is given as the number of a queue pair, since there is none.
const NO_QP: u32 = 0x1234;

const TIMEOUT: Delta = Delta::from_millis(20_000);

struct EchoModule {
    _asker: Option<Connection<Asker>>,
    _listener: Listener<Echo>,
}

impl kernel::Module for EchoModule {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let port = module_parameters::port.value();
        let peer = module_parameters::peer.value();
        let builder = Builder::new(Namespace::initial(), PortSpace::Udp, module);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));

        let listener = builder.listen(any, 16, Echo)?;
        pr_info!("listening on port {}\n", port);

        let asker = if peer != 0 {
            let question: &[u8] = match module_parameters::refuse.value() {
                0 => b"hello",
                _ => b"refuse me",
            };
            let addr = SocketAddr::from((Ipv4Addr::from_bits(peer), port));

            Some(builder.resolve(None, addr, TIMEOUT, Asker { question })?)
        } else {
            None
        };

        Ok(Self {
            _asker: asker,
            _listener: listener,
        })
    }
}

/// The side that answers.
struct Echo;

impl Acceptor for Echo {
    fn request(_listener: &Id<Self>, request: Request<'_>) {
        if let Err(err) = answer(request) {
            pr_warn!("no answer was sent: {:?}\n", err);
        }
    }
}

fn answer(request: Request<'_>) -> Result {
    let data = text(request.params().private_data);

    pr_info!("{}: question: {}\n", request.device().name(), data);
    if data.starts_with(b"refuse") {
        return request.reject(data);
    }
    // The answer says all: with datagrams there is nothing to keep a connection for.
    request.into_connection(Answered)?.accept(&ConnParams {
        private_data: data,
        qp_number: NO_QP,
        ..ConnParams::default()
    })
}

/// What was answered, which nothing happens to any more.
struct Answered;

impl Handler for Answered {
    fn event(_id: &Id<Self>, _event: Event<'_>) {}
}

/// The side that asks.
struct Asker {
    question: &'static [u8],
}

impl Handler for Asker {
    fn event(id: &Id<Self>, event: Event<'_>) {
        let ret = match event {
            Event::AddressResolved => id.resolve_route(TIMEOUT),
            Event::RouteResolved => id.connect(&ConnParams {
                private_data: id.handler().question,
                ..ConnParams::default()
            }),
            Event::ServiceResolved(peer) => {
                pr_info!(
                    "answer: {}, queue pair 0x{:x}, qkey 0x{:x}\n",
                    text(peer.private_data()),
                    peer.qp_number(),
                    peer.qkey()
                );
                Ok(())
            }
            Event::Rejected(why) => {
                pr_info!(
                    "refused: {:?}, {}\n",
                    why.reason(),
                    text(why.private_data())
                );
                Ok(())
            }
            Event::AddressError(err) | Event::RouteError(err) | Event::Unreachable(err) => Err(err),
            _ => Ok(()),
        };

        if let Err(err) = ret {
            pr_warn!("the question was lost: {:?}, {:?}\n", id.state(), err);
        }
    }
}

/// Private data comes with zeros at its end.
fn text(data: &[u8]) -> &BStr {
    let len = data.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);

    BStr::from_bytes(data.get(..len).unwrap_or(data))
}
