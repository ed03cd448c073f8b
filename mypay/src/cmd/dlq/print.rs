//! Dead letters for people.

use mypay_audit::dlq::{Group, Released, ReleasedKey, Report, Show, Shown};
use mypay_schemas::Flow;
use uuid::Uuid;

use crate::cmd::schemas::table;

/// How many parked keys are named.
const NAMED: usize = 20;

pub(super) fn groups(groups: &[Group]) {
    if groups.is_empty() {
        println!("there are no dead letters");
        return;
    }
    let header = [
        "fingerprint",
        "flow",
        "reason",
        "letters",
        "parked",
        "first",
        "last",
        "example",
    ];
    let mut table = table(header);
    for group in groups {
        table.add_row([
            group.fingerprint.clone(),
            group.flow.clone(),
            group.reason.clone(),
            group.letters.to_string(),
            group.parked.to_string(),
            instant(group.first),
            instant(group.last),
            format!("{}: {}", group.place, group.detail),
        ]);
    }
    println!("{table}");
}

pub(super) fn letters(show: &Show) {
    let header = ["letter", "since", "message", "of", "key", "now", "why"];
    let mut table = table(header);
    for letter in &show.shown {
        let id = letter.message_id.map(|id| id.to_string());
        table.add_row([
            letter.letter.clone(),
            instant(letter.at),
            id.unwrap_or_else(|| "cannot be read".to_string()),
            format!("{}-{}@{}", letter.topic, letter.partition, letter.offset),
            letter.key.clone().unwrap_or_else(|| "none".to_string()),
            now(letter),
            format!("{}: {}", letter.reason, letter.detail),
        ]);
    }
    println!("{table}");
    let more = show.letters.saturating_sub(show.shown.len() as u64);
    if more > 0 {
        println!("and {more} more: --limit {}", show.letters);
    }
}

/// What became of a letter's message.
fn now(letter: &Shown) -> String {
    let queue_log = letter.queue_log.map(str::to_string);
    let words = [
        queue_log,
        letter.parked.then(|| "parked".to_string()),
        letter.given_up.then(|| "given up".to_string()),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    match words.is_empty() {
        true => "not handled".to_string(),
        false => words.join(", "),
    }
}

pub(super) fn plan(report: &Report) {
    let mut table = table(["of the letters", "messages"]);
    let parked = report.messages.iter().filter(|it| it.parked).count();
    let rows = [
        (
            "parked; put through in the order of their keys' queues",
            parked,
        ),
        (
            "others that are put through",
            report.messages.len() - parked,
        ),
    ];
    for (what, count) in rows {
        table.add_row([what.to_string(), count.to_string()]);
    }
    for (reason, count) in &report.left_out {
        table.add_row([format!("left out: {}", reason.text()), count.to_string()]);
    }
    println!(
        "{} letters, {} of them of a message that another is of, too\n{table}",
        report.letters, report.repeated
    );
    for queue in report.queues.iter().take(NAMED) {
        println!(
            "the key {} of {} is parked: all {} messages of its queue are put through",
            queue.key, queue.flow, queue.parked
        );
    }
    let more = report.queues.len().saturating_sub(NAMED);
    if more > 0 {
        println!("and {more} more parked keys");
    }
}

pub(super) fn released(flow: Flow, message_id: Uuid, released: &Released) {
    println!(
        "{message_id} is given up; {} wait behind it under the key {}",
        released.left, released.key
    );
    if !released.done {
        println!("its id is not done: it is another message's, or too old to be taken");
    }
    if let Some(next) = released.next {
        println!("`mypay dlq redrive --flow {flow} --message-id {next}` puts them through");
    }
}

pub(super) fn released_key(flow: Flow, released: &ReleasedKey) {
    for message in &released.messages {
        let not_done = match message.done {
            true => "",
            false => "; its id is not done: it is another message's, or too old to be taken",
        };
        println!("{} is given up{not_done}", message.message_id);
    }
    let (count, key) = (released.messages.len(), &released.key);
    println!("{count} messages were given up; nothing of {flow} waits under the key {key}");
}

fn instant(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
