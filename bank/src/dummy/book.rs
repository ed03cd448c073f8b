//! The bank's own bookkeeping, pure: what was loaded goes in, what is to be
//! written comes out. One book lives for one batch.

mod movement;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};

use movement::Movement;

use super::transfer::{Instructions, State, Transfer, TransferKey};
use crate::account::BankAccount;
use crate::command::TransferCommand;
use crate::rest_window::korean_date;
use crate::wire::{AccountKind, AccountStatus, LineKind};

/// An account as far as the book cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccountState {
    pub(crate) kind: AccountKind,
    pub(crate) status: AccountStatus,
    pub(crate) balance: i64,
    pub(crate) lines: i64,
}

/// A statement line to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) account: BankAccount,
    pub(crate) line_number: i64,
    pub(crate) kind: LineKind,
    pub(crate) business_date: NaiveDate,
    pub(crate) transfer: TransferKey,
    pub(crate) counterparty: BankAccount,
    pub(crate) amount: i64,
    pub(crate) fee: i64,
    pub(crate) balance_after: i64,
    pub(crate) executed_at: DateTime<Utc>,
}

/// A notice to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewNotice {
    pub(crate) date: NaiveDate,
    pub(crate) number: i64,
    pub(crate) transfer: TransferKey,
    pub(crate) amount: i64,
    pub(crate) reversed_at: DateTime<Utc>,
    pub(crate) lost: bool,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Recorded by this very command.
    Fresh(Transfer),
    /// Recorded before, with the same content: the same answer.
    Known(Transfer),
    /// The number is taken by other content. Nothing is recorded.
    NumberTaken,
}

/// What a batch needs to know, and what it changes.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Every account that the batch names, and the corporate ones of its banks.
    pub(crate) accounts: HashMap<BankAccount, AccountState>,
    /// Every transfer of the batch that was recorded before.
    pub(crate) transfers: HashMap<TransferKey, Transfer>,
    /// The corporate account that pays where neither side is one.
    pub(crate) fee_payers: HashMap<String, BankAccount>,
    /// Won, by bank.
    pub(crate) fees: HashMap<String, i64>,
    /// The last notice number of (bank, day).
    pub(crate) last_notice: HashMap<(String, NaiveDate), i64>,

    /// Recorded by this batch.
    pub(crate) inserted: Vec<TransferKey>,
    /// Recorded before and changed by this batch.
    pub(crate) changed: BTreeSet<TransferKey>,
    /// In the order in which they came about.
    pub(crate) lines: Vec<Line>,
    /// In the order in which they came about.
    pub(crate) notices: Vec<NewNotice>,
}

impl Book {
    /// Executes a command, or says what was done with it before.
    pub(crate) fn execute(
        &mut self,
        command: &TransferCommand,
        wish: Instructions,
        now: DateTime<Utc>,
    ) -> Outcome {
        let key = TransferKey::from(command);
        let content_hash = command.content_hash();
        if let Some(known) = self.transfers.get(&key) {
            return if known.content_hash == content_hash {
                Outcome::Known(known.clone())
            } else {
                Outcome::NumberTaken
            };
        }
        let state = match (wish.in_progress_until, wish.refuse) {
            (Some(due_at), planned) => State::InProgress { due_at, planned },
            (None, Some(reason)) => State::Refused(reason),
            (None, None) => self.move_money(&key, &command.from, &command.to, command.amount, now),
        };
        let transfer = Transfer {
            key: key.clone(),
            content_hash,
            from: command.from.clone(),
            to: command.to.clone(),
            amount: command.amount,
            state,
            hidden_until: wish.hidden_until,
            reverse_at: wish
                .reverse_at
                .filter(|_| self.is_interbank_payout(command)),
            notice_lost: wish.notice_lost,
        };
        self.transfers.insert(key.clone(), transfer.clone());
        self.inserted.push(key);
        Outcome::Fresh(transfer)
    }

    /// Decides a transfer that was in progress. Again: nothing.
    pub(crate) fn settle(&mut self, key: &TransferKey, now: DateTime<Utc>) {
        let Some(transfer) = self.transfers.get(key).cloned() else {
            return;
        };
        let State::InProgress { due_at, planned } = transfer.state else {
            return;
        };
        if due_at > now {
            return;
        }
        let state = match planned {
            Some(reason) => State::Refused(reason),
            None => self.move_money(key, &transfer.from, &transfer.to, transfer.amount, now),
        };
        self.change(Transfer { state, ..transfer });
    }

    /// Takes a payout back, with a notice. Again: nothing.
    ///
    /// If the receiver has spent the money, or has closed the account, it stays:
    /// no bank takes what is not there.
    pub(crate) fn reverse(&mut self, key: &TransferKey, now: DateTime<Utc>) {
        let Some(transfer) = self.transfers.get(key).cloned() else {
            return;
        };
        let due = transfer.reverse_at.is_some_and(|at| at <= now);
        if !due || !matches!(transfer.state, State::Done { .. }) {
            return;
        }
        let (from, to, amount) = (transfer.from.clone(), transfer.to.clone(), transfer.amount);
        let lost = transfer.notice_lost;
        self.change(Transfer {
            reverse_at: None,
            ..transfer
        });

        let today = korean_date(now);
        let back = Movement {
            debit: &to,
            credit: &from,
            amount,
            fee: 0,
            fee_payer: &from,
        };
        if self
            .apply(back, LineKind::Reversal, today, key, now)
            .is_err()
        {
            return;
        }
        let last = self
            .last_notice
            .entry((key.bank_code.clone(), today))
            .or_insert(0);
        *last += 1;
        self.notices.push(NewNotice {
            date: today,
            number: *last,
            transfer: key.clone(),
            amount,
            reversed_at: now,
            lost,
        });
    }

    /// Accounts that the batch has changed, in the order of their keys.
    pub(crate) fn changed_accounts(&self) -> BTreeMap<&BankAccount, AccountState> {
        self.lines
            .iter()
            .filter_map(|line| Some((&line.account, *self.accounts.get(&line.account)?)))
            .collect()
    }

    fn change(&mut self, transfer: Transfer) {
        let key = transfer.key.clone();
        self.transfers.insert(key.clone(), transfer);
        if !self.inserted.contains(&key) {
            self.changed.insert(key);
        }
    }

    fn is_interbank_payout(&self, command: &TransferCommand) -> bool {
        let ours = self
            .accounts
            .get(&command.from)
            .is_some_and(|a| a.kind == AccountKind::Corporate);
        ours && command.to.bank_code != command.bank_code
    }
}

#[cfg(test)]
mod tests;
