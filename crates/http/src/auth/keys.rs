//! API keys, of which the server knows only the SHA-256 digests.

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The beginning of generated keys, by which scanners for secrets find them.
const PREFIX: &str = "sparrow_";

/// The entropy of a generated key, in bytes.
const ENTROPY: usize = 32;

/// A set of scopes. None of them includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// No scope.
    pub const NONE: Self = Self(0);
    /// Reads.
    pub const READ: Self = Self(1);
    /// Changes of data.
    pub const WRITE: Self = Self(2);
    /// The admin port.
    pub const ADMIN: Self = Self(4);

    /// In the order of the bits.
    const NAMES: [&'static str; 3] = ["read", "write", "admin"];

    /// Whether all scopes of another set are in this one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names of the scopes.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let named = Self::NAMES.into_iter().enumerate();
        named.filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| name)
    }
}

impl FromStr for Scopes {
    type Err = String;

    /// The scope of this name.
    fn from_str(name: &str) -> Result<Self, String> {
        let bit = Self::NAMES.iter().position(|known| *known == name);
        bit.map(|bit| Self(1 << bit)).ok_or_else(|| {
            format!("{name:?} is not a scope; the scopes are {}", Self::NAMES.join(", "))
        })
    }
}

/// A key that the server accepts.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    name: Box<str>,
    digest: [u8; 32],
    scopes: Scopes,
}

impl ApiKey {
    /// A key with its SHA-256 digest as 64 hexadecimal digits.
    pub fn new(name: &str, sha256: &str, scopes: Scopes) -> Result<Self, String> {
        let digest = digest_of_hex(sha256);
        // The message does not contain the text: it may be the key itself.
        let digest = digest.ok_or(
            "is not a SHA-256 digest of 64 hexadecimal digits; `sparrow-serve key` prints one",
        )?;
        Ok(Self { name: name.into(), digest, scopes })
    }

    /// The name for logs and limits.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it permits.
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }
}

/// Without the digest.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// The key among these that a client sent. All are compared, each in constant time.
pub(crate) fn find<'a>(keys: &'a [ApiKey], sent: &[u8]) -> Option<&'a ApiKey> {
    let digest: [u8; 32] = Sha256::digest(sent).into();
    let mut found = None;
    for key in keys {
        if bool::from(key.digest.ct_eq(&digest)) {
            found = Some(key);
        }
    }
    found
}

/// A new random key, and its SHA-256 digest as 64 hexadecimal digits. Fails if the system has no random numbers.
pub fn generate_key() -> Result<(String, String), String> {
    let mut bytes = [0; ENTROPY];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the system has no random numbers".to_owned())?;
    let key = format!("{PREFIX}{}", hex(&bytes));
    let digest = hex(&Sha256::digest(key.as_bytes()));
    Ok((key, digest))
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn digest_of_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(digest)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn generated_key_is_found_by_its_digest_alone() {
        let (key, digest) = generate_key().unwrap();
        let (other, _) = generate_key().unwrap();
        assert_ne!(key, other);
        let keys = [ApiKey::new("one", &digest.to_uppercase(), Scopes::READ).unwrap()];
        assert_eq!(find(&keys, key.as_bytes()), Some(&keys[0]));
        for wrong in [other.as_str(), &digest, "", &key[1..]] {
            assert_eq!(find(&keys, wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn digest_is_that_of_sha256sum() {
        // printf secret | sha256sum
        let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let keys = [ApiKey::new("one", digest, Scopes::WRITE).unwrap()];
        assert!(find(&keys, b"secret").is_some());
    }

    #[test]
    fn wrong_digests_are_refused_without_their_text() {
        for wrong in ["", "sparrow_abc", &"g".repeat(64), &"a".repeat(63), &"é".repeat(32)] {
            let error = ApiKey::new("one", wrong, Scopes::READ).unwrap_err();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn debug_output_contains_no_digest() {
        let (key, digest) = generate_key().unwrap();
        let shown = format!("{:?}", ApiKey::new("one", &digest, Scopes::ADMIN).unwrap());
        assert!(!shown.contains(&digest) && !shown.contains(&key), "{shown}");
        let bytes = format!("{:?}", digest_of_hex(&digest).unwrap());
        assert!(shown.contains("one") && !shown.contains(&bytes[1..20]), "{shown}");
    }

    #[test]
    fn scopes_have_names_and_none_includes_another() {
        let both: Scopes = "read".parse::<Scopes>().unwrap().and("admin".parse().unwrap());
        assert_eq!(both.names().collect::<Vec<_>>(), ["read", "admin"]);
        assert!(both.contains(Scopes::READ) && !both.contains(Scopes::WRITE));
        assert!(!Scopes::ADMIN.contains(Scopes::READ));
        assert!("root".parse::<Scopes>().unwrap_err().contains("read, write, admin"));
    }
}
