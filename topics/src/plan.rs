//! The plan for one profile, with every setting of every topic resolved.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::PlanError;
use crate::file::{Entry, File};
use crate::span::Span;
use crate::topic::Topic;

/// The plan of this release. It is part of the binary, so that what a binary
/// expects of its topics and what it creates cannot differ.
const EMBEDDED: &str = include_str!("../topics.yaml");

/// Where a plan is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// One machine with three brokers.
    Local,
    /// A cluster.
    Production,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Profile; 2] = [Profile::Local, Profile::Production];

    /// Its name in `topics.yaml` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Local => "local",
            Profile::Production => "production",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Profile::ALL
            .into_iter()
            .find(|profile| profile.name() == text);
        found.ok_or_else(|| PlanError::UnknownProfile(text.to_owned()))
    }
}

/// All topics of a profile.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The profile.
    pub profile: Profile,
    /// How long `queue_log` knows an id.
    pub queue_log_horizon: Span,
    /// How far back a replay or a redrive may reach.
    pub replay_window: Span,
    /// The topics, in the order of the file.
    pub topics: Vec<Topic>,
}

impl Plan {
    /// The plan that this binary was built with.
    ///
    /// # Errors
    /// None in a tested build: the embedded file is parsed by this crate's tests.
    pub fn load(profile: Profile) -> Result<Self, PlanError> {
        Self::parse(EMBEDDED, profile)
    }

    /// A plan from a file's text.
    ///
    /// # Errors
    /// [`PlanError`], with the topic's name where one entry is to blame.
    pub fn parse(yaml: &str, profile: Profile) -> Result<Self, PlanError> {
        let file = File::parse(yaml)?;
        let overrides = file
            .profiles
            .get(profile.name())
            .ok_or_else(|| PlanError::UnknownProfile(profile.name().to_owned()))?;
        let entries = file.entries()?;
        refuse_idle_overrides(&file, &entries)?;
        let topics = entries
            .into_iter()
            .map(|(name, entry)| Topic::resolve(&file, overrides, name, entry))
            .collect::<Result<_, _>>()?;
        Ok(Plan {
            profile,
            queue_log_horizon: file.queue_log_horizon,
            replay_window: file.replay_window,
            topics,
        })
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    /// The number of a topic's partitions; `None` if it is not in the plan.
    pub fn partitions(&self, name: &str) -> Option<i32> {
        self.topic(name).map(|topic| topic.partitions)
    }
}

/// An override that meets nothing is a typing error that would go unseen.
fn refuse_idle_overrides(file: &File, entries: &[(String, Entry)]) -> Result<(), PlanError> {
    for (profile, overrides) in &file.profiles {
        for class in overrides.classes.keys() {
            file.class(class, &format!("profile {profile}"))?;
        }
        for topic in overrides.topics.keys() {
            if !entries.iter().any(|(name, _)| name == topic) {
                return Err(PlanError::UnknownTopic {
                    profile: profile.clone(),
                    topic: topic.clone(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
