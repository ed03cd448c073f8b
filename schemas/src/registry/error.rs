//! What can go wrong with the registry or the releases, and who must act.

use std::error::Error as _;
use std::path::PathBuf;

use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::RawError;

/// The registry or the released schemas could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry holds the schema for incompatible: whoever changed it must act.
    #[error("{subject}: the registry refuses the schema: {reason}")]
    Refused {
        /// The subject.
        subject: String,
        /// The registry's words.
        reason: String,
    },
    /// The registry answered, but with an error.
    #[error("the registry could not {doing}: {reason}")]
    Answer {
        /// What was asked.
        doing: String,
        /// The registry's words.
        reason: String,
    },
    /// The registry does not answer: retry, or start it.
    #[error(
        "no schema registry answers at {url} ({reason}); is the stack up? `mypay stack status`"
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// What the client said.
        reason: String,
    },
    /// There is no release to compare with.
    #[error("{}: {reason}", directory.display())]
    Released {
        /// Where it was looked for.
        directory: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The registry's error code, where it was the registry that answered.
pub(super) fn code(error: &SRCError) -> Option<u32> {
    answer(error).map(|raw| raw.error_code)
}

/// Tells apart the registry's refusals, its errors, and its silence.
pub(super) fn from_converter(url: &str, doing: &str, error: &SRCError) -> RegistryError {
    match answer(error) {
        Some(raw) => RegistryError::Answer {
            doing: doing.to_owned(),
            reason: raw.message.clone(),
        },
        // A transport error carries its own cause; without one the answer could not be read.
        None if error
            .source()
            .is_some_and(|source| source.is::<reqwest::Error>()) =>
        {
            let reason = deepest(error);
            RegistryError::Unreachable {
                url: url.to_owned(),
                reason,
            }
        }
        None => RegistryError::Answer {
            doing: doing.to_owned(),
            reason: error.error.clone(),
        },
    }
}

fn answer(error: &SRCError) -> Option<&RawError> {
    error
        .source()
        .and_then(|source| source.downcast_ref::<RawError>())
}

/// The innermost cause, which says "connection refused" and not "error sending request".
pub(super) fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
