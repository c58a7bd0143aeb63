// SPDX-License-Identifier: GPL-2.0

//! Reading and writing fields one after another.

use super::PacketError;

/// Takes fields from the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Takes a field of `N` bytes.
    ///
    /// # Errors
    ///
    /// [`PacketError::Truncated`] if there are fewer.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let Some((field, rest)) = self.0.split_first_chunk::<N>() else {
            return Err(PacketError::Truncated);
        };
        self.0 = rest;
        Ok(*field)
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    ///
    /// [`PacketError::Truncated`] if there are fewer.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], PacketError> {
        let Some((field, rest)) = self.0.split_at_checked(len) else {
            return Err(PacketError::Truncated);
        };
        self.0 = rest;
        Ok(field)
    }

    /// Takes a byte.
    pub(super) fn u8(&mut self) -> Result<u8, PacketError> {
        Ok(u8::from_be_bytes(self.take()?))
    }

    /// Takes a number of 16 bits.
    pub(super) fn u16(&mut self) -> Result<u16, PacketError> {
        Ok(u16::from_be_bytes(self.take()?))
    }

    /// Takes a number of 32 bits.
    pub(super) fn u32(&mut self) -> Result<u32, PacketError> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    /// Takes a number of 64 bits.
    pub(super) fn u64(&mut self) -> Result<u64, PacketError> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    /// What is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// Appends fields to some bytes, as long as they fit.
#[derive(Debug)]
pub struct Writer<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the front of `room`.
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, len: 0 }
    }

    /// Number of bytes written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of bytes that still fit.
    pub fn left(&self) -> usize {
        self.room.len().saturating_sub(self.len)
    }

    /// Appends `field`; if it does not fit, returns `false` and appends nothing.
    pub fn put(&mut self, field: &[u8]) -> bool {
        let end = self.len.saturating_add(field.len());
        let Some(to) = self.room.get_mut(self.len..end) else {
            return false;
        };
        for (to, from) in to.iter_mut().zip(field) {
            *to = *from;
        }
        self.len = end;
        true
    }

    /// What was written.
    pub fn written(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_from_the_front() {
        let mut r = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]);
        assert_eq!(r.u8(), Ok(1));
        assert_eq!(r.u16(), Ok(0x0203));
        assert_eq!(r.u32(), Ok(0x0405_0607));
        assert_eq!(r.u64(), Ok(0x0809_0a0b_0c0d_0e0f));
        assert_eq!(r.take::<3>(), Err(PacketError::Truncated));
        assert_eq!(r.bytes(3), Err(PacketError::Truncated));
        assert_eq!(r.bytes(1), Ok(&[16][..]));
        assert_eq!(r.rest(), [17]);
    }

    #[test]
    fn a_field_is_written_whole_or_not() {
        let mut room = [0; 5];
        let mut w = Writer::new(&mut room);
        assert!(w.is_empty());
        assert!(w.put(&[1, 2, 3]));
        assert!(!w.put(&[4, 5, 6]));
        assert_eq!((w.len(), w.left()), (3, 2));
        assert!(w.put(&[7, 8]) && w.put(&[]));
        assert_eq!(w.written(), [1, 2, 3, 7, 8]);
    }
}
