//! The ids that belong to a message: what rows say of each other, and what is derived.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mypay_schemas::identity::{derive, lower_bound, time_of};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Member, derived};
use crate::error::AuditError;

/// What the traced message is to its family.
const ITSELF: &str = "itself";
/// A family has a handful of members; that of a settlement run its payouts.
const AT_MOST: usize = 1_000;
/// How many payouts of a run are followed, which may have thousands.
const PAYOUTS: i64 = 100;
/// How many requests of one millisecond are looked at for the one that an id is
/// derived from.
const OF_ONE_MILLISECOND: i64 = 10_000;

/// All ids of a message's family, its own first.
pub(super) async fn of(connection: &mut PgConnection, id: Uuid) -> Result<Vec<Member>, AuditError> {
    let mut family = BTreeMap::from([(id, ITSELF.to_string())]);
    let mut order = vec![id];
    let mut young = vec![id];
    if let Some(cause) = cause(connection, id).await? {
        family.insert(cause, "what brought it about".to_string());
        order.push(cause);
        young.push(cause);
    }
    while !young.is_empty() && order.len() < AT_MOST {
        let mut found = stored(connection, &young, id).await?;
        let derived = young.iter().flat_map(|id| {
            let parent = family.get(id).map_or("", String::as_str);
            derived::from(*id)
                .into_iter()
                .map(move |member| related(member, parent))
        });
        let derived: Vec<Member> = derived.collect();
        found.extend(there(connection, derived).await?);
        young.clear();
        for member in found {
            if let Entry::Vacant(place) = family.entry(member.id) {
                place.insert(member.what);
                order.push(member.id);
                young.push(member.id);
            }
        }
    }
    if id.get_version_num() != 8 {
        // On its topic alone, but for the results that others of ours take up.
        let result = derive(id, "result");
        if let Entry::Vacant(place) = family.entry(result) {
            place.insert("its result, on the topic".to_string());
            order.push(result);
        }
    }
    let members = order.into_iter().map(|id| Member {
        what: family.remove(&id).unwrap_or_default(),
        id,
    });
    Ok(members.collect())
}

/// Results and reversals are many: each says of what it is.
fn related(member: Member, parent: &str) -> Member {
    let what = match (member.what.as_str(), parent) {
        (what @ ("result" | "reversal"), ITSELF) => format!("its {what}"),
        (what @ ("result" | "reversal"), _) => format!("{what} of: {parent}"),
        _ => member.what,
    };
    Member { what, ..member }
}

/// What an id of ours is derived from. A hash tells not what went into it, but it
/// leaves the time of its cause: so that is looked for among the few of its
/// millisecond.
async fn cause(connection: &mut PgConnection, id: Uuid) -> Result<Option<Uuid>, AuditError> {
    if id.get_version_num() != 8 {
        return Ok(None);
    }
    let time = time_of(id);
    let causes: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT message_id FROM queue_log
          WHERE message_id >= $1 AND message_id < $2 AND message_id <> $3 LIMIT $4",
    )
    .bind(lower_bound(time))
    .bind(lower_bound(time + 1))
    .bind(id)
    .bind(OF_ONE_MILLISECOND)
    .fetch_all(connection)
    .await?;
    Ok(derived::cause_of(id, &causes))
}

/// What rows say that belongs to some ids, both ways.
async fn stored(
    connection: &mut PgConnection,
    ids: &[Uuid],
    traced: Uuid,
) -> Result<Vec<Member>, AuditError> {
    // From a payout the way leads to its run, and from there not to all others.
    const STORED: &str = "
        SELECT firmbanking_id, 'command of the ' || purpose
          FROM banking.firmbanking WHERE origin_id = ANY($1)
         UNION ALL
        SELECT origin_id, 'what the command is for'
          FROM banking.firmbanking WHERE firmbanking_id = ANY($1) AND origin_id IS NOT NULL
         UNION ALL
        SELECT recharge_id, 'recharge that tops up the remittance'
          FROM remittance.top_up WHERE remittance_id = ANY($1)
         UNION ALL
        SELECT remittance_id, 'remittance that is topped up'
          FROM remittance.top_up WHERE recharge_id = ANY($1)
         UNION ALL
        SELECT recharge_id, 'recharge that tops up the payment'
          FROM payment.top_up WHERE payment_id = ANY($1)
         UNION ALL
        SELECT payment_id, 'payment that is topped up'
          FROM payment.top_up WHERE recharge_id = ANY($1)
         UNION ALL
        SELECT cancel_id, 'cancel of the payment'
          FROM payment.cancel WHERE payment_id = ANY($1)
         UNION ALL
        SELECT payment_id, 'payment that is cancelled'
          FROM payment.cancel WHERE cancel_id = ANY($1)
         UNION ALL
        SELECT payout_id, 'payout of the closing'
          FROM membership.closing WHERE closing_id = ANY($1) AND payout_id IS NOT NULL
         UNION ALL
        SELECT closing_id, 'closing that is paid out'
          FROM membership.closing WHERE payout_id = ANY($1)
         UNION ALL
        SELECT run_id, 'run of the payout'
          FROM settlement.payout WHERE payout_id = ANY($1)
         UNION ALL
        (SELECT payout_id, 'payout of the run'
           FROM settlement.payout
          WHERE run_id = $2 AND run_id = ANY($1) ORDER BY run_id, franchise_id LIMIT $3)
         UNION ALL
        SELECT n.case_id, 'notice of the reversal'
          FROM banking.reversal r JOIN banking.notice n USING (bank_code, notice_date, notice_number)
         WHERE r.firmbanking_id = ANY($1)
         UNION ALL
        SELECT r.firmbanking_id, 'command that the notice undoes'
          FROM banking.notice n JOIN banking.reversal r USING (bank_code, notice_date, notice_number)
         WHERE n.case_id = ANY($1)";
    let rows = sqlx::query(STORED)
        .bind(ids)
        .bind(traced)
        .bind(PAYOUTS)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Member {
                id: row.try_get(0)?,
                what: row.try_get(1)?,
            })
        })
        .collect()
}

/// Those under whose ids there is anything.
async fn there(
    connection: &mut PgConnection,
    mut members: Vec<Member>,
) -> Result<Vec<Member>, AuditError> {
    const THERE: &str = "
        SELECT message_id FROM queue_log WHERE message_id = ANY($1)
         UNION
        SELECT message_id FROM parked WHERE message_id = ANY($1)
         UNION
        SELECT entry_id FROM money.posting WHERE entry_id = ANY($1)
         UNION
        SELECT firmbanking_id FROM banking.firmbanking WHERE firmbanking_id = ANY($1)";
    let ids: Vec<Uuid> = members.iter().map(|member| member.id).collect();
    let there: Vec<Uuid> = sqlx::query_scalar(THERE)
        .bind(&ids)
        .fetch_all(connection)
        .await?;
    members.retain(|member| there.contains(&member.id));
    Ok(members)
}
