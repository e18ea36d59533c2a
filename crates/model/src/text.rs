//! Decoding of text files.

/// The byte order mark that some programs write at the start of UTF-8 files.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Strips the byte order mark from the content of a text file. Every reader of text files must call it,
/// or the mark becomes part of the first value.
///
/// ```
/// use sparrow_model::skip_byte_order_mark;
///
/// assert_eq!(skip_byte_order_mark(b"\xef\xbb\xbfDrama"), b"Drama");
/// assert_eq!(skip_byte_order_mark(b"Drama"), b"Drama");
/// ```
pub fn skip_byte_order_mark(content: &[u8]) -> &[u8] {
    content.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(content)
}
