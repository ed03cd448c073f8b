//! What the flows own besides `queue_log` and the ledger.

use sqlx::PgConnection;

use crate::copy;
use crate::error::AuditError;
use crate::interned::{Code, Interned};
use crate::sorted::{self, has_id};

/// What became of something that waits for a bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The bank has yet to answer.
    Awaits,
    /// The bank did it.
    Completed,
    /// The bank refused it.
    Refused,
    /// Nothing was asked of a bank: the net goes into the next run.
    Carried,
}

impl Stage {
    fn of(state: Option<&str>) -> Self {
        match state {
            Some("COMPLETED") => Stage::Completed,
            Some("REJECTED" | "REFUSED") => Stage::Refused,
            Some("CARRIED") => Stage::Carried,
            _ => Stage::Awaits,
        }
    }
}

/// A recharge, or a remittance to a bank account.
#[derive(Debug, Clone, Copy)]
pub struct Awaited {
    /// The request.
    pub id: u128,
    /// Whose money it is.
    pub member: u128,
    /// Whole won.
    pub amount: i64,
    /// Whole won, of a remittance.
    pub fee: i64,
    /// Our bank.
    pub bank: Code,
    /// The command to the bank.
    pub command: u128,
    /// How far it has come.
    pub stage: Stage,
}

/// A slip.
#[derive(Debug, Clone, Copy)]
pub struct Slip {
    /// The payment.
    pub id: u128,
    /// Who paid.
    pub member: u128,
    /// Who was paid.
    pub franchise: u128,
    /// Whole won.
    pub gross: i64,
    /// Whole won.
    pub commission: i64,
}

/// A franchise's part of a settlement run.
#[derive(Debug, Clone, Copy)]
pub struct Payout {
    /// Its id.
    pub id: u128,
    /// The run, which is the request.
    pub run: u128,
    /// The franchise.
    pub franchise: u128,
    /// Whole won.
    pub gross: i64,
    /// Whole won.
    pub commission: i64,
    /// Whole won, from earlier runs.
    pub owed: i64,
    /// Whole won.
    pub net: i64,
    /// Our bank; 0 where it is carried.
    pub bank: Code,
    /// The command to the bank; nil where it is carried.
    pub command: u128,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a command to a bank has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may have left or not; the bank has yet to answer.
    Live,
    /// Only an operator can find out.
    Manual,
    /// The bank did it.
    Done,
    /// The bank refused it.
    Refused,
}

/// A command to a bank.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Its id.
    pub id: u128,
    /// What asked for it; nil where a client did.
    pub origin: u128,
    /// `recharge`, `remittance`, `settlement`, or a client's own word.
    pub purpose: Code,
    /// The bank that executes.
    pub from_bank: Code,
    /// Whether the debited account is our corporate one.
    pub from_ours: bool,
    /// The bank of the credited account.
    pub to_bank: Code,
    /// Whether the credited account is our corporate one.
    pub to_ours: bool,
    /// Whole won.
    pub amount: i64,
    /// Whole won.
    pub fee: i64,
    /// Business date (days since 2000) and number, once given.
    pub number: Option<(i32, i32)>,
    /// How far it has come.
    pub state: State,
}

/// A contract: our corporate account at a bank.
#[derive(Debug, Clone)]
pub struct Contract {
    /// The bank.
    pub bank: Code,
    /// The bank's code.
    pub bank_code: String,
    /// Our account's number.
    pub account: String,
}

has_id!(Awaited => id, Slip => id, Payout => id, Command => id);

/// The tables.
#[derive(Default)]
pub struct Tables {
    /// Recharges that went to a bank.
    pub recharges: Vec<Awaited>,
    /// Remittances that went to a bank.
    pub remittances: Vec<Awaited>,
    /// Slips.
    pub slips: Vec<Slip>,
    /// Settlement's payouts.
    pub payouts: Vec<Payout>,
    /// Commands to banks.
    pub commands: Vec<Command>,
    /// Contracts.
    pub contracts: Vec<Contract>,
}

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
        slips: slips(connection).await?,
        payouts: payouts(connection, texts).await?,
        commands: commands(connection, texts).await?,
        contracts: contracts(connection, texts).await?,
    };
    sorted::sort(&mut tables.recharges);
    sorted::sort(&mut tables.remittances);
    sorted::sort(&mut tables.slips);
    sorted::sort(&mut tables.payouts);
    sorted::sort(&mut tables.commands);
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

async fn payouts(
    connection: &mut PgConnection,
    texts: &Interned,
) -> Result<Vec<Payout>, AuditError> {
    const QUERY: &str = "SELECT payout_id, run_id, franchise_id, gross, commission, owed, net, \
                         from_bank, firmbanking_id, state FROM settlement.payout";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        rows.push(Payout {
            id: fields.id()?,
            run: fields.id()?,
            franchise: fields.id()?,
            gross: fields.i64()?,
            commission: fields.i64()?,
            owed: fields.i64()?,
            net: fields.i64()?,
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
                         a.corporate_account, b.corporate_account, f.amount, f.fee, \
                         f.business_date, f.transaction_number, f.state \
                         FROM banking.firmbanking f \
                         LEFT JOIN banking.contract a ON a.bank_code = f.from_bank \
                                                     AND a.corporate_account = f.from_account \
                         LEFT JOIN banking.contract b ON b.bank_code = f.to_bank \
                                                     AND b.corporate_account = f.to_account";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        let (id, origin) = (fields.id()?, fields.id()?);
        let purpose = texts.optional(fields.text()?);
        let (from_bank, to_bank) =
            (texts.optional(fields.text()?), texts.optional(fields.text()?));
        let (from_ours, to_ours) = (fields.text()?.is_some(), fields.text()?.is_some());
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
            id, origin, purpose, from_bank, from_ours, to_bank, to_ours, amount, fee, number, state,
        });
        Ok(())
    })
    .await?;
    Ok(rows)
}

async fn contracts(
    connection: &mut PgConnection,
    texts: &Interned,
) -> Result<Vec<Contract>, AuditError> {
    const QUERY: &str = "SELECT bank_code, corporate_account FROM banking.contract";
    let mut rows = Vec::new();
    copy::rows(connection, QUERY, |fields| {
        let bank_code = fields.text()?.unwrap_or_default().to_string();
        let bank = texts.code(&bank_code);
        let account = fields.text()?.unwrap_or_default().to_string();
        rows.push(Contract { bank, bank_code, account });
        Ok(())
    })
    .await?;
    Ok(rows)
}
