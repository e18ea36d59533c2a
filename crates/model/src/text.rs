//! Text as files hold it.

/// The byte order mark, which some programs write at the beginning of UTF-8 files.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The content of a text file without its byte order mark. Every reader of text files calls it, so
/// that the mark never becomes part of the first value.
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
