//! Checks the pages of one column in a row group.

use std::io::Read;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use flate2::Crc;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageReader as _};
use parquet::errors::Result as Decoded;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::catch_panic;
use super::thrift::{I32, Reader, STRUCT};

/// The maximum uncompressed size of a page: [`PAGE`], or this many bytes per compressed byte if
/// that is more. Pages usually have about a megabyte.
const GROWTH: u64 = 1 << 12;
const PAGE: u64 = 1 << 20;
/// The absolute maximum size of a page.
const MAX_PAGE: u64 = 256 << 20;

/// The maximum number of list values in a column: [`VALUES`], or this number per byte if that is
/// more. Rows are decoded a thousand at a time, whatever the length of their lists.
const VALUES_PER_BYTE: u64 = 1 << 8;
const VALUES: u64 = 1 << 20;

/// The maximum average number of list values per row.
const VALUES_PER_ROW: u64 = 1 << 16;

/// The maximum number of text values per block of lengths. Writers use 128.
const MAX_BLOCK: u64 = 1 << 16;

#[derive(Debug, Default)]
struct Header {
    kind: i32,
    uncompressed: i32,
    compressed: i32,
    crc: Option<i32>,
    values: i32,
    encoding: i32,
}

const DATA: i32 = 0;
const DICTIONARY: i32 = 2;
const DATA_V2: i32 = 3;
const DELTA_LENGTH_BYTE_ARRAY: i32 = 6;
const DELTA_BYTE_ARRAY: i32 = 7;

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut header = Self::default();
        reader.fields(|reader, id, kind| {
            match (id, kind) {
                (1, I32) => header.kind = reader.int()?,
                (2, I32) => header.uncompressed = reader.int()?,
                (3, I32) => header.compressed = reader.int()?,
                (4, I32) => header.crc = Some(reader.int()?),
                // The headers of data pages, dictionary pages, and data pages of version 2.
                (5 | 7 | 8, STRUCT) => {
                    let encoding = if id == 8 { 4 } else { 2 };
                    reader.fields(|reader, id, kind| {
                        match (id, kind) {
                            (1, I32) => header.values = reader.int()?,
                            (id, I32) if id == encoding => header.encoding = reader.int()?,
                            _ => return Some(false),
                        }
                        Some(true)
                    })?;
                }
                _ => return Some(false),
            }
            Some(true)
        })?;
        Some(header)
    }
}

/// Checks headers and checksums of all pages, and the lengths of text in encodings that start with
/// lengths.
pub(super) fn check(
    chunk: &ColumnChunkMetaData,
    start: u64,
    rows: i64,
    bytes: &Bytes,
) -> Result<(), String> {
    let repeated = chunk.column_descr().max_rep_level() > 0;
    let mut reader = Reader::new(bytes);
    let (mut values, mut by_lengths) = (0, false);
    while reader.left() > 0 && values < chunk.num_values() {
        let header = Header::read(&mut reader).ok_or("a page header is malformed")?;
        let size = usize::try_from(header.compressed).ok();
        let page = size.and_then(|size| reader.take(size)).ok_or("a page is truncated")?;
        let uncompressed =
            u64::try_from(header.uncompressed).map_err(|_| "a page size is negative")?;
        if uncompressed > MAX_PAGE.min(PAGE + GROWTH * page.len() as u64) {
            let compressed = page.len();
            return Err(format!("a page of {compressed} bytes claims {uncompressed} uncompressed"));
        }
        if let Some(crc) = header.crc {
            let mut sum = Crc::new();
            sum.update(page);
            if sum.sum() != crc.cast_unsigned() {
                return Err("a page does not match its checksum".to_owned());
            }
        }
        let count = u64::try_from(header.values).map_err(|_| "a value count is negative")?;
        match header.kind {
            DATA | DATA_V2 => {
                values = values.saturating_add(count.cast_signed());
                by_lengths |= matches!(header.encoding, DELTA_LENGTH_BYTE_ARRAY | DELTA_BYTE_ARRAY);
            }
            // A value takes at least one byte.
            DICTIONARY if count > uncompressed => {
                return Err(format!("a dictionary of {uncompressed} bytes claims {count} values"));
            }
            _ => {}
        }
    }
    let rows = rows.max(0).cast_unsigned();
    let most = if repeated {
        let by_rows = rows.saturating_mul(VALUES_PER_ROW);
        by_rows.min(VALUES + VALUES_PER_BYTE * bytes.len() as u64)
    } else {
        rows
    };
    if values.max(chunk.num_values()).cast_unsigned() > most {
        let claimed = values.max(chunk.num_values());
        return Err(format!("it claims {claimed} values in {rows} rows and {} bytes", bytes.len()));
    }
    if by_lengths && chunk.column_descr().physical_type() == Type::BYTE_ARRAY {
        return catch_panic(|| check_lengths(chunk, start, rows, bytes))?;
    }
    Ok(())
}

/// Part of a file, addressed by the positions in the file.
struct Part {
    start: u64,
    bytes: Bytes,
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Part {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Decoded<Self::T> {
        let at = start.saturating_sub(self.start) as usize;
        Ok(Box::new(self.bytes.slice(at.min(self.bytes.len())..).reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Decoded<Bytes> {
        let at = start.saturating_sub(self.start) as usize;
        let end = at.saturating_add(length).min(self.bytes.len());
        Ok(self.bytes.slice(at.min(end)..end))
    }
}

/// Checks the claimed number of lengths in pages of text.
fn check_lengths(
    chunk: &ColumnChunkMetaData,
    start: u64,
    rows: u64,
    bytes: &Bytes,
) -> Result<(), String> {
    let malformed = || "the lengths of a page of text are malformed".to_owned();
    let part = Arc::new(Part { start, bytes: bytes.clone() });
    let rows = usize::try_from(rows).unwrap_or_default();
    let pages = SerializedPageReader::new(part, chunk, rows, None);
    let mut pages = pages.map_err(|error| error.to_string())?;
    let descriptor = chunk.column_descr();
    while let Some(page) = pages.get_next_page().map_err(|error| error.to_string())? {
        let (buffer, values, encoding, levels) = match &page {
            Page::DictionaryPage { .. } => continue,
            Page::DataPage { buf, num_values, encoding, .. } => {
                let mut reader = Reader::new(buf);
                for level in [descriptor.max_rep_level(), descriptor.max_def_level()] {
                    if level > 0 {
                        let length = reader.take(4).ok_or_else(malformed)?;
                        let length = length.iter().rev().fold(0, |l, &b| l << 8 | usize::from(b));
                        reader.take(length).ok_or_else(malformed)?;
                    }
                }
                (buf, *num_values, *encoding, buf.len() - reader.left())
            }
            Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => {
                let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
                (buf, *num_values, *encoding, levels as usize)
            }
        };
        let lists = match encoding {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
            // Prefix lengths and suffix lengths.
            Encoding::DELTA_BYTE_ARRAY => 2,
            _ => continue,
        };
        let mut reader = Reader::new(buffer.get(levels..).ok_or_else(malformed)?);
        for _ in 0..lists {
            skip_differences(&mut reader, u64::from(values)).ok_or_else(malformed)?;
        }
    }
    Ok(())
}

/// Skips at most `most` numbers in the encoding DELTA_BINARY_PACKED.
fn skip_differences(reader: &mut Reader<'_>, most: u64) -> Option<()> {
    let block = reader.unsigned().filter(|&block| (1..=MAX_BLOCK).contains(&block))?;
    let parts = reader.unsigned().filter(|&parts| (1..=block).contains(&parts))?;
    let count = reader.unsigned().filter(|&count| count <= most)?;
    reader.signed()?;
    let (part, mut left) = (block / parts, count.saturating_sub(1));
    while left > 0 {
        reader.signed()?;
        let widths = reader.take(parts as usize)?;
        for &width in widths {
            if left == 0 {
                break;
            }
            if width > 64 {
                return None;
            }
            // The last part may end with its values.
            let bits = part * u64::from(width);
            let bytes = (bits.div_ceil(8) as usize).min(reader.left());
            reader.take(bytes)?;
            left = left.saturating_sub(part);
        }
    }
    Some(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use parquet::basic::{Compression, Repetition};
    use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type as SchemaType};

    use super::*;

    /// An integer field of a struct that follows the field with the preceding id.
    fn int(value: i64) -> Vec<u8> {
        let mut bytes = vec![0x15];
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    }

    /// A page with kind, claimed size and number of values, encoding and checksum.
    fn page(
        kind: i32,
        size: i64,
        values: i64,
        encoding: i64,
        crc: Option<u32>,
        data: &[u8],
    ) -> Vec<u8> {
        let mut page =
            [int(kind.into()), int(size), int(i64::try_from(data.len()).unwrap())].concat();
        if let Some(crc) = crc {
            page.extend(int(crc.cast_signed().into()));
        }
        // The struct of a data page has the id 5, that of a dictionary page 7.
        let after = if crc.is_some() { 4 } else { 3 };
        let id = if kind == DICTIONARY { 7 } else { 5 };
        page.push((id - after) << 4 | STRUCT);
        page.extend([int(values), int(encoding), vec![0, 0]].concat());
        page.extend(data);
        page
    }

    fn crc(data: &[u8]) -> u32 {
        let mut sum = Crc::new();
        sum.update(data);
        sum.sum()
    }

    fn checked(repeated: bool, values: i64, rows: i64, pages: &[u8]) -> Result<(), String> {
        let of_column = SchemaType::primitive_type_builder("a", Type::INT32)
            .with_repetition(Repetition::REQUIRED)
            .build()
            .unwrap();
        let path = ColumnPath::from("a");
        let level = i16::from(repeated);
        let column = ColumnDescriptor::new(Arc::new(of_column), level, level, path);
        let chunk = ColumnChunkMetaData::builder(Arc::new(column))
            .set_num_values(values)
            .set_compression(Compression::UNCOMPRESSED)
            .build()
            .unwrap();
        check(&chunk, 4, rows, &Bytes::copy_from_slice(pages))
    }

    #[test]
    fn checksums_are_verified_if_present() {
        let data = [1, 0, 0, 0, 2, 0, 0, 0];
        for crc in [None, Some(crc(&data))] {
            assert_eq!(checked(false, 2, 2, &page(DATA, 8, 2, 0, crc, &data)), Ok(()));
        }
        for bit in 0..64 {
            let mut flipped = data;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = checked(false, 2, 2, &page(DATA, 8, 2, 0, Some(crc(&data)), &flipped));
            assert_eq!(error, Err("a page does not match its checksum".to_owned()));
        }
    }

    #[test]
    fn implausible_claims_of_pages_are_errors() {
        let data = [0; 8];
        let refused = |outcome: Result<(), String>, part: &str| {
            assert!(outcome.as_ref().is_err_and(|what| what.contains(part)), "{outcome:?} {part}");
        };
        let of = |size, values| page(DATA, size, values, 0, None, &data);
        refused(checked(false, 2, 2, &of(1 << 30, 2)), "claims 1073741824 uncompressed");
        refused(checked(false, 2, 2, &of(-1, 2)), "a page size is negative");
        refused(checked(false, 2, 2, &of(8, -2)), "a value count is negative");
        refused(checked(false, 2, 2, &of(8, 3)), "it claims 3 values");
        refused(checked(false, 9, 2, &of(8, 2)), "it claims");
        refused(checked(true, 20_000_000, 2, &of(8, 20_000_000)), "it claims 20000000 values");
        assert_eq!(checked(true, 100_000, 2, &of(8, 100_000)), Ok(()));
        let dictionary = page(DICTIONARY, 8, 9, 0, None, &data);
        refused(checked(false, 2, 2, &dictionary), "a dictionary of 8 bytes claims 9 values");
        let whole = of(8, 2);
        refused(checked(false, 2, 2, &whole[..whole.len() - 1]), "a page is truncated");
        refused(checked(false, 2, 2, &whole[..5]), "a page header is malformed");
    }

    #[test]
    fn lengths_of_text_are_counted_before_they_are_decoded() {
        // Blocks of 128 in 4 parts, 5 values from 1 on, widths of one bit in the first part.
        let few = [0x80, 1, 4, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        let skipped = |data: &[u8], most| {
            let mut reader = Reader::new(data);
            skip_differences(&mut reader, most).map(|()| reader.left())
        };
        assert_eq!(skipped(&few, 5), Some(0));
        assert_eq!(skipped(&few, 4), None);
        // One value, and no block.
        assert_eq!(skipped(&[0x80, 1, 4, 1, 2, 9], 5), Some(1));
        // A block of two billion values of no bits.
        assert_eq!(skipped(&[0x80, 0x80, 0x80, 0x80, 8, 1, 5, 2, 0, 0], 5), None);
        assert_eq!(skipped(&[0x80, 1, 0, 5, 2, 0, 0], 5), None);
    }
}
