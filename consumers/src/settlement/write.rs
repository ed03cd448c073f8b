//! What a run and the banks' answers to it write.

use chrono::{DateTime, Utc};
use mypay_decide::settlement::Net;
use mypay_ledger::WriteError;
use mypay_schemas::firmbanking::{PURPOSE_SETTLEMENT, id_of_command};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Awaiting, Payout, Run};

/// Writes a run: its sums, its payouts, how far it settled, what is owed now.
pub(super) async fn run(
    connection: &mut PgConnection,
    run: &Run,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO settlement.run
                (run_id, cut_at, franchise_id, franchises, slips, gross, commission, payouts, net, made_at,
                 cancelled)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(run.run_id)
    .bind(run.cut_at)
    .bind(run.franchise_id)
    .bind(run.totals.franchises)
    .bind(run.totals.slips)
    .bind(run.totals.gross)
    .bind(run.totals.commission)
    .bind(run.totals.payouts)
    .bind(run.totals.net)
    .bind(at)
    .bind(run.totals.cancelled)
    .execute(&mut *connection)
    .await?;
    lanes(connection, run).await?;
    sqlx::query(
        "INSERT INTO settlement.position AS p (franchise_id, partition, next_offset)
         SELECT $1, c.partition, c.next_offset
           FROM unnest($2::int[], $3::bigint[]) AS c(partition, next_offset)
         ON CONFLICT (franchise_id, partition) DO UPDATE
            SET next_offset = greatest(p.next_offset, EXCLUDED.next_offset)",
    )
    .bind(run.franchise_id.unwrap_or(Uuid::nil()))
    .bind(
        run.cut
            .iter()
            .map(|(partition, _)| *partition)
            .collect::<Vec<_>>(),
    )
    .bind(
        run.cut
            .iter()
            .map(|(_, next_offset)| *next_offset)
            .collect::<Vec<_>>(),
    )
    .execute(&mut *connection)
    .await?;
    payouts(connection, run, at).await?;
    // What was owed is in the run now: paid, or carried with the run's own net.
    let taken_in = run.payouts.iter().map(|payout| {
        let owed_now = payout.net.owed();
        (payout.found.franchise_id, owed_now - payout.found.owed)
    });
    owe(connection, taken_in).await
}

/// Keeps what the run settled, lane by lane: its statements are made of it.
async fn lanes(connection: &mut PgConnection, run: &Run) -> Result<(), sqlx::Error> {
    let mut rows: Vec<(Uuid, i32, i64, i64)> = Vec::with_capacity(run.cut.len() + run.from.len());
    for (partition, to) in &run.cut {
        let begins = run.from.iter().filter(|(_, lane, _)| lane == partition);
        let everyone = begins
            .clone()
            .find(|(franchise_id, _, _)| franchise_id.is_nil());
        let from = everyone.map_or(0, |(_, _, from)| *from);
        rows.push((Uuid::nil(), *partition, from, *to));
        rows.extend(
            begins
                .filter(|(franchise_id, _, _)| !franchise_id.is_nil())
                .map(|(franchise_id, _, from)| (*franchise_id, *partition, *from, *to)),
        );
    }
    sqlx::query(
        "INSERT INTO settlement.run_lane (run_id, franchise_id, partition, from_offset, to_offset)
         SELECT $1, l.* FROM unnest($2::uuid[], $3::int[], $4::bigint[], $5::bigint[]) AS l",
    )
    .bind(run.run_id)
    .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.1).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.2).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.3).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn payouts(
    connection: &mut PgConnection,
    run: &Run,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let payouts = &run.payouts;
    let paid = |payout: &Payout| matches!(payout.net, Net::Pay(_));
    let account = |payout: &Payout| payout.account.clone().filter(|_| paid(payout));
    sqlx::query(
        "INSERT INTO settlement.payout
                (payout_id, franchise_id, slips, gross, commission, owed, net, state, firmbanking_id,
                 from_bank, to_bank, to_account, run_id, changed_at, holder_name, cancels, cancelled, carried_for)
         SELECT p.id, p.franchise, p.slips, p.gross, p.commission, p.owed, p.net,
                CASE WHEN p.command IS NULL THEN 'CARRIED' ELSE 'AWAITS_BANK' END,
                p.command, p.from_bank, p.to_bank, p.to_account, $12, $13, p.holder,
                p.cancels, p.cancelled, p.carried_for
           FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                       $7::bigint[], $8::uuid[], $9::text[], $10::text[], $11::text[], $14::text[],
                       $15::bigint[], $16::bigint[], $17::text[])
                AS p(id, franchise, slips, gross, commission, owed, net, command, from_bank, to_bank,
                     to_account, holder, cancels, cancelled, carried_for)",
    )
    .bind(payouts.iter().map(|payout| payout.payout_id).collect::<Vec<_>>())
    .bind(payouts.iter().map(|payout| payout.found.franchise_id).collect::<Vec<_>>())
    .bind(payouts.iter().map(|payout| payout.found.slips).collect::<Vec<_>>())
    .bind(payouts.iter().map(|payout| payout.found.gross).collect::<Vec<_>>())
    .bind(payouts.iter().map(|payout| payout.found.commission).collect::<Vec<_>>())
    .bind(payouts.iter().map(|payout| payout.found.owed).collect::<Vec<_>>())
    .bind(
        payouts
            .iter()
            .map(|payout| match payout.net {
                Net::Pay(amount) | Net::Carry(amount, _) => amount,
            })
            .collect::<Vec<_>>(),
    )
    .bind(
        payouts
            .iter()
            .map(|payout| paid(payout).then(|| id_of_command(PURPOSE_SETTLEMENT, payout.payout_id)))
            .collect::<Vec<_>>(),
    )
    .bind(payouts.iter().map(|payout| account(payout).map(|it| it.from.bank_code)).collect::<Vec<_>>())
    .bind(payouts.iter().map(|payout| account(payout).map(|it| it.to.bank_code)).collect::<Vec<_>>())
    .bind(payouts.iter().map(|payout| account(payout).map(|it| it.to.account_number)).collect::<Vec<_>>())
    .bind(run.run_id)
    .bind(at)
    .bind(payouts.iter().map(|payout| account(payout).map(|it| it.holder_name)).collect::<Vec<_>>())
    .bind(payouts.iter().map(|payout| payout.cancels).collect::<Vec<_>>())
    .bind(payouts.iter().map(|payout| payout.found.cancelled).collect::<Vec<_>>())
    .bind(
        payouts
            .iter()
            .map(|payout| match payout.net {
                Net::Pay(_) => None,
                Net::Carry(_, kept) => Some(kept.code()),
            })
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds to what franchises are owed, whole won each.
///
/// Written as a difference: a run, a bank that refuses and one that gives back may
/// write at the same instant, and none may overwrite what another adds.
pub(super) async fn owe(
    connection: &mut PgConnection,
    differences: impl Iterator<Item = (Uuid, i64)>,
) -> Result<(), sqlx::Error> {
    let (franchises, amounts): (Vec<Uuid>, Vec<i64>) = differences.unzip();
    if franchises.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO settlement.owed AS o (franchise_id, amount)
         SELECT d.franchise_id, sum(d.amount)::bigint
           FROM unnest($1::uuid[], $2::bigint[]) AS d(franchise_id, amount)
          GROUP BY d.franchise_id ORDER BY d.franchise_id
         ON CONFLICT (franchise_id) DO UPDATE SET amount = o.amount + EXCLUDED.amount",
    )
    .bind(franchises)
    .bind(amounts)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends payouts; what a bank refused is owed again.
pub(super) async fn ended(
    connection: &mut PgConnection,
    ended: &[(Awaiting, bool)],
    at: DateTime<Utc>,
) -> Result<(), WriteError> {
    if ended.is_empty() {
        return Ok(());
    }
    let written = sqlx::query(
        "UPDATE settlement.payout p
            SET state = CASE WHEN e.done THEN 'COMPLETED' ELSE 'REFUSED' END, changed_at = $3
           FROM unnest($1::uuid[], $2::boolean[]) AS e(id, done)
          WHERE p.payout_id = e.id AND p.state = 'AWAITS_BANK'",
    )
    .bind(
        ended
            .iter()
            .map(|(payout, _)| payout.payout_id)
            .collect::<Vec<_>>(),
    )
    .bind(ended.iter().map(|(_, done)| *done).collect::<Vec<_>>())
    .bind(at)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if written < ended.len() as u64 {
        return Err(WriteError::Shortfall);
    }
    let refused = ended.iter().filter(|(_, done)| !done);
    let owed = refused.map(|(payout, _)| (payout.franchise_id, payout.amount));
    Ok(owe(connection, owed).await?)
}
