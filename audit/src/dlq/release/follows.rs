//! What waits for a message: a request of ours whose bank has answered, or that is to go
//! on after its top-up, is ended by that message and by nothing else.

use mypay_schemas::Flow;
use mypay_schemas::identity::is_derived;
use mypay_schemas::payment::id_of_continuation;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::error::AuditError;

/// Refuses to give a message up that something waits for.
pub(super) async fn refuse(
    connection: &mut PgConnection,
    flow: Flow,
    message_id: Uuid,
    key: &str,
) -> Result<(), AuditError> {
    // Whatever follows from a request of ours has an id that is derived from one.
    if !is_derived(&message_id.to_string()) {
        return Ok(());
    }
    let waits = match waits(connection, message_id, key).await? {
        Some(waits) => Some(waits),
        None => payment(connection, message_id, key).await?,
    };
    match waits {
        Some((what, id)) => Err(AuditError::Invalid(refusal(flow, message_id, &what, id))),
        None => Ok(()),
    }
}

fn refusal(flow: Flow, message_id: Uuid, what: &str, id: Uuid) -> String {
    format!(
        "{flow} {message_id} cannot be given up: the {what} {id} waits for it, and would be in progress for ever, with its money where it is. Mend what the message dies of, and put it through again with `mypay dlq redrive --flow {flow} --message-id {message_id}`; `mypay trace {id}` tells what became of the {what} so far"
    )
}

/// What waits for a command's result or reversal (whose key is the command), for a
/// command itself (of an undo, too), for a top-up's recharge or its result (whose key is
/// the recharge).
async fn waits(
    connection: &mut PgConnection,
    message_id: Uuid,
    key: &str,
) -> Result<Option<(String, Uuid)>, AuditError> {
    let ids: Vec<Uuid> = std::iter::once(message_id)
        .chain(Uuid::try_parse(key).ok())
        .collect();
    let row = sqlx::query(
        "WITH back AS (
             SELECT firmbanking_id FROM banking.reversal WHERE firmbanking_id = ANY($1)
         )
         SELECT 'recharge', recharge_id FROM recharge.recharge
          WHERE firmbanking_id = ANY($1) AND state = 'AWAITS_BANK'
          UNION ALL
         SELECT 'remittance', remittance_id FROM remittance.payout p
          WHERE firmbanking_id = ANY($1)
            AND (state = 'AWAITS_BANK' OR reversed_at IS NULL
                 AND EXISTS (SELECT FROM back b WHERE b.firmbanking_id = p.firmbanking_id))
          UNION ALL
         SELECT 'payout', payout_id FROM settlement.payout p
          WHERE firmbanking_id = ANY($1)
            AND (state = 'AWAITS_BANK' OR reversed_at IS NULL
                 AND EXISTS (SELECT FROM back b WHERE b.firmbanking_id = p.firmbanking_id))
          UNION ALL
         SELECT 'closing', closing_id FROM membership.closing p
          WHERE firmbanking_id = ANY($1)
            AND (state = 'AWAITS_BANK' OR reversed_at IS NULL
                 AND EXISTS (SELECT FROM back b WHERE b.firmbanking_id = p.firmbanking_id))
          UNION ALL
         SELECT 'undo of the command', firmbanking_id FROM banking.undo
          WHERE undo_id = ANY($1) AND state IN ('approved', 'asked')
          UNION ALL
         SELECT 'remittance', remittance_id FROM remittance.top_up
          WHERE recharge_id = ANY($1) AND state = 'AWAITS_TOP_UP'
          UNION ALL
         SELECT 'payment', payment_id FROM payment.top_up
          WHERE recharge_id = ANY($1) AND state = 'AWAITS_TOP_UP'
          LIMIT 1",
    )
    .bind(ids)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .transpose()
}

/// The payment that a continuation is of, where it waits; its key is the member.
async fn payment(
    connection: &mut PgConnection,
    message_id: Uuid,
    key: &str,
) -> Result<Option<(String, Uuid)>, AuditError> {
    let Ok(member_id) = Uuid::try_parse(key) else {
        return Ok(None);
    };
    let waiting: Vec<Uuid> = sqlx::query_scalar(
        "SELECT payment_id FROM payment.top_up WHERE member_id = $1 AND state = 'AWAITS_TOP_UP'",
    )
    .bind(member_id)
    .fetch_all(connection)
    .await?;
    let mut waiting = waiting.into_iter();
    let of = waiting.find(|payment| id_of_continuation(*payment) == message_id);
    Ok(of.map(|payment| ("payment".to_string(), payment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_waits_and_what_to_do_instead() {
        let (message, remittance) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let said = refusal(Flow::Remittance, message, "remittance", remittance);
        for part in [
            format!("the remittance {remittance} waits for it"),
            format!("`mypay dlq redrive --flow remittance --message-id {message}`"),
            format!("`mypay trace {remittance}`"),
        ] {
            assert!(said.contains(&part), "{said}");
        }
    }
}
