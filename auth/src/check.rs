//! A token's way to an identity.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode};

use serde::Deserialize;

use crate::{Identity, Key, Role};

/// By how much the clocks of whoever signs and whoever checks may differ, seconds.
const CLOCKS_DIFFER: u64 = 10;
/// A token of ours has about 300 bytes.
const TOKEN_MAX: usize = 8 * 1024;

/// Why a token has no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its time is over.
    #[error("the token has expired: get a new one")]
    Expired,
    /// It was not signed with our key, or not with the key's algorithm.
    #[error("the token's signature is not ours")]
    Signature,
    /// It cannot be read, or lacks a claim that must be there.
    #[error("the token is no JWT with exp, iss, aud, sub and role")]
    Malformed,
    /// It is somebody else's: another issuer or audience, or a time to come.
    #[error("the token is not for this service, or not yet valid")]
    NotForUs,
    /// Its role is unknown, or its subject cannot stand for somebody in it.
    #[error("the token's role or subject is none that is known")]
    Identity,
}

/// What is read of a token, when it is checked; other claims may stand in it.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    role: String,
}

/// Checks tokens; cheap enough for every request (HS256: microseconds).
#[derive(Debug)]
pub struct Checker {
    key: Key,
    validation: Validation,
}

impl Checker {
    /// Checks tokens with a key, and with the algorithm that belongs to it.
    pub fn new(key: Key) -> Self {
        let mut validation = Validation::new(key.algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&key.parties.issuer]);
        validation.set_audience(&[&key.parties.audience]);
        validation.validate_nbf = true;
        validation.leeway = CLOCKS_DIFFER;
        Self { key, validation }
    }

    /// Who is behind a token.
    ///
    /// # Errors
    /// The reason tells no more than the token's bearer knows: which check failed.
    pub fn check(&self, token: &str) -> Result<Identity, Refused> {
        if token.len() > TOKEN_MAX {
            return Err(Refused::Malformed);
        }
        let claims = decode::<Claims>(token, &self.key.key, &self.validation)
            .map_err(|error| refused(error.kind()))?
            .claims;
        let role: Role = claims.role.parse().map_err(|_| Refused::Identity)?;
        Identity::new(role, &claims.sub).map_err(|_| Refused::Identity)
    }
}

fn refused(why: &ErrorKind) -> Refused {
    match why {
        ErrorKind::ExpiredSignature => Refused::Expired,
        ErrorKind::InvalidSignature
        | ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName => Refused::Signature,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience | ErrorKind::ImmatureSignature => {
            Refused::NotForUs
        }
        _ => Refused::Malformed,
    }
}

#[cfg(test)]
mod tests;
