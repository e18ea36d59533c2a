//! Detects file types by their magic bytes.

/// Number of leading bytes that [`Kind::of`] requires.
pub const MAGIC_LEN: usize = 8;

/// File types that are distinguished if text is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text: no known magic bytes.
    Text,
    /// Compressed with gzip.
    Gzip,
    /// Apache Parquet.
    Parquet,
    /// An unsupported type; the message contains the type and a remedy.
    Other(&'static str),
}

impl Kind {
    /// Detects the type from the first [`MAGIC_LEN`] bytes, or all bytes of a shorter file.
    pub fn of(start: &[u8]) -> Self {
        const KINDS: [(&[u8], Kind); 9] = [
            (b"\x1f\x8b", Kind::Gzip),
            (b"PAR1", Kind::Parquet),
            (b"PK\x03\x04", Kind::Other("a zip archive: unpack it")),
            (b"BZh", Kind::Other("compressed with bzip2: decompress it, or compress it with gzip")),
            (
                b"\xfd7zXZ\0",
                Kind::Other("compressed with xz: decompress it, or compress it with gzip"),
            ),
            (
                b"\x28\xb5\x2f\xfd",
                Kind::Other("compressed with zstd: decompress it, or compress it with gzip"),
            ),
            (b"7z\xbc\xaf\x27\x1c", Kind::Other("a 7-Zip archive: unpack it")),
            (b"\xff\xfe", Kind::Other("text in UTF-16: save it in UTF-8")),
            (b"\xfe\xff", Kind::Other("text in UTF-16: save it in UTF-8")),
        ];
        let known = KINDS.into_iter().find(|(magic, _)| start.starts_with(magic));
        known.map_or(Self::Text, |(_, kind)| kind)
    }

    /// Returns a message if the extension is that of an unsupported archive.
    pub(crate) fn of_archive(name: &str) -> Option<&'static str> {
        const ARCHIVES: [(&str, &str); 8] = [
            (".zip", "a zip archive: unpack it"),
            (".7z", "a 7-Zip archive: unpack it"),
            (".tar", "a tar archive: unpack it"),
            (".tgz", "a tar archive: unpack it"),
            (".tar.gz", "a tar archive: unpack it"),
            (".bz2", "compressed with bzip2: decompress it, or compress it with gzip"),
            (".xz", "compressed with xz: decompress it, or compress it with gzip"),
            (".zst", "compressed with zstd: decompress it, or compress it with gzip"),
        ];
        let name = name.to_ascii_lowercase();
        ARCHIVES.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, message)| message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_types_are_detected_by_magic_bytes() {
        assert_eq!(Kind::of(b""), Kind::Text);
        assert_eq!(Kind::of(b"\xef\xbb\xbfmovieId"), Kind::Text);
        assert_eq!(Kind::of(b"\x1f\x8b\x08\0"), Kind::Gzip);
        assert_eq!(Kind::of(b"PAR1"), Kind::Parquet);
        assert!(
            matches!(Kind::of(b"PK\x03\x04\x14"), Kind::Other(message) if message.contains("zip"))
        );
        assert!(
            matches!(Kind::of(b"\xff\xfem\0"), Kind::Other(message) if message.contains("UTF-16"))
        );
        assert_eq!(Kind::of_archive("ML-25M.ZIP"), Some("a zip archive: unpack it"));
        assert_eq!(Kind::of_archive("ratings.csv.gz"), None);
    }
}
