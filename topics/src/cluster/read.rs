//! What is on the cluster.

use std::collections::BTreeMap;

use rdkafka::admin::{ConfigSource, OwnedResourceSpecifier, ResourceSpecifier};

use super::{Cluster, FIRST_ANSWER, options};
use crate::compare::{Live, LiveTopic, LiveValue};
use crate::error::ClusterError;
use crate::plan::Plan;

impl Cluster {
    /// What is on the cluster: all topics, with the settings of the planned ones.
    pub(super) async fn read(&self, plan: &Plan) -> Result<Live, ClusterError> {
        let metadata = self.metadata(FIRST_ANSWER).await?;
        let mut topics: BTreeMap<String, LiveTopic> = metadata
            .topics()
            .iter()
            .map(|topic| {
                let partitions = topic.partitions();
                let live = LiveTopic {
                    partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
                    replicas: partitions
                        .iter()
                        .map(|part| part.replicas().len())
                        .collect(),
                    settings: BTreeMap::new(),
                };
                (topic.name().to_owned(), live)
            })
            .collect();
        let planned = plan
            .topics
            .iter()
            .filter(|topic| topics.contains_key(&topic.name));
        let planned: Vec<&str> = planned.map(|topic| topic.name.as_str()).collect();
        for (name, settings) in self.settings(&planned).await? {
            topics.entry(name).or_default().settings = settings;
        }
        Ok(Live {
            brokers: metadata.brokers().len(),
            topics,
        })
    }

    /// The settings of topics, in one request.
    async fn settings(
        &self,
        topics: &[&str],
    ) -> Result<Vec<(String, BTreeMap<String, LiveValue>)>, ClusterError> {
        const DOING: &str = "read the topics' settings";
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<_> = topics
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let answers = self
            .admin
            .describe_configs(&wanted, &options())
            .await
            .map_err(|source| ClusterError::Request {
                doing: DOING,
                source,
            })?;
        let mut settings = Vec::with_capacity(answers.len());
        for answer in answers {
            let resource = answer.map_err(|code| ClusterError::Topics {
                doing: DOING,
                reasons: vec![code.to_string()],
            })?;
            let OwnedResourceSpecifier::Topic(topic) = resource.specifier else {
                continue;
            };
            // rdkafka passes on no error of a single topic, only an answer with
            // nothing in it; taken for the truth, it would say that all differs.
            if resource.entries.is_empty() {
                let reasons = vec![format!(
                    "{topic}: the broker gave none; is it being deleted?"
                )];
                return Err(ClusterError::Topics {
                    doing: DOING,
                    reasons,
                });
            }
            let values = resource.entries.into_iter().map(|entry| {
                let live = LiveValue {
                    value: entry.value.unwrap_or_default(),
                    on_topic: entry.source == ConfigSource::DynamicTopic,
                };
                (entry.name, live)
            });
            settings.push((topic, values.collect()));
        }
        Ok(settings)
    }
}
