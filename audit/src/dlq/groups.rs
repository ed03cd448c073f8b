//! All dead letters, by what they died of.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use mypay_schemas::Flow;
use serde::Serialize;
use uuid::Uuid;

use super::letter::Letter;
use super::{parked, read};
use crate::Servers;
use crate::error::AuditError;

/// Dead letters that died of the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Names it, for `show` and `redrive`.
    pub fingerprint: String,
    /// Whose consumer put them there.
    pub flow: String,
    /// The code of the reason.
    pub reason: String,
    /// How many letters there are.
    pub letters: u64,
    /// How many messages of theirs wait in the queue of a parked key.
    pub parked: u64,
    /// When the first came.
    pub first: DateTime<Utc>,
    /// When the last came.
    pub last: DateTime<Utc>,
    /// Where the message of the last one lies.
    pub place: String,
    /// What exactly, of the last one.
    pub detail: String,
}

/// The dead letters of a flow, or of all, grouped; those that died last come first.
///
/// # Errors
/// [`AuditError`] where a server could not be read.
pub async fn groups(servers: &Servers, flow: Option<Flow>) -> Result<Vec<Group>, AuditError> {
    let letters = read::letters(servers, flow).await?;
    let pool = mypay_database::pool(&servers.database_url, 1)?;
    let parked = parked::members(&parked::queues(&pool).await?);
    Ok(grouped(&letters, &parked))
}

/// Groups letters that are in the order of their time.
fn grouped(letters: &[Letter], parked: &HashSet<(Flow, Uuid)>) -> Vec<Group> {
    let mut groups: HashMap<&str, (Group, HashSet<Uuid>)> = HashMap::new();
    for letter in letters {
        let (group, waiting) = groups.entry(&letter.fingerprint).or_insert_with(|| {
            let group = Group {
                fingerprint: letter.fingerprint.clone(),
                flow: letter.flow.to_string(),
                reason: letter.reason.clone(),
                letters: 0,
                parked: 0,
                first: letter.at,
                last: letter.at,
                place: String::new(),
                detail: String::new(),
            };
            (group, HashSet::new())
        });
        group.letters += 1;
        group.last = letter.at;
        group.place = letter.of.to_string();
        group.detail.clone_from(&letter.detail);
        let waits = letter.named().map(|message| message.id);
        waiting.extend(waits.filter(|id| parked.contains(&(letter.flow, *id))));
    }
    let mut groups: Vec<Group> = groups
        .into_values()
        .map(|(group, waiting)| Group {
            parked: waiting.len() as u64,
            ..group
        })
        .collect();
    groups.sort_by(|a, b| (b.last, &a.fingerprint).cmp(&(a.last, &b.fingerprint)));
    groups
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::letter;
    use super::*;

    #[test]
    fn letters_of_one_fingerprint_are_a_group_and_a_message_waits_once() {
        let mut letters = vec![letter(1, 10), letter(1, 11), letter(2, 12), letter(3, 13)];
        letters[3].fingerprint = "other".to_string();
        letters[3].at = letters[0].at + chrono::TimeDelta::seconds(1);
        let parked = HashSet::from([(Flow::Remittance, Uuid::from_u128(1))]);
        let groups = grouped(&letters, &parked);
        let told: Vec<_> = groups
            .iter()
            .map(|group| (&*group.fingerprint, group.letters, group.parked))
            .collect();
        assert_eq!(told, [("other", 1, 0), ("f", 3, 1)]);
        assert_eq!(groups[1].place, "my.remittance.request-0@12");
    }
}
