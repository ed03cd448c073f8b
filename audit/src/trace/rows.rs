//! The rows of a family, each as what happened.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Member, Step, words};
use crate::error::AuditError;

/// Where there are rows of a message: the table, and the id, the instant and the row
/// of those with the ids `$1`. At one instant they come in this order.
const SOURCES: [(&str, &str); 19] = [
    (
        "queue_log",
        "SELECT q.message_id, q.created_timestamp, to_jsonb(q)
           FROM queue_log q WHERE q.message_id = ANY($1)",
    ),
    (
        "parked",
        "SELECT p.message_id, p.parked_at, to_jsonb(p)
           FROM parked p WHERE p.message_id = ANY($1)",
    ),
    (
        "parked_release",
        "SELECT p.message_id, p.released_at, to_jsonb(p)
           FROM parked_release p WHERE p.message_id = ANY($1)",
    ),
    (
        "remittance.top_up",
        "SELECT t.remittance_id, t.requested_at, to_jsonb(t)
           FROM remittance.top_up t WHERE t.remittance_id = ANY($1)",
    ),
    (
        "payment.top_up",
        "SELECT t.payment_id, t.requested_at, to_jsonb(t)
           FROM payment.top_up t WHERE t.payment_id = ANY($1)",
    ),
    (
        "recharge.recharge",
        "SELECT r.recharge_id, r.requested_at, to_jsonb(r)
           FROM recharge.recharge r WHERE r.recharge_id = ANY($1)",
    ),
    (
        "remittance.payout",
        "SELECT p.remittance_id, p.requested_at, to_jsonb(p)
           FROM remittance.payout p WHERE p.remittance_id = ANY($1)",
    ),
    (
        "membership.closing",
        "SELECT c.closing_id, c.requested_at, to_jsonb(c)
           FROM membership.closing c WHERE c.closing_id = ANY($1)",
    ),
    (
        "payment.slip",
        "SELECT s.payment_id, s.paid_at, to_jsonb(s)
           FROM payment.slip s WHERE s.payment_id = ANY($1)",
    ),
    (
        "payment.cancel",
        "SELECT c.cancel_id, c.cancelled_at, to_jsonb(c)
           FROM payment.cancel c WHERE c.cancel_id = ANY($1)",
    ),
    (
        "settlement.run",
        "SELECT r.run_id, r.made_at, to_jsonb(r)
           FROM settlement.run r WHERE r.run_id = ANY($1)",
    ),
    (
        "settlement.payout",
        "SELECT p.payout_id, p.changed_at, to_jsonb(p)
           FROM settlement.payout p WHERE p.payout_id = ANY($1)",
    ),
    (
        "banking.firmbanking",
        "SELECT f.firmbanking_id, f.created_at, to_jsonb(f)
           FROM banking.firmbanking f WHERE f.firmbanking_id = ANY($1)",
    ),
    (
        "banking.firmbanking_history",
        "SELECT h.firmbanking_id, h.changed_at, to_jsonb(h)
           FROM banking.firmbanking_history h WHERE h.firmbanking_id = ANY($1)
          ORDER BY h.firmbanking_id, h.seq",
    ),
    (
        "banking.decision",
        "SELECT d.case_id, d.decided_at, to_jsonb(d)
           FROM banking.decision d WHERE d.case_id = ANY($1)",
    ),
    (
        "banking.notice",
        "SELECT n.case_id, n.received_at, to_jsonb(n)
           FROM banking.notice n WHERE n.case_id = ANY($1)",
    ),
    (
        "banking.undo",
        "SELECT u.firmbanking_id, u.proposed_at, to_jsonb(u)
           FROM banking.undo u WHERE u.firmbanking_id = ANY($1)",
    ),
    (
        "banking.reversal",
        "SELECT r.firmbanking_id, r.recorded_at, to_jsonb(r)
           FROM banking.reversal r WHERE r.firmbanking_id = ANY($1)",
    ),
    (
        "money.posting",
        "SELECT p.entry_id, p.posted_at,
                to_jsonb(p) || jsonb_build_object(
                    'debit_kind', d.kind, 'debit_owner', d.owner,
                    'credit_kind', c.kind, 'credit_owner', c.owner)
           FROM money.posting p
           LEFT JOIN money.account d ON d.account_id = p.debit
           LEFT JOIN money.account c ON c.account_id = p.credit
          WHERE p.entry_id = ANY($1)
          ORDER BY p.entry_id, p.kind, p.line",
    ),
];

/// What happened under these ids, the first first.
pub(super) async fn steps(
    connection: &mut PgConnection,
    members: &[Member],
) -> Result<Vec<Step>, AuditError> {
    let ids: Vec<Uuid> = members.iter().map(|member| member.id).collect();
    let roles: HashMap<Uuid, &str> = members
        .iter()
        .map(|member| (member.id, member.what.as_str()))
        .collect();
    let mut steps = Vec::new();
    for (table, select) in SOURCES {
        let rows = sqlx::query(select)
            .bind(&ids)
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            let id: Uuid = row.try_get(0)?;
            let at: DateTime<Utc> = row.try_get(1)?;
            let row: Value = row.try_get(2)?;
            let happened = words::happened(table, at, &row);
            steps.extend(happened.into_iter().map(|(at, what)| Step {
                at,
                table,
                id,
                of: roles.get(&id).copied().unwrap_or_default().to_string(),
                what,
                row: row.clone(),
            }));
        }
    }
    // Stable: what has one instant stays in the order of the sources.
    steps.sort_by_key(|step| step.at);
    Ok(steps)
}
