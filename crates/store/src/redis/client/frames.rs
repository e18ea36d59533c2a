//! Replies of Redis (RESP2) as they arrive, with limits on depth and size.
//!
//! The client library decodes a nested reply by recursion and a large one in memory: a reply that is nested
//! deep enough overflows the stack. So every reply passes through [`Frames`] first, which needs neither.

use bytes::Bytes;

use super::{Answer, Reply};

/// The deepest nesting of arrays. Redis nests its replies a few levels deep.
const DEEPEST: usize = 16;
/// The most elements of an array that is passed on to the client library.
const MOST_PASSED: u64 = 1 << 20;
/// The most elements of an array that is kept; a larger one is skipped.
const MOST_KEPT: u64 = 1 << 20;
/// The most elements of an array that is skipped.
const MOST_SKIPPED: u64 = 1 << 32;
/// The longest line, in bytes: a number, a status or an error.
const LONGEST_LINE: usize = 64 * 1024;
/// The longest string that is passed on to the client library, in bytes.
const LONGEST_PASSED: usize = 64 << 20;
/// The longest string that Redis itself stores, in bytes.
const LONGEST_STORED: usize = 512 << 20;

/// What is kept of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nothing: it is for the client library.
    Nothing,
    /// The reply, with [`Reply::TooLarge`] in place of what is longer than this.
    Most {
        /// The limit for one string, in bytes.
        each: usize,
        /// The limit for all strings of the reply, in bytes.
        all: usize,
    },
}

/// One reply at a time, read from as many pieces as it comes in.
#[derive(Debug)]
pub(super) struct Frames {
    keep: Keep,
    /// Arrays that are not complete yet, the outermost first.
    open: Vec<Open>,
    /// The beginning of a line whose end is still to come.
    line: Vec<u8>,
    string: Option<Text>,
    /// Bytes of this reply's strings so far.
    size: usize,
    /// Whether the reply is skipped as a whole, because it has too many elements.
    skips: bool,
    /// The element with the last string that is too large.
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
    /// Bytes that are still to come, with the line end.
    missing: usize,
    /// `None` if nothing is kept of it.
    bytes: Option<Vec<u8>>,
    too_large: bool,
}

impl Frames {
    pub(super) const fn new() -> Self {
        Self {
            keep: Keep::Nothing,
            open: Vec::new(),
            line: Vec::new(),
            string: None,
            size: 0,
            skips: false,
            too_large: None,
        }
    }

    /// Whether the next byte begins a reply.
    pub(super) const fn is_between(&self) -> bool {
        self.open.is_empty() && self.line.is_empty() && self.string.is_none()
    }

    /// The place, in the outermost array, of a string that has begun and is too large; each is reported once.
    pub(super) const fn take_too_large(&mut self) -> Option<usize> {
        self.too_large.take()
    }

    /// Reads on. Returns how many bytes belong to the current reply, and the reply if it ends there. `keep` is that
    /// of the whole reply. An error is what is wrong with the reply; nothing behind it can be read.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        keep: Keep,
    ) -> Result<(usize, Option<Answer>), String> {
        if self.is_between() {
            (self.keep, self.size, self.skips) = (keep, 0, false);
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
            // The last element of an array completes it, and maybe the one around it.
            loop {
                let Some(array) = self.open.last_mut() else {
                    let value = if self.skips { Ok(Reply::TooLarge) } else { value };
                    return Ok((at, Some(value)));
                };
                if let (Keep::Most { .. }, false) = (self.keep, self.skips) {
                    let item =
                        value.map_err(|says| format!("an error inside an array ({says})"))?;
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
        if self.line.len() > LONGEST_LINE {
            return Err(format!("a line of a reply is longer than {LONGEST_LINE} bytes"));
        }
        Ok(())
    }

    /// Reads one line, which is an element or begins one.
    fn element(&mut self, line: &[u8]) -> Result<Option<Answer>, String> {
        let (Some(kind), Some(rest)) =
            (line.first(), line.get(1..).and_then(|rest| rest.strip_suffix(b"\r\n")))
        else {
            return Err("a reply that is none".to_owned());
        };
        let number = || {
            let number = str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok());
            number.ok_or_else(|| "a reply with a number that is none".to_owned())
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
                let most = if self.keep == Keep::Nothing { MOST_PASSED } else { MOST_SKIPPED };
                if count > most {
                    return Err(format!(
                        "a reply with an array of {count} elements, more than {most}"
                    ));
                }
                if self.keep != Keep::Nothing && count > MOST_KEPT {
                    self.skips = true;
                    self.too_large = Some(self.open.first().map_or(0, |array| array.items.len()));
                }
                if self.open.len() == DEEPEST {
                    return Err(format!("a reply nested deeper than {DEEPEST} arrays"));
                }
                // What an array claims to have need not come.
                let items = match self.keep {
                    Keep::Most { .. } if !self.skips => Vec::with_capacity(count.min(64) as usize),
                    _ => Vec::new(),
                };
                self.open.push(Open { missing: count, items });
                Ok(None)
            }
            _ => Err("a reply that is none".to_owned()),
        }
    }

    fn begin_text(&mut self, length: usize) -> Result<(), String> {
        let (longest, too_large) = match self.keep {
            Keep::Nothing => (LONGEST_PASSED, false),
            Keep::Most { each, all } => {
                self.size = self.size.saturating_add(length);
                (LONGEST_STORED, length > each || self.size > all)
            }
        };
        if length > longest {
            return Err(format!("a reply of {length} bytes, more than {longest}"));
        }
        if too_large {
            self.too_large = Some(self.open.first().map_or(0, |array| array.items.len()));
        }
        let kept = self.keep != Keep::Nothing && !too_large && !self.skips;
        let bytes = kept.then(|| Vec::with_capacity(length.min(64 * 1024)));
        self.string = Some(Text { missing: length + 2, bytes, too_large });
        Ok(())
    }

    fn text(&mut self, input: &[u8]) -> Result<(usize, Option<Answer>), String> {
        let Some(text) = &mut self.string else { return Ok((0, None)) };
        let taken = text.missing.min(input.len());
        // The line end is not part of the text.
        let own = text.missing.saturating_sub(2).min(taken);
        if let Some(bytes) = &mut text.bytes {
            bytes.extend_from_slice(&input[..own]);
        }
        let end = &b"\r\n"[2 - (text.missing - own).min(2)..];
        if !end.starts_with(&input[own..taken]) {
            return Err("a reply longer than its length".to_owned());
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

/// The length of the command (an array of strings) that the bytes begin with, and its name, if it is there as a
/// whole. An error is that they begin with something else.
pub(super) fn command(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, String> {
    let none = || "the client library wrote a command that is none".to_owned();
    let head = |at: usize, kind: u8| -> Result<Option<(usize, usize)>, String> {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return if rest.len() > 32 { Err(none()) } else { Ok(None) };
        };
        let number = rest[..=end].strip_suffix(b"\r\n").and_then(|line| line.strip_prefix(&[kind]));
        let number = number.and_then(|number| str::from_utf8(number).ok()?.parse().ok());
        Ok(Some((at + end + 1, number.ok_or_else(none)?)))
    };
    let Some((mut at, count)) = head(0, b'*')? else { return Ok(None) };
    let mut name: &[u8] = b"";
    for word in 0..count {
        let Some((start, length)) = head(at, b'$')? else { return Ok(None) };
        let end = start.checked_add(length).ok_or_else(none)?;
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

/// Appends a command as Redis reads it: an array of strings.
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

/// Reads bytes as replies that come in pieces of a length, and as a command, for fuzzing.
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::redis) fn read_replies(bytes: &[u8], piece: usize) {
    let mut frames = Frames::new();
    'pieces: for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            let keep = Keep::Most { each: 100, all: 150 };
            let Ok((taken, _)) = frames.read(piece, keep) else { break 'pieces };
            assert!(taken > 0, "no byte was taken");
            piece = &piece[taken..];
        }
    }
    let _ = command(bytes);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Keep = Keep::Most { each: 100, all: 150 };

    fn text(text: &str) -> Reply {
        Reply::Text(text.to_owned().into())
    }

    /// Reads replies that come in pieces of this length.
    fn read(bytes: &[u8], piece: usize, keep: Keep) -> Result<Vec<Answer>, String> {
        let (mut frames, mut answers) = (Frames::new(), Vec::new());
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let (taken, answer) = frames.read(piece, keep)?;
                assert!(taken > 0);
                answers.extend(answer);
                piece = &piece[taken..];
            }
        }
        assert!(frames.is_between(), "{frames:?}");
        Ok(answers)
    }

    #[test]
    fn replies_are_read_from_pieces_of_any_length() {
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
        for piece in 1..=bytes.len() {
            assert_eq!(read(bytes, piece, ALL), Ok(expected.clone()), "pieces of {piece}");
            let nothing = read(bytes, piece, Keep::Nothing).unwrap();
            assert_eq!(nothing.len(), expected.len());
        }
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_refused_before_it_is_there() {
        for (bytes, what) in [
            ("*1\r\n".repeat(200_000), "nested deeper than 16"),
            ("*4294967297\r\n".to_owned(), "an array of 4294967297 elements"),
            ("$536870913\r\n".to_owned(), "a reply of 536870913 bytes"),
            (format!("+{}", "x".repeat(70_000)), "a line of a reply is longer"),
            ("$1\r\nab\r\n".to_owned(), "longer than its length"),
            ("\0what\r\n".to_owned(), "a reply that is none"),
            (":x\r\n".to_owned(), "a number that is none"),
            ("*1\r\n-ERR no\r\n".to_owned(), "an error inside an array (ERR no)"),
        ] {
            for piece in [1, 7, 100_000] {
                let fault = read(bytes.as_bytes(), piece, ALL).unwrap_err();
                assert!(fault.contains(what), "{fault}");
            }
        }
        let passed = read(b"*1048577\r\n", 100, Keep::Nothing).unwrap_err();
        assert!(passed.contains("more than 1048576"), "{passed}");
        let passed = read(b"$67108865\r\n", 100, Keep::Nothing).unwrap_err();
        assert!(passed.contains("more than 67108864"), "{passed}");
        let deep = "*1\r\n".repeat(DEEPEST) + ":1\r\n";
        assert_eq!(read(deep.as_bytes(), 10, ALL).unwrap().len(), 1);
    }

    #[test]
    fn large_strings_are_skipped() {
        let string = |length: usize| format!("${length}\r\n{}\r\n", "x".repeat(length));
        let kept = |length: usize| text(&"x".repeat(length));
        for piece in [1, 10, 1000] {
            let bytes = string(101) + &string(100) + ":1\r\n";
            let expected = vec![Ok(Reply::TooLarge), Ok(kept(100)), Ok(Reply::Number(1))];
            assert_eq!(read(bytes.as_bytes(), piece, ALL), Ok(expected));
            let bytes = "*3\r\n".to_owned() + &string(90) + &string(90) + &string(1) + &string(3);
            let list = Reply::List(vec![kept(90), Reply::TooLarge, Reply::TooLarge]);
            assert_eq!(read(bytes.as_bytes(), piece, ALL), Ok(vec![Ok(list), Ok(kept(3))]));
        }
    }

    #[test]
    fn arrays_of_many_elements_are_skipped() {
        let bytes = "*1048577\r\n".to_owned() + &"$1\r\nx\r\n".repeat(1_048_577) + ":1\r\n";
        for piece in [1000, bytes.len()] {
            let expected = vec![Ok(Reply::TooLarge), Ok(Reply::Number(1))];
            assert_eq!(read(bytes.as_bytes(), piece, ALL), Ok(expected));
        }
    }

    #[test]
    fn commands_are_told_apart() {
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
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), piece in 1_usize..9) {
            read_replies(&bytes, piece);
        }
    }
}
