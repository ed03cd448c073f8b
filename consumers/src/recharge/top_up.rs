//! The requests of other flows that stand behind recharges of ours.

use std::collections::HashMap;

use mypay_schemas::identity::is_derived;
use mypay_schemas::recharge::RechargeRequest;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// Member and amount that a flow waits for, by the recharge's id.
///
/// A recharge under an id of ours is taken only with such a row behind it:
/// otherwise anybody who can write to the topic could take the id of one that is
/// to come, or have a remittance go on that nobody has topped up.
#[derive(Default)]
pub(super) struct Origins(HashMap<Uuid, (Uuid, i64)>);

impl Origins {
    /// Loads what waits for these recharges.
    pub(super) async fn load(
        connection: &mut PgConnection,
        recharges: &[Uuid],
    ) -> Result<Self, sqlx::Error> {
        if recharges.is_empty() {
            return Ok(Self::default());
        }
        let rows = sqlx::query(
            "SELECT recharge_id, member_id, amount FROM remittance.top_up
              WHERE recharge_id = ANY($1) AND state = 'AWAITS_TOP_UP'
              UNION ALL
             SELECT recharge_id, member_id, amount FROM payment.top_up
              WHERE recharge_id = ANY($1) AND state = 'AWAITS_TOP_UP'",
        )
        .bind(recharges)
        .fetch_all(connection)
        .await?;
        let origins = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?))))
            .collect::<Result<_, sqlx::Error>>()?;
        Ok(Self(origins))
    }

    /// Whether a recharge may be taken: a client's may, ours where it is waited for.
    pub(super) fn allow(&self, id: Uuid, request: &RechargeRequest) -> bool {
        !is_derived(&request.message_id)
            || self.0.get(&id).is_some_and(|(member_id, amount)| {
                request.amount == *amount && Uuid::try_parse(&request.member_id) == Ok(*member_id)
            })
    }
}
