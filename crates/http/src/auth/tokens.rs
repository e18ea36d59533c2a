//! Tokens of users: JSON Web Tokens (RFC 7519) that an issuer has signed (RFC 7515).
//!
//! A token permits movies and the data of its user. The server issues none: it verifies those of a login service.
//!
//! The verification is our own, on `ring`, which the server contains anyway. The crate `jsonwebtoken` needs another library for
//! signatures: one in C, the crates of RustCrypto, of which `rsa` has an open advisory (RUSTSEC-2023-0071), or one that is
//! installed for the whole process, which a library must not do. Its other parts (issuing, more algorithms) are not needed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use crate::auth::token_keys::TokenKeys;
use crate::parameters::{body, query};

/// Which tokens a server accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The value of the claim `iss`.
    pub issuer: String,
    /// The value of the claim `aud`, or one of its values.
    pub audience: String,
    /// The name of the claim with the id of the user, a number or its digits as text.
    pub user_claim: String,
    /// The tolerated difference between the clocks of the issuer and of the server.
    pub leeway: Duration,
    /// The keys of the issuer.
    pub keys: TokenKeys,
}

/// Whether a credential has the form of a token.
pub(crate) fn is_token(secret: &str) -> bool {
    secret.split('.').count() == 3
}

impl Tokens {
    /// The user of a valid token; else why it is not valid, without its content.
    pub(crate) fn user(&self, token: &str, now: SystemTime) -> Result<u32, &'static str> {
        let (message, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, claims) = message.split_once('.').ok_or(MALFORMED)?;
        let header = object(header)?;
        if header.contains_key("crit") {
            return Err("the token needs extensions that the server does not have (crit)");
        }
        // Tokens for other purposes, such as to log out, have other types.
        let kind = header.get("typ").map_or(Some("JWT"), Value::as_str).unwrap_or_default();
        let kind = kind.strip_prefix("application/").unwrap_or(kind);
        if !["JWT", "at+jwt"].iter().any(|known| known.eq_ignore_ascii_case(kind)) {
            return Err("the type of the token (typ) is neither JWT nor at+jwt");
        }
        let id = header.get("kid").map(|id| id.as_str().ok_or(MALFORMED)).transpose()?;
        let key = self.keys.find(id).ok_or("the token is not signed with a known key (kid)")?;
        let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        if !key.is_for(algorithm) {
            return Err("the algorithm of the token (alg) is not that of its key");
        }
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| MALFORMED)?;
        if !key.verifies(message.as_bytes(), &signature) {
            return Err("the signature of the token is not valid");
        }
        self.check(&object(claims)?, now)
    }

    /// The user in signed claims.
    fn check(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<u32, &'static str> {
        let text = |name| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(&*self.issuer) {
            return Err("the token is from another issuer (iss)");
        }
        let is_audience = |value: &Value| value.as_str() == Some(&*self.audience);
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_audience),
            Some(one) => is_audience(one),
            None => false,
        };
        if !is_for_us {
            return Err("the token is for another audience (aud)");
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let leeway = self.leeway.as_secs_f64();
        let expiry = claims.get("exp").and_then(Value::as_f64);
        let expiry = expiry.ok_or("the token has no time of expiry as a number (exp)")?;
        if now >= expiry + leeway {
            return Err("the token has expired (exp)");
        }
        if let Some(start) = claims.get("nbf") {
            let start = start.as_f64().ok_or("the token has a start that is no number (nbf)")?;
            if now < start - leeway {
                return Err("the token is not valid yet (nbf)");
            }
        }
        let user = claims.get(&self.user_claim).and_then(|claim| match claim {
            Value::String(digits) => query::whole(digits),
            other => body::whole(other),
        });
        user.ok_or("the token has no user: the claim of the user must be a whole number")
    }
}

const MALFORMED: &str = "the token is malformed";

/// An object in JSON, in base64url.
fn object(part: &str) -> Result<Map<String, Value>, &'static str> {
    let json = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| MALFORMED)?;
    serde_json::from_slice(&json).map_err(|_| MALFORMED)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;
    use ring::hmac;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;
    use sparrow_test_support::tokens::{AUDIENCE, ISSUER, Issuer, key_set};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn accepting(jwks: &[String]) -> Tokens {
        Tokens {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            user_claim: "sub".to_owned(),
            leeway: Duration::from_mins(1),
            keys: TokenKeys::parse(&key_set(jwks)).unwrap(),
        }
    }

    fn user(tokens: &Tokens, token: &str) -> Result<u32, &'static str> {
        tokens.user(token, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    /// Valid claims with some of them replaced, or removed if they are null.
    fn claims(changed: &Value) -> String {
        let mut claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "6", "exp": NOW + 300 });
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims.to_string()
    }

    fn encoded(text: &str) -> String {
        BASE64URL_NOPAD.encode(text.as_bytes())
    }

    #[test]
    fn valid_claims_name_the_user() {
        let issuer = Issuer::new("one");
        let tokens = accepting(&[issuer.jwk()]);
        for (changed, expected) in [
            (json!({}), 6),
            (json!({ "sub": 4_294_967_295_u32 }), u32::MAX),
            (json!({ "aud": ["other", AUDIENCE] }), 6),
            (json!({ "nbf": NOW, "iat": "any" }), 6),
            // Within the leeway.
            (json!({ "exp": NOW - 59, "nbf": NOW + 60 }), 6),
            (json!({ "exp": NOW as f64 - 59.5 }), 6),
        ] {
            let token = issuer.token(&claims(&changed));
            assert!(is_token(&token));
            assert_eq!(user(&tokens, &token), Ok(expected), "{changed}");
        }
        let other_claim = Tokens { user_claim: "uid".to_owned(), ..tokens };
        assert_eq!(user(&other_claim, &issuer.token(&claims(&json!({ "uid": 7 })))), Ok(7));
        assert!(user(&other_claim, &issuer.token(&claims(&json!({})))).is_err());
    }

    #[test]
    fn invalid_claims_are_refused() {
        let issuer = Issuer::new("one");
        let tokens = accepting(&[issuer.jwk()]);
        for (changed, what) in [
            (json!({ "iss": "https://other.example" }), "(iss)"),
            (json!({ "iss": null }), "(iss)"),
            (json!({ "iss": [ISSUER] }), "(iss)"),
            (json!({ "aud": "other" }), "(aud)"),
            (json!({ "aud": [] }), "(aud)"),
            (json!({ "aud": null }), "(aud)"),
            (json!({ "exp": NOW - 60 }), "expired"),
            (json!({ "exp": null }), "(exp)"),
            (json!({ "exp": (NOW + 300).to_string() }), "(exp)"),
            (json!({ "nbf": NOW + 61 }), "(nbf)"),
            (json!({ "nbf": "0" }), "(nbf)"),
            (json!({ "sub": null }), "no user"),
            (json!({ "sub": "" }), "no user"),
            (json!({ "sub": "06" }), "no user"),
            (json!({ "sub": "+6" }), "no user"),
            (json!({ "sub": 6.5 }), "no user"),
            (json!({ "sub": -6 }), "no user"),
            (json!({ "sub": "4294967296" }), "no user"),
            (json!({ "sub": ["6"] }), "no user"),
            (json!({ "sub": true }), "no user"),
        ] {
            let error = user(&tokens, &issuer.token(&claims(&changed))).unwrap_err();
            assert!(error.contains(what), "{changed}: {error}");
        }
        for payload in ["", "6", "[]", "null", "{"] {
            assert_eq!(user(&tokens, &issuer.token(payload)), Err(MALFORMED), "{payload}");
        }
    }

    #[test]
    fn headers_with_another_key_algorithm_or_meaning_are_refused() {
        let (issuer, other) = (Issuer::new("one"), Issuer::new("one"));
        let tokens = accepting(&[issuer.jwk(), Issuer::new("two").jwk()]);
        for (header, what) in [
            (json!({ "alg": "none", "kid": "one" }), "(alg)"),
            (json!({ "alg": "HS256", "kid": "one" }), "(alg)"),
            (json!({ "alg": "ES256", "kid": "one" }), "(alg)"),
            (json!({ "alg": "eddsa", "kid": "one" }), "(alg)"),
            (json!({ "kid": "one" }), "(alg)"),
            (json!({ "alg": "EdDSA", "kid": "two" }), "signature"),
            (json!({ "alg": "EdDSA", "kid": "old" }), "(kid)"),
            (json!({ "alg": "EdDSA" }), "(kid)"),
            (json!({ "alg": "EdDSA", "kid": 1 }), MALFORMED),
            (json!({ "alg": "EdDSA", "kid": "one", "crit": ["exp"], "exp": 1 }), "(crit)"),
            (json!({ "alg": "EdDSA", "kid": "one", "crit": null }), "(crit)"),
            (json!({ "alg": "EdDSA", "kid": "one", "typ": "logout+jwt" }), "(typ)"),
            (json!({ "alg": "EdDSA", "kid": "one", "typ": 1 }), "(typ)"),
        ] {
            let token = issuer.sign(&header.to_string(), &claims(&json!({})));
            let error = user(&tokens, &token).unwrap_err();
            assert!(error.contains(what), "{header}: {error}");
        }
        for header in [
            json!({ "alg": "EdDSA", "kid": "one", "typ": "application/at+JWT", "x": {} }),
            json!({ "alg": "Ed25519", "kid": "one" }),
        ] {
            let token = issuer.sign(&header.to_string(), &claims(&json!({})));
            assert_eq!(user(&tokens, &token), Ok(6), "{header}");
        }
        assert!(
            user(&tokens, &other.token(&claims(&json!({})))).unwrap_err().contains("signature")
        );
    }

    #[test]
    fn public_key_is_no_secret_of_hmac_and_no_signature_is_no_signature() {
        let issuer = Issuer::new("one");
        let tokens = accepting(&[issuer.jwk()]);
        let message = |alg: &str| {
            let header = json!({ "alg": alg, "kid": "one" }).to_string();
            format!("{}.{}", encoded(&header), encoded(&claims(&json!({}))))
        };
        let message_of_hmac = message("HS256");
        for secret in [issuer.public_key(), issuer.jwk().as_bytes()] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let tag = BASE64URL_NOPAD.encode(hmac::sign(&key, message_of_hmac.as_bytes()).as_ref());
            assert!(user(&tokens, &format!("{message_of_hmac}.{tag}")).is_err());
        }
        assert!(user(&tokens, &format!("{}.", message("none"))).is_err());
        assert!(user(&tokens, &format!("{}.", message("EdDSA"))).is_err());
    }

    #[test]
    fn tampered_and_malformed_tokens_are_refused() {
        let issuer = Issuer::new("one");
        let tokens = accepting(&[issuer.jwk()]);
        let token = issuer.token(&claims(&json!({})));
        let parts: Vec<&str> = token.split('.').collect();
        let of_other = encoded(&claims(&json!({ "sub": "7" })));
        let tampered = [parts[0], &of_other, parts[2]].join(".");
        assert!(user(&tokens, &tampered).unwrap_err().contains("signature"));
        for broken in [
            String::new(),
            "..".to_owned(),
            parts[..2].join("."),
            format!("{token}="),
            format!("{token}.{}", parts[2]),
            token.replacen('.', "=.", 1),
            token[..token.len() - 1].to_owned(),
        ] {
            assert!(user(&tokens, &broken).is_err(), "{broken}");
        }
        // Every other byte, in turn.
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(user(&tokens, &String::from_utf8(bytes).unwrap()).is_err(), "{at}");
        }
    }

    #[test]
    fn tokens_by_ecdsa_are_verified() {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &random).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "kid": "ec", "alg": "ES256",
            "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y),
        });
        let tokens = accepting(&[jwk.to_string()]);
        let header = json!({ "alg": "ES256", "kid": "ec" }).to_string();
        let message = format!("{}.{}", encoded(&header), encoded(&claims(&json!({}))));
        let signature = pair.sign(&random, message.as_bytes()).unwrap();
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        assert_eq!(user(&tokens, &format!("{message}.{signature}")), Ok(6));
        assert!(user(&tokens, &format!("{message}0.{signature}")).is_err());
    }

    proptest! {
        #[test]
        fn any_signed_text_is_read_or_refused(header in any::<String>(), claims in any::<String>()) {
            let issuer = Issuer::new("one");
            let tokens = accepting(&[issuer.jwk()]);
            prop_assert!(user(&tokens, &issuer.sign(&header, &claims)).is_err());
            prop_assert!(user(&tokens, &issuer.token(&claims)).is_err());
            let unsigned = [&*header, &*claims, &*header].join(".");
            prop_assert!(user(&tokens, &unsigned).is_err());
        }
    }

    /// The token was signed by `openssl dgst -sha256 -sign`, with a key that was not kept.
    #[test]
    fn tokens_by_rsa_are_verified() {
        let tokens = accepting(&[include_str!("rs256.jwk.json").to_owned()]);
        let token = include_str!("rs256.jwt").trim();
        assert_eq!(user(&tokens, token), Ok(6));
        let (message, signature) = token.rsplit_once('.').unwrap();
        assert!(user(&tokens, &format!("{message}.A{}", &signature[1..])).is_err());
    }
}
