// SPDX-License-Identifier: GPL-2.0

//! Runs the fuzz targets without a fuzzer: over the corpus, and over mutations of it and noise.
//!
//! `rds-fuzz [--corpus FOLDER] [--seconds N] [--seed N] [--write-corpus] [TARGET ...]`

use rds_fuzz::{Random, Target, TARGETS};
use rds_proto::native::wire::{
    Ack, Bye, Ecn, EndpointData, GidList, GoneEntry, Hello, Holes, LaneAddress, LaneAddresses,
    LaneData, LaneKind, MapUpdate, Message, PacketHeader, Part, QpnList, Reset, Writer,
};
use rds_proto::wire::{Addr, Extension, ExtensionWriter, Flags, Header, PrivateData, Version};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

struct Options {
    corpus: PathBuf,
    seconds: u64,
    seed: u64,
    write: bool,
    names: Vec<String>,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut o = Options {
        corpus: Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus"),
        seconds: 10,
        seed: 1,
        write: false,
        names: Vec::new(),
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
        match arg.as_str() {
            "--corpus" => o.corpus = value()?.into(),
            "--seconds" => o.seconds = number(value()?)?,
            "--seed" => o.seed = number(value()?)?,
            "--write-corpus" => o.write = true,
            name if TARGETS.iter().any(|t| t.name == name) => o.names.push(arg),
            _ => return Err(format!("unknown option or target {arg}")),
        }
    }
    Ok(o)
}

fn main() -> ExitCode {
    let o = match parse(std::env::args().skip(1)) {
        Ok(o) => o,
        Err(e) => {
            eprintln!("rds-fuzz: {e}");
            return ExitCode::from(2);
        }
    };
    for target in TARGETS {
        if !o.names.is_empty() && !o.names.iter().any(|n| n == target.name) {
            continue;
        }
        let folder = o.corpus.join(target.name);
        let done = if o.write {
            write(&target, &folder)
        } else {
            run(&target, &folder, &o)
        };
        if let Err(e) = done {
            eprintln!("rds-fuzz: {}: {e}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Runs a target for a time; a broken promise panics, after the input was printed.
fn run(target: &Target, folder: &Path, o: &Options) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(std::fs::read(entry?.path())?);
    }
    let mut random = Random::new(o.seed);
    let (start, limit) = (Instant::now(), Duration::from_secs(o.seconds));
    let mut runs = 0_u64;
    for file in &files {
        check(target, file);
    }
    while start.elapsed() < limit {
        for _ in 0..1000 {
            check(target, &random.input(&files, target.max_len));
            runs += 1;
        }
    }
    println!(
        "fuzz: {}: {} files, {runs} runs in {} s",
        target.name,
        files.len(),
        o.seconds
    );
    Ok(())
}

fn check(target: &Target, input: &[u8]) {
    let result = std::panic::catch_unwind(|| (target.run)(input));
    if let Err(panic) = result {
        let hex = input
            .iter()
            .fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
        eprintln!("fuzz: {}: failing input: {hex}", target.name);
        std::panic::resume_unwind(panic);
    }
}

/// Writes a seed corpus: inputs that reach far into each target.
fn write(target: &Target, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, bytes) in seeds(target.name) {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn seeds(name: &str) -> Vec<(&'static str, Vec<u8>)> {
    let header = Header {
        seq: 16,
        ack: 15,
        len: 5000,
        sport: 4001,
        dport: 4002,
        ..Header::default()
    };
    let mut rdma = ExtensionWriter::new();
    rdma.push(Extension::Rdma(0x1234_abcd));
    rdma.push(Extension::RdmaBytes(65536, None));
    let mut paths = ExtensionWriter::new();
    paths.push(Extension::Paths(8));
    paths.push(Extension::Generation(77));
    paths.push(Extension::PortIndex(0));
    let private = PrivateData {
        saddr: Addr::v4([10, 0, 0, 1]),
        daddr: Addr::v4([10, 0, 0, 2]),
        version: Version::V3_1,
        minors: 3,
        tos: 0,
        ack_seq: 0,
        credit: 0,
        own: None,
    };
    let v6 = PrivateData {
        saddr: Addr([0xfd; 16]),
        daddr: Addr([0xfe; 16]),
        ..private
    };
    let prefixed = |first: u8, p: PrivateData| [&[first], p.emit().as_slice()].concat();
    match name {
        "header" => vec![
            ("data", header.emit().to_vec()),
            ("ack", Header::default().emit().to_vec()),
            (
                "bitmap",
                Header {
                    len: 8192,
                    flags: Flags::CONG_BITMAP,
                    ..Header::default()
                }
                .emit()
                .to_vec(),
            ),
            ("unchecked", [header.emit().as_slice(), &[0; 4]].concat()),
        ],
        "extensions" => vec![
            ("rdma", rdma.finish().to_vec()),
            ("paths", paths.finish().to_vec()),
            ("unknown", vec![7, 9, 15, 3, 1, 2, 3, 4, 5, 6, 7, 8]),
        ],
        "private_data" => vec![
            ("v4", prefixed(0, private)),
            ("v6", prefixed(1, v6)),
            ("reject", vec![0, 1, 0, 0, 0]),
        ],
        "cong_map" => vec![
            ("set", vec![9, 0, 0, 0, 255, 255, 2, 0, 9, 0, 0, 1]),
            (
                "pieces",
                vec![9, 0, 0, 0, 0, 0, 1, 8, 255, 0, 1, 0, 0, 0, 1, 9, 0],
            ),
        ],
        "frames" => vec![
            // A message of two fragments, a bitmap, a ping, a violation.
            ("message", vec![19, 1, 0, 1, 2, 0, 0, 0, 1, 0, 0, 0]),
            ("bitmap", vec![27, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0]),
            ("ping", vec![3, 1, 0, 1, 0, 2, 0, 0, 1, 0]),
            ("acked", vec![2, 9, 3, 0, 1, 0, 0, 0, 0, 0, 1, 0]),
            ("raw", vec![1; 60]),
        ],
        // Two bytes say how the stream is cut.
        "tcp_stream" => vec![
            (
                "messages",
                vec![
                    30, 0, 6, 1, 2, 2, 0, 0, 7, 18, 2, 2, 2, 0, 0, 9, 26, 3, 2, 1, 4, 0, 3,
                ],
            ),
            (
                "hello",
                vec![255, 255, 2, 1, 1, 0, 0, 5, 0, 2, 2, 0, 1, 0, 6, 0],
            ),
            (
                "bitmap",
                vec![0, 16, 22, 0, 0, 0, 1, 0, 255, 14, 0, 0, 0, 1, 0, 0],
            ),
            (
                "too-long",
                vec![99, 0, 6, 1, 2, 2, 0, 0, 7, 29, 2, 2, 2, 0, 0, 32, 78, 1],
            ),
            (
                "torn",
                vec![
                    1, 0, 25, 1, 2, 2, 0, 0, 100, 0, 5, 40, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                ],
            ),
        ],
        "native_packet" => native_packets(),
        "native_private" => native_private(),
        "native_flow" => native_flow(),
        "native_session" => native_session(),
        _ => vec![
            (
                "traffic",
                vec![9, 3, 9, 0, 0, 4, 0, 4, 3, 90, 90, 6, 0, 0, 5, 7, 3, 90, 90],
            ),
            (
                "reconnect",
                vec![9, 3, 9, 0, 0, 4, 0, 4, 3, 2, 2, 8, 9, 0, 3, 90, 90, 7, 0],
            ),
            (
                "operation",
                vec![9, 3, 9, 0, 0, 230, 3, 9, 9, 8, 9, 1, 3, 9, 9, 6, 0, 0],
            ),
            (
                "cancel",
                vec![
                    9, 3, 9, 0, 0, 4, 0, 4, 3, 1, 1, 7, 0, 3, 90, 90, 10, 3, 9, 9,
                ],
            ),
        ],
    }
}

/// What a host of ours says at the start of a session.
fn hello() -> Hello {
    Hello {
        session: 9,
        incarnation: NonZeroU32::MIN,
        peer: NonZeroU32::new(2),
        features: 0,
        first: 3,
        base: 1,
        quota: 1 << 22,
        max_packet: 65536,
        serial: 1,
        window: 4096,
        room: 64,
        ack_delay: 25,
        lanes: 4,
    }
}

/// A packet whose frames `fill` writes.
fn packet(fill: impl FnOnce(&mut Writer<'_>) -> bool) -> Vec<u8> {
    let mut room = [0; 600];
    let mut w = Writer::new(&mut room);
    assert!(w.put(&PacketHeader::default().emit()) && fill(&mut w));
    w.written().to_vec()
}

fn native_packets() -> Vec<(&'static str, Vec<u8>)> {
    let message = Message {
        sport: 4001,
        dport: 4002,
        id: 7,
        prev: 1,
        ext: Some([2; 16]),
    };
    let part = Part {
        message: Message {
            ext: None,
            ..message
        },
        total: 100,
        offset: 64,
    };
    let plain = message.emit(5).expect("short");
    let piece = part.emit(36).expect("short");
    let ack = Ack {
        largest: 200,
        run: 9,
        holes: Holes(5),
        ecn: Some(Ecn::default()),
        ..Ack::default()
    };
    let gone = GoneEntry::default();
    let address = LaneAddress {
        kind: Some(LaneKind::Datagram),
        index: 1,
        qpn: 17,
        qkey: 3,
        max_packet: 4096,
        gid: Addr::v4([10, 0, 0, 1]),
    };
    vec![
        (
            "messages",
            packet(|w| {
                w.put(&plain)
                    && w.put(&[2; 16])
                    && w.put(b"hello")
                    && w.put(&piece)
                    && w.put(&[0; 36])
            }),
        ),
        ("ack", packet(|w| ack.emit(w) && gone.emit(w))),
        (
            "maps",
            packet(|w| {
                MapUpdate::emit_ports(1, &[(5, true)], w)
                    && MapUpdate::emit_blocks(2, 1, true, &[1; 512], w)
            }),
        ),
        (
            "session",
            packet(|w| hello().emit(w) && Reset::default().emit(w) && Bye::default().emit(w)),
        ),
        (
            "lanes",
            packet(|w| {
                LaneAddresses::emit(1, &[address], w) && w.put(&[9, 0, 0, 0, 99, 0, 0, 1, 0])
            }),
        ),
    ]
}

/// Calls of a session and packets of its peer: messages that come, and the fate of those that leave.
fn native_session() -> Vec<(&'static str, Vec<u8>)> {
    let hello = [0, 0, 0, 0, 0, 0, 0, 1, 0, 8, 1, 64, 3];
    let message = [1, 0, 0, 13, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 77];
    let part = [2, 0, 0, 84, 0, 1, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1];
    let part = [&part[..], &[0, 0, 1, 0, 0, 0, 0, 0], &[0; 64]].concat();
    let gone = [3, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0];
    let ack = [&[4, 0, 0, 32, 0, 0, 0, 9, 0, 0, 0, 9][..], &[0; 24]].concat();
    let map = [5, 2, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0];
    let bye = [11, 0, 0, 12, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let packet = |frames: &[&[u8]]| {
        let frames = frames.concat();
        [&[1, frames.len() as u8], &frames[..]].concat()
    };
    let came = [
        &[4][..],
        &hello,
        &[4],
        &packet(&[&message, &part]),
        &packet(&[&gone]),
        &[4],
    ];
    let left = [
        &[4][..],
        &hello,
        &[0x15, 1, 0x25, 2, 0x35, 3, 4],
        &packet(&[&ack, &map]),
        &[4, 6, 255, 255],
        &packet(&[&bye]),
        &[0x47, 4],
        &hello,
        &[4],
    ];
    vec![("messages", came.concat()), ("answers", left.concat())]
}

/// Calls of a datagram lane: much sent and acknowledged, losses, silence, lies.
fn native_flow() -> Vec<(&'static str, Vec<u8>)> {
    let round = [&[0, 20, 2, 0, 4, 3, 20, 1][..], &[0; 20], &[5]].concat();
    let rounds = round.repeat(12);
    let losses = [0, 30, 8, 1, 1, 8, 1, 1, 2, 0, 4, 3, 20, 1];
    let after = [5, 6, 0, 10, 3, 10, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    let silence = [
        0, 10, 2, 0, 4, 3, 3, 1, 0, 0, 0, 5, 0, 10, 6, 6, 6, 6, 0, 2, 3, 9, 0,
    ];
    let lies = [
        0, 40, 7, 70, 255, 255, 255, 255, 0, 1, 0, 0, 7, 10, 255, 255, 255, 255, 1,
    ];
    vec![
        ("bulk", [&[0, 1, 0, 0], &rounds[..]].concat()),
        ("cubic", [&[1, 1, 0, 0], &rounds[..]].concat()),
        (
            "loss",
            [&[0, 1, 0, 1], &losses[..], &[3; 20], &after].concat(),
        ),
        (
            "silence",
            [&[2, 1, 0, 0], &silence[..], &[0; 9], &[5]].concat(),
        ),
        ("forged", [&[0, 1, 0, 0], &lies[..], &[0, 1, 0, 0]].concat()),
    ]
}

fn native_private() -> Vec<(&'static str, Vec<u8>)> {
    let lane = LaneData {
        saddr: Addr::v4([10, 0, 0, 1]),
        daddr: Addr::v4([10, 0, 0, 2]),
        tos: 0,
        lane: 1,
        session: 9,
        own: 8,
        incarnation: NonZeroU32::MIN,
        peer: NonZeroU32::MIN,
    };
    let endpoint = EndpointData {
        tos: 0,
        capabilities: rds_proto::wire::Capabilities::NATIVE,
        saddr: lane.saddr,
        daddr: lane.daddr,
        hello: hello(),
        qkey: 1,
        qpns: QpnList::new(&[5, 6]),
        gids: GidList::new(&[lane.saddr]),
    };
    let mut room = [0; 136];
    let mut w = Writer::new(&mut room);
    assert!(endpoint.emit(&mut w));
    vec![
        ("lane", [&[0], lane.emit().as_slice()].concat()),
        ("endpoint", [&[0], w.written()].concat()),
    ]
}
