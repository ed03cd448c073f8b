//! What a closing must know, with the rows locked that others would change.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use mypay_decide::closing::{Franchise, Membership, Status};
use mypay_decide::limits::korean_day;
use mypay_decide::{AccountKind, Limits, SystemAccount};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::BankAccount;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Awaiting, Message, State};
use crate::bank_result;
use crate::bank_reversal::{self, Reversals};
use crate::contracts::Contracts;
use crate::runtime::handler::Arrived;

/// Loads what a batch needs.
///
/// Locked in the one order: the payment lanes where a franchise is closed, the
/// members, their accounts. What comes after is read when all of it is ours.
pub(super) async fn state(
    connection: &mut PgConnection,
    batch: &[&Arrived<Message>],
    at: DateTime<Utc>,
    limits: Limits,
) -> Result<State, sqlx::Error> {
    let today = korean_day(at);
    let mut asked = BTreeSet::new();
    let (mut commands, mut came_back) = (Vec::new(), Vec::new());
    for arrived in batch {
        match &arrived.message {
            Message::Request(request) => asked.extend(Uuid::try_parse(&request.member_id)),
            Message::Bank(result) => commands.extend(bank_result::command_id(result)),
            Message::Reversal(reversal) => {
                came_back.extend(bank_reversal::command_id(reversal));
            }
        }
    }
    let awaiting = awaiting(connection, &commands).await?;
    if has_franchise(connection, &asked).await? {
        wait_for_payments(connection).await?;
    }
    let mut members = asked;
    members.extend(awaiting.values().map(|awaiting| awaiting.member_id));
    let statuses = lock_members(connection, &members).await?;
    let book = mypay_ledger::load(connection, &members, today, true).await?;
    let mut memberships = memberships(connection, &statuses).await?;
    franchises(connection, &statuses, &mut memberships).await?;
    Ok(State {
        limits,
        book,
        memberships,
        corporate: Contracts::load(connection, today).await?.in_force(),
        awaiting,
        reversals: Reversals::load(connection, &came_back).await?,
        begun: Vec::new(),
        ended: Vec::new(),
    })
}

async fn has_franchise(
    connection: &mut PgConnection,
    members: &BTreeSet<Uuid>,
) -> Result<bool, sqlx::Error> {
    if members.is_empty() {
        return Ok(false);
    }
    let ids: Vec<Uuid> = members.iter().copied().collect();
    sqlx::query(
        "SELECT EXISTS (SELECT FROM membership.member
                         WHERE member_id = ANY($1) AND kind = 'FRANCHISE')",
    )
    .bind(ids)
    .fetch_one(connection)
    .await?
    .try_get(0)
}

/// Waits for the payment batches under way, and keeps new ones out until the
/// commit: a payment that found the franchise open is there, and what comes later
/// finds it closed.
async fn wait_for_payments(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT 1 FROM lane WHERE consumer = $1 ORDER BY topic, partition FOR SHARE")
        .bind(Flow::Payment.name())
        .execute(connection)
        .await?;
    Ok(())
}

/// Locks members, in the order of their ids; tells how each stands, and whether it
/// is a franchise.
async fn lock_members(
    connection: &mut PgConnection,
    members: &BTreeSet<Uuid>,
) -> Result<Vec<(Uuid, Status, bool)>, sqlx::Error> {
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = members.iter().copied().collect();
    let rows = sqlx::query(
        "SELECT member_id, status, kind = 'FRANCHISE' FROM membership.member
          WHERE member_id = ANY($1) ORDER BY member_id FOR NO KEY UPDATE",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let status = match row.try_get::<&str, _>(1)? {
                "OPEN" => Status::Open,
                "CLOSING" => Status::Closing,
                _ => Status::Closed,
            };
            Ok((row.try_get(0)?, status, row.try_get(2)?))
        })
        .collect()
}

async fn memberships(
    connection: &mut PgConnection,
    members: &[(Uuid, Status, bool)],
) -> Result<HashMap<Uuid, Membership>, sqlx::Error> {
    if members.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = members.iter().map(|(id, ..)| *id).collect();
    let kept = ids.iter().map(|id| SystemAccount::unclaimed(*id).id());
    let rows = sqlx::query(
        "SELECT m.id, coalesce(k.balance, 0),
                EXISTS (SELECT FROM remittance.payout p
                         WHERE p.sender_id = m.id AND p.state = 'AWAITS_BANK'),
                a.bank_code, a.account_number, a.holder_name
           FROM unnest($1::uuid[], $2::uuid[]) AS m(id, kept)
           LEFT JOIN money.account k ON k.account_id = m.kept
           LEFT JOIN banking.registered_account a ON a.member_id = m.id",
    )
    .bind(&ids)
    .bind(kept.collect::<Vec<Uuid>>())
    .fetch_all(connection)
    .await?;
    let mut memberships = HashMap::new();
    for row in &rows {
        let id: Uuid = row.try_get(0)?;
        let status = members.iter().find(|(member, ..)| *member == id);
        let registered = match row.try_get::<Option<String>, _>(3)? {
            None => None,
            Some(bank_code) => {
                let account_number = row.try_get(4)?;
                let account = BankAccount {
                    bank_code,
                    account_number,
                };
                Some((account, row.try_get(5)?))
            }
        };
        let membership = Membership {
            status: status.map_or(Status::Closed, |(_, status, _)| *status),
            unclaimed: row.try_get(1)?,
            payout_pending: row.try_get(2)?,
            registered,
            franchise: None,
        };
        memberships.insert(id, membership);
    }
    Ok(memberships)
}

/// Adds what the franchises among them are owed and owe.
async fn franchises(
    connection: &mut PgConnection,
    members: &[(Uuid, Status, bool)],
    memberships: &mut HashMap<Uuid, Membership>,
) -> Result<(), sqlx::Error> {
    let franchises = members.iter().filter(|(_, _, franchise)| *franchise);
    let ids: Vec<Uuid> = franchises.map(|(id, ..)| *id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        r#"WITH lanes AS (
               SELECT l.partition, f.id,
                      greatest(everyone.next_offset, own.next_offset, 0) AS settled
                 FROM lane l
                CROSS JOIN unnest($1::uuid[]) AS f(id)
                 LEFT JOIN settlement.position everyone
                        ON everyone.franchise_id = $2 AND everyone.partition = l.partition
                 LEFT JOIN settlement.position own
                        ON own.franchise_id = f.id AND own.partition = l.partition
                WHERE l.consumer = $3 AND l.topic = $4
           )
           SELECT f.id,
                  (SELECT coalesce(sum(balance), 0)::bigint FROM money.account
                    WHERE kind = $5 AND kind <> 1 AND owner = f.id),
                  coalesce(o.amount, 0),
                  EXISTS (SELECT FROM lanes l
                            JOIN payment.slip s
                              ON s.franchise_id = f.id AND s.partition = l.partition
                             AND s."offset" >= l.settled
                           WHERE l.id = f.id)
               OR EXISTS (SELECT FROM lanes l
                            JOIN payment.cancel c
                              ON c.franchise_id = f.id AND c.partition = l.partition
                             AND c."offset" >= l.settled
                           WHERE l.id = f.id),
                  EXISTS (SELECT FROM settlement.payout p
                           WHERE p.franchise_id = f.id AND p.state = 'AWAITS_BANK'),
                  EXISTS (SELECT FROM settlement.hold h
                           WHERE h.franchise_id = f.id AND h.released_at IS NULL)
             FROM unnest($1::uuid[]) AS f(id)
             LEFT JOIN settlement.owed o ON o.franchise_id = f.id"#,
    )
    .bind(&ids)
    .bind(Uuid::nil())
    .bind(Flow::Payment.name())
    .bind(Flow::Payment.request_topic())
    .bind(AccountKind::FranchisePayable.number())
    .fetch_all(connection)
    .await?;
    for row in &rows {
        if let Some(membership) = memberships.get_mut(&row.try_get(0)?) {
            membership.franchise = Some(Franchise {
                payable: row.try_get(1)?,
                owed: row.try_get(2)?,
                unsettled: row.try_get(3)?,
                payout_pending: row.try_get(4)?,
                on_hold: row.try_get(5)?,
            });
        }
    }
    Ok(())
}

/// The closings that wait for these commands.
async fn awaiting(
    connection: &mut PgConnection,
    commands: &[Uuid],
) -> Result<HashMap<Uuid, Awaiting>, sqlx::Error> {
    if commands.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT m.firmbanking_id, m.closing_id, m.payout_id, m.member_id, m.amount, m.unclaimed,
                m.from_bank, m.correlation_id, q.processed_status = 'success', q.reason
           FROM unnest($1::uuid[]) AS c(id)
           JOIN membership.closing m ON m.firmbanking_id = c.id
           JOIN queue_log q ON q.consumer = 'firmbanking' AND q.message_id = c.id
                           AND q.status = 'done'
          WHERE m.state = 'AWAITS_BANK'",
    )
    .bind(commands)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let awaiting = Awaiting {
                closing_id: row.try_get(1)?,
                payout_id: row.try_get(2)?,
                member_id: row.try_get(3)?,
                amount: row.try_get(4)?,
                was_closed: row.try_get(5)?,
                from_bank: row.try_get(6)?,
                correlation_id: row.try_get(7)?,
                answer: bank_result::answer(row.try_get(8)?, row.try_get(9)?),
            };
            Ok((row.try_get(0)?, awaiting))
        })
        .collect()
}
