//! What kind of file some bytes are the beginning of.

/// How many bytes [`Kind::of`] needs at most.
pub const LONGEST: usize = 8;

/// The kinds of files that are told apart where text is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, as far as the beginning shows.
    Text,
    /// Compressed with gzip.
    Gzip,
    /// Apache Parquet.
    Parquet,
    /// A kind that is not read: what it is, and what to do about it.
    Other(&'static str),
}

impl Kind {
    /// The kind of the file that begins with these bytes, [`LONGEST`] or all that there are.
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

    /// The same for a file of which only the name is known: whether it has to be unpacked, and how.
    pub(crate) fn of_packed(name: &str) -> Option<&'static str> {
        const PACKED: [(&str, &str); 8] = [
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
        PACKED.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, what)| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_their_first_bytes() {
        assert_eq!(Kind::of(b""), Kind::Text);
        assert_eq!(Kind::of(b"\xef\xbb\xbfmovieId"), Kind::Text);
        assert_eq!(Kind::of(b"\x1f\x8b\x08\0"), Kind::Gzip);
        assert_eq!(Kind::of(b"PAR1"), Kind::Parquet);
        assert!(matches!(Kind::of(b"PK\x03\x04\x14"), Kind::Other(what) if what.contains("zip")));
        assert!(matches!(Kind::of(b"\xff\xfem\0"), Kind::Other(what) if what.contains("UTF-16")));
        assert_eq!(Kind::of_packed("ML-25M.ZIP"), Some("a zip archive: unpack it"));
        assert_eq!(Kind::of_packed("ratings.csv.gz"), None);
    }
}
