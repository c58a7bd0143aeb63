// SPDX-License-Identifier: GPL-2.0

//! Control messages: what comes and goes beside the data.

use crate::bytes;
use rds_proto::uapi::cmsg::{
    CONG_UPDATE, MAX_TRACES, MAX_ZCOPY_COOKIES, RDMA_DEST, RDMA_STATUS, RXPATH_LATENCY,
    ZCOPY_COMPLETION, ZCOPY_COOKIE,
};
use rds_proto::uapi::option::{SO_TIMESTAMP_NEW, SO_TIMESTAMP_OLD};
use rds_proto::uapi::SOL_RDS;
use std::fmt;
use std::time::Duration;

/// `struct cmsghdr`: its length including this header, the level, the type.
const HEADER: usize = size_of::<usize>() + 8;
const ALIGN: usize = size_of::<usize>();

fn aligned(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

/// A set of ports by their number modulo 64, as the kernel reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortMask(pub u64);

impl PortMask {
    /// The mask of one port.
    pub const fn of(port: u16) -> Self {
        Self(1 << (port % 64))
    }

    /// Whether the port may be one of them.
    pub const fn may_contain(self, port: u16) -> bool {
        self.0 & Self::of(port).0 != 0
    }
}

/// How an RDMA operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RdmaOutcome {
    /// It was done.
    Success,
    /// The peer's memory could not be accessed.
    RemoteError,
    /// It was cancelled, by the application or by closing the socket.
    Canceled,
    /// The connection was lost before it was known to be done.
    Dropped,
    /// Another error.
    OtherError,
    /// A number that this crate does not know.
    Unknown(i32),
}

impl From<i32> for RdmaOutcome {
    fn from(status: i32) -> Self {
        match status {
            0 => Self::Success,
            1 => Self::RemoteError,
            2 => Self::Canceled,
            3 => Self::Dropped,
            4 => Self::OtherError,
            other => Self::Unknown(other),
        }
    }
}

/// A stretch of a message's way through the receiving kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracePoint {
    /// From the first fragment's arrival to the start of the message.
    HeaderToStart,
    /// Putting the message together.
    Reassembly,
    /// From its delivery to the socket to `recvmsg`.
    Delivery,
    /// A number that this crate does not know.
    Unknown(u8),
}

impl TracePoint {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::HeaderToStart => 0,
            Self::Reassembly => 1,
            Self::Delivery => 2,
            Self::Unknown(number) => number,
        }
    }
}

impl From<u8> for TracePoint {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::HeaderToStart,
            1 => Self::Reassembly,
            2 => Self::Delivery,
            other => Self::Unknown(other),
        }
    }
}

/// How long a message took through the receiving kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RxLatency {
    /// The stretches asked for, in the order in which they were.
    pub points: Vec<(TracePoint, Duration)>,
}

/// A control message that came with `recvmsg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// With a message: the peer's cookie for memory of its own (`RDS_CMSG_RDMA_DEST`).
    RdmaDest(u64),
    /// Alone: an RDMA operation has ended (`RDS_CMSG_RDMA_STATUS`).
    RdmaStatus {
        /// What the application called it.
        token: u64,
        /// How it ended.
        outcome: RdmaOutcome,
    },
    /// Alone: destinations at which sending failed have room again (`RDS_CMSG_CONG_UPDATE`).
    CongestionUpdate(PortMask),
    /// With a message: `RDS_CMSG_RXPATH_LATENCY`.
    RxLatency(RxLatency),
    /// The kernel no longer reads what was sent with these cookies
    /// (`RDS_CMSG_ZCOPY_COMPLETION`).
    ZerocopyCompletion(Vec<u32>),
    /// With a message: when it came, since 1970 (`SO_TIMESTAMP`).
    Timestamp(Duration),
    /// Anything else, and what is shorter than it should be.
    Other {
        /// `SOL_..`
        level: i32,
        /// The type within the level.
        kind: i32,
        /// What it carries.
        data: Vec<u8>,
    },
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RdmaDest(cookie) => write!(f, "rdma-dest {cookie:#x}"),
            Self::RdmaStatus { token, outcome } => write!(f, "rdma-status {token:#x} {outcome:?}"),
            Self::CongestionUpdate(mask) => write!(f, "congestion-update {:#018x}", mask.0),
            Self::RxLatency(latency) => {
                write!(f, "rx-latency")?;
                for (point, time) in &latency.points {
                    write!(f, " {point:?}={}ns", time.as_nanos())?;
                }
                Ok(())
            }
            Self::ZerocopyCompletion(cookies) => write!(f, "zerocopy-completion {cookies:?}"),
            Self::Timestamp(time) => write!(f, "timestamp {}", time.as_secs_f64()),
            Self::Other { level, kind, data } => {
                write!(f, "level {level} type {kind}, {} bytes", data.len())
            }
        }
    }
}

/// A control message for `sendmsg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendControl {
    /// The cookie of memory registered with this socket, to be handed to the receiver
    /// (`RDS_CMSG_RDMA_DEST`).
    RdmaDest(u64),
    /// What to call this message when the kernel has read it (`RDS_CMSG_ZCOPY_COOKIE`), with
    /// [`SendFlags::ZEROCOPY`](crate::SendFlags::ZEROCOPY).
    ZerocopyCookie(u32),
}

/// The list as `sendmsg` wants it.
pub(crate) fn encode(controls: &[SendControl]) -> Vec<u8> {
    let mut out = Vec::new();
    for control in controls {
        match control {
            SendControl::RdmaDest(cookie) => put(&mut out, RDMA_DEST, &cookie.to_ne_bytes()),
            SendControl::ZerocopyCookie(cookie) => {
                put(&mut out, ZCOPY_COOKIE, &cookie.to_ne_bytes());
            }
        }
    }
    out
}

/// Appends one of the level of RDS.
pub(crate) fn put(out: &mut Vec<u8>, kind: i32, data: &[u8]) {
    out.extend_from_slice(&(HEADER + data.len()).to_ne_bytes());
    out.extend_from_slice(&SOL_RDS.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(data);
    out.resize(aligned(out.len()), 0);
}

/// The control messages in a buffer that `recvmsg` filled. Total: it ends at the first header that
/// makes no sense.
pub(crate) fn decode(mut buffer: &[u8]) -> Vec<Control> {
    let mut found = Vec::new();
    while let (Some(len), Some(level), Some(kind)) = (
        bytes::usize(buffer, 0),
        bytes::i32(buffer, ALIGN),
        bytes::i32(buffer, ALIGN + 4),
    ) {
        let Some(data) = buffer.get(HEADER..len) else {
            break;
        };
        found.push(one(level, kind, data));
        buffer = buffer.get(aligned(len)..).unwrap_or_default();
    }
    found
}

fn one(level: i32, kind: i32, data: &[u8]) -> Control {
    known(level, kind, data).unwrap_or_else(|| Control::Other {
        level,
        kind,
        data: data.to_vec(),
    })
}

fn known(level: i32, kind: i32, data: &[u8]) -> Option<Control> {
    Some(match (level, kind) {
        (SOL_RDS, RDMA_DEST) => Control::RdmaDest(bytes::u64(data, 0)?),
        (SOL_RDS, RDMA_STATUS) => Control::RdmaStatus {
            token: bytes::u64(data, 0)?,
            outcome: bytes::i32(data, 8)?.into(),
        },
        (SOL_RDS, CONG_UPDATE) => Control::CongestionUpdate(PortMask(bytes::u64(data, 0)?)),
        (SOL_RDS, RXPATH_LATENCY) => Control::RxLatency(rx_latency(data)?),
        (SOL_RDS, ZCOPY_COMPLETION) => {
            let count = (bytes::u32(data, 0)? as usize).min(MAX_ZCOPY_COOKIES);
            let cookies = (0..count).map(|i| bytes::u32(data, 4 + 4 * i));
            Control::ZerocopyCompletion(cookies.collect::<Option<_>>()?)
        }
        (libc::SOL_SOCKET, SO_TIMESTAMP_OLD) => {
            timestamp(bytes::long(data, 0)?, bytes::long(data, ALIGN)?)?
        }
        (libc::SOL_SOCKET, SO_TIMESTAMP_NEW) => {
            timestamp(bytes::i64(data, 0)?, bytes::i64(data, 8)?)?
        }
        _ => return None,
    })
}

fn rx_latency(data: &[u8]) -> Option<RxLatency> {
    let count = usize::from(*data.first()?).min(MAX_TRACES);
    let point = |i| {
        let point = TracePoint::from(*data.get(1 + i)?);
        Some((point, Duration::from_nanos(bytes::u64(data, 8 + 8 * i)?)))
    };
    Some(RxLatency {
        points: (0..count).map(point).collect::<Option<_>>()?,
    })
}

fn timestamp(seconds: i64, micros: i64) -> Option<Control> {
    let seconds = Duration::from_secs(seconds.try_into().ok()?);
    let micros = Duration::from_micros(micros.try_into().ok()?);
    Some(Control::Timestamp(seconds.checked_add(micros)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::tests::Random;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, kind, data);
        out[ALIGN..ALIGN + 4].copy_from_slice(&level.to_ne_bytes());
        out
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    /// One of each kind, with what it means.
    fn samples() -> Vec<(Vec<u8>, Control)> {
        let mut latency = vec![2, 2, 0, 0, 0, 0, 0, 0];
        latency.extend(words(&[7, 1_000_000_007, 0]));
        let points = vec![
            (TracePoint::Delivery, Duration::from_nanos(7)),
            (
                TracePoint::HeaderToStart,
                Duration::from_nanos(1_000_000_007),
            ),
        ];
        let mut cookies = vec![0; 36];
        for (i, word) in [3_u32, 10, 20, 30].iter().enumerate() {
            cookies[4 * i..4 * i + 4].copy_from_slice(&word.to_ne_bytes());
        }
        let time = Duration::new(9, 5000);
        let rds = |kind, data: &[u8]| message(SOL_RDS, kind, data);
        vec![
            (rds(RDMA_DEST, &words(&[0x1234])), Control::RdmaDest(0x1234)),
            (
                rds(RDMA_STATUS, &words(&[77, 3])),
                Control::RdmaStatus {
                    token: 77,
                    outcome: RdmaOutcome::Dropped,
                },
            ),
            (
                rds(CONG_UPDATE, &words(&[1 << 63])),
                Control::CongestionUpdate(PortMask(1 << 63)),
            ),
            (
                rds(RXPATH_LATENCY, &latency),
                Control::RxLatency(RxLatency { points }),
            ),
            (
                rds(ZCOPY_COMPLETION, &cookies),
                Control::ZerocopyCompletion(vec![10, 20, 30]),
            ),
            (
                message(libc::SOL_SOCKET, SO_TIMESTAMP_OLD, &words(&[9, 5])),
                Control::Timestamp(time),
            ),
            (
                message(libc::SOL_SOCKET, SO_TIMESTAMP_NEW, &words(&[9, 5])),
                Control::Timestamp(time),
            ),
            (
                rds(99, b"abc"),
                Control::Other {
                    level: SOL_RDS,
                    kind: 99,
                    data: b"abc".to_vec(),
                },
            ),
        ]
    }

    #[test]
    fn layout_is_that_of_libc() {
        assert_eq!(HEADER, size_of::<libc::cmsghdr>());
        assert_eq!(libc::SO_TIMESTAMP, SO_TIMESTAMP_OLD);
    }

    #[test]
    fn each_kind_alone_and_all_together() {
        let all: Vec<u8> = samples().into_iter().flat_map(|(raw, _)| raw).collect();
        let expected: Vec<_> = samples().into_iter().map(|(_, control)| control).collect();
        assert_eq!(decode(&all), expected);
        for (raw, control) in samples() {
            assert_eq!(decode(&raw), [control]);
        }
    }

    #[test]
    fn encoded_as_decoded() {
        let raw = encode(&[SendControl::RdmaDest(5), SendControl::ZerocopyCookie(6)]);
        assert_eq!(raw.len(), 2 * (HEADER + 8));
        let other = Control::Other {
            level: SOL_RDS,
            kind: ZCOPY_COOKIE,
            data: 6_u32.to_ne_bytes().to_vec(),
        };
        assert_eq!(decode(&raw), [Control::RdmaDest(5), other]);
    }

    #[test]
    fn short_data_is_not_guessed_at() {
        for (raw, control) in samples() {
            if matches!(control, Control::Other { .. }) {
                continue;
            }
            let full = bytes::usize(&raw, 0).unwrap();
            for len in HEADER..HEADER + 4 {
                let mut cut = raw[..len].to_vec();
                cut[..ALIGN].copy_from_slice(&len.to_ne_bytes());
                assert!(full > len);
                assert!(
                    matches!(decode(&cut)[..], [Control::Other { .. }]),
                    "{control:?}"
                );
            }
        }
    }

    #[test]
    fn any_prefix_gives_a_prefix() {
        let all: Vec<u8> = samples().into_iter().flat_map(|(raw, _)| raw).collect();
        let expected = decode(&all);
        for len in 0..all.len() {
            let got = decode(&all[..len]);
            assert_eq!(got[..], expected[..got.len()], "cut to {len}");
        }
    }

    #[test]
    fn whatever_bytes_come() {
        let all: Vec<u8> = samples().into_iter().flat_map(|(raw, _)| raw).collect();
        let mut random = Random::new(1);
        for _ in 0..20_000 {
            let mut raw = all.clone();
            for _ in 0..=random.below(8) {
                let at = random.below(raw.len());
                raw[at] = random.next() as u8;
            }
            raw.truncate(random.below(raw.len() + 1));
            let got = decode(&raw);
            // Each takes a header at least: never more than fit, never without end.
            assert!(got.len() <= raw.len() / HEADER);
        }
        for huge in [usize::MAX, usize::MAX - 7, 0, 1, HEADER - 1] {
            let mut raw = all.clone();
            raw[..ALIGN].copy_from_slice(&huge.to_ne_bytes());
            assert_eq!(decode(&raw), []);
        }
    }

    #[test]
    fn masks() {
        assert!(PortMask::of(4000).may_contain(4000 + 64));
        assert!(!PortMask::of(4000).may_contain(4001));
    }
}
