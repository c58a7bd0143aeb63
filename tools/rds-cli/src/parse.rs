// SPDX-License-Identifier: GPL-2.0

//! Sizes, lists of sizes and times, as users write them.

use std::time::Duration;

/// `64`, `4K`, `1M`: bytes, at most those of a message.
pub fn size(text: &str) -> Result<usize, String> {
    let bytes = bytes(text)?;
    if bytes > rds::MAX_MESSAGE {
        return Err(format!(
            "{text}: messages have at most {} bytes",
            rds::MAX_MESSAGE
        ));
    }
    Ok(bytes)
}

/// Any number of bytes.
pub fn bytes(text: &str) -> Result<usize, String> {
    let (number, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    let number: usize = number
        .parse()
        .map_err(|_| format!("{text:?} is no size: write it as 64, 4K or 1M"))?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("{text} is too large"))
}

/// Sizes that follow one another, and their ranges: `64`, `0,1,4095-4097,64K`.
pub fn sizes(text: &str) -> Result<Vec<usize>, String> {
    let mut all = Vec::new();
    for piece in text.split(',') {
        match piece.split_once('-') {
            None => all.push(size(piece)?),
            Some((first, last)) => {
                let (first, last) = (size(first)?, size(last)?);
                if first > last || last - first >= 65536 {
                    return Err(format!("{piece} is no range of sizes"));
                }
                all.extend(first..=last);
            }
        }
    }
    Ok(all)
}

/// `2`, `0.5`, `10s`, `200ms`, `50us`, `2m`.
pub fn time(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "m" => 60.0,
        _ => f64::NAN,
    };
    number
        .parse()
        .ok()
        .and_then(|number: f64| Duration::try_from_secs_f64(number * scale).ok())
        .ok_or_else(|| format!("{text:?} is no time: write it as 2, 0.5, 200ms or 2m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ranges() {
        assert_eq!(size("64"), Ok(64));
        assert_eq!(size("4K"), Ok(4096));
        assert_eq!(size("1M"), Ok(1 << 20));
        assert_eq!(
            sizes("0,1,4095-4097,64k"),
            Ok(vec![0, 1, 4095, 4096, 4097, 65536])
        );
        for bad in [
            "",
            "-1",
            "K",
            "2M",
            "1048577",
            "1,",
            "5-4",
            "0-1M",
            "99999999999999999999",
        ] {
            assert!(sizes(bad).is_err(), "{bad:?}");
        }
        assert!(bytes("99999999999999999M").is_err());
    }

    #[test]
    fn times() {
        assert_eq!(time("2"), Ok(Duration::from_secs(2)));
        assert_eq!(time("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(time("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "-1", "1h", "1e9", "nan", "99999999999999999999999"] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
    }
}
