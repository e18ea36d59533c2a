//! An incremental parser of Redis replies (RESP2) with limits on depth and size.
//!
//! The client library decodes nested replies recursively and large ones in memory, so that a deeply
//! nested reply overflows the stack. Therefore every reply passes through [`Frames`] first.

use bytes::Bytes;

use super::{Answer, Reply};

/// The maximum nesting of arrays. Redis nests its replies a few levels deep.
const MAX_DEPTH: usize = 16;
/// The maximum elements of an array for the client library.
const MAX_RELAYED_ELEMENTS: u64 = 1 << 20;
/// The maximum elements of an array that is kept; larger ones are skipped.
const MAX_KEPT_ELEMENTS: u64 = 1 << 20;
/// The maximum elements of an array that is skipped.
const MAX_SKIPPED_ELEMENTS: u64 = 1 << 32;
/// The longest line, in bytes: a number, a status or an error.
const MAX_LINE: usize = 64 * 1024;
/// The maximum length of a string for the client library, in bytes.
const MAX_RELAYED_STRING: usize = 64 << 20;
/// The maximum length of a string that Redis can store, in bytes.
const MAX_STORED_STRING: usize = 512 << 20;

/// The part of a reply to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Retention {
    /// Nothing: the reply is for the client library.
    Nothing,
    /// The reply, with [`Reply::TooLarge`] in place of values over a limit.
    Limited {
        /// The limit for one string, in bytes.
        each: usize,
        /// The limit for all strings of the reply, in bytes.
        all: usize,
    },
}

/// Parses one reply at a time, from chunks of any size.
#[derive(Debug)]
pub(in crate::redis) struct Frames {
    retention: Retention,
    /// Incomplete arrays, outermost first.
    open: Vec<Open>,
    /// The beginning of an incomplete line.
    line: Vec<u8>,
    string: Option<Text>,
    /// The total size of this reply's strings so far, in bytes.
    size: usize,
    /// Whether the whole reply is skipped, because it has too many elements.
    skips: bool,
    /// The index of the last oversized element.
    too_large: Option<usize>,
}

#[derive(Debug)]
struct Open {
    missing: u64,
    items: Vec<Reply>,
}

/// A string of known length.
#[derive(Debug)]
struct Text {
    /// The remaining bytes, including the line end.
    missing: usize,
    /// `None` if the string is not kept.
    bytes: Option<Vec<u8>>,
    too_large: bool,
}

impl Frames {
    pub(in crate::redis) const fn new() -> Self {
        Self {
            retention: Retention::Nothing,
            open: Vec::new(),
            line: Vec::new(),
            string: None,
            size: 0,
            skips: false,
            too_large: None,
        }
    }

    /// Whether the next byte begins a reply.
    pub(in crate::redis) const fn is_between(&self) -> bool {
        self.open.is_empty() && self.line.is_empty() && self.string.is_none()
    }

    /// The index, in the outermost array, of an oversized string that has begun. Each is returned
    /// once.
    pub(super) const fn take_too_large(&mut self) -> Option<usize> {
        self.too_large.take()
    }

    /// Parses more input. Returns the number of bytes that belong to the current reply, and the
    /// reply if it is complete. `retention` applies to the whole reply. After an error, parsing cannot
    /// continue.
    pub(in crate::redis) fn read(
        &mut self,
        input: &[u8],
        retention: Retention,
    ) -> Result<(usize, Option<Answer>), String> {
        if self.is_between() {
            (self.retention, self.size, self.skips) = (retention, 0, false);
        }
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            let done = if self.string.is_some() {
                let (taken, done) = self.text(rest)?;
                at += taken;
                done
            } else {
                let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                    self.line.extend_from_slice(rest);
                    self.check_line()?;
                    return Ok((input.len(), None));
                };
                at += end + 1;
                if self.line.is_empty() {
                    self.element(&rest[..=end])?
                } else {
                    self.line.extend_from_slice(&rest[..=end]);
                    self.check_line()?;
                    let line = std::mem::take(&mut self.line);
                    self.element(&line)?
                }
            };
            let Some(mut value) = done else { continue };
            // The last element completes its array, and possibly the enclosing one.
            loop {
                let Some(array) = self.open.last_mut() else {
                    let value = if self.skips { Ok(Reply::TooLarge) } else { value };
                    return Ok((at, Some(value)));
                };
                if let (Retention::Limited { .. }, false) = (self.retention, self.skips) {
                    let item =
                        value.map_err(|message| format!("an error inside an array ({message})"))?;
                    array.items.push(item);
                }
                array.missing -= 1;
                if array.missing > 0 {
                    break;
                }
                let items = self.open.pop().map(|array| array.items).unwrap_or_default();
                value = Ok(Reply::List(items));
            }
        }
        Ok((at, None))
    }

    fn check_line(&self) -> Result<(), String> {
        if self.line.len() > MAX_LINE {
            return Err(format!("a line of a reply is longer than {MAX_LINE} bytes"));
        }
        Ok(())
    }

    /// Parses a line, which is an element or begins one.
    fn element(&mut self, line: &[u8]) -> Result<Option<Answer>, String> {
        let (Some(kind), Some(rest)) =
            (line.first(), line.get(1..).and_then(|rest| rest.strip_suffix(b"\r\n")))
        else {
            return Err("a malformed reply".to_owned());
        };
        let number = || {
            let number = str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok());
            number.ok_or_else(|| "a reply with a malformed number".to_owned())
        };
        match kind {
            b'+' => Ok(Some(Ok(Reply::Text(Bytes::copy_from_slice(rest))))),
            b'-' => Ok(Some(Err(String::from_utf8_lossy(rest).into_owned()))),
            b':' => Ok(Some(Ok(Reply::Number(number()?)))),
            b'$' => {
                let Ok(length) = usize::try_from(number()?) else {
                    return Ok(Some(Ok(Reply::Nothing)));
                };
                self.begin_text(length)?;
                Ok(None)
            }
            b'*' => {
                let Ok(count) = u64::try_from(number()?) else {
                    return Ok(Some(Ok(Reply::Nothing)));
                };
                if count == 0 {
                    return Ok(Some(Ok(Reply::List(Vec::new()))));
                }
                let most = if self.retention == Retention::Nothing {
                    MAX_RELAYED_ELEMENTS
                } else {
                    MAX_SKIPPED_ELEMENTS
                };
                if count > most {
                    return Err(format!(
                        "a reply with an array of {count} elements, more than {most}"
                    ));
                }
                if self.retention != Retention::Nothing && count > MAX_KEPT_ELEMENTS {
                    self.skips = true;
                    self.too_large = Some(self.open.first().map_or(0, |array| array.items.len()));
                }
                if self.open.len() == MAX_DEPTH {
                    return Err(format!("a reply nested deeper than {MAX_DEPTH} arrays"));
                }
                // The claimed length is not trusted for allocation.
                let items = match self.retention {
                    Retention::Limited { .. } if !self.skips => {
                        Vec::with_capacity(count.min(64) as usize)
                    }
                    _ => Vec::new(),
                };
                self.open.push(Open { missing: count, items });
                Ok(None)
            }
            _ => Err("a malformed reply".to_owned()),
        }
    }

    fn begin_text(&mut self, length: usize) -> Result<(), String> {
        let (longest, too_large) = match self.retention {
            Retention::Nothing => (MAX_RELAYED_STRING, false),
            Retention::Limited { each, all } => {
                self.size = self.size.saturating_add(length);
                (MAX_STORED_STRING, length > each || self.size > all)
            }
        };
        if length > longest {
            return Err(format!("a reply of {length} bytes, more than {longest}"));
        }
        if too_large {
            self.too_large = Some(self.open.first().map_or(0, |array| array.items.len()));
        }
        let kept = self.retention != Retention::Nothing && !too_large && !self.skips;
        let bytes = kept.then(|| Vec::with_capacity(length.min(64 * 1024)));
        self.string = Some(Text { missing: length + 2, bytes, too_large });
        Ok(())
    }

    fn text(&mut self, input: &[u8]) -> Result<(usize, Option<Answer>), String> {
        let Some(text) = &mut self.string else { return Ok((0, None)) };
        let taken = text.missing.min(input.len());
        let own = text.missing.saturating_sub(2).min(taken);
        if let Some(bytes) = &mut text.bytes {
            bytes.extend_from_slice(&input[..own]);
        }
        let end = &b"\r\n"[2 - (text.missing - own).min(2)..];
        if !end.starts_with(&input[own..taken]) {
            return Err("a reply with a string longer than its length".to_owned());
        }
        text.missing -= taken;
        if text.missing > 0 {
            return Ok((taken, None));
        }
        let Some(Text { bytes, too_large, .. }) = self.string.take() else {
            return Ok((taken, None));
        };
        let reply =
            if too_large { Reply::TooLarge } else { Reply::Text(bytes.unwrap_or_default().into()) };
        Ok((taken, Some(Ok(reply))))
    }
}

/// The length and name of the command (an array of strings) at the beginning of the input, if it is
/// complete. Other input is an error.
pub(super) fn command(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, String> {
    let malformed = || "the client library wrote a malformed command".to_owned();
    let head = |at: usize, kind: u8| -> Result<Option<(usize, usize)>, String> {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return if rest.len() > 32 { Err(malformed()) } else { Ok(None) };
        };
        let number = rest[..=end].strip_suffix(b"\r\n").and_then(|line| line.strip_prefix(&[kind]));
        let number = number.and_then(|number| str::from_utf8(number).ok()?.parse().ok());
        Ok(Some((at + end + 1, number.ok_or_else(malformed)?)))
    };
    let Some((mut at, count)) = head(0, b'*')? else { return Ok(None) };
    let mut name: &[u8] = b"";
    for word in 0..count {
        let Some((start, length)) = head(at, b'$')? else { return Ok(None) };
        let end = start.checked_add(length).ok_or_else(malformed)?;
        if word == 0 {
            name = bytes.get(start..end).unwrap_or_default();
        }
        at = end + 2;
        if bytes.len() < at {
            return Ok(None);
        }
    }
    Ok(Some((at, name)))
}

/// Appends a command in the protocol of Redis: an array of strings.
pub(in crate::redis) fn words(to: &mut Vec<u8>, name: &str, arguments: &[&[u8]]) {
    head(to, b'*', 1 + arguments.len());
    word(to, name.as_bytes());
    for argument in arguments {
        word(to, argument);
    }
}

fn word(to: &mut Vec<u8>, bytes: &[u8]) {
    head(to, b'$', bytes.len());
    to.extend_from_slice(bytes);
    to.extend_from_slice(b"\r\n");
}

fn head(to: &mut Vec<u8>, kind: u8, number: usize) {
    to.push(kind);
    to.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    to.extend_from_slice(b"\r\n");
}

/// Parses bytes as replies that arrive in chunks of this length, and as a command, for fuzzing.
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::redis) fn read_replies(bytes: &[u8], chunk: usize) {
    let mut frames = Frames::new();
    'chunks: for mut chunk in bytes.chunks(chunk) {
        while !chunk.is_empty() {
            let retention = Retention::Limited { each: 100, all: 150 };
            let Ok((taken, _)) = frames.read(chunk, retention) else { break 'chunks };
            assert!(taken > 0, "no byte was taken");
            chunk = &chunk[taken..];
        }
    }
    let _ = command(bytes);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Retention = Retention::Limited { each: 100, all: 150 };

    fn text(text: &str) -> Reply {
        Reply::Text(text.to_owned().into())
    }

    /// Parses replies in chunks of this length.
    fn read(bytes: &[u8], chunk: usize, retention: Retention) -> Result<Vec<Answer>, String> {
        let (mut frames, mut answers) = (Frames::new(), Vec::new());
        for mut chunk in bytes.chunks(chunk) {
            while !chunk.is_empty() {
                let (taken, answer) = frames.read(chunk, retention)?;
                assert!(taken > 0);
                answers.extend(answer);
                chunk = &chunk[taken..];
            }
        }
        assert!(frames.is_between(), "{frames:?}");
        Ok(answers)
    }

    #[test]
    fn replies_are_parsed_from_chunks_of_any_length() {
        let bytes = b"+OK\r\n-ERR no\r\n:-7\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n*3\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n*1\r\n+x\r\n$-1\r\n$2\r\n\r\n\r\n";
        let inner = Reply::List(vec![Reply::Number(1), Reply::List(vec![text("x")])]);
        let expected = vec![
            Ok(text("OK")),
            Err("ERR no".to_owned()),
            Ok(Reply::Number(-7)),
            Ok(Reply::Nothing),
            Ok(Reply::Nothing),
            Ok(Reply::List(Vec::new())),
            Ok(text("")),
            Ok(Reply::List(vec![text("a\r\n"), inner, Reply::Nothing])),
            Ok(text("\r\n")),
        ];
        for chunk in 1..=bytes.len() {
            assert_eq!(read(bytes, chunk, ALL), Ok(expected.clone()), "chunks of {chunk}");
            let nothing = read(bytes, chunk, Retention::Nothing).unwrap();
            assert_eq!(nothing.len(), expected.len());
        }
    }

    #[test]
    fn oversized_and_malformed_replies_are_rejected_before_they_are_complete() {
        for (bytes, what) in [
            ("*1\r\n".repeat(200_000), "nested deeper than 16"),
            ("*4294967297\r\n".to_owned(), "an array of 4294967297 elements"),
            ("$536870913\r\n".to_owned(), "a reply of 536870913 bytes"),
            (format!("+{}", "x".repeat(70_000)), "a line of a reply is longer"),
            ("$1\r\nab\r\n".to_owned(), "a string longer than its length"),
            ("\0what\r\n".to_owned(), "a malformed reply"),
            (":x\r\n".to_owned(), "a malformed number"),
            ("*1\r\n-ERR no\r\n".to_owned(), "an error inside an array (ERR no)"),
        ] {
            for chunk in [1, 7, 100_000] {
                let fault = read(bytes.as_bytes(), chunk, ALL).unwrap_err();
                assert!(fault.contains(what), "{fault}");
            }
        }
        let passed = read(b"*1048577\r\n", 100, Retention::Nothing).unwrap_err();
        assert!(passed.contains("more than 1048576"), "{passed}");
        let passed = read(b"$67108865\r\n", 100, Retention::Nothing).unwrap_err();
        assert!(passed.contains("more than 67108864"), "{passed}");
        let deep = "*1\r\n".repeat(MAX_DEPTH) + ":1\r\n";
        assert_eq!(read(deep.as_bytes(), 10, ALL).unwrap().len(), 1);
    }

    #[test]
    fn large_strings_are_skipped() {
        let string = |length: usize| format!("${length}\r\n{}\r\n", "x".repeat(length));
        let kept = |length: usize| text(&"x".repeat(length));
        for chunk in [1, 10, 1000] {
            let bytes = string(101) + &string(100) + ":1\r\n";
            let expected = vec![Ok(Reply::TooLarge), Ok(kept(100)), Ok(Reply::Number(1))];
            assert_eq!(read(bytes.as_bytes(), chunk, ALL), Ok(expected));
            let bytes = "*3\r\n".to_owned() + &string(90) + &string(90) + &string(1) + &string(3);
            let list = Reply::List(vec![kept(90), Reply::TooLarge, Reply::TooLarge]);
            assert_eq!(read(bytes.as_bytes(), chunk, ALL), Ok(vec![Ok(list), Ok(kept(3))]));
        }
    }

    #[test]
    fn arrays_of_many_elements_are_skipped() {
        let bytes = "*1048577\r\n".to_owned() + &"$1\r\nx\r\n".repeat(1_048_577) + ":1\r\n";
        for chunk in [1000, bytes.len()] {
            let expected = vec![Ok(Reply::TooLarge), Ok(Reply::Number(1))];
            assert_eq!(read(bytes.as_bytes(), chunk, ALL), Ok(expected));
        }
    }

    #[test]
    fn commands_are_delimited_and_named() {
        let mut bytes = Vec::new();
        words(&mut bytes, "SELECT", &[b"3"]);
        let first = bytes.len();
        words(&mut bytes, "ECHO", &[b"a\r\n"]);
        assert_eq!(command(&bytes), Ok(Some((first, &b"SELECT"[..]))));
        assert_eq!(command(&bytes[first..]), Ok(Some((bytes.len() - first, &b"ECHO"[..]))));
        for end in 0..first {
            assert_eq!(command(&bytes[..end]), Ok(None), "{end}");
        }
        assert!(command(b"PING\r\n").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), chunk in 1_usize..9) {
            read_replies(&bytes, chunk);
        }
    }
}
