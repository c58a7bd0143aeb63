// SPDX-License-Identifier: GPL-2.0

//! What each fuzz target does with its input.
//!
//! | Target | Input | Promise |
//! |---|---|---|
//! | `header` | bytes of a header | parsing is total; what parses is emitted alike |
//! | `extensions` | 16 bytes | the list ends; what was read can be written and read again |
//! | `private_data` | private data of both families | parsing is total; round trip; sane negotiation |
//! | `cong_map` | pieces of a congestion map | bits and mask as in a naive model |
//! | `frames` | frames into a path | only whole messages; a broken rule ends the connection |
//! | `operations` | calls of a path, frames out to a model peer | order, framing, one end per message |
//! | `tcp_stream` | a TCP stream, cut anywhere, into a path | fragments as a description has them; only whole messages |
//! | `native_packet` | a packet of the native protocol | parsing is total; what parses is emitted alike |
//! | `native_private` | private data of its lanes | parsing is total; round trip |
//! | `native_flow` | calls of a datagram lane, a peer that may lie | packets return once; it never stalls |
//! | `native_session` | calls of a session, packets of a peer that may lie | memory stays bounded; what is whole is whole; it ends in peace |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bytes;
mod flow;
mod frames;
mod native;
mod operations;
mod session;
mod stream;
mod wire;

pub use bytes::Random;
pub use flow::native_flow;
pub use frames::frames;
pub use native::{native_packet, native_private};
pub use operations::operations;
pub use session::native_session;
pub use stream::tcp_stream;
pub use wire::{cong_map, extensions, header, private_data};

/// A target: its name, what it does, and how long its input usefully is.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name, as that of its corpus folder.
    pub name: &'static str,
    /// What it does with its input; it panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Longest input that makes sense.
    pub max_len: usize,
}

/// All targets.
pub const TARGETS: [Target; 11] = [
    Target {
        name: "header",
        run: header,
        max_len: 64,
    },
    Target {
        name: "extensions",
        run: extensions,
        max_len: 16,
    },
    Target {
        name: "private_data",
        run: private_data,
        max_len: 200,
    },
    Target {
        name: "cong_map",
        run: cong_map,
        max_len: 512,
    },
    Target {
        name: "frames",
        run: frames,
        max_len: 512,
    },
    Target {
        name: "operations",
        run: operations,
        max_len: 512,
    },
    Target {
        name: "tcp_stream",
        run: tcp_stream,
        max_len: 512,
    },
    Target {
        name: "native_packet",
        run: native_packet,
        max_len: 512,
    },
    Target {
        name: "native_private",
        run: native_private,
        max_len: 200,
    },
    Target {
        name: "native_flow",
        run: native_flow,
        max_len: 512,
    },
    Target {
        name: "native_session",
        run: native_session,
        max_len: 512,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Random;
    use std::path::Path;

    /// The files of a target's corpus.
    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(name);
        let entries = std::fs::read_dir(&folder).expect("every target has a corpus");
        let read = |e: std::io::Result<std::fs::DirEntry>| {
            std::fs::read(e.expect("readable").path()).expect("readable")
        };
        entries.map(read).collect()
    }

    fn over_corpus_and_noise(name: &str) {
        let target = TARGETS.iter().find(|t| t.name == name).expect("known");
        let files = corpus(name);
        assert!(!files.is_empty());
        let mut random = Random::new(name.len() as u64);
        for file in &files {
            (target.run)(file);
        }
        for _ in 0..20_000 {
            (target.run)(&random.input(&files, target.max_len));
        }
    }

    #[test]
    fn header() {
        over_corpus_and_noise("header");
    }

    #[test]
    fn tcp_stream() {
        over_corpus_and_noise("tcp_stream");
    }

    #[test]
    fn extensions() {
        over_corpus_and_noise("extensions");
    }

    #[test]
    fn private_data() {
        over_corpus_and_noise("private_data");
    }

    #[test]
    fn cong_map() {
        over_corpus_and_noise("cong_map");
    }

    #[test]
    fn frames() {
        over_corpus_and_noise("frames");
    }

    #[test]
    fn operations() {
        over_corpus_and_noise("operations");
    }

    #[test]
    fn native_packet() {
        over_corpus_and_noise("native_packet");
    }

    #[test]
    fn native_private() {
        over_corpus_and_noise("native_private");
    }

    #[test]
    fn native_flow() {
        over_corpus_and_noise("native_flow");
    }

    #[test]
    fn native_session() {
        over_corpus_and_noise("native_session");
    }
}
