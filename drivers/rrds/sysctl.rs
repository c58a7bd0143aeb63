// SPDX-License-Identifier: GPL-2.0

//! What an administrator can tune in a namespace (spec-sysctl).

use crate::params;
use core::marker::PhantomData;
use krdma::{
    memory::total_bytes,
    net::sysctl::{
        Entry,
        Field,
        Folder,
        Number, //
    },
};
use rds_proto::{
    consts::{
        self,
        FRAGMENT_BYTES, //
    },
    settings::Settings,
    uapi::AF_RDS, //
};

/// The sysctls of a namespace.
pub(crate) struct Sysctls {
    reconnect_min_delay_ms: Number<usize>,
    reconnect_max_delay_ms: Number<usize>,
    max_unacked_packets: Number<u32>,
    max_unacked_bytes: Number<u32>,
    ping_enable: Number<u32>,
    max_send_wr: Number<usize>,
    /// Nothing reads it, nor `flow_control`: programs expect the files.
    max_recv_wr: Number<usize>,
    max_unsignaled_wr: Number<usize>,
    max_recv_allocation: Number<usize>,
    flow_control: Number<u32>,
    loopback: Number<u32>,
    tcp_sndbuf: Number<u32>,
    tcp_rcvbuf: Number<u32>,
    parameters: Parameters,
}

/// The module's parameters, to be read: those of modules in Rust are not below `/sys/module`.
struct Parameters {
    family: Number<u32>,
    port: Number<u32>,
    port6: Number<u32>,
    retry_count: Number<u32>,
    tcp: Number<u32>,
    tcp_port: Number<u32>,
}

/// The largest buffer: what TCP counts in is signed, and it makes one and a half of it in places.
const MAX_BUFFER: u32 = 1 << 30;

/// The same in other namespaces: as much as TCP lets a connection send by default.
const MAX_BUFFER_ELSEWHERE: u32 = 4 << 20;

/// Returns the most that an administrator of a namespace may choose, by whether that is the initial one.
fn most<N>(is_initial: bool, elsewhere: N, initially: N) -> N {
    if is_initial {
        initially
    } else {
        elsewhere
    }
}

/// Returns a number that stays as it is.
fn fixed(value: impl Into<u32>) -> Number<u32> {
    Number::<u32>::new(value.into(), 0, u32::MAX)
}

impl Sysctls {
    /// The defaults, which are those of C, but for [`consts::SEND_RING`] and
    /// [`consts::MAX_UNACKED_PACKETS`].
    ///
    /// What takes memory of the host can only be made less in namespaces other than the initial one: who
    /// administers those may be anybody.
    pub(crate) fn new(is_initial: bool) -> Self {
        // As C: a third of the host's memory, in fragments.
        let fragments = total_bytes() / 3 / FRAGMENT_BYTES as u64;
        let fragments = usize::try_from(fragments).unwrap_or(usize::MAX);
        let buffer = most(is_initial, MAX_BUFFER_ELSEWHERE, MAX_BUFFER);
        const DAY_MS: usize = 86_400_000;
        const SEND_RING: usize = consts::SEND_RING as usize;

        Self {
            reconnect_min_delay_ms: Number::<usize>::new(1, 1, DAY_MS),
            reconnect_max_delay_ms: Number::<usize>::new(1000, 1, DAY_MS),
            max_unacked_packets: Number::<u32>::new(consts::MAX_UNACKED_PACKETS, 0, u32::MAX),
            max_unacked_bytes: Number::<u32>::new(consts::MAX_UNACKED_BYTES, 0, u32::MAX),
            ping_enable: Number::<u32>::new(1, 0, 1),
            max_send_wr: Number::<usize>::new(SEND_RING, 1, most(is_initial, 256, 65535)),
            max_recv_wr: Number::<usize>::new(1024, 1, most(is_initial, 1024, 65535)),
            max_unsignaled_wr: Number::<usize>::new(16, 1, 64),
            max_recv_allocation: Number::<usize>::new(
                fragments,
                0,
                most(is_initial, fragments, usize::MAX),
            ),
            flow_control: Number::<u32>::new(0, 0, 1),
            loopback: Number::<u32>::new(1, 0, 1),
            tcp_sndbuf: Number::<u32>::new(0, 0, buffer),
            tcp_rcvbuf: Number::<u32>::new(0, 0, buffer),
            parameters: Parameters {
                family: fixed(params::family()),
                port: fixed(params::ports().v4),
                port6: fixed(params::ports().v6),
                retry_count: fixed(params::retry_count()),
                tcp: fixed(params::tcp()),
                tcp_port: fixed(params::tcp_port()),
            },
        }
    }

    /// Returns whether messages to port 0 are answered.
    pub(crate) fn ping_enable(&self) -> bool {
        self.ping_enable.get() != 0
    }

    /// Returns whether messages between addresses of this host stay in it, and no device sees them, unless their program
    /// asks for RDMA.
    pub(crate) fn loopback(&self) -> bool {
        self.loopback.get() != 0
    }

    /// Returns how many bytes of the kernel's memory a TCP connection has for what it sends; 0 if TCP is to choose.
    pub(crate) fn tcp_sndbuf(&self) -> u32 {
        self.tcp_sndbuf.get()
    }

    /// Returns the same for what it receives.
    pub(crate) fn tcp_rcvbuf(&self) -> u32 {
        self.tcp_rcvbuf.get()
    }

    /// Returns how many bytes all peers together may make us store.
    pub(crate) fn max_recv_bytes(&self) -> u64 {
        u64::try_from(self.max_recv_allocation.get())
            .unwrap_or(u64::MAX)
            .saturating_mul(FRAGMENT_BYTES as u64)
    }

    /// Returns all of them as paths take them. `send_ring` is to be limited to what the device can,
    /// and `copied` is for the transport to say.
    pub(crate) fn settings(&self) -> Settings {
        let ns = |ms: usize| {
            u64::try_from(ms)
                .unwrap_or(u64::MAX)
                .saturating_mul(1_000_000)
        };
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);

        Settings {
            send_ring: number(self.max_send_wr.get()),
            max_unsignaled: number(self.max_unsignaled_wr.get()),
            max_unacked_packets: self.max_unacked_packets.get(),
            max_unacked_bytes: self.max_unacked_bytes.get(),
            reconnect_min_ns: ns(self.reconnect_min_delay_ms.get()),
            reconnect_max_ns: ns(self.reconnect_max_delay_ms.get()),
            ping_enable: self.ping_enable(),
            ..Settings::default()
        }
    }
}

/// Returns what is below `/proc/sys`. `ib` and `tcp` are what C's transports have there; C's parameters are below
/// `/sys/module`.
///
/// Beside the kernel's own RDS, which has the usual place, ours is `net/rrds`.
pub(crate) fn folders<T: AsRef<Sysctls> + 'static>() -> &'static [Folder<T>] {
    if params::family() == AF_RDS {
        Tables::<T>::USUAL
    } else {
        Tables::<T>::BESIDE
    }
}

/// The folders of a state that has the sysctls.
struct Tables<T>(PhantomData<T>);

impl<T: AsRef<Sysctls> + 'static> Tables<T> {
    const USUAL: &'static [Folder<T>] = &[
        Folder(c"net/rds", Self::GENERIC),
        Folder(c"net/rds/ib", Self::RDMA),
        Folder(c"net/rds/tcp", Self::TCP),
        Folder(c"net/rds/parameters", Self::PARAMETERS),
    ];

    const BESIDE: &'static [Folder<T>] = &[
        Folder(c"net/rrds", Self::GENERIC),
        Folder(c"net/rrds/ib", Self::RDMA),
        Folder(c"net/rrds/tcp", Self::TCP),
        Folder(c"net/rrds/parameters", Self::PARAMETERS),
    ];

    const GENERIC: &'static [Entry<T>] = &[
        Entry(
            c"reconnect_min_delay_ms",
            Field::NotAbove(
                |s| &s.as_ref().reconnect_min_delay_ms,
                |s| &s.as_ref().reconnect_max_delay_ms,
            ),
        ),
        Entry(
            c"reconnect_max_delay_ms",
            Field::NotBelow(
                |s| &s.as_ref().reconnect_max_delay_ms,
                |s| &s.as_ref().reconnect_min_delay_ms,
            ),
        ),
        Entry(
            c"max_unacked_packets",
            Field::U32(|s| &s.as_ref().max_unacked_packets),
        ),
        Entry(
            c"max_unacked_bytes",
            Field::U32(|s| &s.as_ref().max_unacked_bytes),
        ),
        Entry(c"ping_enable", Field::U32(|s| &s.as_ref().ping_enable)),
    ];

    const RDMA: &'static [Entry<T>] = &[
        Entry(c"max_send_wr", Field::Usize(|s| &s.as_ref().max_send_wr)),
        Entry(c"max_recv_wr", Field::Usize(|s| &s.as_ref().max_recv_wr)),
        Entry(
            c"max_unsignaled_wr",
            Field::Usize(|s| &s.as_ref().max_unsignaled_wr),
        ),
        Entry(
            c"max_recv_allocation",
            Field::Usize(|s| &s.as_ref().max_recv_allocation),
        ),
        Entry(c"flow_control", Field::U32(|s| &s.as_ref().flow_control)),
        Entry(c"loopback", Field::U32(|s| &s.as_ref().loopback)),
    ];

    const TCP: &'static [Entry<T>] = &[
        Entry(c"rds_tcp_sndbuf", Field::U32(|s| &s.as_ref().tcp_sndbuf)),
        Entry(c"rds_tcp_rcvbuf", Field::U32(|s| &s.as_ref().tcp_rcvbuf)),
    ];

    const PARAMETERS: &'static [Entry<T>] = &[
        Entry(c"family", Field::Fixed(|s| &s.as_ref().parameters.family)),
        Entry(c"port", Field::Fixed(|s| &s.as_ref().parameters.port)),
        Entry(c"port6", Field::Fixed(|s| &s.as_ref().parameters.port6)),
        Entry(
            c"rds_ib_retry_count",
            Field::Fixed(|s| &s.as_ref().parameters.retry_count),
        ),
        Entry(c"tcp", Field::Fixed(|s| &s.as_ref().parameters.tcp)),
        Entry(
            c"tcp_port",
            Field::Fixed(|s| &s.as_ref().parameters.tcp_port),
        ),
    ];
}
