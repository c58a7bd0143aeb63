// SPDX-License-Identifier: GPL-2.0

//! What a run is to do, and how the two ends agree on it.
//!
//! They talk over RDS itself, in messages of JSON on the server's port. `start` says what to
//! do, `ready` at which ports; `mark` begins what is measured; `end` asks for the `result`.

use serde_json::{json, Value};
use std::time::Duration;

/// Of this exchange. Ends of different versions refuse one another.
const VERSION: u64 = 2;

/// What both ends need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Pairs of sockets.
    pub tasks: usize,
    /// Requests of a task that may be under way.
    pub depth: usize,
    /// Lengths of requests, in turn.
    pub sizes: Vec<usize>,
    /// Lengths of replies, in turn.
    pub reply_sizes: Vec<usize>,
    /// Whether contents are compared.
    pub verify: bool,
    /// Type of service.
    pub tos: u8,
    /// Size of the sockets' buffers, if not the usual.
    pub buffer: Option<usize>,
    /// Bytes of the RDMA operation that goes with each reply; 0 for none.
    pub rdma: usize,
    /// Makes contents differ from run to run.
    pub seed: u64,
}

/// What `start` may ask of a server at most.
const MOST_TASKS: usize = 4096;
const MOST_DEPTH: usize = 1 << 20;

impl Plan {
    /// The longest message of either direction.
    pub fn longest(&self) -> usize {
        let all = self.sizes.iter().chain(&self.reply_sizes);
        all.copied().max().unwrap_or(0)
    }

    /// The length of request `number`.
    pub fn size(&self, number: u64) -> usize {
        turn(&self.sizes, number)
    }

    /// The length of the reply to it.
    pub fn reply_size(&self, number: u64) -> usize {
        turn(&self.reply_sizes, number)
    }

    /// As fields of a message.
    pub fn to_json(&self) -> Value {
        json!({
            "tasks": self.tasks, "depth": self.depth, "sizes": self.sizes,
            "reply_sizes": self.reply_sizes, "verify": self.verify, "tos": self.tos,
            "buffer": self.buffer, "rdma": self.rdma, "seed": self.seed,
        })
    }

    /// From fields of a message.
    pub fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| usize::try_from(value.get(name)?.as_u64()?).ok();
        let sizes = |name: &str| {
            let list = value.get(name)?.as_array()?;
            let sizes = list.iter().map(|size| {
                let size = usize::try_from(size.as_u64()?).ok()?;
                (size <= rds::MAX_MESSAGE).then_some(size)
            });
            sizes
                .collect::<Option<Vec<_>>>()
                .filter(|list| !list.is_empty())
        };
        Some(Self {
            tasks: number("tasks").filter(|n| (1..=MOST_TASKS).contains(n))?,
            depth: number("depth").filter(|n| (1..=MOST_DEPTH).contains(n))?,
            sizes: sizes("sizes")?,
            reply_sizes: sizes("reply_sizes")?,
            verify: value.get("verify")?.as_bool()?,
            tos: number("tos")?.try_into().ok()?,
            buffer: number("buffer"),
            rdma: number("rdma").filter(|&n| n <= rds::MAX_MESSAGE)?,
            seed: value.get("seed")?.as_u64()?,
        })
    }
}

fn turn(sizes: &[usize], number: u64) -> usize {
    sizes[(number % sizes.len().max(1) as u64) as usize]
}

/// A message of the exchange.
pub fn message(kind: &str, fields: Value) -> Vec<u8> {
    let mut all = json!({ "rds-stress": VERSION, "kind": kind });
    all["body"] = fields;
    all.to_string().into_bytes()
}

/// Its kind and fields. What is none, or of another version, is an error in words.
pub fn read(data: &[u8]) -> Result<(String, Value), String> {
    let mut all: Value =
        serde_json::from_slice(data).map_err(|_| "not a message of `rds stress`".to_string())?;
    match all.get("rds-stress").and_then(Value::as_u64) {
        Some(VERSION) => {}
        Some(other) => {
            return Err(format!(
                "version {other} of `rds stress`; here is {VERSION}"
            ))
        }
        None => return Err("not a message of `rds stress`".into()),
    }
    let kind = all
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_string();
    Ok((kind, all["body"].take()))
}

/// How long something that should happen at once may take before it is taken for dead.
pub const STALL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            tasks: 4,
            depth: 16,
            sizes: vec![0, 1, 4096],
            reply_sizes: vec![32],
            verify: true,
            tos: 7,
            buffer: None,
            rdma: 4096,
            seed: u64::MAX,
        }
    }

    #[test]
    fn there_and_back() {
        let raw = message("start", plan().to_json());
        let (kind, fields) = read(&raw).unwrap();
        assert_eq!((&*kind, Plan::from_json(&fields)), ("start", Some(plan())));
    }

    #[test]
    fn nonsense_is_refused() {
        for (name, value) in [
            ("tasks", json!(0)),
            ("tasks", json!(1_000_000)),
            ("depth", json!(-1)),
            ("sizes", json!([])),
            ("sizes", json!([1 << 21])),
            ("reply_sizes", json!("64")),
            ("tos", json!(256)),
            ("rdma", json!(null)),
            ("rdma", json!(1 << 21)),
            ("verify", json!(1)),
        ] {
            let mut fields = plan().to_json();
            fields[name] = value.clone();
            assert_eq!(Plan::from_json(&fields), None, "{name} {value}");
        }
        assert_eq!(Plan::from_json(&json!(null)), None);
        assert!(read(b"").is_err());
        assert!(read(b"{}").is_err());
        assert!(read(br#"{"rds-stress":3,"kind":"start"}"#)
            .unwrap_err()
            .contains("version 3"));
    }

    #[test]
    fn sizes_take_turns() {
        let sizes: Vec<_> = (0..4).map(|number| plan().size(number)).collect();
        assert_eq!(sizes, [0, 1, 4096, 0]);
    }
}
