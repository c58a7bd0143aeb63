// SPDX-License-Identifier: GPL-2.0

//! `rds info --paths`: the dump that `rrds` has in debugfs.

use crate::table::Table;
use serde_json::{Map, Value};
use std::io;

/// Where it is.
const FILE: &str = "/sys/kernel/debug/rrds/paths";

/// Its first line, as far as this knows it.
const FORM: &str = "rrds paths 1";

/// What the table has of it, and by which name. JSON has all.
const COLUMNS: [(&str, &str); 15] = [
    ("local", "local"),
    ("peer", "peer"),
    ("tos", "tos"),
    ("lane", "lane"),
    ("state", "state"),
    ("for_ms", "for ms"),
    ("role", "role"),
    ("device", "device"),
    ("connected", "times up"),
    ("error", "last error"),
    ("error_ms", "ms ago"),
    ("unsent", "unsent"),
    ("unacked", "unacked"),
    ("bytes", "bytes"),
    ("rtt_us", "rtt us"),
];

/// Reads the dump.
///
/// # Errors
///
/// Those of reading the file; `InvalidData` if it is of a form that is not known.
pub fn read() -> io::Result<(Table, Value)> {
    let text = std::fs::read_to_string(FILE).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "is rrds loaded, and debugfs mounted?",
            io::ErrorKind::PermissionDenied => "only root may read it",
            _ => "it can't be read",
        };
        io::Error::new(error.kind(), format!("{FILE}: {error}; {hint}"))
    })?;
    parse(&text).ok_or_else(|| {
        let message = format!("{FILE} does not begin with `{FORM}`: this tool is too old for it");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn parse(text: &str) -> Option<(Table, Value)> {
    let lines = text.strip_prefix(FORM)?.strip_prefix('\n')?.lines();
    let mut table = Table::new("Paths", &COLUMNS.map(|(_, title)| title));
    let mut list = Vec::new();
    for line in lines {
        let pairs: Vec<_> = line.split(' ').filter_map(|p| p.split_once('=')).collect();
        let cell = |key| {
            let found = pairs.iter().find(|(name, _)| *name == key);
            found.map_or("-", |(_, value)| value).to_string()
        };
        table.row(COLUMNS.map(|(key, _)| cell(key)).to_vec());
        let object: Map<_, _> = pairs
            .iter()
            .map(|(name, value)| {
                let number = value.parse::<u64>().map(Value::from);
                (name.to_string(), number.unwrap_or((*value).into()))
            })
            .collect();
        list.push(object.into());
    }
    Some((table, Value::Array(list)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pairs() {
        let text = "rrds paths 1\nlocal=10.0.0.1 peer=10.0.0.2 tos=0 state=up credits=off new=1\n";
        let (table, json) = parse(text).unwrap();
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("10.0.0.1") && out.contains("up"), "{out}");
        assert_eq!(json[0]["peer"], "10.0.0.2");
        assert_eq!(json[0]["tos"], 0);
        assert_eq!(json[0]["credits"], "off");
        assert_eq!(json[0]["new"], 1);
    }

    #[test]
    fn other_forms_are_refused() {
        assert!(parse("rrds paths 1\n").is_some());
        for text in ["", "rrds paths 1", "rrds paths 10\n", "rrds devices 1\n"] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }
}
