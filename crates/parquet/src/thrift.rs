//! The subset of Thrift's compact protocol in footers and page headers of Parquet files. Nothing is
//! allocated; malformed input returns `None`.

/// The maximum nesting of values.
const MAX_DEPTH: usize = 32;

/// The field types that are read; others are skipped.
pub(super) const I32: u8 = 5;
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    pub(super) const fn left(&self) -> usize {
        self.data.len()
    }

    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.data.split_at_checked(bytes)?;
        self.data = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.data.split_first()?;
        self.data = rest;
        Some(byte)
    }

    /// A number in groups of seven bits, lowest first.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn int(&mut self) -> Option<i32> {
        i32::try_from(self.signed()?).ok()
    }

    /// Calls `value` with the id and type of each field of a struct. Fields for which it returns
    /// false are skipped.
    pub(super) fn fields(
        &mut self,
        mut value: impl FnMut(&mut Self, i64, u8) -> Option<bool>,
    ) -> Option<()> {
        let mut id = 0;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(());
            }
            id = match header >> 4 {
                0 => self.signed()?,
                step => id + i64::from(step),
            };
            let kind = header & 0x0f;
            if !value(self, id, kind)? {
                self.skip(kind, MAX_DEPTH)?;
            }
        }
    }

    /// The header of a list: type and number of its elements. Each element takes at least a byte.
    pub(super) fn list(&mut self) -> Option<(u8, usize)> {
        let header = self.byte()?;
        let size = match header >> 4 {
            15 => usize::try_from(self.unsigned()?).ok()?,
            size => usize::from(size),
        };
        (size <= self.left()).then_some((header & 0x0f, size))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            // A boolean field is encoded in its type.
            1 | 2 => {}
            3 => {
                self.byte()?;
            }
            4..=6 => {
                self.unsigned()?;
            }
            7 => {
                self.take(8)?;
            }
            8 => {
                let length = usize::try_from(self.unsigned()?).ok()?;
                self.take(length)?;
            }
            LIST | 10 => {
                let (kind, size) = self.list()?;
                for _ in 0..size {
                    self.skip_element(kind, depth)?;
                }
            }
            11 => {
                let size = usize::try_from(self.unsigned()?).ok()?;
                if size > self.left() {
                    return None;
                }
                let kinds = if size > 0 { self.byte()? } else { 0 };
                for _ in 0..size {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0f, depth)?;
                }
            }
            STRUCT => loop {
                let header = self.byte()?;
                if header == 0 {
                    break;
                }
                if header >> 4 == 0 {
                    self.signed()?;
                }
                self.skip(header & 0x0f, depth)?;
            },
            13 => {
                self.take(16)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        // A boolean in a list or map takes a byte.
        let kind = if matches!(kind, 1 | 2) { 3 } else { kind };
        self.skip(kind, depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        assert_eq!(Reader::new(&[0x05]).signed(), Some(-3));
        assert_eq!(Reader::new(&[0xac, 0x02]).unsigned(), Some(300));
        assert_eq!(Reader::new(&[0xac]).unsigned(), None);
        assert_eq!(Reader::new(&[0x80; 11]).unsigned(), None);
    }

    #[test]
    fn unread_fields_are_skipped() {
        // 1: i32 1, 2: binary "ab", 3: list of two structs, 9: i32 -1.
        let data = [0x15, 2, 0x18, 2, b'a', b'b', 0x19, 0x2c, 0x15, 4, 0, 0, 0x65, 1, 0];
        let mut found = Vec::new();
        let mut reader = Reader::new(&data);
        let read = reader.fields(|reader, id, kind| {
            if kind == I32 {
                found.push((id, reader.int()?));
            }
            Some(kind == I32)
        });
        assert_eq!((read, reader.left()), (Some(()), 0));
        assert_eq!(found, [(1, 1), (9, -1)]);
    }

    #[test]
    fn lists_beyond_the_input_and_deep_nesting_are_malformed() {
        let none = |data: &[u8]| Reader::new(data).fields(|_, _, _| Some(false)).is_none();
        assert!(none(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0x7f, 0]));
        assert!(none(&[0x1b, 0xff, 0xff, 0x7f, 0x55, 0]));
        assert!(none(&[0x1c; 100]));
        assert!(none(&[0x1e, 0]));
    }
}
