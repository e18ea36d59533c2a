use std::time::Duration;

use bytes::Bytes;

/// A command; the first key says to which node of a cluster it goes.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Get(Bytes),
    HashGetAll(Bytes),
    HashSet(Bytes, Vec<(Bytes, Bytes)>),
    /// Whether a hash has a field.
    HashHas(Bytes, Bytes),
    Set(Bytes, Bytes, Option<Duration>),
    /// `SET … NX`: with this time to live.
    SetIfMissing(Bytes, Bytes, Duration),
    Length(Bytes),
    Expire(Bytes, Duration),
    TimeLeft(Bytes),
    Rename(Bytes, Bytes),
    Unlink(Vec<Bytes>),
    /// Cursor and pattern.
    Scan(Bytes, Bytes),
}

impl Command {
    /// The key that says where it goes; `None` for those that go to every node.
    pub(super) fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Get(key)
            | Self::HashGetAll(key)
            | Self::HashSet(key, _)
            | Self::HashHas(key, _)
            | Self::Set(key, ..)
            | Self::SetIfMissing(key, ..)
            | Self::Length(key)
            | Self::Expire(key, _)
            | Self::TimeLeft(key)
            | Self::Rename(key, _) => Some(key),
            Self::Unlink(keys) => keys.first(),
            Self::Scan(..) => None,
        }
    }

    /// Appends the command as Redis reads it: an array of byte strings.
    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        let millis = |time: &Duration| time.as_millis().to_string();
        match self {
            Self::Get(key) => words(to, "GET", &[key]),
            Self::HashGetAll(key) => words(to, "HGETALL", &[key]),
            Self::HashSet(key, fields) => {
                head(to, b'*', 2 + 2 * fields.len());
                word(to, b"HSET");
                word(to, key);
                for (name, value) in fields {
                    word(to, name);
                    word(to, value);
                }
            }
            Self::HashHas(key, field) => words(to, "HEXISTS", &[key, field]),
            Self::Set(key, value, None) => words(to, "SET", &[key, value]),
            Self::Set(key, value, Some(ttl)) => {
                words(to, "SET", &[key, value, b"PX", millis(ttl).as_bytes()]);
            }
            Self::SetIfMissing(key, value, ttl) => {
                words(to, "SET", &[key, value, b"PX", millis(ttl).as_bytes(), b"NX"]);
            }
            Self::Length(key) => words(to, "STRLEN", &[key]),
            Self::Expire(key, ttl) => words(to, "PEXPIRE", &[key, millis(ttl).as_bytes()]),
            Self::TimeLeft(key) => words(to, "PTTL", &[key]),
            Self::Rename(from, into) => words(to, "RENAME", &[from, into]),
            Self::Unlink(keys) => {
                head(to, b'*', 1 + keys.len());
                word(to, b"UNLINK");
                keys.iter().for_each(|key| word(to, key));
            }
            Self::Scan(cursor, pattern) => {
                words(to, "SCAN", &[cursor, b"MATCH", pattern, b"COUNT", b"1000"]);
            }
        }
    }
}

/// Appends any command.
pub(super) fn words(to: &mut Vec<u8>, name: &str, arguments: &[&[u8]]) {
    head(to, b'*', 1 + arguments.len());
    word(to, name.as_bytes());
    arguments.iter().for_each(|argument| word(to, argument));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_byte_strings() {
        let mut text = Vec::new();
        Command::HashSet("k".into(), vec![("a".into(), "".into())]).encode(&mut text);
        assert_eq!(text, b"*4\r\n$4\r\nHSET\r\n$1\r\nk\r\n$1\r\na\r\n$0\r\n\r\n");
        text.clear();
        Command::Set("k".into(), "v".into(), Some(Duration::from_secs(2))).encode(&mut text);
        assert_eq!(text, b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nPX\r\n$4\r\n2000\r\n");
    }
}
