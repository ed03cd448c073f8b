//! Reads the flows' tables.

use std::collections::HashSet;

use mypay_schemas::Flow;
use sqlx::PgConnection;

use super::{
    Awaited, Cancel, Closing, Command, Contract, Hold, Payout, Reversal, Slip, Stage, State,
    Tables, TopUp, Undo,
};
use crate::copy;
use crate::error::AuditError;
use crate::interned::{Code, Interned};
use crate::sorted;

/// Loads the tables, sorted by id.
pub(crate) async fn load(
    connection: &mut PgConnection,
    texts: &Interned,
) -> Result<Tables, AuditError> {
    const RECHARGES: &str = "SELECT recharge_id, member_id, amount, 0::bigint, from_bank, \
                             firmbanking_id, state FROM recharge.recharge";
    const REMITTANCES: &str = "SELECT remittance_id, sender_id, amount, fee, from_bank, \
                               firmbanking_id, state FROM remittance.payout";
    let mut tables = Tables {
        recharges: awaited(connection, texts, RECHARGES).await?,
        remittances: awaited(connection, texts, REMITTANCES).await?,
        top_ups: top_ups(connection).await?,
        slips: slips(connection).await?,
        cancels: cancels(connection).await?,
        payouts: payouts(connection, texts).await?,
        holds: holds(connection).await?,
        closings: closings(connection, texts).await?,
        commands: commands(connection, texts).await?,
        reversals: reversals(connection, texts).await?,
        undos: undos(connection).await?,
        came_back: came_back(connection).await?,
        contracts: contracts(connection, texts).await?,
    };
    sorted::sort(&mut tables.recharges);
    sorted::sort(&mut tables.remittances);
    sorted::sort(&mut tables.top_ups);
    sorted::sort(&mut tables.slips);
    sorted::sort(&mut tables.cancels);
    sorted::sort(&mut tables.payouts);
    sorted::sort(&mut tables.holds);
    sorted::sort(&mut tables.closings);
    sorted::sort(&mut tables.commands);
    sorted::sort(&mut tables.reversals);
    sorted::sort(&mut tables.undos);
    Ok(tables)
}

async fn awaited(
    connection: &mut PgConnection,
    texts: &Interned,
    query: &str,
) -> Result<Vec<Awaited>, AuditError> {
    let mut rows = Vec::new();
    copy::rows(connection, query, |fields| {
        rows.push(Awaited {
            id: fields.id()?,
            member: fields.id()?,
            amount: fields.i64()?,
            fee: fields.i64()?,
            bank: texts.optional(fields.text()?),
            command: fields.id()?,
            stage: Stage::of(fields.text()?),
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn top_ups(connection: &mut PgConnection) -> Result<Vec<TopUp>, AuditError> {
    const REMITTANCES: &str = "SELECT recharge_id, remittance_id, member_id, needed, amount, state \
                               FROM remittance.top_up";
    const PAYMENTS: &str = "SELECT recharge_id, payment_id, member_id, needed, amount, state \
                            FROM payment.top_up";
    let mut rows = Vec::new();
    for (flow, query) in [(Flow::Remittance, REMITTANCES), (Flow::Payment, PAYMENTS)] {
        copy::rows(connection, query, |fields| {
            rows.push(TopUp {
                flow,
                recharge: fields.id()?,
                origin: fields.id()?,
                member: fields.id()?,
                needed: fields.i64()?,
                amount: fields.i64()?,
                stage: Stage::of(fields.text()?),
            });
            Ok(())
        })
        .await?;
    }
    Ok(rows)
}

async fn slips(connection: &mut PgConnection) -> Result<Vec<Slip>, AuditError> {
    const QUERY: &str =
        "SELECT payment_id, member_id, franchise_id, gross, commission FROM payment.slip";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        rows.push(Slip {
            id: fields.id()?,
            member: fields.id()?,
            franchise: fields.id()?,
            gross: fields.i64()?,
            commission: fields.i64()?,
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn cancels(connection: &mut PgConnection) -> Result<Vec<Cancel>, AuditError> {
    const QUERY: &str = "SELECT cancel_id, member_id, franchise_id, amount, commission_back \
                         FROM payment.cancel";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        rows.push(Cancel {
            id: fields.id()?,
            member: fields.id()?,
            franchise: fields.id()?,
            amount: fields.i64()?,
            commission_back: fields.i64()?,
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn payouts(
    connection: &mut PgConnection,
    texts: &Interned,
) -> Result<Vec<Payout>, AuditError> {
    const QUERY: &str = "SELECT p.payout_id, p.run_id, p.franchise_id, p.gross, p.cancelled, \
                         p.commission, p.owed, p.net, p.from_bank, p.firmbanking_id, p.state, \
                         r.made_at \
                         FROM settlement.payout p JOIN settlement.run r USING (run_id)";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        rows.push(Payout {
            id: fields.id()?,
            run: fields.id()?,
            franchise: fields.id()?,
            gross: fields.i64()?,
            cancelled: fields.i64()?,
            commission: fields.i64()?,
            owed: fields.i64()?,
            net: fields.i64()?,
            bank: texts.optional(fields.text()?),
            command: fields.id()?,
            stage: Stage::of(fields.text()?),
            made_at: fields.millis()?,
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn holds(connection: &mut PgConnection) -> Result<Vec<Hold>, AuditError> {
    const QUERY: &str = "SELECT hold_id, franchise_id, placed_at, released_at FROM settlement.hold";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        rows.push(Hold {
            hold: fields.id()?,
            franchise: fields.id()?,
            placed_at: fields.millis()?,
            released_at: fields.millis()?,
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn closings(
    connection: &mut PgConnection,
    texts: &Interned,
) -> Result<Vec<Closing>, AuditError> {
    const QUERY: &str = "SELECT closing_id, payout_id, member_id, amount, unclaimed::int, from_bank, \
                         firmbanking_id, state FROM membership.closing";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        rows.push(Closing {
            id: fields.id()?,
            payout: fields.id()?,
            member: fields.id()?,
            amount: fields.i64()?,
            unclaimed: fields.i32()? == Some(1),
            bank: texts.optional(fields.text()?),
            command: fields.id()?,
            stage: Stage::of(fields.text()?),
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn commands(
    connection: &mut PgConnection,
    texts: &Interned,
) -> Result<Vec<Command>, AuditError> {
    const QUERY: &str = "SELECT f.firmbanking_id, f.origin_id, f.purpose, f.from_bank, f.to_bank, \
                         a.corporate_account, f.to_ours::int, f.amount, f.fee, \
                         f.business_date, f.transaction_number, f.state \
                         FROM banking.firmbanking f \
                         LEFT JOIN (SELECT bank_code, corporate_account FROM banking.contract \
                                     UNION \
                                    SELECT bank_code, corporate_account \
                                      FROM banking.contract_version) a \
                                ON a.bank_code = f.from_bank \
                               AND a.corporate_account = f.from_account";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        let (id, origin) = (fields.id()?, fields.id()?);
        let purpose = texts.optional(fields.text()?);
        let (from_bank, to_bank) = (
            texts.optional(fields.text()?),
            texts.optional(fields.text()?),
        );
        let (from_ours, to_ours) = (fields.text()?.is_some(), fields.i32()? == Some(1));
        let (amount, fee) = (fields.i64()?, fields.i64()?);
        let (date, number) = (fields.i32()?, fields.i32()?);
        let state = match fields.text()? {
            Some("done") => State::Done,
            Some("refused") => State::Refused,
            Some("manual") => State::Manual,
            _ => State::Live,
        };
        let number = date.zip(number);
        rows.push(Command {
            id,
            origin,
            purpose,
            from_bank,
            from_ours,
            to_bank,
            to_ours,
            amount,
            fee,
            number,
            state,
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn reversals(
    connection: &mut PgConnection,
    texts: &Interned,
) -> Result<Vec<Reversal>, AuditError> {
    const QUERY: &str = "SELECT firmbanking_id, bank_code, amount, undo_id, recorded_at \
                         FROM banking.reversal";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        rows.push(Reversal {
            id: fields.id()?,
            bank: texts.optional(fields.text()?),
            amount: fields.i64()?,
            undo: fields.id()?,
            recorded_at: fields.millis()?,
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn undos(connection: &mut PgConnection) -> Result<Vec<Undo>, AuditError> {
    const QUERY: &str = "SELECT firmbanking_id, undo_id, state FROM banking.undo \
                         WHERE state <> 'proposed'";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        rows.push(Undo {
            id: fields.id()?,
            undo: fields.id()?,
            stage: Stage::of(fields.text()?),
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn came_back(connection: &mut PgConnection) -> Result<HashSet<u128>, AuditError> {
    const QUERY: &str = "SELECT remittance_id FROM remittance.payout WHERE reversed_at IS NOT NULL \
                         UNION ALL \
                         SELECT payout_id FROM settlement.payout WHERE reversed_at IS NOT NULL \
                         UNION ALL \
                         SELECT payout_id FROM membership.closing WHERE reversed_at IS NOT NULL";
    let mut ids = HashSet::new();
    copy::rows(connection, QUERY, |fields| {
        ids.insert(fields.id()?);
        Ok(())
    })
    .await?;
    Ok(ids)
}

/// The numbers of all commands, as they are now: bank, business date, number.
pub(crate) async fn numbers(
    connection: &mut PgConnection,
    texts: &Interned,
) -> Result<HashSet<(Code, i32, i32)>, AuditError> {
    const QUERY: &str = "SELECT from_bank, business_date, transaction_number \
                         FROM banking.firmbanking WHERE transaction_number IS NOT NULL";
    let mut numbers = HashSet::new();
    copy::rows(connection, QUERY, |fields| {
        let bank = texts.optional(fields.text()?);
        if let Some((date, number)) = fields.i32()?.zip(fields.i32()?) {
            numbers.insert((bank, date, number));
        }
        Ok(())
    })
    .await?;
    Ok(numbers)
}

async fn contracts(
    connection: &mut PgConnection,
    texts: &Interned,
) -> Result<Vec<Contract>, AuditError> {
    // Those that a contract had before, too: what moved on them is still ours.
    const QUERY: &str = "SELECT bank_code, corporate_account FROM banking.contract \
                          UNION SELECT bank_code, corporate_account FROM banking.contract_version";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        let bank_code = fields.text()?.unwrap_or_default().to_string();
        let bank = texts.code(&bank_code);
        let account = fields.text()?.unwrap_or_default().to_string();
        rows.push(Contract {
            bank,
            bank_code,
            account,
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}
