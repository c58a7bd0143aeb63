// SPDX-License-Identifier: GPL-2.0

//! The native protocol: one engine for reliable and datagram lanes.
//!
//! Two hosts that both run this implementation need not speak RDS as C does. Between them a *session*
//! owns the messages from one address to another with one type of service; *lanes* carry *packets*, and
//! a packet carries *frames*: messages, pieces of messages, acknowledgements and what else there is to
//! say. Many small messages travel in one packet, small messages do not wait for large ones, and a lane
//! that dies costs no message, as its frames leave on another one.
//!
//! | Question | Module |
//! |---|---|
//! | What does the transport call? | [`session`] |
//! | What carries packets, when may one leave, and what has become of it? | [`lane`] |
//! | What is sent next, and what again? | [`outbox`] |
//! | What has come, and in what order is it handed up? | [`inbox`] |
//! | Which packets of a lane have come, and when is that told? | [`arrivals`] |
//! | How does the peer learn of congested ports? | [`maps`] |
//! | What are the bytes of a packet, a frame, the private data? | [`wire`] |
//! | How is memory handed in? | [`slab`] |
//! | How fast may a datagram lane send, and how much may be in flight? | [`cc`] |
//! | Which packets are lost, and when is a probe sent? | [`loss`] |
//! | When may a packet leave? | [`pacing`] |

pub mod arrivals;
pub mod cc;
pub mod inbox;
pub mod lane;
pub mod loss;
pub mod maps;
pub mod outbox;
pub mod pacing;
pub mod session;
pub mod slab;
pub mod wire;

/// Whether what has a serial was said after what has another one. Serials wrap.
#[inline]
const fn is_newer(serial: u32, than: u32) -> bool {
    // CAST: the difference of counts that wrap, as a signed number.
    serial.wrapping_sub(than) as i32 > 0
}
