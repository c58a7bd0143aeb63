// SPDX-License-Identifier: GPL-2.0

//! What programs ask.

use super::store;

/// A request.
pub(super) enum Request<'a> {
    Put { key: &'a [u8], value: &'a [u8] },
    Get { key: &'a [u8] },
}

impl<'a> Request<'a> {
    /// Reads a request, which may be anything; tells what is wrong with it. A line feed at its end is not
    /// part of it.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let (what, rest) = word(line);
        let rest = rest.unwrap_or_default();

        match what {
            b"put" => {
                let (key, value) = word(rest);

                store::check_key(key)?;
                let value = value.ok_or("put what? Write: put KEY VALUE")?;
                store::check_value(value)?;
                Ok(Self::Put { key, value })
            }
            b"get" => {
                store::check_key(rest)?;
                Ok(Self::Get { key: rest })
            }
            _ => Err("there is no such request: write put KEY VALUE, or get KEY"),
        }
    }
}

/// Splits off the first word.
fn word(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = line.splitn(2, |byte| *byte == b' ');

    (parts.next().unwrap_or_default(), parts.next())
}
