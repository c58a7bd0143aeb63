// SPDX-License-Identifier: GPL-2.0

//! What is kept for how long, with a kernel that only notes what it is told.

use super::socket::Calls;
use super::*;
use crate::bytes;
use crate::cmsg::{Control, RdmaOutcome};
use crate::{Received, RecvFlags, SendFlags};
use rds_proto::uapi::cmsg::*;
use rds_proto::uapi::option::{FREE_MR, GET_MR, GET_MR_FOR_DEST};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

const PEER: &str = "10.0.0.2:4000";

fn peer() -> SocketAddr {
    PEER.parse().unwrap()
}

/// What the calls were, and what they give.
#[derive(Default)]
struct Notes {
    /// Type of each control message that was sent, and what it carries.
    sent: Vec<(i32, Vec<u8>)>,
    options: Vec<(i32, Vec<u8>)>,
    /// The error of the next call.
    fails: Option<i32>,
    /// What is received next.
    control: Vec<Control>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Notes>>);

impl Fake {
    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.0.lock().unwrap()
    }

    fn fail(&self, errno: i32) {
        self.notes().fails = Some(errno);
    }

    fn result(&self) -> io::Result<()> {
        let failed = self.notes().fails.take();
        failed.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }
}

impl Calls for Fake {
    fn send(
        &self,
        data: &[IoSlice<'_>],
        to: Option<SocketAddr>,
        control: &[u8],
        _: SendFlags,
    ) -> io::Result<usize> {
        assert_eq!(to, Some(peer()));
        for control in crate::cmsg::decode(control) {
            let Control::Other { level, kind, data } = control else {
                panic!("{control:?}");
            };
            assert_eq!(level, rds_proto::uapi::SOL_RDS);
            self.notes().sent.push((kind, data));
        }
        self.result()?;
        Ok(data.iter().map(|piece| piece.len()).sum())
    }

    fn set_option(&self, name: i32, value: &[u8]) -> io::Result<()> {
        self.notes().options.push((name, value.to_vec()));
        self.result()
    }

    fn receive(&self, _: &mut [IoSliceMut<'_>], _: RecvFlags) -> io::Result<Received> {
        Ok(Received {
            len: 0,
            from: None,
            control: std::mem::take(&mut self.notes().control),
            truncated: false,
            control_truncated: false,
        })
    }
}

fn both() -> (Fake, RdmaSocket<Fake>) {
    let fake = Fake::default();
    (fake.clone(), RdmaSocket::new(fake))
}

fn remote() -> Remote {
    Remote {
        cookie: Cookie::of(0x11, 0x22),
        offset: 0x33,
    }
}

/// How many hold the memory beside the one asked about.
fn holders(memory: &Memory) -> usize {
    memory.holders() - 1
}

fn status(fake: &Fake, socket: &RdmaSocket<Fake>, token: Token) {
    fake.notes().control.push(Control::RdmaStatus {
        token,
        outcome: RdmaOutcome::Dropped,
    });
    socket.recv_from(&mut []).unwrap();
}

fn word(data: &[u8], i: usize) -> u64 {
    bytes::u64(data, 8 * i).unwrap()
}

#[test]
fn cookies() {
    let cookie = Cookie::of(0x8000_0001, 0xfff);
    assert_eq!(cookie.0, 0x0000_0fff_8000_0001);
    assert_eq!((cookie.key(), cookie.offset()), (0x8000_0001, 0xfff));
}

#[test]
fn pieces() {
    let memory = Memory::new(100).unwrap();
    let piece = memory.piece(10..30).unwrap();
    assert_eq!((piece.len(), piece.range()), (20, 10..30));
    assert_eq!(piece.addr(), memory.all().addr() + 10);
    assert!(memory.piece(100..100).unwrap().is_empty());
    #[allow(clippy::reversed_empty_ranges)]
    for bad in [0..101, 101..101, 30..10, 0..usize::MAX] {
        assert!(memory.piece(bad.clone()).is_err(), "{bad:?}");
        assert!(memory.to_vec(bad.clone()).is_err(), "{bad:?}");
    }
    // Not even within the page.
    assert!(memory.write(99, &[0; 2]).is_err());
    assert!(memory.read(usize::MAX, &mut [0; 2]).is_err());
    memory.write(92, &7_u64.to_ne_bytes()).unwrap();
    assert_eq!(memory.number(92).unwrap(), 7);
    assert!(memory.number(93).is_err());
    assert!(Memory::new(0).is_err());
}

#[test]
fn operations_as_sent() {
    let (fake, socket) = both();
    let memory = Memory::new(4096).unwrap();
    let pieces = vec![memory.piece(0..10).unwrap(), memory.piece(20..25).unwrap()];
    let write = Operation::write(remote(), pieces.clone()).with(OperationFlags::SILENT);
    let token = socket
        .operate(&[], Some(peer()), &write, SendFlags::NONE)
        .unwrap();
    let read = Operation::read(remote(), pieces)
        .with(OperationFlags::FENCE)
        .notify()
        .remote_bytes(99);
    socket
        .operate(&[], Some(peer()), &read, SendFlags::NONE)
        .unwrap();
    let notes = fake.notes();
    let [(first, write), (second, read)] = &notes.sent[..] else {
        panic!("{:?}", notes.sent);
    };
    assert_eq!((*first, *second), (RDMA_ARGS, RDMA_ARGS));
    assert_eq!(word(write, 0), 0x22_0000_0011);
    assert_eq!((word(write, 1), word(write, 2)), (0x33, 15));
    assert_eq!((word(write, 4), word(write, 5)), (2, 0x41));
    assert_eq!(word(write, 6), token);
    assert_eq!((word(read, 2), word(read, 5)), (99, 0x22));
    assert_ne!(word(read, 6), token);
}

#[test]
fn atomics_as_sent() {
    let (fake, socket) = both();
    let memory = Memory::new(16).unwrap();
    let old = memory.piece(8..16).unwrap();
    for (atomic, kind, operands) in [
        (Atomic::Add(1), ATOMIC_FADD, [1, 0, 0, 0]),
        (
            Atomic::Swap {
                compare: 1,
                swap: 2,
            },
            ATOMIC_CSWP,
            [1, 2, 0, 0],
        ),
        (
            Atomic::MaskedAdd {
                add: 1,
                boundaries: 2,
            },
            MASKED_ATOMIC_FADD,
            [1, 2, 0, 0],
        ),
        (
            Atomic::MaskedSwap {
                compare: 1,
                swap: 2,
                compare_mask: 3,
                swap_mask: 4,
            },
            MASKED_ATOMIC_CSWP,
            [1, 2, 3, 4],
        ),
    ] {
        let operation = Operation::atomic(atomic, remote(), old.clone()).notify();
        socket
            .operate(&[], Some(peer()), &operation, SendFlags::NONE)
            .unwrap();
        let (got, data) = fake.notes().sent.pop().unwrap();
        assert_eq!(got, kind);
        assert_eq!((word(&data, 1), word(&data, 2)), (old.addr(), 0x33));
        for (i, operand) in operands.into_iter().enumerate() {
            assert_eq!(word(&data, 3 + i), operand);
        }
        assert_eq!(word(&data, 7), 0x20);
    }
    let short = Operation::atomic(Atomic::Add(1), remote(), memory.piece(9..16).unwrap());
    let failed = socket.operate(&[], Some(peer()), &short, SendFlags::NONE);
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(fake.notes().sent.len(), 0);
}

#[test]
fn what_atomics_do() {
    let add = |old: u64, add, boundaries| Atomic::MaskedAdd { add, boundaries }.apply(old);
    assert_eq!(Atomic::Add(2).apply(u64::MAX), 1);
    assert_eq!(add(u64::MAX, 2, 0), 1);
    assert_eq!(add(0xff, 1, 0x80), 0);
    assert_eq!(add(0x00ff, 0x0101, 0x8080), 0x0100);
    assert_eq!(
        add(u64::MAX, 1, (1 << 63) | (1 << 31)),
        0xffff_ffff_0000_0000
    );
    let swap = |old| {
        Atomic::MaskedSwap {
            compare: 0x12,
            swap: 0xabcd,
            compare_mask: 0xff,
            swap_mask: 0xff00,
        }
        .apply(old)
    };
    assert_eq!((swap(0x9912), swap(0x9913)), (0xab12, 0x9913));
}

#[test]
fn an_operation_keeps_its_memory_until_its_status_comes() {
    let (fake, socket) = both();
    let memory = Memory::new(1).unwrap();
    let operation = Operation::read(remote(), vec![memory.all()]).notify();
    let send = || {
        socket
            .operate(&[], Some(peer()), &operation, SendFlags::NONE)
            .unwrap()
    };
    let (first, second) = (send(), send());
    drop(operation.clone());
    assert_eq!((socket.pending(), holders(&memory)), (2, 3));
    status(&fake, &socket, 12345);
    assert_eq!(socket.pending(), 2);
    status(&fake, &socket, second);
    assert_eq!((socket.pending(), holders(&memory)), (1, 2));
    status(&fake, &socket, second);
    assert_eq!(socket.pending(), 1);
    status(&fake, &socket, first);
    assert_eq!((socket.pending(), holders(&memory)), (0, 1));
    drop(operation);
    assert_eq!(holders(&memory), 0);
}

#[test]
fn what_was_not_sent_is_not_kept() {
    let (fake, socket) = both();
    let memory = Memory::new(1).unwrap();
    let operation = Operation::write(remote(), vec![memory.all()]).notify();
    let send = || socket.operate(&[], Some(peer()), &operation, SendFlags::NONE);
    fake.fail(libc::EAGAIN);
    assert!(send().is_err());
    assert_eq!(socket.pending(), 0);
    fake.fail(libc::ENETUNREACH);
    assert!(send().is_err());
    assert_eq!(socket.pending(), 1);
    let many = Operation::write(remote(), vec![memory.all(); MAX_PIECES + 1]).notify();
    let failed = socket.operate(&[], Some(peer()), &many, SendFlags::NONE);
    assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(socket.pending(), 1);
}

#[test]
fn memory_outlives_the_socket_where_nobody_says_it_is_done() {
    for notify in [false, true] {
        let (_, socket) = both();
        let memory = Memory::new(1).unwrap();
        let operation = Operation::read(remote(), vec![memory.all()]);
        let operation = if notify {
            operation.notify()
        } else {
            operation
        };
        for _ in 0..2 {
            socket
                .operate(&[], Some(peer()), &operation, SendFlags::NONE)
                .unwrap();
        }
        drop(operation);
        drop(socket);
        // For those without notice it is kept once.
        assert_eq!(holders(&memory), if notify { 2 } else { 1 });
    }
}

#[test]
fn a_region_is_given_up_before_its_memory() {
    let (fake, socket) = both();
    let memory = Memory::new(8192).unwrap();
    let flags = RegionFlags::WRITABLE | RegionFlags::USE_ONCE;
    let region = socket
        .register(memory.piece(1..5000).unwrap(), flags)
        .unwrap();
    {
        let notes = fake.notes();
        let (name, args) = &notes.options[0];
        assert_eq!(*name, GET_MR);
        assert_eq!(
            (word(args, 0), word(args, 1)),
            (memory.all().addr() + 1, 4999)
        );
        assert_eq!(word(args, 3), 9);
    }
    assert_eq!(holders(&memory), 1);
    drop(socket);
    drop(region);
    let notes = fake.notes();
    assert_eq!(notes.options.len(), 2);
    let (name, args) = &notes.options[1];
    assert_eq!((*name, word(args, 1)), (FREE_MR, 4));
    assert_eq!(holders(&memory), 0);
}

#[test]
fn regions_for_one_peer_and_with_a_message() {
    let (fake, socket) = both();
    let memory = Memory::new(10).unwrap();
    let region = socket
        .register_for(peer(), memory.all(), RegionFlags::NONE)
        .unwrap();
    let (name, args) = fake.notes().options.pop().unwrap();
    assert_eq!((name, args.len()), (GET_MR_FOR_DEST, 160));
    assert_eq!(args[..8], [2, 0, 0x0f, 0xa0, 10, 0, 0, 2]);
    drop(region);
    let region = socket
        .send_map(
            &[IoSlice::new(b"here")],
            peer(),
            memory.all(),
            RegionFlags::INVALIDATE,
            SendFlags::NONE,
        )
        .unwrap();
    let (kind, args) = fake.notes().sent.pop().unwrap();
    assert_eq!((kind, args.len(), word(&args, 3)), (RDMA_MAP, 32, 4));
    drop(region);
    fake.fail(libc::EAGAIN);
    assert!(socket.register(memory.all(), RegionFlags::NONE).is_err());
    assert_eq!(holders(&memory), 0);
}

#[test]
fn forgotten_handles_leak() {
    let (_, socket) = both();
    let memory = Memory::new(1).unwrap();
    let region = socket.register(memory.all(), RegionFlags::NONE).unwrap();
    std::mem::forget(region);
    let operation = Operation::read(remote(), vec![memory.all()]).notify();
    socket
        .operate(&[], Some(peer()), &operation, SendFlags::NONE)
        .unwrap();
    std::mem::forget((operation, socket.clone()));
    drop(socket);
    assert_eq!(holders(&memory), 3);
}

#[test]
fn memory_stays_if_a_region_does() {
    let (fake, socket) = both();
    let memory = Memory::new(1).unwrap();
    let register = |flags| socket.register(memory.all(), flags).unwrap();
    // Used up, and the device told to forget it.
    let region = register(RegionFlags::USE_ONCE | RegionFlags::INVALIDATE);
    fake.fail(libc::EINVAL);
    let failed = region.free(true).unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(libc::EINVAL));
    assert_eq!(holders(&memory), 0);
    // Used up, and forgotten with the flush that follows.
    let region = register(RegionFlags::USE_ONCE);
    fake.fail(libc::EINVAL);
    drop(region);
    let (name, args) = fake.notes().options.pop().unwrap();
    assert_eq!((name, word(&args, 0)), (FREE_MR, 0));
    assert_eq!(holders(&memory), 0);
    // Given up, but not forgotten before a flush that works.
    register(RegionFlags::NONE).free(false).unwrap();
    assert_eq!(holders(&memory), 1);
    fake.fail(libc::EINTR);
    assert!(socket.flush_regions().is_err());
    assert_eq!(holders(&memory), 1);
    socket.flush_regions().unwrap();
    assert_eq!(holders(&memory), 0);
    // Nobody knows.
    let region = register(RegionFlags::NONE);
    fake.fail(libc::EBADF);
    drop(region);
    drop(socket);
    assert_eq!(holders(&memory), 1);
}
