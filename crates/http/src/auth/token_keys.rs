//! The public keys of an issuer of tokens: a JWK Set (RFC 7517), and the verification of signatures (RFC 7515).

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The length of a coordinate of P-256, and of a key of Ed25519, in bytes.
const COORDINATE: usize = 32;

/// The public keys that tokens can be signed with: of RSA for RS256, of P-256 for ES256, of Ed25519 for EdDSA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKeys(Vec<TokenKey>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct TokenKey {
    id: Option<String>,
    key: PublicKey,
}

/// A key of the one algorithm that it is used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// The modulus and the exponent, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// The members of a JWK that matter here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// Of a private key.
    d: Option<IgnoredAny>,
}

impl TokenKeys {
    /// Reads a JWK Set. Keys for other purposes or algorithms are ignored, as RFC 7517 recommends. A symmetric or a private
    /// key is an error. Several keys need different ids.
    pub fn parse(json: &str) -> Result<Self, String> {
        let set: Value =
            serde_json::from_str(json).map_err(|error| format!("the file is not JSON: {error}"))?;
        let listed = set.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or(
            "the file is not a JWK Set: it must be an object whose field \"keys\" is a list",
        )?;
        let mut keys: Vec<TokenKey> = Vec::with_capacity(listed.len());
        for (index, json) in listed.iter().enumerate() {
            let of_key = |what: String| format!("keys[{index}] {what}");
            let jwk =
                Jwk::deserialize(json).map_err(|error| of_key(format!("is no JWK: {error}")))?;
            if let Some(key) = jwk.public_key().map_err(of_key)? {
                if keys.iter().any(|other| other.id == jwk.kid) {
                    let id = jwk.kid.as_deref().unwrap_or("none");
                    return Err(of_key(format!("has the same \"kid\" as another key: {id}")));
                }
                keys.push(TokenKey { id: jwk.kid, key });
            }
        }
        if keys.is_empty() {
            return Err("the file has no key for signatures by RS256, ES256 or EdDSA".to_owned());
        }
        Ok(Self(keys))
    }

    /// The number of keys.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The key with this id. A token without an id can be signed with the only key.
    pub(crate) fn find(&self, id: Option<&str>) -> Option<&PublicKey> {
        let found = match (id, &self.0[..]) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
        };
        found.map(|found| &found.key)
    }
}

impl Jwk {
    /// The key; `None` if it is for another purpose or algorithm.
    fn public_key(&self) -> Result<Option<PublicKey>, String> {
        if self.kty == "oct" {
            return Err("is a symmetric key (oct): whoever can verify with it can also issue \
                        tokens. Use a public key of RSA, P-256 or Ed25519"
                .to_owned());
        }
        if self.d.is_some() {
            return Err(
                "contains a private key: the file must contain public keys alone".to_owned()
            );
        }
        let is_for_signatures = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        if !is_for_signatures {
            return Ok(None);
        }
        let key = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (whole("n", self.n.as_deref())?, whole("e", self.e.as_deref())?);
                if !(256..=1024).contains(&n.len()) {
                    return Err(format!("must have 2048 to 8192 bits, it has {}", 8 * n.len()));
                }
                PublicKey::Rsa { n, e }
            }
            ("EC", Some("P-256")) => {
                let (x, y) =
                    (coordinate("x", self.x.as_deref())?, coordinate("y", self.y.as_deref())?);
                PublicKey::P256([&[4][..], &x[..], &y[..]].concat())
            }
            ("OKP", Some("Ed25519")) => PublicKey::Ed25519(coordinate("x", self.x.as_deref())?),
            _ => return Ok(None),
        };
        let is_used = self.alg.as_deref().is_none_or(|name| key.is_for(name));
        Ok(is_used.then_some(key))
    }
}

fn bytes(name: &str, text: Option<&str>) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("has no {name:?}"))?;
    let decoded = BASE64URL_NOPAD.decode(text.as_bytes());
    decoded.map_err(|_| format!("has a {name:?} that is not base64url without padding"))
}

/// A whole number, without leading zeros.
fn whole(name: &str, text: Option<&str>) -> Result<Vec<u8>, String> {
    let bytes = bytes(name, text)?;
    Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn coordinate(name: &str, text: Option<&str>) -> Result<Vec<u8>, String> {
    let bytes = bytes(name, text)?;
    if bytes.len() != COORDINATE {
        return Err(format!("has a {name:?} of {} bytes, it must have {COORDINATE}", bytes.len()));
    }
    Ok(bytes)
}

impl PublicKey {
    /// Whether it verifies signatures of an algorithm, by its name in tokens. `Ed25519` is the name in RFC 9864.
    pub(crate) fn is_for(&self, algorithm: &str) -> bool {
        match self {
            Self::Rsa { .. } => algorithm == "RS256",
            Self::P256(_) => algorithm == "ES256",
            Self::Ed25519(_) => algorithm == "EdDSA" || algorithm == "Ed25519",
        }
    }

    /// Whether a signature of a message is valid.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            Self::P256(key) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        verified.is_ok()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_test_support::tokens::{Issuer, key_set};

    use super::*;

    /// A set with the key of an issuer and another one.
    fn with(jwk: &str) -> Result<TokenKeys, String> {
        TokenKeys::parse(&key_set(&[Issuer::new("own").jwk(), jwk.to_owned()]))
    }

    #[test]
    fn keys_for_other_purposes_and_algorithms_are_ignored() {
        let of_another_algorithm = Issuer::new("a").jwk().replace("EdDSA", "ES256");
        for jwk in [
            r#"{"kty":"RSA","kid":"a","use":"enc","n":"!","e":"AQAB"}"#,
            r#"{"kty":"RSA","kid":"a","key_ops":["encrypt"]}"#,
            r#"{"kty":"EC","kid":"a","crv":"P-384","x":"AA","y":"AA"}"#,
            r#"{"kty":"OKP","kid":"a","crv":"X25519","x":"AA"}"#,
            r#"{"kty":"AKP","kid":"a"}"#,
            of_another_algorithm.as_str(),
        ] {
            let keys = with(jwk).unwrap();
            assert!(keys.find(Some("own")).is_some() && keys.find(Some("a")).is_none(), "{jwk}");
            let alone = TokenKeys::parse(&key_set(&[jwk.to_owned()])).unwrap_err();
            assert!(alone.contains("no key for signatures"), "{alone}");
        }
    }

    #[test]
    fn invalid_sets_are_refused_with_the_key_and_without_its_content() {
        let twice = Issuer::new("own").jwk();
        for (jwk, what) in [
            (r#"{"kty":"oct","k":"c2VjcmV0"}"#, "symmetric"),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AA","d":"c2VjcmV0"}"#, "private key"),
            (r#"{"kid":"a"}"#, "kty"),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, "1 bytes, it must have 32"),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"c2VjcmV0="}"#, "base64url"),
            (r#"{"kty":"OKP","crv":"Ed25519"}"#, "has no \"x\""),
            (r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, "1 bytes, it must have 32"),
            (r#"{"kty":"RSA","n":"c2VjcmV0","e":"AQAB"}"#, "2048 to 8192 bits, it has 48"),
            (r#"{"kty":"RSA","n":"c2VjcmV0"}"#, "has no \"e\""),
            (twice.as_str(), "same \"kid\""),
        ] {
            let error = with(jwk).unwrap_err();
            assert!(error.starts_with("keys[1] ") && error.contains(what), "{jwk}: {error}");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
        for (text, what) in
            [("", "not JSON"), ("[]", "not a JWK Set"), (r#"{"keys":{}}"#, "a list")]
        {
            let error = TokenKeys::parse(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn key_is_found_by_its_id_and_the_only_one_without() {
        let keys = with(&Issuer::new("new").jwk()).unwrap();
        assert_ne!(keys.find(Some("own")).unwrap(), keys.find(Some("new")).unwrap());
        assert!(keys.find(None).is_none() && keys.find(Some("old")).is_none());
        let only = TokenKeys::parse(&key_set(&[Issuer::new("own").jwk()])).unwrap();
        assert!(only.find(None).is_some() && only.find(Some("old")).is_none());
    }
}
