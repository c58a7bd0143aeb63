// SPDX-License-Identifier: GPL-2.0

//! Networking: protocol families, their sockets, and network namespaces.
//!
//! | Question | Where |
//! |---|---|
//! | How does a module offer an address family? | [`Family`], [`family::Registration`] |
//! | What does a family keep for each socket? | [`SocketData`] |
//! | What is a socket, who keeps it, what can be done with it anywhere? | [`Sock`] |
//! | What can be done with it in a system call only? | [`Open`] |
//! | How does a module open one for itself? | [`KernelSocket`] |
//! | What does a caller send, and where to does it receive? | [`SendMsg`], [`RecvMsg`] |
//! | How are control messages read? | [`cmsg`] |
//! | How are options set and read? | [`OptionIn`], [`OptionOut`] |
//! | What is an address? | [`NameIn`], [`Name`] |
//! | How does a module keep something for each namespace? | [`pernet`] |
//! | How does it offer sysctls there? | [`sysctl`] |
//! | How does it use TCP? | [`tcp`] |

mod addr;
pub mod cmsg;
mod erased;
pub mod family;
mod kernel_socket;
mod msg;
mod namespace;
mod ops;
pub mod pernet;
mod poll;
mod raw_addr;
mod raw_socket;
mod sock;
mod sockopt;
pub mod sysctl;
pub mod tcp;
mod timeout;
mod wait;

pub use addr::{Name, NameIn};
pub use erased::ErasedSock;
pub use family::{Family, Request};
pub use kernel_socket::KernelSocket;
pub use msg::{MsgFlags, RecvMsg, SendMsg};
pub use namespace::Namespace;
pub use poll::Events;
pub(crate) use raw_addr::RawAddr;
use raw_socket::RawSocket;
pub use sock::{LockedSock, Open, Sock, SocketData, Timestamps};
pub use sockopt::{OptionIn, OptionOut};
pub use timeout::Timeout;
pub use wait::Wait;
