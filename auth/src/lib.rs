//! Bearer tokens (RFC 6750, RFC 7519): who asks, and in which role.
//!
//! A token is signed by whoever identifies people; it says who somebody is
//! (`sub`), as what (`role`) and until when (`exp`). What a role may do is not
//! decided here but at the edge (`producers/src/http/access.rs`).
//!
//! | file | what |
//! |---|---|
//! | `identity.rs` | roles, and who is behind a token |
//! | `keys.rs` | the key that tokens are checked with, from files and variables |
//! | `check.rs` | a token's way to an identity, or to the reason why it has none |
//! | `mint.rs` | tokens of our own, for local stacks, tests and tools |

mod check;
mod identity;
mod keys;
mod mint;

pub use check::{Checker, Refused};
pub use identity::{BadIdentity, Identity, Role};
pub use keys::{Key, KeyError, Provenance, SECRET_MIN, Sources};
pub use mint::{MintError, Minter};

/// `iss` and `aud` of tokens where nothing else is set (`MYPAY_JWT_ISSUER`,
/// `MYPAY_JWT_AUDIENCE`): one that was made for another service, with the same
/// key, is not one of ours.
pub const NAME: &str = "my-pay";

/// What is checked of a token before it is read, and said in those of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties {
    /// Who makes tokens: `iss`.
    pub issuer: String,
    /// Whom they are for: `aud`.
    pub audience: String,
}

impl Default for Parties {
    fn default() -> Self {
        Self {
            issuer: NAME.to_owned(),
            audience: NAME.to_owned(),
        }
    }
}
