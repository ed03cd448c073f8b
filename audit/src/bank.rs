//! The banks' own statements of our corporate accounts.

use chrono::{Datelike, NaiveDate};
use mypay_bank::wire::{LineKind, StatementLine};
use mypay_bank::{BankAccount, BankClient, ClientConfig};

use crate::flows::Contract;
use crate::interned::{Code, Interned};

/// PostgreSQL counts days from here.
const DAYS_TO_2000: i32 = 730_120;

/// A line of a statement of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// The bank whose statement it stands on.
    pub bank: Code,
    /// Its number on the statement.
    pub line_number: i64,
    /// What it is about.
    pub kind: LineKind,
    /// The bank that executed the command; 0 for an opening.
    pub executed_by: Code,
    /// Business date (days since 2000) and number of the command.
    pub number: Option<(i32, i32)>,
    /// Whole won: in positive, out negative.
    pub amount: i64,
    /// Whole won that the bank took.
    pub fee: i64,
}

impl Line {
    /// What sorts the lines of a command together.
    pub(crate) fn key(&self) -> (Code, i32, i32) {
        let (date, number) = self.number.unwrap_or_default();
        (self.executed_by, date, number)
    }
}

/// What the banks say.
#[derive(Debug, Default)]
pub(crate) struct Bank {
    /// All lines of all statements, those of a command together.
    pub lines: Vec<Line>,
    /// Our balance at each bank after the last lines of its accounts of ours.
    pub balances: Vec<(Code, i64)>,
}

/// Reads the statements of our accounts to their ends; the error says in words
/// why that could not be done.
pub(crate) async fn load(
    bank_url: &str,
    contracts: &[Contract],
    texts: &Interned,
) -> Result<Bank, String> {
    let client = ClientConfig::of_environment(bank_url).and_then(BankClient::new);
    let client = client.map_err(|error| error.to_string())?;
    let mut bank = Bank::default();
    for contract in contracts {
        let account = BankAccount::new(&contract.bank_code, &contract.account)
            .map_err(|error| format!("{}-{}: {error}", contract.bank_code, contract.account))?;
        let (lines, balance) = statement(&client, &account, contract, texts)
            .await
            .map_err(|error| format!("bank {}: {error}", contract.bank_code))?;
        bank.lines.extend(lines);
        match bank
            .balances
            .iter_mut()
            .find(|(code, _)| *code == contract.bank)
        {
            Some((_, total)) => *total += balance,
            None => bank.balances.push((contract.bank, balance)),
        }
    }
    bank.lines
        .sort_unstable_by_key(|line| (line.key(), line.bank, line.line_number));
    Ok(bank)
}

async fn statement(
    client: &BankClient,
    account: &BankAccount,
    contract: &Contract,
    texts: &Interned,
) -> Result<(Vec<Line>, i64), String> {
    let (mut lines, mut balance, mut after) = (Vec::new(), 0, 0);
    loop {
        let page = client
            .statement(account, after)
            .await
            .map_err(|error| error.to_string())?;
        for line in &page.lines {
            // The cursor counts without gaps: a gap is a line kept from us.
            if line.line_number != after + 1 {
                return Err(format!("the statement has no line {}", after + 1));
            }
            if line.balance_after != balance + line.amount - line.fee {
                return Err(format!("line {} does not add up", line.line_number));
            }
            (after, balance) = (line.line_number, line.balance_after);
            lines.push(compact(line, contract, texts));
        }
        if page.next.is_none() || page.lines.is_empty() {
            return Ok((lines, balance));
        }
    }
}

fn compact(line: &StatementLine, contract: &Contract, texts: &Interned) -> Line {
    let number = line
        .number
        .as_deref()
        .and_then(|number| number.parse().ok());
    Line {
        bank: contract.bank,
        line_number: line.line_number,
        kind: line.kind,
        executed_by: texts.optional(line.transfer_bank_code.as_deref()),
        number: line.transfer_date.map(days).zip(number),
        amount: line.amount,
        fee: line.fee,
    }
}

fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - DAYS_TO_2000
}

/// A day for people, from days since 2000.
pub(crate) fn shown_day(days: i32) -> String {
    NaiveDate::from_num_days_from_ce_opt(days.saturating_add(DAYS_TO_2000))
        .map_or_else(|| days.to_string(), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_postgresql_counts_them() {
        assert_eq!(NaiveDate::from_ymd_opt(2000, 1, 1).map(days), Some(0));
        assert_eq!(shown_day(9_831), "2026-12-01");
    }
}
