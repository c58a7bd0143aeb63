// SPDX-License-Identifier: GPL-2.0

//! Parsers.

use crate::bytes::Choices;
use rds_proto::cong::{Map, RemoteMap};
use rds_proto::wire::{
    checksum, Addr, Extension, ExtensionWriter, Extensions, Family, Flags, Header, PrivateData,
    RejectDatum, Version,
};

/// Parses a header as it is, and once more with a right checksum.
pub fn header(input: &[u8]) {
    one_header(input);
    if let Some(bytes) = input.first_chunk::<48>() {
        let mut bytes = *bytes;
        let sum = checksum(&bytes);
        bytes[30..32].copy_from_slice(&sum);
        assert!(Header::parse(&bytes).is_ok(), "a right checksum");
        one_header(&bytes);
    }
}

fn one_header(input: &[u8]) {
    let Ok(header) = Header::parse(input) else {
        return;
    };
    let again = header.emit();
    assert_eq!(Header::parse(&again), Ok(header));
    // Without padding and with a checksum, the bytes are the same. (Ones-complement zero has two forms.)
    if input[26..30] == [0; 4] && ![[0; 2], [0xff; 2]].contains(&[input[30], input[31]]) {
        assert_eq!(again, input[..48]);
    }
    assert_eq!(header.flags, Flags::from_bits(input[24]));
    assert_eq!(header.is_ack_only(0), input[20..24] == [0; 4]);
    assert!(Extensions::new(&header.ext).count() <= 16);
}

/// Parses an extension space, writes what was read and reads it again.
pub fn extensions(input: &[u8]) {
    let mut space = [0; 16];
    for (to, from) in space.iter_mut().zip(input) {
        *to = *from;
    }
    let read: Vec<Extension> = Extensions::new(&space).collect();
    assert!(read.len() <= 16);
    let mut writer = ExtensionWriter::new();
    for extension in &read {
        assert!(writer.push(*extension), "it was there, so it fits");
    }
    let again: Vec<Extension> = Extensions::new(&writer.finish()).collect();
    assert_eq!(again, read);
}

/// Parses private data of either family.
pub fn private_data(input: &[u8]) {
    let mut choices = Choices::new(input);
    let family = match choices.byte() % 2 {
        0 => Family::V4,
        _ => Family::V6,
    };
    let input = input.get(1..).unwrap_or(&[]);
    let _ = RejectDatum::parse(input).map(|datum| {
        let sent = RejectDatum::from_errno(datum).emit();
        assert!(RejectDatum::parse(&sent).is_some_and(|d| d <= 1));
    });
    let Ok(data) = PrivateData::parse(input, family) else {
        assert!(input.len() < 56);
        return;
    };
    let families = [data.saddr, data.daddr].map(Addr::family);
    if families == [family; 2] {
        let bytes = data.emit();
        assert_eq!(PrivateData::parse(bytes.as_slice(), family), Ok(data));
    }
    match data.negotiate() {
        Some(chosen) => {
            assert!([Version::V3_1, Version::V4_0, Version::V4_1].contains(&chosen));
        }
        None => assert!(data.is_present()),
    }
    assert!(data.matches(data.saddr, data.daddr));
}

/// Applies pieces of a congestion map, and compares with a map made bit by bit.
pub fn cong_map(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut map = Map::new(Box::new([0; 8192]));
    let mut remote = RemoteMap::default();
    let mut model = vec![0_u8; 8192];
    let mut rounds = 0;
    while !choices.is_empty() && rounds < 40 {
        rounds += 1;
        let port = choices.word();
        let (byte, bit) = (usize::from(port) / 8, 1 << (port % 8));
        if choices.byte() % 2 == 0 {
            let set = choices.byte() % 2 == 0;
            assert_eq!(map.set(port, set), (model[byte] & bit != 0) != set);
            model[byte] = if set {
                model[byte] | bit
            } else {
                model[byte] & !bit
            };
        } else {
            // A piece of up to 63 words anywhere, even beyond the end.
            let offset = byte / 8 * 8 + usize::from(choices.byte() % 2) * 8;
            let words = usize::from(choices.byte() % 64);
            let piece: Vec<u8> = (0..words * 8)
                .map(|i| if i % 8 == 0 { choices.byte() } else { 0 })
                .collect();
            let mut freed = 0;
            for (i, new) in piece.iter().enumerate() {
                let Some(old) = model.get_mut(offset + i) else {
                    continue;
                };
                for bit in 0..8 {
                    if *old & !*new & (1 << bit) != 0 {
                        freed |= 1_u64 << (((offset + i) * 8 + bit) % 64);
                    }
                }
                *old = *new;
            }
            assert_eq!(map.overwrite(offset, &piece), freed);
        }
        assert_eq!(map.is_congested(port), model[byte] & bit != 0);
    }
    assert_eq!(map.as_bytes()[..], model);
    let bits: u32 = model.iter().map(|b| b.count_ones()).sum();
    assert_eq!(map.congested(), bits);
    for half in [0, 4096] {
        let piece = &model[half..half + 4096];
        if remote.apply(half as u32, piece).is_err() {
            assert!(piece.iter().any(|b| *b != 0));
            remote.provide(Box::new([0; 8192]));
            assert_eq!(remote.apply(half as u32, piece), Ok(0));
        }
    }
    for port in (0..=u16::MAX).step_by(61) {
        assert_eq!(remote.is_congested(port), map.is_congested(port));
    }
}
