//! Topping up on the way: requests of a flow that recharge first what they lack.
//!
//! A remittance or payment that fails for its balance alone leaves a row in its
//! flow's `top_up` table and a recharge request of ours, whose id is derived from
//! its own. The recharge goes the way of all recharges; its result, on
//! `my.recharge.result`, lets the request go on. As with the banks' results, the
//! message only says that there is something to look at: what is believed is the
//! recharge consumer's own row in `queue_log`, and the row in `top_up`, which is
//! left by its state once.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use mypay_decide::top_up::{self, Means, Purpose};
use mypay_decide::{Book, Limits, Reason};
use mypay_idempotency::queue_log::{self, Outcome};
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::identity::{IdHash, is_derived};
use mypay_schemas::recharge::{RechargeRequest, RechargeResult, id_of_top_up};
use mypay_schemas::{Flow, Request};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::bank_result;
use crate::runtime::handler::Identity;

/// The topic of the recharges' results.
pub const TOPIC: &str = Flow::Recharge.result_topic();

/// Reads a recharge's result, if it is one of a top-up.
#[allow(clippy::type_complexity)]
pub fn decode<M>(
    decoder: &Decoder,
    payload: &[u8],
    message: fn(RechargeResult) -> M,
) -> Option<Result<Option<M>, Poison>> {
    let result = decoder.decode_cached::<RechargeResult>(payload)?;
    let ours = |result: &RechargeResult| {
        is_derived(&result.request_id)
            && bank_result::is_told(&result.message_id, &result.request_id)
    };
    Some(result.map(|result| ours(&result).then(|| message(result))))
}

/// Identifies a recharge's result: by the recharge, and nothing else.
pub fn identity(result: &RechargeResult) -> Identity<'_> {
    bank_result::identity_of_told(
        &result.message_id,
        &result.correlation_id,
        &result.request_id,
    )
}

/// The id of the recharge that a result tells of.
pub fn recharge_id(result: &RechargeResult) -> Option<Uuid> {
    Uuid::try_parse(&result.request_id).ok()
}

/// A request that may wait for a top-up, and the table in which it does.
pub trait Origin: Request + serde::Serialize + serde::de::DeserializeOwned + Send + Unpin {
    /// Its flow.
    const FLOW: Flow;
    /// How much is recharged.
    const PURPOSE: Purpose;
    /// Locks and selects what waits for the recharges `$1` that have an outcome:
    /// recharge, request's id, member, needed, amount, request, when it was asked,
    /// whether the recharge is done, its reason, whether it went to its bank. In
    /// the order of the recharges, in which all writers lock.
    const DUE: &'static str;
    /// Inserts ids `$1`, recharges `$2`, members `$3`, needed `$4`, amounts `$5`,
    /// requests `$6`, when they were asked `$7`, at `$8`.
    const BEGIN: &'static str;
    /// Ends the top-ups of the requests `$1`, done or not as `$2`, at `$3`.
    const END: &'static str;

    /// The request as it is kept, without the texts that nobody has checked and
    /// no answer repeats.
    fn kept(&self) -> Self;
}

/// A request whose top-up has an outcome.
pub struct Due<R> {
    /// The request's id.
    pub origin_id: Uuid,
    /// Whose money it takes.
    pub member_id: Uuid,
    /// What it takes of the balance, whole won.
    pub needed: i64,
    /// What was to be recharged, whole won.
    pub amount: i64,
    /// The request.
    pub request: R,
    /// When it was put on its topic.
    pub requested_at: DateTime<Utc>,
    /// Why nothing was recharged; `None` where it was.
    pub refused: Option<String>,
}

struct Begun<R> {
    origin_id: Uuid,
    member_id: Uuid,
    needed: i64,
    amount: i64,
    request: R,
    requested_at: DateTime<Utc>,
}

/// The top-ups that a batch begins and ends.
pub struct TopUps<R> {
    due: HashMap<Uuid, Due<R>, IdHash>,
    means: HashMap<Uuid, Means, IdHash>,
    begun: Vec<Begun<R>>,
    ended: Vec<(Uuid, bool)>,
    outcomes: Vec<(Uuid, Outcome)>,
}

impl<R: Origin> TopUps<R> {
    /// Locks and loads what waits for these recharges. Before any member is
    /// locked, as all rows of a flow's own.
    pub async fn load(
        connection: &mut PgConnection,
        recharges: &[Uuid],
    ) -> Result<Self, sqlx::Error> {
        Ok(Self {
            due: due(connection, recharges).await?,
            means: HashMap::default(),
            begun: Vec::new(),
            ended: Vec::new(),
            outcomes: Vec::new(),
        })
    }

    /// The requests that may go on in this batch.
    pub fn due(&self) -> impl Iterator<Item = &Due<R>> {
        self.due.values()
    }

    /// Loads what the members can be topped up from whose balance may not suffice
    /// for what the batch's requests need of it (`needs`, and those that are due).
    /// Where all balances suffice, nothing is asked of the database.
    pub async fn load_means(
        &mut self,
        connection: &mut PgConnection,
        book: &Book,
        needs: impl ExactSizeIterator<Item = (Uuid, i64)>,
        today: NaiveDate,
    ) -> Result<(), sqlx::Error> {
        let mut sums: HashMap<Uuid, i64, IdHash> =
            HashMap::with_capacity_and_hasher(needs.len() + self.due.len(), IdHash::default());
        let due = self.due.values().map(|due| (due.member_id, due.needed));
        for (member_id, needed) in needs.chain(due) {
            let sum = sums.entry(member_id).or_default();
            *sum = sum.saturating_add(needed);
        }
        let short: Vec<Uuid> = sums
            .into_iter()
            .filter(|(member_id, sum)| {
                let money = book.open_member(*member_id);
                money.is_some_and(|money| money.balance < *sum)
            })
            .map(|(member_id, _)| member_id)
            .collect();
        self.means = means(connection, &short, today).await?;
        Ok(())
    }

    /// A request failed for its balance alone: it waits, if the member can be
    /// topped up. Gives how much is recharged, whole won.
    pub fn begin(
        &mut self,
        book: &Book,
        (origin_id, requested_at): (Uuid, DateTime<Utc>),
        (member_id, needed): (Uuid, i64),
        request: &R,
        limits: &Limits,
    ) -> Result<i64, Reason> {
        let mut nothing = Means::default();
        let means = self.means.get_mut(&member_id).unwrap_or(&mut nothing);
        let amount = top_up::decide(book, member_id, needed, means, R::PURPOSE, limits)?;
        self.begun.push(Begun {
            origin_id,
            member_id,
            needed,
            amount,
            request: request.kept(),
            requested_at,
        });
        Ok(amount)
    }

    /// The request that waits for a recharge, if that has an outcome.
    pub fn get(&self, recharge_id: &Uuid) -> Option<&Due<R>> {
        self.due.get(recharge_id)
    }

    /// The same, which now goes on and waits no more.
    pub fn take(&mut self, recharge_id: &Uuid) -> Option<Due<R>> {
        let due = self.due.remove(recharge_id)?;
        if let Some(means) = self.means.get_mut(&due.member_id)
            && due.refused.is_none()
        {
            means.spoken_for -= due.needed;
        }
        self.ended.push((due.origin_id, due.refused.is_none()));
        Some(due)
    }

    /// Notes the outcome of a request that has gone on.
    pub fn finish(&mut self, origin_id: Uuid, outcome: Outcome) {
        self.outcomes.push((origin_id, outcome));
    }

    /// The requests that have waited and are rejected now, and why.
    pub fn rejected(&self) -> impl Iterator<Item = (Uuid, &str)> {
        let outcomes = self.outcomes.iter();
        outcomes
            .filter(|(_, outcome)| outcome.success == Some(false))
            .filter_map(|(id, outcome)| Some((*id, outcome.reason.as_deref()?)))
    }

    /// Writes what was begun and ended, with the requests in `queue_log`.
    pub async fn write(
        &self,
        connection: &mut PgConnection,
        at: DateTime<Utc>,
    ) -> Result<(), WriteError> {
        begin(connection, &self.begun, at).await?;
        if self.ended.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = self.ended.iter().map(|(id, _)| *id).collect();
        let done: Vec<bool> = self.ended.iter().map(|(_, done)| *done).collect();
        let written = sqlx::query(R::END)
            .bind(ids)
            .bind(done)
            .bind(at)
            .execute(&mut *connection)
            .await?
            .rows_affected();
        if written < self.ended.len() as u64 {
            // They were locked when they were loaded; load again, and see.
            return Err(WriteError::Shortfall);
        }
        queue_log::finish(connection, R::FLOW.name(), &self.outcomes).await?;
        Ok(())
    }
}

async fn due<R: Origin>(
    connection: &mut PgConnection,
    recharges: &[Uuid],
) -> Result<HashMap<Uuid, Due<R>, IdHash>, sqlx::Error> {
    if recharges.is_empty() {
        return Ok(HashMap::default());
    }
    let rows = sqlx::query(R::DUE)
        .bind(recharges)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let (done, reason): (bool, Option<String>) = (row.try_get(7)?, row.try_get(8)?);
            let went_to_bank: bool = row.try_get(9)?;
            let due = Due {
                origin_id: row.try_get(1)?,
                member_id: row.try_get(2)?,
                needed: row.try_get(3)?,
                amount: row.try_get(4)?,
                request: row.try_get::<Json<R>, _>(5)?.0,
                requested_at: row.try_get(6)?,
                refused: (!done).then(|| top_up::reason_of_refusal(reason, went_to_bank)),
            };
            Ok((row.try_get(0)?, due))
        })
        .collect()
}

async fn means(
    connection: &mut PgConnection,
    members: &[Uuid],
    today: NaiveDate,
) -> Result<HashMap<Uuid, Means, IdHash>, sqlx::Error> {
    if members.is_empty() {
        return Ok(HashMap::default());
    }
    let rows = sqlx::query(
        "SELECT a.member_id
           FROM unnest($1::uuid[]) AS m(id)
           JOIN banking.registered_account a ON a.member_id = m.id
           JOIN banking.contract c ON c.bank_code = a.bank_code
          WHERE c.status = 'ACTIVE' AND c.expires_on >= $2",
    )
    .bind(members)
    .bind(today)
    .fetch_all(&mut *connection)
    .await?;
    let drawable = Means {
        drawable: true,
        spoken_for: 0,
    };
    let mut means = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, drawable)))
        .collect::<Result<HashMap<Uuid, Means, IdHash>, sqlx::Error>>()?;
    if means.is_empty() {
        return Ok(means);
    }
    // Of both flows, since both take of the same balance. After the balances were
    // loaded: what arrives in between is spoken for, and not yet counted.
    let members: Vec<Uuid> = means.keys().copied().collect();
    let waiting = sqlx::query(
        "SELECT t.member_id, t.needed, t.amount, r.state IS NOT DISTINCT FROM 'COMPLETED'
           FROM (SELECT member_id, recharge_id, needed, amount FROM remittance.top_up
                  WHERE member_id = ANY($1) AND state = 'AWAITS_TOP_UP'
                  UNION ALL
                 SELECT member_id, recharge_id, needed, amount FROM payment.top_up
                  WHERE member_id = ANY($1) AND state = 'AWAITS_TOP_UP') AS t
           LEFT JOIN recharge.recharge r ON r.recharge_id = t.recharge_id
          WHERE r.state IS DISTINCT FROM 'REJECTED'",
    )
    .bind(members)
    .fetch_all(connection)
    .await?;
    for row in &waiting {
        if let Some(means) = means.get_mut(&row.try_get(0)?) {
            means.count(row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        }
    }
    Ok(means)
}

async fn begin<R: Origin>(
    connection: &mut PgConnection,
    begun: &[Begun<R>],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if begun.is_empty() {
        return Ok(());
    }
    let ids = |of: fn(&Begun<R>) -> Uuid| -> Vec<Uuid> { begun.iter().map(of).collect() };
    let amounts = |of: fn(&Begun<R>) -> i64| -> Vec<i64> { begun.iter().map(of).collect() };
    sqlx::query(R::BEGIN)
        .bind(ids(|begun| begun.origin_id))
        .bind(ids(|begun| id_of_top_up(R::FLOW, begun.origin_id)))
        .bind(ids(|begun| begun.member_id))
        .bind(amounts(|begun| begun.needed))
        .bind(amounts(|begun| begun.amount))
        .bind(
            begun
                .iter()
                .map(|begun| Json(&begun.request))
                .collect::<Vec<_>>(),
        )
        .bind(
            begun
                .iter()
                .map(|begun| begun.requested_at)
                .collect::<Vec<_>>(),
        )
        .bind(at)
        .execute(connection)
        .await?;
    Ok(())
}

/// The recharge request that a request brings about, as its event.
pub fn event<R: Origin>(
    encoders: &Encoders,
    (origin_id, origin): (Uuid, &R),
    (member_id, amount, requested_at): (&str, i64, i64),
    traceparent: Option<&String>,
) -> Result<Event, EncodersError> {
    let topic = Flow::Recharge.request_topic();
    let record = RechargeRequest {
        message_id: id_of_top_up(R::FLOW, origin_id).to_string(),
        correlation_id: origin.correlation_id().to_string(),
        requested_at,
        member_id: member_id.to_string(),
        amount,
        causation_id: Some(origin.message_id().to_string()),
    };
    Ok(Event {
        topic,
        key: member_id.as_bytes().to_vec(),
        payload: encoders.encode(topic, &record)?,
        traceparent: traceparent.cloned(),
        headers: Vec::new(),
    })
}
