use bytes::Bytes;
use sparrow_model::UserId;

use crate::{Kind, Options};

/// The names of keys: the configured prefix, followed by the names in `docs/redis.md`.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    /// The prefix contains a hash tag, so all keys are in one slot.
    tagged: bool,
}

const MARKER: &str = "sparrow:generation";
const LOCK: &str = "sparrow:lock";
/// The beginning of the names of staged keys.
const STAGED: &str = "sparrow:new:";
/// The beginning of the names of the keys in which projectors record what they wrote.
const PROJECTED: &str = "sparrow:projected:";

impl Keys {
    pub(super) fn new(options: &Options) -> Self {
        Self { prefix: options.prefix.clone(), tagged: options.prefix.contains('{') }
    }

    pub(super) fn plain(&self, kind: Kind, id: u32) -> Bytes {
        format!("{}{}", self.prefix, kind.key(id)).into()
    }

    /// The staged key of a plain key, in the same slot. It contains the token of its push, so that
    /// two pushes never share keys. Format 1 had no token.
    pub(super) fn staged(&self, kind: Kind, id: u32, pusher: Option<&str>) -> Bytes {
        self.staged_name(&kind.key(id), pusher)
    }

    fn staged_name(&self, name: &str, pusher: Option<&str>) -> Bytes {
        let prefix = &self.prefix;
        let (pusher, colon) = pusher.map_or(("", ""), |pusher| (pusher, ":"));
        if self.tagged {
            format!("{prefix}{STAGED}{pusher}{colon}{name}").into()
        } else {
            // The braces make the plain key the hash tag.
            format!("{prefix}{STAGED}{pusher}{colon}{{{prefix}{name}}}").into()
        }
    }

    pub(super) fn marker(&self) -> Bytes {
        format!("{}{MARKER}", self.prefix).into()
    }

    pub(super) fn staged_marker(&self, pusher: Option<&str>) -> Bytes {
        self.staged_name(MARKER, pusher)
    }

    pub(super) fn lock(&self) -> Bytes {
        format!("{}{LOCK}", self.prefix).into()
    }

    /// The number of partitions of live data.
    pub(super) fn partitions(&self) -> Bytes {
        format!("{}sparrow:partitions", self.prefix).into()
    }

    /// The last user id that was given to a new user.
    pub(super) fn last_user(&self) -> Bytes {
        format!("{}sparrow:last-user", self.prefix).into()
    }

    /// An idempotency key of the creation of a user, in the slot of the last id.
    pub(super) fn created(&self, key: &str) -> Bytes {
        let prefix = &self.prefix;
        if self.tagged {
            format!("{prefix}sparrow:created:{key}").into()
        } else {
            format!("{prefix}sparrow:created:{{{prefix}sparrow:last-user}}:{key}").into()
        }
    }

    /// The stream with the writes of a partition.
    pub(super) fn events(&self, partition: u16) -> Bytes {
        format!("{}sparrow:{{p{partition}}}:events", self.prefix).into()
    }

    /// The users of a partition who were deleted.
    pub(super) fn forgotten(&self, partition: u16) -> Bytes {
        format!("{}sparrow:{{p{partition}}}:forgotten", self.prefix).into()
    }

    /// Up to where the stream of a partition was trimmed.
    pub(super) fn trimmed(&self, partition: u16) -> Bytes {
        format!("{}sparrow:{{p{partition}}}:trimmed", self.prefix).into()
    }

    /// The live data of a user.
    pub(super) fn live(&self, partition: u16, user: UserId) -> Bytes {
        format!("{}sparrow:{{p{partition}}}:live:{user}", self.prefix).into()
    }

    /// An idempotency key of a user.
    pub(super) fn idempotency(&self, partition: u16, user: UserId, key: &str) -> Bytes {
        format!("{}sparrow:{{p{partition}}}:id:{user}:{key}", self.prefix).into()
    }

    /// A `SCAN` pattern for the live data of users, and possibly other keys.
    pub(super) fn live_pattern(&self) -> Bytes {
        format!("{}sparrow:{{p*}}:live:*", escaped(&self.prefix)).into()
    }

    /// The user in the key of live data; `None` for other keys.
    pub(super) fn live_id(&self, key: &[u8]) -> Option<UserId> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        let (partition, id) = rest.strip_prefix("sparrow:{p")?.split_once("}:live:")?;
        let user = UserId(id.parse().ok()?);
        (self.live(partition.parse().ok()?, user) == key).then_some(user)
    }

    /// What a projector wrote under a plain key, in the same slot.
    pub(super) fn projected(&self, kind: Kind, id: u32) -> Bytes {
        let (prefix, name) = (&self.prefix, kind.key(id));
        if self.tagged {
            format!("{prefix}{PROJECTED}{name}").into()
        } else {
            format!("{prefix}{PROJECTED}{{{prefix}{name}}}").into()
        }
    }

    /// A `SCAN` pattern that matches the plain keys of a kind, and possibly others.
    pub(super) fn plain_pattern(&self, kind: Kind) -> Bytes {
        let any = if kind.is_single() { "" } else { "*" };
        format!("{}{}{any}", escaped(&self.prefix), kind.key_prefix()).into()
    }

    pub(super) fn every_pattern(&self) -> Bytes {
        format!("{}*", escaped(&self.prefix)).into()
    }

    /// A `SCAN` pattern for all staged keys.
    pub(super) fn staged_pattern(&self) -> Bytes {
        format!("{}{STAGED}*", escaped(&self.prefix)).into()
    }

    /// A `SCAN` pattern for the staged keys of one push.
    pub(super) fn staged_pattern_of(&self, pusher: &str) -> Bytes {
        format!("{}{STAGED}{pusher}:*", escaped(&self.prefix)).into()
    }

    /// The id in a plain key of a kind; `None` for other keys.
    pub(super) fn plain_id(&self, kind: Kind, key: &[u8]) -> Option<u32> {
        id_of(kind, std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?)
    }

    /// Kind and id in a staged key of this push; `None` for other keys.
    pub(super) fn staged_id(&self, key: &[u8], pusher: Option<&str>) -> Option<(Kind, u32)> {
        let mut rest =
            std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?.strip_prefix(STAGED)?;
        if let Some(pusher) = pusher {
            rest = rest.strip_prefix(pusher)?.strip_prefix(':')?;
        }
        let name = if self.tagged {
            rest
        } else {
            rest.strip_prefix('{')?.strip_suffix('}')?.strip_prefix(&self.prefix)?
        };
        Kind::ALL.into_iter().find_map(|kind| Some((kind, id_of(kind, name)?)))
    }
}

fn id_of(kind: Kind, name: &str) -> Option<u32> {
    let rest = name.strip_prefix(kind.key_prefix())?;
    if kind.is_single() {
        return rest.is_empty().then_some(0);
    }
    // Only the canonical form: `07` is a key of another program.
    let id: u32 = rest.parse().ok()?;
    (id.to_string() == rest).then_some(id)
}

/// Escapes the special characters of `SCAN` patterns.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(prefix: &str) -> Keys {
        Keys::new(&Options { prefix: prefix.to_owned(), ..Options::default() })
    }

    /// The part of a key that a cluster hashes: the first non-empty `{…}`, or the whole key.
    fn hashed(key: &[u8]) -> &[u8] {
        let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
        match key[open + 1..].iter().position(|&byte| byte == b'}') {
            Some(length) if length > 0 => &key[open + 1..open + 1 + length],
            _ => key,
        }
    }

    #[test]
    fn staged_keys_are_in_the_slot_of_their_plain_keys() {
        for prefix in ["", "movies:", "{movies}:", "a{b}c", "x*"] {
            let keys = keys(prefix);
            for kind in Kind::ALL {
                let (plain, staged) = (keys.plain(kind, 6), keys.staged(kind, 6, Some("3f-a")));
                let old = keys.staged(kind, 6, None);
                let projected = keys.projected(kind, 6);
                assert_eq!(hashed(&plain), hashed(&projected), "{projected:?}");
                assert_eq!(keys.staged_id(&projected, None), None);
                assert_eq!(hashed(&plain), hashed(&staged), "{staged:?}");
                assert_eq!(hashed(&plain), hashed(&old), "{old:?}");
                let id = if kind.is_single() { 0 } else { 6 };
                assert_eq!(keys.plain_id(kind, &plain), Some(id));
                assert_eq!(keys.staged_id(&staged, Some("3f-a")), Some((kind, id)));
                assert_eq!(keys.staged_id(&old, None), Some((kind, id)));
                for (other, pusher) in
                    [(&staged, Some("3f-b")), (&staged, None), (&old, Some("3f-a")), (&plain, None)]
                {
                    assert_eq!(keys.staged_id(other, pusher), None, "{other:?}");
                }
                assert_eq!(keys.plain_id(kind, &staged), None);
            }
            let marker = keys.staged_marker(Some("3f-a"));
            assert_eq!(hashed(&keys.marker()), hashed(&marker));
            assert_eq!(keys.staged_id(&marker, Some("3f-a")), None);
        }
    }

    #[test]
    fn live_keys_of_a_partition_are_in_one_slot() {
        for prefix in ["", "movies:", "{movies}:"] {
            let (keys, user) = (keys(prefix), UserId(6));
            let events = keys.events(7);
            for key in ["k", "a{b}c", "}{", ""] {
                assert_eq!(hashed(&keys.created(key)), hashed(&keys.last_user()), "{key}");
                assert!(keys.created(key).starts_with(prefix.as_bytes()));
            }
            let others = [
                keys.forgotten(7),
                keys.trimmed(7),
                keys.live(7, user),
                keys.idempotency(7, user, "a{b}c"),
            ];
            for key in others {
                assert_eq!(hashed(&key), hashed(&events), "{key:?}");
                assert_ne!(key, events);
                assert!(Kind::ALL.iter().all(|&kind| keys.plain_id(kind, &key).is_none()));
                assert_eq!(keys.staged_id(&key, None), None);
            }
        }
        let plain = keys("");
        assert_eq!(plain.events(7), "sparrow:{p7}:events");
        assert_eq!(plain.live(255, UserId(6)), "sparrow:{p255}:live:6");
        assert_eq!(plain.idempotency(0, UserId(6), "k"), "sparrow:{p0}:id:6:k");
        assert_eq!(plain.live_pattern(), "sparrow:{p*}:live:*");
        for prefix in ["", "movies:", "{movies}:"] {
            let keys = keys(prefix);
            assert_eq!(keys.live_id(&keys.live(7, UserId(6))), Some(UserId(6)));
            for foreign in
                ["sparrow:{p7}:live:06", "sparrow:{p07}:live:6", "sparrow:{p7}:id:6:x}:live:6"]
            {
                assert_eq!(
                    keys.live_id(format!("{prefix}{foreign}").as_bytes()),
                    None,
                    "{foreign}"
                );
            }
        }
        assert_ne!(hashed(&plain.events(7)), hashed(&plain.events(8)));
    }

    #[test]
    fn names_of_keys_follow_the_contract() {
        let plain = keys("");
        assert_eq!(plain.plain(Kind::UserFeatures, 6), "uf:6");
        assert_eq!(plain.plain(Kind::MovieFeatures, 1), "mf:1");
        assert_eq!(plain.plain(Kind::UserEmbedding, 6), "uEmb:6");
        assert_eq!(plain.plain(Kind::MovieEmbedding, 1), "i2vEmb:1");
        let staged = |prefix, pusher| keys(prefix).staged(Kind::UserFeatures, 6, pusher);
        assert_eq!(staged("", Some("3f")), "sparrow:new:3f:{uf:6}");
        assert_eq!(staged("p:", Some("3f")), "p:sparrow:new:3f:{p:uf:6}");
        assert_eq!(staged("{p}", Some("3f")), "{p}sparrow:new:3f:uf:6");
        assert_eq!(staged("", None), "sparrow:new:{uf:6}");
        assert_eq!(keys("a*").plain_pattern(Kind::MovieFeatures), "a\\*mf:*");
        for foreign in ["uf:06", "uf:-1", "uf:4294967296", "uf:", "uf:6x", "xuf:6", "mf:6"] {
            assert_eq!(plain.plain_id(Kind::UserFeatures, foreign.as_bytes()), None, "{foreign}");
        }
    }
}
