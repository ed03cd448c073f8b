//! What a row says, in words.

use chrono::{DateTime, Utc};
use mypay_decide::{AccountKind, EntryKind};
use serde_json::Value;

/// What happened by a row of a table, and when: mostly one thing.
pub(super) fn happened(
    table: &'static str,
    at: DateTime<Utc>,
    row: &Value,
) -> Vec<(DateTime<Utc>, String)> {
    let text = |name: &str| text(row, name);
    let won = |name: &str| won(row, name);
    let what = match table {
        "queue_log" => return claimed(at, row),
        "parked" => format!(
            "{}: parked under the key {}, from {}: {}",
            text("consumer"),
            text("key"),
            place(row),
            text("reason")
        ),
        "parked_release" => format!(
            "{}: given up by {}: {}",
            text("consumer"),
            text("released_by"),
            text("release_reason")
        ),
        "remittance.top_up" | "payment.top_up" => format!(
            "lacks money: {} won are recharged, of {} needed: {}",
            won("amount"),
            won("needed"),
            text("state")
        ),
        "recharge.recharge" => format!(
            "recharge of {} won from {}-{}: {}{}",
            won("amount"),
            text("from_bank"),
            text("from_account"),
            text("state"),
            correlation(row, "recharge_id")
        ),
        "remittance.payout" => format!(
            "remittance of {} won (fee {}) to {}-{}: {}{}{}",
            won("amount"),
            won("fee"),
            text("to_bank"),
            text("to_account"),
            text("state"),
            reversed(row),
            correlation(row, "remittance_id")
        ),
        "membership.closing" => format!(
            "closing of {}, {} won left: {}{}{}",
            text("member_id"),
            won("amount"),
            text("state"),
            reversed(row),
            correlation(row, "closing_id")
        ),
        "payment.slip" => format!(
            "slip: {} won to {}, commission {}",
            won("gross"),
            text("franchise_id"),
            won("commission")
        ),
        "payment.cancel" => format!(
            "cancel {}: {} won back, {} in all: {}",
            text("seq"),
            won("amount"),
            won("refunded"),
            text("reason")
        ),
        "settlement.run" => format!(
            "run up to {}: {} franchises, {} won in {} payouts",
            text("cut_at"),
            text("franchises"),
            won("net"),
            text("payouts")
        ),
        "settlement.payout" => format!(
            "payout to franchise {} of {} won: {}{}",
            text("franchise_id"),
            won("net"),
            text("state"),
            reversed(row)
        ),
        "banking.firmbanking" => command(row),
        "banking.firmbanking_history" => match row.get("detail").and_then(Value::as_str) {
            Some(detail) => format!("command {}: {detail}", text("state")),
            None => format!("command {}", text("state")),
        },
        "banking.decision" => format!(
            "case decided {} by {}: {}{}",
            text("outcome"),
            text("operator"),
            text("reason"),
            match row.get("overtaken").and_then(Value::as_str) {
                Some(by) => format!(" (overtaken: {by})"),
                None => String::new(),
            }
        ),
        "banking.notice" => format!(
            "notice {}/{} of bank {} of {} won: {}",
            text("notice_date"),
            text("notice_number"),
            text("bank_code"),
            won("amount"),
            text("state")
        ),
        "banking.undo" => return undo(at, row),
        "banking.reversal" => format!(
            "{} bank {}: {} won, at {}",
            if row["undo_id"].is_null() {
                "undone by"
            } else {
                "undone by us: back on our account at"
            },
            text("bank_code"),
            won("amount"),
            text("reversed_at")
        ),
        "money.posting" => format!(
            "{}: {} won from {} to {}",
            entry(row),
            won("amount"),
            account(row, "debit"),
            account(row, "credit")
        ),
        _ => String::new(),
    };
    vec![(at, what)]
}

/// A payout that operators undo: proposed, approved, and what came of it.
fn undo(at: DateTime<Utc>, row: &Value) -> Vec<(DateTime<Utc>, String)> {
    let text = |name: &str| text(row, name);
    let proposed = format!(
        "{} proposes to undo it: {}: {}",
        text("proposed_by"),
        text("reason"),
        text("state")
    );
    let approved_at = row["approved_at"].as_str().and_then(|at| at.parse().ok());
    let approved = approved_at.map(|at| (at, format!("{} approves the undo", text("approved_by"))));
    std::iter::once((at, proposed)).chain(approved).collect()
}

/// A row of `queue_log` is two things: that it was put in the queue, and handled.
fn claimed(at: DateTime<Utc>, row: &Value) -> Vec<(DateTime<Utc>, String)> {
    let consumer = text(row, "consumer");
    let asked = match row.get("requested_by").and_then(Value::as_str) {
        Some(by) => format!(", asked for by {by}"),
        None => String::new(),
    };
    let status = text(row, "status");
    if status == "waiting" {
        let waits = format!("{consumer}: waiting{asked}; no consumer has handled it");
        return vec![(at, waits)];
    }
    let queued = (at, format!("{consumer}: in the queue{asked}"));
    let result = [
        row.get("processed_status").and_then(Value::as_str),
        row.get("reason").and_then(Value::as_str),
    ];
    let words: Vec<&str> = result.into_iter().flatten().collect();
    let handled = match words.is_empty() {
        true => format!("{consumer}: {status} from {}", place(row)),
        false => format!(
            "{consumer}: {status} from {}: {}",
            place(row),
            words.join(", ")
        ),
    };
    let processed = row
        .get("processed_timestamp")
        .and_then(Value::as_str)
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let processed = processed.map_or(at, |processed| processed.with_timezone(&Utc));
    vec![queued, (processed, handled)]
}

fn command(row: &Value) -> String {
    let number = match row.get("transaction_number").and_then(Value::as_i64) {
        Some(number) => format!("number {}/{number:06}", text(row, "business_date")),
        None => "without a number".to_string(),
    };
    let reason = match row.get("reason").and_then(Value::as_str) {
        Some(reason) => format!(", {reason}"),
        None => String::new(),
    };
    let case = match row.get("state").and_then(Value::as_str) {
        Some("manual") => "; a case: `mypay bank case` tells more",
        _ => "",
    };
    format!(
        "command of the {} to bank {}, {number}: {} won from {} to {}-{}: {}{reason}, fee {}{case}{}",
        text(row, "purpose"),
        text(row, "from_bank"),
        won(row, "amount"),
        text(row, "from_account"),
        text(row, "to_bank"),
        text(row, "to_account"),
        text(row, "state"),
        won(row, "fee"),
        correlation(row, "firmbanking_id")
    )
}

/// Which step of the ledger an entry is.
fn entry(row: &Value) -> &'static str {
    const NAMES: [(EntryKind, &str); 13] = [
        (EntryKind::Recharge, "recharge"),
        (EntryKind::Remittance, "remittance"),
        (EntryKind::RemittanceOut, "remittance out"),
        (EntryKind::TransitConfirmed, "confirmed by the bank"),
        (EntryKind::TransitRefused, "refused by the bank"),
        (EntryKind::Payment, "payment"),
        (EntryKind::Settlement, "settlement"),
        (EntryKind::FirmbankingFee, "the bank's fee"),
        (EntryKind::Transfer, "direct command"),
        (EntryKind::Opening, "opening"),
        (EntryKind::PaymentCancel, "cancel"),
        (EntryKind::Closing, "closing"),
        (EntryKind::Reversal, "reversal"),
    ];
    let kind = row.get("kind").and_then(Value::as_i64);
    let mut names = NAMES.into_iter();
    let named = names.find(|(entry, _)| Some(i64::from(*entry as i16)) == kind);
    named.map_or("posting", |(_, name)| name)
}

/// A side of a posting: a member's money by the member, else what the account is.
fn account(row: &Value, side: &str) -> String {
    let kind = row.get(format!("{side}_kind")).and_then(Value::as_i64);
    let kind = AccountKind::ALL
        .into_iter()
        .find(|it| Some(i64::from(it.number())) == kind);
    match kind {
        Some(AccountKind::MemberMoney) => format!("member {}", text(row, side)),
        Some(kind @ (AccountKind::FranchisePayable | AccountKind::Unclaimed)) => {
            format!("{} of {}", kind.name(), text(row, &format!("{side}_owner")))
        }
        Some(kind) => kind.name().to_string(),
        None => text(row, side),
    }
}

/// Where a message was handled.
fn place(row: &Value) -> String {
    let text = |name| text(row, name);
    format!("{}-{}@{}", text("topic"), text("partition"), text("offset"))
}

fn reversed(row: &Value) -> String {
    match row.get("reversed_at").and_then(Value::as_str) {
        Some(at) => format!(", undone at {at}"),
        None => String::new(),
    }
}

/// The business transaction, where it is not named after the row itself.
fn correlation(row: &Value, own: &str) -> String {
    let (id, own) = (text(row, "correlation_id"), text(row, own));
    if id == own {
        String::new()
    } else {
        format!(" (correlation {id})")
    }
}

fn text(row: &Value, name: &str) -> String {
    match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_string(),
        Some(other) => other.to_string(),
    }
}

/// An amount with its thousands set apart.
fn won(row: &Value, name: &str) -> String {
    let amount = row.get(name).and_then(Value::as_i64).unwrap_or_default();
    let digits = amount.unsigned_abs().to_string();
    let mut set_apart = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            set_apart.push(',');
        }
        set_apart.push(digit);
    }
    if amount < 0 {
        format!("-{set_apart}")
    } else {
        set_apart
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn a_done_message_was_put_in_the_queue_and_handled() {
        let row = json!({
            "consumer": "payment", "status": "done", "processed_status": "failure",
            "reason": "insufficient_funds", "topic": "my.payment.request", "partition": 2,
            "offset": 17, "processed_timestamp": "1970-01-01T00:00:01+00:00",
            "requested_by": "member 5",
        });
        let happened = happened("queue_log", AT, &row);
        assert_eq!(
            happened[0].1,
            "payment: in the queue, asked for by member 5"
        );
        assert_eq!(
            happened[1],
            (
                AT + chrono::TimeDelta::seconds(1),
                "payment: done from my.payment.request-2@17: failure, insufficient_funds"
                    .to_string()
            )
        );
    }

    #[test]
    fn a_message_that_waits_has_no_place() {
        let row = json!({ "consumer": "payment", "status": "waiting", "topic": null });
        let happened = happened("queue_log", AT, &row);
        assert_eq!(
            happened,
            [(
                AT,
                "payment: waiting; no consumer has handled it".to_string()
            )]
        );
    }

    #[test]
    fn a_posting_names_its_sides() {
        let row = json!({
            "kind": 6, "amount": 1_234_567, "debit": "m", "debit_kind": 1, "debit_owner": "m",
            "credit": "x", "credit_kind": 3, "credit_owner": "f",
        });
        assert_eq!(
            happened("money.posting", AT, &row)[0].1,
            "payment: 1,234,567 won from member m to franchise payable of f"
        );
    }

    #[test]
    fn a_command_tells_its_number_and_state() {
        let row = json!({
            "firmbanking_id": "a", "correlation_id": "a", "purpose": "recharge", "amount": 500,
            "from_bank": "004", "from_account": "1", "to_bank": "020", "to_account": "2",
            "state": "refused", "reason": "holder_mismatch", "business_date": "2026-11-26",
            "transaction_number": 42, "fee": 0,
        });
        assert_eq!(
            happened("banking.firmbanking", AT, &row)[0].1,
            "command of the recharge to bank 004, number 2026-11-26/000042: 500 won from 1 to \
             020-2: refused, holder_mismatch, fee 0"
        );
    }
}
