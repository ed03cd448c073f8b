//! Registers and checks the schemas.
//!
//! A schema may change only so that every reader, old or new, reads every
//! message, old or new: topics keep messages for weeks, and clients upgrade when
//! they like. The registry holds to that (`FULL_TRANSITIVE`), but it knows only
//! what was registered with *it*. So a schema is also compared with the last
//! release in the tree, which needs no server and runs before anything is built
//! on a change that cannot be taken back.

mod client;
mod compatibility;
mod contract;
mod docs;
mod error;
mod released;

use std::path::Path;

use serde::Serialize;

pub use error::RegistryError;
pub use released::default_directory as released_directory;

use crate::{SUBJECTS, Subject};
use client::Client;

/// A subject as it stands in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// The subject, `<topic>-value`.
    pub subject: String,
    /// The schema's id, as it stands in the wire format.
    pub id: u32,
    /// The subject's version that has this schema.
    pub version: u32,
}

/// What was found for one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The subject, `<topic>-value`.
    pub subject: String,
    /// What the schema was compared with, as in `release 0.1.0` or `registry v3`.
    pub compared: Vec<String>,
    /// What is wrong; empty where nothing is.
    pub problems: Vec<String>,
}

/// Registers every schema under its subject, after the subject's compatibility
/// was set to `FULL_TRANSITIVE`. What is registered already keeps its id.
///
/// `registry_url` is the root of a Confluent-compatible API, as in
/// `http://127.0.0.1:8081/apis/ccompat/v7`.
///
/// # Errors
/// [`RegistryError::Refused`] where the registry holds a schema for incompatible,
/// others where it cannot be asked. What was registered until then stays.
pub async fn register_all(registry_url: &str) -> Result<Vec<Registered>, RegistryError> {
    let client = Client::new(registry_url)?;
    let mut registered = Vec::with_capacity(SUBJECTS.len());
    for subject in SUBJECTS {
        registered.push(register(&client, subject).await?);
    }
    Ok(registered)
}

async fn register(client: &Client, subject: &Subject) -> Result<Registered, RegistryError> {
    let name = subject.subject();
    // Before the first registration, so that there is no instant at which a
    // second writer could register something else under the registry's default.
    client.set_full_transitive(&name).await?;
    let id = client.register(&name, subject.schema).await?;
    let version = client.version_of(&name, subject.schema).await?;
    Ok(Registered {
        subject: name,
        id,
        version,
    })
}

/// Compares every schema, in both directions, with all versions that the
/// registry has of it, and asks the registry's own opinion.
///
/// # Errors
/// [`RegistryError`] where the registry cannot be asked; what is incompatible is
/// no error but a [`Checked::problems`].
pub async fn check_all(registry_url: &str) -> Result<Vec<Checked>, RegistryError> {
    let client = Client::new(registry_url)?;
    let mut checked = Vec::with_capacity(SUBJECTS.len());
    for subject in SUBJECTS {
        checked.push(check(&client, subject).await?);
    }
    Ok(checked)
}

async fn check(client: &Client, subject: &Subject) -> Result<Checked, RegistryError> {
    let name = subject.subject();
    let mut checked = Checked {
        subject: name.clone(),
        compared: Vec::new(),
        problems: Vec::new(),
    };
    let versions = client.versions(&name).await?;
    if versions.is_empty() {
        return Ok(checked);
    }
    for version in versions {
        let other = format!("registry v{version}");
        let schema = client.schema(&name, version).await?;
        let broken = compatibility::broken(&schema, subject.schema);
        checked
            .problems
            .extend(broken.map(|reason| format!("{other}: {reason}")));
        checked.compared.push(other);
    }
    if !client.is_compatible(&name, subject.schema).await? {
        checked
            .problems
            .push("the registry calls it incompatible".to_owned());
    }
    let level = client.compatibility_level(&name).await?;
    if level != client::FULL_TRANSITIVE {
        let advice = "`mypay schemas register` sets it";
        checked
            .problems
            .push(format!("the subject's compatibility is {level}: {advice}"));
    }
    Ok(checked)
}

/// Checks every schema without a server: its names against the contract with
/// outside clients, its documentation, and in both directions against the newest
/// release in `released` (`<released>/<version>/*.avsc`).
///
/// # Errors
/// [`RegistryError::Released`] where there is no release to compare with.
pub fn check_offline(released: &Path) -> Result<Vec<Checked>, RegistryError> {
    let release = released::newest(released)?;
    let other = format!("release {}", release.version);
    let mut checked: Vec<Checked> = SUBJECTS
        .iter()
        .map(|subject| Checked {
            subject: subject.subject(),
            compared: vec![other.clone()],
            problems: problems(subject, &release),
        })
        .collect();
    let gone = release.schemas.keys().filter(|record| {
        !SUBJECTS
            .iter()
            .any(|subject| subject.record == record.as_str())
    });
    checked.extend(gone.map(|record| Checked {
        subject: record.clone(),
        compared: vec![other.clone()],
        problems: vec!["was released and is gone; messages of it are still to be read".to_owned()],
    }));
    Ok(checked)
}

fn problems(subject: &Subject, release: &released::Release) -> Vec<String> {
    let schema = match compatibility::parse(subject.schema) {
        Ok(schema) => schema,
        Err(reason) => return vec![reason],
    };
    let mut problems = contract::broken(subject, &schema);
    problems.extend(docs::missing(&schema));
    let before = release.schemas.get(subject.record);
    let broken = before.and_then(|before| compatibility::broken(before, subject.schema));
    problems.extend(broken.map(|reason| format!("release {}: {reason}", release.version)));
    problems
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
