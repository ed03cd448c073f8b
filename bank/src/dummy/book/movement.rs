//! How money moves between the accounts of a book: on all of them, or on none.

use chrono::{DateTime, NaiveDate, Utc};

use super::{AccountState, Book, Line};
use crate::account::BankAccount;
use crate::classes::Reason;
use crate::dummy::transfer::{State, TransferKey};
use crate::wire::{AccountKind, AccountStatus, LineKind};

/// One amount from one account to another, and who pays for it.
#[derive(Clone, Copy)]
pub(super) struct Movement<'a> {
    pub(super) debit: &'a BankAccount,
    pub(super) credit: &'a BankAccount,
    pub(super) amount: i64,
    pub(super) fee: i64,
    pub(super) fee_payer: &'a BankAccount,
}

impl Book {
    /// The money moves, or there is a reason why not.
    pub(super) fn move_money(
        &mut self,
        key: &TransferKey,
        from: &BankAccount,
        to: &BankAccount,
        amount: i64,
        now: DateTime<Utc>,
    ) -> State {
        let Some(payer) = self.fee_payer(key, from, to) else {
            return State::Refused(Reason::NoContract);
        };
        let fee = self.fees.get(&key.bank_code).copied().unwrap_or(0);
        let movement = Movement {
            debit: from,
            credit: to,
            amount,
            fee,
            fee_payer: &payer,
        };
        match self.apply(movement, LineKind::Transfer, key.business_date, key, now) {
            Ok(()) => State::Done {
                executed_at: now,
                fee,
            },
            Err(reason) => State::Refused(reason),
        }
    }

    /// The corporate account at the executing bank: a side of the transfer if it is one.
    fn fee_payer(
        &self,
        key: &TransferKey,
        from: &BankAccount,
        to: &BankAccount,
    ) -> Option<BankAccount> {
        let ours_there = |account: &&BankAccount| {
            account.bank_code == key.bank_code
                && self
                    .accounts
                    .get(*account)
                    .is_some_and(|a| a.kind == AccountKind::Corporate)
        };
        let side = [from, to].into_iter().find(ours_there);
        side.or_else(|| self.fee_payers.get(&key.bank_code))
            .cloned()
    }

    /// Moves the money on all accounts concerned, or on none.
    pub(super) fn apply(
        &mut self,
        m: Movement<'_>,
        kind: LineKind,
        date: NaiveDate,
        key: &TransferKey,
        now: DateTime<Utc>,
    ) -> Result<(), Reason> {
        let fee_of = |account: &BankAccount| if account == m.fee_payer { m.fee } else { 0 };
        let mut parts = vec![
            (kind, m.debit, m.credit, -m.amount, fee_of(m.debit)),
            (kind, m.credit, m.debit, m.amount, fee_of(m.credit)),
        ];
        if m.fee > 0 && m.fee_payer != m.debit && m.fee_payer != m.credit {
            parts.push((LineKind::Fee, m.fee_payer, m.debit, 0, m.fee));
        }
        // The three accounts differ, so each can be looked at on its own.
        let mut after = Vec::with_capacity(parts.len());
        for (_, account, _, amount, fee) in &parts {
            after.push(self.after(account, *amount, *fee)?);
        }
        for ((kind, account, other, amount, fee), state) in parts.into_iter().zip(after) {
            self.accounts.insert(account.clone(), state);
            self.lines.push(Line {
                account: account.clone(),
                line_number: state.lines,
                kind,
                business_date: date,
                transfer: key.clone(),
                counterparty: other.clone(),
                amount,
                fee,
                balance_after: state.balance,
                executed_at: now,
            });
        }
        Ok(())
    }

    fn after(&self, account: &BankAccount, amount: i64, fee: i64) -> Result<AccountState, Reason> {
        let state = self.accounts.get(account).ok_or(Reason::NoSuchAccount)?;
        if state.status == AccountStatus::Closed {
            return Err(Reason::AccountClosed);
        }
        let balance = state
            .balance
            .checked_add(amount)
            .ok_or(Reason::AmountLimit)?;
        let balance = balance.checked_sub(fee).ok_or(Reason::AmountLimit)?;
        if balance < 0 {
            return Err(Reason::InsufficientFundsAtBank);
        }
        let lines = state.lines.checked_add(1).ok_or(Reason::AmountLimit)?;
        Ok(AccountState {
            balance,
            lines,
            ..*state
        })
    }
}
