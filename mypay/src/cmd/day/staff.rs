//! What staff does on this day, and what customers take back.

use std::collections::HashSet;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use super::edge::Edge;
use super::plan::{Planned, cancel};
use super::town::Town;

/// Raises the commission of every fourth franchise by half a percent, in force at
/// once; gives how many have a new one.
pub(super) async fn change_commissions(edge: &Edge, town: &Town) -> anyhow::Result<usize> {
    let mut changed = 0;
    for franchise in town.franchises.iter().step_by(4) {
        let path = format!("/franchises/{franchise}/commission-rates");
        let rates = edge.get(&path).await?.unwrap_or_default();
        let bps = rates["items"][0]["bps"]
            .as_i64()
            .context("a rate in force")?;
        // On a stack that lives through many days it begins anew at some time.
        let bps = if bps >= 1_000 { 100 } else { bps + 50 };
        command(edge, &path, &json!({ "bps": bps })).await?;
        changed += 1;
    }
    Ok(changed)
}

/// Holds a franchise's payouts back.
pub(super) async fn hold(edge: &Edge, franchise: &str) -> anyhow::Result<()> {
    let body = json!({ "reason": "disputed deliveries" });
    command(edge, &format!("/franchises/{franchise}/holds"), &body).await
}

/// Releases them.
pub(super) async fn release(edge: &Edge, franchise: &str) -> anyhow::Result<()> {
    let body = json!({ "reason": "settled with the customer" });
    command(
        edge,
        &format!("/franchises/{franchise}/holds/release"),
        &body,
    )
    .await
}

async fn command(edge: &Edge, path: &str, body: &Value) -> anyhow::Result<()> {
    let (status, answer) = edge.post(path, None, body).await?;
    if !status.is_success() {
        bail!("POST {path}: {status}: {answer}");
    }
    Ok(())
}

/// The cancels of an afternoon: one payment in twenty, in whole, in part, or for
/// more than was paid; and all payments of the first franchise, which has closed
/// its doors after they were settled.
pub(super) fn cancels(town: &Town, sent: &[Paid], completed: &HashSet<Uuid>) -> Vec<Planned> {
    let first = town.franchises.first();
    let made = sent.iter().filter(|paid| completed.contains(&paid.id));
    made.enumerate()
        .filter_map(|(number, paid)| {
            if first == Some(&paid.franchise) {
                return Some(cancel(paid.id, None));
            }
            match number % 60 {
                0 => Some(cancel(paid.id, None)),
                20 => Some(cancel(paid.id, Some((paid.amount / 2).max(1)))),
                40 => Some(cancel(paid.id, Some(paid.amount + 1))),
                _ => None,
            }
        })
        .collect()
}

/// A payment as it was asked for.
pub(super) struct Paid {
    id: Uuid,
    franchise: String,
    amount: i64,
}

impl Paid {
    /// The payments among requests.
    pub(super) fn of(planned: &[Planned]) -> Vec<Self> {
        let payments = planned.iter().filter(|it| it.path == "/payments");
        payments
            .map(|it| Self {
                id: it.id,
                franchise: it.body["franchise_id"].as_str().unwrap_or_default().into(),
                amount: it.body["amount"].as_i64().unwrap_or(0),
            })
            .collect()
    }
}
