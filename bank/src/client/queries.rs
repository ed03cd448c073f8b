//! Calls that move nothing.

use chrono::NaiveDate;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::BankClient;
use super::answer::{CallFailed, HolderAnswer, UnknownWhy};
use super::call::{LARGE, Limits, Reply, SMALL};
use crate::account::BankAccount;
use crate::classes::{Class, Reason};
use crate::wire::{AccountInfo, AccountStatus, DayTotals, Notice, NoticePage, StatementPage};

/// Lines a page; some 300 bytes each.
const STATEMENT_PAGE: usize = 10_000;
const NOTICE_PAGE: usize = 1_000;

/// All that is read of a 404.
#[derive(Deserialize)]
struct OnlyCode {
    code: String,
}

impl BankClient {
    /// Whose account it is (수취조회): before money goes to somebody's account.
    pub async fn holder(&self, account: &BankAccount) -> HolderAnswer {
        match self.account(account).await {
            Ok(Some(info)) if info.status == AccountStatus::Open => HolderAnswer::Open {
                holder_name: info.holder_name,
            },
            Ok(Some(info)) => HolderAnswer::Closed {
                holder_name: info.holder_name,
            },
            Ok(None) => HolderAnswer::NoSuchAccount,
            Err(why) => HolderAnswer::Unavailable { why },
        }
    }

    /// All that the bank tells of an account; `None`: there is no such account.
    pub async fn account(&self, account: &BankAccount) -> Result<Option<AccountInfo>, CallFailed> {
        let path = format!("/accounts/{}", account.account_number);
        let reply = self.get(&account.bank_code, &path, SMALL).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return self.no_such_account(&account.bank_code, &reply);
        }
        let info: AccountInfo = reply.ok()?;
        let same =
            info.bank_code == account.bank_code && info.account_number == account.account_number;
        if !same {
            let other = format!("{}-{}", info.bank_code, info.account_number);
            return Err(UnknownWhy::OtherTransaction(other).into());
        }
        Ok(Some(info))
    }

    /// A 404 may come from a gateway: only the bank's own code says "no such account".
    fn no_such_account(
        &self,
        bank_code: &str,
        reply: &Reply,
    ) -> Result<Option<AccountInfo>, CallFailed> {
        let said: OnlyCode = reply.json()?;
        match self.bank(bank_code)?.classify(&said.code) {
            Some(Class::Refused(Reason::NoSuchAccount)) => Ok(None),
            _ => Err(UnknownWhy::Status(reply.status.as_u16()).into()),
        }
    }

    /// A page of an account's statement: the lines after number `after` (0: from the first).
    pub async fn statement(
        &self,
        account: &BankAccount,
        after: i64,
    ) -> Result<StatementPage, CallFailed> {
        let number = &account.account_number;
        let path = format!("/accounts/{number}/statement?after={after}&limit={STATEMENT_PAGE}");
        self.get_json(&account.bank_code, &path).await
    }

    /// The bank's totals of a day.
    pub async fn day_totals(&self, bank: &str, date: NaiveDate) -> Result<DayTotals, CallFailed> {
        self.get_json(bank, &format!("/day-totals/{date}")).await
    }

    /// The notices of a day after number `after` (0: from the first).
    ///
    /// Compare with [`NoticePage::last_number`]: whatever number is missing up to it
    /// got lost, and is to be asked for with [`BankClient::notice`].
    pub async fn notices(
        &self,
        bank: &str,
        date: NaiveDate,
        after: i64,
    ) -> Result<NoticePage, CallFailed> {
        let path = format!("/notices?date={date}&after={after}&limit={NOTICE_PAGE}");
        self.get_json(bank, &path).await
    }

    /// One notice by its number; `None`: no such number was given on that day.
    pub async fn notice(
        &self,
        bank: &str,
        date: NaiveDate,
        number: i64,
    ) -> Result<Option<Notice>, CallFailed> {
        let reply = self
            .get(bank, &format!("/notices/{date}/{number}"), SMALL)
            .await?;
        if reply.status != StatusCode::NOT_FOUND {
            return Ok(Some(reply.ok()?));
        }
        let said: OnlyCode = reply.json()?;
        match self.bank(bank)?.classify(&said.code) {
            Some(Class::NotFound) => Ok(None),
            _ => Err(UnknownWhy::Status(reply.status.as_u16()).into()),
        }
    }

    async fn get_json<T: DeserializeOwned>(&self, bank: &str, path: &str) -> Result<T, CallFailed> {
        Ok(self.get(bank, path, LARGE).await?.ok()?)
    }

    async fn get(&self, bank: &str, path: &str, body: usize) -> Result<Reply, CallFailed> {
        let timeout = self.bank(bank)?.inquiry_timeout;
        self.call(
            Method::GET,
            bank,
            path,
            None::<&()>,
            Limits { timeout, body },
        )
        .await
    }
}
