//! One encoder a topic, with the ids that the registry gave our schemas.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::wire::Encoder;
use crate::{SUBJECTS, Subject};

/// Why the schema ids could not be learnt, or a record not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodersError {
    /// The registry does not answer.
    #[error("the schema registry does not answer: {0}")]
    Registry(#[from] reqwest::Error),
    /// The registry does not have the schema.
    #[error(
        "schema {subject} is not registered (registry: {answer}); run `mypay schemas register`"
    )]
    NotRegistered {
        /// The subject.
        subject: String,
        /// What the registry said.
        answer: String,
    },
    /// A record does not fit its schema, or a schema is no schema.
    #[error("Avro: {0}")]
    Avro(#[from] apache_avro::Error),
    /// A topic of no subject.
    #[error("topic {0} carries no schema of ours")]
    NoSubject(String),
}

/// The encoders of all our topics.
pub struct Encoders(HashMap<&'static str, Encoder>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lookup<'a> {
    schema: &'a str,
    schema_type: &'static str,
}

#[derive(Deserialize)]
struct Found {
    id: u32,
}

impl Encoders {
    /// Asks the registry for the id of every schema of this build.
    ///
    /// Looks up, never registers: a consumer that could register would change
    /// the contract by being deployed.
    pub async fn look_up(registry_url: &str) -> Result<Self, EncodersError> {
        let client = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(5))
            .build()?;
        let mut encoders = HashMap::new();
        for subject in SUBJECTS {
            let id = look_up(&client, registry_url, subject).await?;
            encoders.insert(subject.topic, Encoder::new(id, subject.schema)?);
        }
        Ok(Self(encoders))
    }

    /// The message's bytes, by the schema of its topic.
    pub fn encode<T: Serialize>(&self, topic: &str, record: &T) -> Result<Vec<u8>, EncodersError> {
        let encoder = self
            .0
            .get(topic)
            .ok_or_else(|| EncodersError::NoSubject(topic.to_string()))?;
        Ok(encoder.encode(record)?)
    }
}

async fn look_up(
    client: &reqwest::Client,
    registry_url: &str,
    subject: &Subject,
) -> Result<u32, EncodersError> {
    let name = subject.subject();
    let answer = client
        .post(format!(
            "{}/subjects/{name}",
            registry_url.trim_end_matches('/')
        ))
        .json(&Lookup {
            schema: subject.schema,
            schema_type: "AVRO",
        })
        .send()
        .await?;
    if answer.status().is_server_error() {
        return Err(answer.error_for_status().err().map_or_else(
            || EncodersError::NoSubject(name.clone()),
            EncodersError::Registry,
        ));
    }
    if !answer.status().is_success() {
        let answer = answer.text().await.unwrap_or_default();
        return Err(EncodersError::NotRegistered {
            subject: name,
            answer,
        });
    }
    Ok(answer.json::<Found>().await?.id)
}
