//! Tokens of our own, for local stacks, tests and tools.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};

use serde::Serialize;

use crate::{Identity, Key, Parties};

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    role: &'static str,
    /// Seconds since the epoch.
    iat: u64,
    /// Seconds since the epoch.
    exp: u64,
}

/// Why no token can be minted.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A public key checks tokens and makes none.
    #[error(
        "the key is a public one, which makes no tokens: they come from whoever has its private half"
    )]
    PublicKey,
    /// The library refuses to sign.
    #[error("the token cannot be signed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// Mints tokens.
pub struct Minter {
    key: EncodingKey,
    parties: Parties,
}

impl Minter {
    /// Mints tokens that the same key takes.
    ///
    /// # Errors
    /// With a public key there is nothing to sign with.
    pub fn new(key: &Key) -> Result<Self, MintError> {
        let secret = key.secret.as_deref().ok_or(MintError::PublicKey)?;
        Ok(Self {
            key: EncodingKey::from_secret(secret),
            parties: key.parties.clone(),
        })
    }

    /// A token that is valid for so long from now on.
    ///
    /// # Errors
    /// Where the library refuses to sign.
    pub fn mint(&self, who: &Identity, valid_for: Duration) -> Result<String, MintError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let claims = Claims {
            iss: &self.parties.issuer,
            aud: &self.parties.audience,
            sub: who.subject(),
            role: who.role().name(),
            iat: now,
            exp: now.saturating_add(valid_for.as_secs()),
        };
        Ok(encode(&Header::default(), &claims, &self.key)?)
    }
}
