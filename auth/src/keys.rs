//! The key that tokens are checked with.

use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, DecodingKey};

use crate::{NAME, Parties};

/// A secret is as long as the hash that it keys, 32 bytes (RFC 7518, 3.2): a
/// shorter one can be guessed from a single token.
pub const SECRET_MIN: usize = 32;

/// A key, with the one algorithm that it is for.
///
/// The algorithm belongs to the key and is never taken from a token: else
/// somebody signs with the public key as if it were a secret.
pub struct Key {
    pub(crate) key: DecodingKey,
    pub(crate) algorithm: Algorithm,
    /// Where tokens can be minted with it, too.
    pub(crate) secret: Option<Vec<u8>>,
    pub(crate) parties: Parties,
    provenance: Provenance,
}

/// Who else may have a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// Nobody that we know of: it was made for this edge.
    Own,
    /// Whoever can read the local stack's files.
    LocalStack,
    /// Everybody: it stands in the open, for development.
    Published,
}

impl Key {
    /// Who else may have it.
    pub const fn provenance(&self) -> Provenance {
        self.provenance
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?})", self.algorithm)
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nobody says where it is.
    #[error(
        "there is no key to check tokens with: set MYPAY_JWT_SECRET or MYPAY_JWT_SECRET_FILE \
         (HS256, at least 32 bytes), or MYPAY_JWT_PUBLIC_KEY_FILE (Ed25519 or RSA, PEM); the local \
         stack makes one at `make up`"
    )]
    Missing,
    /// Two are set, and only one can be meant.
    #[error("{0} and {1} are both set: which key is meant? Unset one of them")]
    Ambiguous(&'static str, &'static str),
    /// A file cannot be read.
    #[error("{variable}: {path}: {source}", path = .path.display())]
    File {
        /// What names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// A secret that can be guessed.
    #[error(
        "{0}: a secret of {1} bytes is too short: at least 32, as `openssl rand -hex 32` makes them"
    )]
    Short(&'static str, usize),
    /// No public key of a kind that is known.
    #[error(
        "{variable}: {path} has no public key of Ed25519 or RSA in PEM (BEGIN PUBLIC KEY)",
        path = .path.display()
    )]
    NoPublicKey {
        /// What names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
    },
}

const SECRET: &str = "MYPAY_JWT_SECRET";
const SECRET_FILE: &str = "MYPAY_JWT_SECRET_FILE";
const PUBLIC_KEY_FILE: &str = "MYPAY_JWT_PUBLIC_KEY_FILE";
/// How such a secret begins.
const FOR_DEVELOPMENT: &[u8] = b"dev-only";
const LOCAL: &str = "the local stack's key";

/// Where the key may be.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `MYPAY_JWT_SECRET`.
    pub secret: Option<String>,
    /// `MYPAY_JWT_SECRET_FILE`.
    pub secret_file: Option<PathBuf>,
    /// `MYPAY_JWT_PUBLIC_KEY_FILE`.
    pub public_key_file: Option<PathBuf>,
    /// The local stack's own key, where none of the others is set.
    pub local: Option<PathBuf>,
    /// `MYPAY_JWT_ISSUER` and `MYPAY_JWT_AUDIENCE`.
    pub parties: Parties,
}

impl Sources {
    /// The variables of this process; `local` is the local stack's own key, used
    /// where it is there and no variable is set.
    pub fn of_environment(local: PathBuf) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            // One that is no text counts as empty, and is refused as too short: what
            // stands for its bytes would pass as long, and be easy to guess.
            secret: variable(SECRET).map(|secret| secret.into_string().unwrap_or_default()),
            secret_file: variable(SECRET_FILE).map(PathBuf::from),
            public_key_file: variable(PUBLIC_KEY_FILE).map(PathBuf::from),
            local: local.is_file().then_some(local),
            parties: Parties {
                issuer: std::env::var("MYPAY_JWT_ISSUER").unwrap_or_else(|_| NAME.to_owned()),
                audience: std::env::var("MYPAY_JWT_AUDIENCE").unwrap_or_else(|_| NAME.to_owned()),
            },
        }
    }

    /// The key.
    ///
    /// # Errors
    /// What is missing, or wrong, and what to set.
    pub fn key(&self) -> Result<Key, KeyError> {
        let set = [
            (SECRET, self.secret.is_some()),
            (SECRET_FILE, self.secret_file.is_some()),
            (PUBLIC_KEY_FILE, self.public_key_file.is_some()),
        ];
        let mut set = set.into_iter().filter(|(_, is_set)| *is_set);
        if let (Some((one, _)), Some((other, _))) = (set.next(), set.next()) {
            return Err(KeyError::Ambiguous(one, other));
        }
        let key = if let Some(secret) = &self.secret {
            secret_key(SECRET, secret.as_bytes())
        } else if let Some(path) = &self.secret_file {
            secret_key(SECRET_FILE, &read(SECRET_FILE, path)?)
        } else if let Some(path) = &self.public_key_file {
            public_key(path)
        } else {
            let path = self.local.as_deref().ok_or(KeyError::Missing)?;
            secret_key(LOCAL, &read(LOCAL, path)?)
        };
        let key = key?;
        Ok(Key {
            parties: self.parties.clone(),
            provenance: self.provenance(key.secret.as_deref()),
            ..key
        })
    }

    /// By the secret itself, not by what names it: a copy of the local stack's key
    /// in a variable, or a published one in a file, is as well known as where it
    /// comes from.
    fn provenance(&self, secret: Option<&[u8]>) -> Provenance {
        let local = self.local.as_deref().map(std::fs::read);
        match secret {
            None => Provenance::Own,
            Some(secret) if secret.starts_with(FOR_DEVELOPMENT) => Provenance::Published,
            // One that cannot be read was not copied by whoever runs this, either.
            Some(secret) => match local {
                Some(Ok(local)) if local.trim_ascii() == secret => Provenance::LocalStack,
                _ => Provenance::Own,
            },
        }
    }
}

fn read(variable: &'static str, path: &Path) -> Result<Vec<u8>, KeyError> {
    std::fs::read(path).map_err(|source| KeyError::File {
        variable,
        path: path.to_owned(),
        source,
    })
}

/// The bytes without the line break that editors put at a file's end.
fn secret_key(variable: &'static str, written: &[u8]) -> Result<Key, KeyError> {
    let secret = written.trim_ascii();
    if secret.len() < SECRET_MIN {
        return Err(KeyError::Short(variable, secret.len()));
    }
    Ok(Key {
        key: DecodingKey::from_secret(secret),
        algorithm: Algorithm::HS256,
        secret: Some(secret.to_vec()),
        parties: Parties::default(),
        provenance: Provenance::Own,
    })
}

fn public_key(path: &Path) -> Result<Key, KeyError> {
    let pem = read(PUBLIC_KEY_FILE, path)?;
    let (key, algorithm) = DecodingKey::from_ed_pem(&pem)
        .map(|key| (key, Algorithm::EdDSA))
        .or_else(|_| DecodingKey::from_rsa_pem(&pem).map(|key| (key, Algorithm::RS256)))
        .map_err(|_| KeyError::NoPublicKey {
            variable: PUBLIC_KEY_FILE,
            path: path.to_owned(),
        })?;
    Ok(Key {
        key,
        algorithm,
        secret: None,
        parties: Parties::default(),
        provenance: Provenance::Own,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_the_error_says_what_to_set() {
        let error = Sources::default().key().unwrap_err().to_string();
        for variable in [SECRET, SECRET_FILE, PUBLIC_KEY_FILE] {
            assert!(error.contains(variable), "{error}");
        }
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused() {
        let sources = |secret: &str| Sources {
            secret: Some(secret.to_owned()),
            ..Sources::default()
        };
        let short = format!("{}\n", "x".repeat(31));
        let error = sources(&short).key().unwrap_err();
        assert!(matches!(error, KeyError::Short(SECRET, 31)), "{error}");
        assert!(sources(&"x".repeat(32)).key().is_ok());
    }

    /// A file of this test's own, which goes with it.
    struct Written(PathBuf);

    impl Written {
        fn new(name: &str, content: &str) -> Self {
            let path = std::env::temp_dir().join(format!("mypay-{}-{name}", std::process::id()));
            std::fs::write(&path, content).unwrap();
            Self(path)
        }
    }

    impl Drop for Written {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_key_that_others_have_is_known_wherever_it_comes_from() {
        let stack_s = "5".repeat(64);
        let published = "dev-only-secret-that-everybody-knows-0000";
        let local = Written::new("local.key", &format!("{stack_s}\n"));
        let copy = Written::new("copy.key", &stack_s);
        let open = Written::new("open.key", &format!(" {published}\n"));
        let own = Written::new("own.key", &"6".repeat(64));
        let whose = |secret: Option<&str>, file: Option<&Written>| {
            let sources = Sources {
                secret: secret.map(str::to_owned),
                secret_file: file.map(|file| file.0.clone()),
                local: Some(local.0.clone()),
                ..Sources::default()
            };
            sources.key().unwrap().provenance()
        };
        assert_eq!(whose(None, None), Provenance::LocalStack);
        assert_eq!(whose(None, Some(&copy)), Provenance::LocalStack);
        assert_eq!(whose(Some(&stack_s), None), Provenance::LocalStack);
        assert_eq!(whose(Some(published), None), Provenance::Published);
        assert_eq!(whose(None, Some(&open)), Provenance::Published);
        assert_eq!(whose(None, Some(&own)), Provenance::Own);
        assert_eq!(whose(Some(&"7".repeat(32)), None), Provenance::Own);
    }

    #[test]
    fn two_keys_are_one_too_many() {
        let both = Sources {
            secret: Some("x".repeat(32)),
            public_key_file: Some("key.pem".into()),
            ..Sources::default()
        };
        let error = both.key().unwrap_err().to_string();
        assert!(
            error.contains(SECRET) && error.contains(PUBLIC_KEY_FILE),
            "{error}"
        );
    }
}
