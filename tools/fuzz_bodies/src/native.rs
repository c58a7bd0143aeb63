// SPDX-License-Identifier: GPL-2.0

//! Packets of the native protocol, and the private data of its lanes.

use crate::bytes::Choices;
use rds_proto::native::wire::{
    frame_header, EndpointData, Frame, FrameType, Frames, LaneAddresses, LaneData, MapUpdate,
    PacketHeader, Writer,
};
use rds_proto::wire::{Addr, Family};

/// Reads the frames of a packet, writes each that was read and reads it again.
pub fn native_packet(input: &[u8]) {
    let Ok((header, frames)) = PacketHeader::parse(input) else {
        assert!(input.len() < 16 || input[4] != 0x10);
        return;
    };
    assert_eq!(header.emit()[..], input[..16]);
    let mut rest = frames;
    for frame in Frames::new(frames) {
        let Ok(frame) = frame else {
            return;
        };
        let len = 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let (bytes, next) = rest.split_at(len);
        rest = next;
        let mut room = [0; 70_000];
        let mut w = Writer::new(&mut room);
        if emit(&frame, &mut w) {
            let again: Vec<_> = Frames::new(w.written()).collect();
            if let Frame::Gone(gone) = &frame {
                // A list is written as one frame for each entry.
                let entries = again.iter().flat_map(|frame| match frame {
                    Ok(Frame::Gone(one)) => one.entries(),
                    other => panic!("{other:?}"),
                });
                assert!(entries.eq(gone.entries()));
            } else {
                assert_eq!(again.len(), 1);
                assert_eq!(means(&again[0].expect("just written")), means(&frame));
            }
        } else {
            assert!(matches!(frame, Frame::Skipped(n) if n == bytes[0]));
        }
    }
    assert!(rest.is_empty(), "all was read");
}

/// Writes a frame that was read; returns `false` for one that was skipped.
fn emit(frame: &Frame<'_>, w: &mut Writer<'_>) -> bool {
    match frame {
        Frame::Message(message, data) => {
            let head = message.emit(data.len() as u32).expect("it came like this");
            w.put(&head) && w.put(message.ext.as_ref().map_or(&[], |e| e)) && w.put(data)
        }
        Frame::Part(part, data) => {
            let head = part.emit(data.len() as u32).expect("it came like this");
            w.put(&head) && w.put(part.message.ext.as_ref().map_or(&[], |e| e)) && w.put(data)
        }
        Frame::Gone(gone) => gone.entries().all(|entry| entry.emit(w)),
        Frame::Ack(ack) => {
            // Whatever is said of the packets, it is said of those up to the largest.
            assert!(ack.covers(ack.largest));
            assert!(ack.largest == u64::MAX || !ack.covers(ack.largest + 1));
            ack.emit(w)
        }
        Frame::Map(MapUpdate::Ports { serial, ports }) => {
            let ports: Vec<_> = ports.entries().collect();
            MapUpdate::emit_ports(*serial, &ports, w)
        }
        Frame::Map(MapUpdate::Blocks {
            serial,
            mask,
            rest_clear,
            blocks,
        }) => {
            let mut map = [0; 8192];
            let mut from = blocks.chunks(512);
            for (n, to) in map.chunks_mut(512).enumerate() {
                if mask & (1 << n) != 0 {
                    to.copy_from_slice(from.next().expect("one for each bit"));
                }
            }
            MapUpdate::emit_blocks(*serial, *mask, *rest_clear, &map, w)
        }
        Frame::Lanes(lanes) => {
            LaneAddresses::emit(lanes.serial, &lanes.entries().collect::<Vec<_>>(), w)
        }
        Frame::Ping => w.put(&frame_header(FrameType::Ping, 0, 0)),
        Frame::Reset(reset) => reset.emit(w),
        Frame::Bye(bye) => bye.emit(w),
        Frame::Hello(hello) => hello.emit(w),
        Frame::Skipped(_) => false,
    }
}

/// A frame without what the receiver ignores in its lists.
fn means(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Map(MapUpdate::Ports { serial, ports }) => {
            format!("{serial} {:?}", ports.entries().collect::<Vec<_>>())
        }
        Frame::Lanes(lanes) => format!("{:?}", lanes.entries().collect::<Vec<_>>()),
        frame => format!("{frame:?}"),
    }
}

/// Parses private data of both kinds of lanes.
pub fn native_private(input: &[u8]) {
    let mut choices = Choices::new(input);
    let family = match choices.byte() % 2 {
        0 => Family::V4,
        _ => Family::V6,
    };
    let input = input.get(1..).unwrap_or(&[]);
    if let Some(data) = LaneData::parse(input, family) {
        if [data.saddr, data.daddr].map(Addr::family) == [family; 2] {
            let bytes = data.emit();
            assert_eq!(LaneData::parse(bytes.as_slice(), family), Some(data));
        }
    }
    if let Ok(data) = EndpointData::parse(input) {
        let mut room = [0; 136];
        let mut w = Writer::new(&mut room);
        assert!(data.emit(&mut w), "a reply has room for all of it");
        assert_eq!(EndpointData::parse(w.written()), Ok(data));
    }
}
