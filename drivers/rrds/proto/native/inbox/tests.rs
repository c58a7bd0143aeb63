// SPDX-License-Identifier: GPL-2.0

use super::*;
use std::vec::Vec;

/// Keeps what is handed up; memory fails when it is told to.
#[derive(Default)]
struct Up {
    got: Vec<(u16, Vec<u8>)>,
    broke: bool,
}

struct Stored(Vec<u8>, Vec<u64>);

impl Upper for Up {
    type Stored = Stored;
    type Slots = Vec<Option<Slot<Stored>>>;
    type Bits = Vec<u64>;

    fn deliver(&mut self, info: &Info, data: &[u8]) -> bool {
        if !self.broke {
            self.got.push((info.sport, data.to_vec()));
        }
        !self.broke
    }

    fn store(&mut self, info: &Info) -> Option<Stored> {
        let len = info.len as usize;
        (!self.broke).then(|| Stored(std::vec![0; len], std::vec![0; unit_words(info.len)]))
    }

    fn put(&mut self, stored: &mut Stored, offset: u32, data: &[u8]) {
        stored.0[offset as usize..][..data.len()].copy_from_slice(data);
    }

    fn words<'a>(&self, stored: &'a mut Stored) -> &'a mut [u64] {
        &mut stored.1
    }

    fn deliver_stored(&mut self, info: &Info, stored: Stored) {
        self.got.push((info.sport, stored.0));
    }

    fn map(&mut self, _update: &MapUpdate<'_>, _clear: u16) {}

    fn slots(&mut self, count: usize) -> Option<Self::Slots> {
        (!self.broke).then(|| (0..count).map(|_| None).collect())
    }

    fn bits(&mut self, count: usize) -> Option<Vec<u64>> {
        (!self.broke).then(|| std::vec![0; count])
    }
}

const LIMITS: Limits = Limits {
    window: 100,
    quota: 100_000,
};

/// A message of one byte, which is its number.
fn message(inbox: &mut Inbox<Up>, up: &mut Up, id: u32, prev: u32) -> Result<(), Refusal> {
    let message = Message {
        id,
        prev,
        sport: id as u16,
        ..Message::default()
    };
    inbox.message(&LIMITS, up, &message, &[id as u8])
}

fn piece(
    inbox: &mut Inbox<Up>,
    up: &mut Up,
    id: u32,
    total: u32,
    offset: u32,
    data: &[u8],
) -> Result<(), Refusal> {
    let message = Message {
        id,
        ..Message::default()
    };
    let part = Part {
        message,
        total,
        offset,
    };
    inbox.part(&LIMITS, up, &part, data)
}

fn gone(inbox: &mut Inbox<Up>, up: &mut Up, id: u32, prev: u32, len: u32) -> Result<(), Refusal> {
    inbox.gone(&LIMITS, up, &GoneEntry { id, prev, len })
}

fn ports(up: &Up) -> Vec<u16> {
    up.got.iter().map(|(sport, _)| *sport).collect()
}

#[test]
fn in_order_nothing_is_kept() {
    let (mut inbox, mut up) = (Inbox::default(), Up::default());
    for id in 0..1000 {
        message(&mut inbox, &mut up, id, u32::from(id > 0)).unwrap();
    }
    assert_eq!(inbox.base(), 1000);
    assert!(inbox.bits.is_none() && inbox.slots.is_none());
    assert_eq!(ports(&up), (0..1000).collect::<Vec<_>>());
    assert_eq!(inbox.quota(&LIMITS), 100_000 + 1000 * charge(1));
    assert_eq!(message(&mut inbox, &mut up, 999, 0), Ok(()));
    assert_eq!(up.got.len(), 1000, "a duplicate");
}

#[test]
fn a_message_waits_for_its_predecessor_only() {
    let (mut inbox, mut up) = (Inbox::default(), Up::default());
    // 4 after 2 after 0; 3 after 1; 5 after nothing; 6 and 7 after 2, too.
    for (id, prev) in [(4, 2), (6, 4), (3, 2), (7, 5), (5, 0), (2, 2)] {
        message(&mut inbox, &mut up, id, prev).unwrap();
    }
    assert_eq!(ports(&up), [5]);
    message(&mut inbox, &mut up, 2, 2).unwrap();
    message(&mut inbox, &mut up, 1, 0).unwrap();
    assert_eq!(ports(&up), [5, 1, 3]);
    assert_eq!(inbox.base(), 0);
    message(&mut inbox, &mut up, 0, 0).unwrap();
    let mut got = ports(&up);
    assert_eq!(got[..5], [5, 1, 3, 0, 2]);
    got[5..].sort_unstable();
    assert_eq!(got[5..], [4, 6, 7]);
    assert_eq!((inbox.base(), inbox.stored(), inbox.above), (8, 0, 0));
    assert_eq!(inbox.charged, inbox.released());
    inbox.trim();
    assert!(inbox.bits.is_none() && inbox.slots.is_none());
}

#[test]
fn pieces_come_in_any_order_and_overlap() {
    let data: Vec<u8> = (0..300_u32).map(|i| i as u8).collect();
    let (mut inbox, mut up) = (Inbox::default(), Up::default());
    for (from, to) in [(128, 256), (64, 192), (256, 300), (128, 256)] {
        piece(&mut inbox, &mut up, 0, 300, from, &data[from as usize..to]).unwrap();
        assert!(up.got.is_empty());
    }
    piece(&mut inbox, &mut up, 0, 300, 0, &data[..64]).unwrap();
    assert_eq!(up.got, [(0, data.clone())]);
    piece(&mut inbox, &mut up, 0, 300, 0, &data[..64]).unwrap();
    assert_eq!((up.got.len(), inbox.base()), (1, 1));
}

#[test]
fn pieces_must_agree() {
    let data = [0; 64];
    let (mut inbox, mut up) = (Inbox::default(), Up::default());
    piece(&mut inbox, &mut up, 0, 300, 0, &data).unwrap();
    let other = piece(&mut inbox, &mut up, 0, 301, 64, &data);
    assert_eq!(other, Err(Refusal::Violation));
    for message in [
        Message {
            sport: 1,
            ..Message::default()
        },
        Message {
            dport: 1,
            ..Message::default()
        },
        Message {
            ext: Some([1; 16]),
            ..Message::default()
        },
    ] {
        let part = Part {
            message,
            total: 300,
            offset: 0,
        };
        assert_eq!(
            inbox.part(&LIMITS, &mut up, &part, &data),
            Err(Refusal::Violation)
        );
    }
    assert_eq!(
        gone(&mut inbox, &mut up, 0, 0, 299),
        Err(Refusal::Violation)
    );
}

#[test]
fn a_cancelled_message_keeps_its_place() {
    let (mut inbox, mut up) = (Inbox::default(), Up::default());
    // 2 after 1 after 0; 1 is cancelled, when a piece of it has come.
    message(&mut inbox, &mut up, 2, 1).unwrap();
    let part = Part {
        message: Message {
            id: 1,
            prev: 1,
            ..Message::default()
        },
        total: 100,
        offset: 0,
    };
    inbox.part(&LIMITS, &mut up, &part, &[0; 64]).unwrap();
    gone(&mut inbox, &mut up, 1, 1, 100).unwrap();
    gone(&mut inbox, &mut up, 1, 1, 100).unwrap();
    assert!(up.got.is_empty(), "0 has not come");
    message(&mut inbox, &mut up, 0, 0).unwrap();
    assert_eq!((ports(&up), inbox.base()), ([0, 2].to_vec(), 3));
    assert_eq!(inbox.charged, inbox.released());
    // One that never came, and one that was received in full.
    gone(&mut inbox, &mut up, 4, 1, 9).unwrap();
    gone(&mut inbox, &mut up, 3, 0, 9).unwrap();
    gone(&mut inbox, &mut up, 0, 0, 1).unwrap();
    assert_eq!((inbox.base(), inbox.stored()), (5, 0));
}

#[test]
fn what_is_beyond_the_window_or_the_quota_breaks_a_rule() {
    let (mut inbox, mut up) = (Inbox::default(), Up::default());
    assert_eq!(
        message(&mut inbox, &mut up, 100, 0),
        Err(Refusal::Violation)
    );
    assert_eq!(message(&mut inbox, &mut up, 99, 0), Ok(()));
    assert_eq!(
        message(&mut inbox, &mut up, 5, 6),
        Err(Refusal::Violation),
        "a predecessor below 0"
    );
    let data = [0; 64];
    assert!(piece(&mut inbox, &mut up, 0, 90_000, 0, &data).is_ok());
    assert_eq!(
        piece(&mut inbox, &mut up, 1, 10_000, 0, &data),
        Err(Refusal::Violation)
    );
    assert_eq!(
        gone(&mut inbox, &mut up, 1, 0, 10_000),
        Err(Refusal::Violation)
    );
    assert!(piece(&mut inbox, &mut up, 2, 9_000, 0, &data).is_ok());
}

#[test]
fn without_memory_nothing_happens() {
    let (mut inbox, mut up) = (Inbox::default(), Up::default());
    up.broke = true;
    let refused = Err(Refusal::Memory);
    for _ in 0..2 {
        assert_eq!(message(&mut inbox, &mut up, 0, 0), refused);
        assert_eq!(message(&mut inbox, &mut up, 1, 1), refused);
        assert_eq!(message(&mut inbox, &mut up, 2, 0), refused);
        assert_eq!(piece(&mut inbox, &mut up, 3, 100, 0, &[0; 64]), refused);
        assert_eq!(gone(&mut inbox, &mut up, 4, 0, 9), refused);
    }
    assert_eq!((inbox.charged, inbox.base(), inbox.stored()), (0, 0, 0));
    up.broke = false;
    for (id, prev) in [(1, 1), (2, 0), (0, 0)] {
        message(&mut inbox, &mut up, id, prev).unwrap();
    }
    assert_eq!(ports(&up), [2, 0, 1]);
}

#[test]
fn another_life_starts_where_it_says() {
    let (mut inbox, mut up) = (Inbox::default(), Up::default());
    message(&mut inbox, &mut up, 1, 1).unwrap();
    inbox.restart(u64::from(u32::MAX));
    assert_eq!(inbox.stored(), 0);
    // Numbers go on beyond 32 bits.
    message(&mut inbox, &mut up, 0, 1).unwrap();
    message(&mut inbox, &mut up, u32::MAX, 0).unwrap();
    assert_eq!(inbox.base(), (1 << 32) + 1);
    assert_eq!(ports(&up), [0xffff, 0]);
}

#[test]
fn ranges_of_bits() {
    for (first, end) in [
        (0, 0),
        (0, 1),
        (3, 64),
        (0, 64),
        (63, 65),
        (10, 200),
        (64, 128),
    ] {
        let mut words = [0_u64; 4];
        words[1] = 0b1010;
        let before = |at: u32| at == 65 || at == 67;
        let new = slot::set_range(&mut words, first, end);
        assert_eq!(new, (first..end).filter(|at| !before(*at)).count() as u32);
        for at in 0..256 {
            let set = (words[at as usize / 64] >> (at % 64)) & 1 != 0;
            assert_eq!(set, before(at) || (first..end).contains(&at), "{at}");
        }
    }
    assert_eq!(
        (unit_words(0), unit_words(4096), unit_words(4097)),
        (0, 1, 2)
    );
}
