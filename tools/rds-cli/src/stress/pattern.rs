// SPDX-License-Identifier: GPL-2.0

//! Contents that can be verified: both ends compute them from which message it is.

/// What one message holds.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    stream: u64,
    number: u64,
}

/// A message at least this long begins with its number, so that it can be said which one came.
const NUMBERED: usize = 16;

/// The number that a message says to have, if it is long enough to say so.
pub fn numbered(data: &[u8]) -> Option<u64> {
    let (first, _) = data.split_first_chunk()?;
    (data.len() >= NUMBERED).then_some(u64::from_le_bytes(*first))
}

impl Pattern {
    /// Message `number` of the stream `stream` of a run.
    pub fn new(seed: u64, stream: u64, number: u64) -> Self {
        Self {
            stream: mix(seed ^ mix(stream)),
            number,
        }
    }

    /// Message `number` of the only stream there is.
    pub fn of_message(number: u64) -> Self {
        Self::new(0, 0, number)
    }

    /// The `i`th eight bytes of a message of this length.
    fn word(self, i: usize, numbered: bool) -> [u8; 8] {
        let word = if i == 0 && numbered {
            self.number
        } else {
            mix(self.stream ^ self.number.rotate_left(32))
                .wrapping_add(GOLDEN.wrapping_mul(i as u64))
        };
        word.to_le_bytes()
    }

    /// Writes the contents.
    pub fn fill(self, data: &mut [u8]) {
        let numbered = data.len() >= NUMBERED;
        for (i, piece) in data.chunks_mut(8).enumerate() {
            piece.copy_from_slice(&self.word(i, numbered)[..piece.len()]);
        }
    }

    /// Compares; says what is wrong.
    pub fn check(self, data: &[u8]) -> Result<(), String> {
        let numbered = data.len() >= NUMBERED;
        if let Some(number) = self::numbered(data) {
            if number != self.number && number.abs_diff(self.number) < 1 << 20 {
                return Err(format!(
                    "is message {number}: lost, doubled or out of order"
                ));
            }
        }
        for (i, piece) in data.chunks(8).enumerate() {
            let expected = self.word(i, numbered);
            if let Some(at) = (0..piece.len()).find(|&at| piece[at] != expected[at]) {
                return Err(format!(
                    "byte {} of {} is {:#04x} instead of {:#04x}",
                    8 * i + at,
                    data.len(),
                    piece[at],
                    expected[at]
                ));
            }
        }
        Ok(())
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_checks() {
        for len in [0, 1, 7, 8, 15, 16, 17, 4095, 4096] {
            let mut data = vec![0; len];
            Pattern::new(1, 2, 3).fill(&mut data);
            assert_eq!(Pattern::new(1, 2, 3).check(&data), Ok(()));
        }
    }

    #[test]
    fn each_changed_byte_is_found() {
        for len in [1, 15, 16, 100] {
            let mut data = vec![0; len];
            Pattern::of_message(9).fill(&mut data);
            for at in 0..len {
                data[at] ^= 1;
                assert!(
                    Pattern::of_message(9).check(&data).is_err(),
                    "byte {at} of {len}"
                );
                data[at] ^= 1;
            }
        }
    }

    #[test]
    fn another_message_is_named() {
        let mut data = [0; 64];
        Pattern::of_message(9).fill(&mut data);
        let why = Pattern::of_message(8).check(&data).unwrap_err();
        assert!(why.contains("message 9"), "{why}");
        assert!(Pattern::new(0, 1, 9).check(&data).is_err());
        assert!(Pattern::new(1, 0, 9).check(&data).is_err());
    }

    #[test]
    fn neighbours_differ_even_if_short() {
        let short = |number| {
            let mut data = [0; 8];
            Pattern::of_message(number).fill(&mut data);
            data
        };
        assert_ne!(short(1), short(2));
    }
}
