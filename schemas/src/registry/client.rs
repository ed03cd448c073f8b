//! The calls to the registry.
//!
//! schema_registry_converter does what it can do; it knows no compatibility
//! levels, so those two calls are made here.

use std::time::Duration;

use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_all_versions, get_schema_by_subject_and_version, is_compatible_schema,
    perform_sr_call, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{SchemaType, SrCall, SuppliedSchema};
use serde::Deserialize;
use serde_json::json;

use super::error::{RegistryError, code, deepest, from_converter};

/// Every reader reads every message, of all versions, in both directions.
pub(super) const FULL_TRANSITIVE: &str = "FULL_TRANSITIVE";

/// A registry that does not answer in this time is down.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The registry's code for a subject that it does not know.
const UNKNOWN_SUBJECT: u32 = 40401;

/// Codes for "incompatible": Confluent answers 409, Apicurio 409 too; 42201 is
/// for what is no schema at all.
const REFUSALS: [u32; 2] = [409, 42201];

/// The registry at one address.
pub(super) struct Client {
    url: String,
    settings: SrSettings,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Level {
    #[serde(rename = "compatibilityLevel")]
    level: String,
}

impl Client {
    pub(super) fn new(url: &str) -> Result<Self, RegistryError> {
        let url = url.trim_end_matches('/').to_owned();
        let unusable = |reason: String| RegistryError::Unreachable {
            url: url.clone(),
            reason,
        };
        // No proxy: the registry is a neighbour, and a proxy from the environment
        // would be asked for 127.0.0.1.
        let settings = SrSettings::new_builder(url.clone())
            .set_timeout(TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Client {
            url,
            settings,
            http,
        })
    }

    /// Sets the subject's compatibility; the subject need not exist yet.
    pub(super) async fn set_full_transitive(&self, subject: &str) -> Result<(), RegistryError> {
        let request = self
            .http
            .put(format!("{}/config/{subject}", self.url))
            .json(&json!({ "compatibility": FULL_TRANSITIVE }));
        let doing = format!("set the compatibility of {subject}");
        self.send(&doing, request).await.map(drop)
    }

    /// The compatibility that holds for the subject.
    pub(super) async fn compatibility_level(&self, subject: &str) -> Result<String, RegistryError> {
        let doing = format!("tell the compatibility of {subject}");
        let url = format!("{}/config/{subject}?defaultToGlobal=true", self.url);
        let answer = self.send(&doing, self.http.get(url)).await?;
        let level: Level = answer.json().await.map_err(|error| RegistryError::Answer {
            doing,
            reason: deepest(&error),
        })?;
        Ok(level.level)
    }

    /// Registers a schema, or finds it: the id is the same either way.
    pub(super) async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let posted = post_schema(&self.settings, subject.to_owned(), supplied(schema)).await;
        let registered = posted.map_err(|error| {
            let known = code(&error).is_some_and(|code| REFUSALS.contains(&code));
            match self.error(&format!("register {subject}"), &error) {
                RegistryError::Answer { reason, .. } if known => RegistryError::Refused {
                    subject: subject.to_owned(),
                    reason,
                },
                other => other,
            }
        })?;
        Ok(registered.id)
    }

    /// The version under which the subject has this schema.
    pub(super) async fn version_of(
        &self,
        subject: &str,
        schema: &str,
    ) -> Result<u32, RegistryError> {
        let doing = format!("find the version of {subject}");
        let body = json!({ "schema": schema, "schemaType": "AVRO" }).to_string();
        let found = perform_sr_call(&self.settings, SrCall::PostForVersion(subject, &body)).await;
        let found = found.map_err(|error| self.error(&doing, &error))?;
        found.version.ok_or_else(|| RegistryError::Answer {
            doing,
            reason: "the answer has no version".to_owned(),
        })
    }

    /// All versions of the subject; none where the registry does not know it.
    pub(super) async fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        match get_all_versions(&self.settings, subject.to_owned()).await {
            Ok(versions) => Ok(versions),
            Err(error) if code(&error) == Some(UNKNOWN_SUBJECT) => Ok(Vec::new()),
            Err(error) => Err(self.error(&format!("list the versions of {subject}"), &error)),
        }
    }

    /// The text of one version.
    pub(super) async fn schema(
        &self,
        subject: &str,
        version: u32,
    ) -> Result<String, RegistryError> {
        let got = get_schema_by_subject_and_version(&self.settings, subject, Some(version)).await;
        let got = got.map_err(|error| self.error(&format!("give {subject} v{version}"), &error))?;
        Ok(got.schema)
    }

    /// The registry's own opinion, by the subject's compatibility.
    pub(super) async fn is_compatible(
        &self,
        subject: &str,
        schema: &str,
    ) -> Result<bool, RegistryError> {
        let answer =
            is_compatible_schema(&self.settings, subject.to_owned(), supplied(schema)).await;
        answer.map_err(|error| self.error(&format!("compare {subject}"), &error))
    }

    async fn send(
        &self,
        doing: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, RegistryError> {
        let answer = request
            .send()
            .await
            .map_err(|error| RegistryError::Unreachable {
                url: self.url.clone(),
                reason: deepest(&error),
            })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let reason = format!(
            "HTTP {}: {}",
            answer.status(),
            answer.text().await.unwrap_or_default()
        );
        Err(RegistryError::Answer {
            doing: doing.to_owned(),
            reason,
        })
    }

    fn error(&self, doing: &str, error: &SRCError) -> RegistryError {
        from_converter(&self.url, doing, error)
    }
}

fn supplied(schema: &str) -> SuppliedSchema {
    SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned())
}
