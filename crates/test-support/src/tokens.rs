//! Tokens of users (JSON Web Tokens), and the key sets to verify them.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// The claim `iss` of [`Issuer::token_of`].
pub const ISSUER: &str = "https://login.example";

/// Its claim `aud`.
pub const AUDIENCE: &str = "sparrow";

/// An issuer with a new key of Ed25519.
#[derive(Debug)]
pub struct Issuer {
    id: String,
    pair: Ed25519KeyPair,
}

impl Issuer {
    /// With the id of its key.
    ///
    /// # Panics
    /// If there are no random numbers.
    pub fn new(id: &str) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("random numbers");
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).expect("a valid key");
        Self { id: id.to_owned(), pair }
    }

    /// The public key.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> String {
        let (id, key) = (&self.id, BASE64URL_NOPAD.encode(self.public_key()));
        format!(
            "{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"alg\":\"EdDSA\",\"kid\":\"{id}\",\"x\":\"{key}\"}}"
        )
    }

    /// A token with this header and these claims, in JSON.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", encode(signature.as_ref()))
    }

    /// A token with these claims, in JSON.
    pub fn token(&self, claims: &str) -> String {
        let header = format!("{{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"{}\"}}", self.id);
        self.sign(&header, claims)
    }

    /// A token of a user from [`ISSUER`] for [`AUDIENCE`], which expires so many seconds from now.
    ///
    /// # Panics
    /// If the clock is set to a time before 1970.
    pub fn token_of(&self, user: u32, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        let expiry = i64::try_from(now.as_secs()).expect("a time in this age") + seconds;
        self.token(&format!(
            "{{\"iss\":\"{ISSUER}\",\"aud\":\"{AUDIENCE}\",\"sub\":\"{user}\",\"exp\":{expiry}}}"
        ))
    }
}

/// A JWK Set of these keys.
pub fn key_set(jwks: &[String]) -> String {
    format!("{{\"keys\":[{}]}}", jwks.join(","))
}
