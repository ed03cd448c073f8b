//! Who takes part in a model test, in the world and in the second ledger.

use anyhow::{Context, ensure};
use chrono::Utc;
use mypay_bank::BankClient;
use mypay_bank::wire::{AccountKind, AccountSeed};
use mypay_schemas::firmbanking::BankAccount;
use sqlx::Row;
use uuid::Uuid;

use super::ledger::{Franchise, Ledger, Member, REMITTANCE_DAY, Standing, key, korean, ours};
use crate::banks::HOLDER;
use crate::world::World;

/// Our contracts in force. To the third bank a payout goes from the first.
pub const CONTRACTS: [&str; 2] = ["004", "020"];
const WITHOUT_CONTRACT: &str = "088";
/// Members with a registered account, and those without.
const MEMBERS: [usize; 2] = [8, 4];
const OPENING: i64 = 600_000;
/// Members with a registered account and nothing yet: they are topped up.
const NEWCOMERS: usize = 8;
/// What one member with an account and one without may remit yet on this day.
const LEFT_OF_THE_DAY: i64 = 50_000;
/// What a member has at the bank.
const SAVINGS: i64 = 100_000_000;

/// The second ledger at its beginning, and accounts that remittances may go to.
pub type Town = (Ledger, Vec<(BankAccount, String)>);

impl World {
    /// Members, franchises and their accounts, the same on both sides.
    pub async fn model_town(&self, bank: &BankClient) -> anyhow::Result<Town> {
        self.only_contracts(&CONTRACTS).await?;
        let mut ledger = Ledger::default();
        for code in CONTRACTS {
            let rules = bank.table().bank(code).context("a bank of the table")?;
            ledger.fees.insert(code.to_owned(), rules.fee);
        }
        let members = self.members(MEMBERS.iter().sum(), OPENING).await?;
        let spent = [members[0], members[MEMBERS[0]]];
        let newcomers = self.members(NEWCOMERS, 0).await?;
        let (rich, poor) = members.split_at(MEMBERS[0]);
        let with_account = rich.iter().chain(&newcomers);
        let all = with_account
            .map(|id| (*id, true))
            .chain(poor.iter().map(|id| (*id, false)));
        for (number, (id, has_account)) in all.enumerate() {
            let account = match has_account {
                true => {
                    let code = CONTRACTS[number % 2];
                    let account = self.saver(bank, code).await?;
                    self.register(id, &account, HOLDER).await?;
                    Some(account)
                }
                false => None,
            };
            ledger.members.push(Member {
                id,
                account,
                balance: if newcomers.contains(&id) { 0 } else { OPENING },
                pending: 0,
                sent: 0,
                perhaps_sent: 0,
                kept_of_day: 0,
                standing: Standing::Open,
                unclaimed: 0,
            });
        }
        self.have_remitted(&spent, &mut ledger).await?;
        // One at each bank, one whose account is another's, one without an account.
        let shops = [
            (Some("004"), true),
            (Some("020"), true),
            (Some(WITHOUT_CONTRACT), true),
            (Some("004"), false),
            (None, true),
        ];
        for (number, (code, holder_fits)) in shops.into_iter().enumerate() {
            let bps = 90 + 45 * number as i32;
            let id = self.franchise(bps).await?;
            let account = match code {
                Some(code) => {
                    let account = self.receiver(bank, code).await?;
                    let holder = if holder_fits { HOLDER } else { "somebody else" };
                    self.register(id, &account, holder).await?;
                    Some(account)
                }
                None => None,
            };
            ledger.franchises.push(Franchise {
                id,
                account,
                holder_fits,
                bps,
                on_hold: false,
                open: 0,
                commission: 0,
                owed: 0,
            });
        }
        let mut receivers = Vec::new();
        for code in [CONTRACTS[0], CONTRACTS[1], WITHOUT_CONTRACT] {
            receivers.push((self.receiver(bank, code).await?, HOLDER.to_owned()));
        }
        let accounts = ledger.members.iter().filter_map(|it| it.account.clone());
        let shops = ledger.franchises.iter().filter_map(|it| it.account.clone());
        let others = receivers.iter().map(|(account, _)| account.clone());
        let corporate = CONTRACTS.into_iter().map(ours);
        let all: Vec<BankAccount> = accounts
            .chain(shops)
            .chain(others)
            .chain(corporate)
            .collect();
        for account in all {
            let won = self.at_bank(bank, &account).await?;
            ledger.at_bank.insert(key(&account), won);
        }
        Ok((ledger, receivers))
    }

    /// Members have remitted today nearly what a day allows.
    async fn have_remitted(&self, members: &[Uuid], ledger: &mut Ledger) -> anyhow::Result<()> {
        ledger.day = korean(Utc::now()).date();
        let sent = REMITTANCE_DAY - LEFT_OF_THE_DAY;
        let spent = ledger
            .members
            .iter_mut()
            .filter(|it| members.contains(&it.id));
        spent.for_each(|member| member.sent = sent);
        let done = sqlx::query(
            "UPDATE money.account SET sent_on = $2, sent = $3 WHERE account_id = ANY($1)",
        )
        .bind(members)
        .bind(ledger.day)
        .bind(sent)
        .execute(&self.pool)
        .await?;
        ensure!(done.rows_affected() == members.len() as u64, "no accounts");
        Ok(())
    }

    /// What an account holds, by the bank's word, whole won.
    pub async fn at_bank(&self, bank: &BankClient, account: &BankAccount) -> anyhow::Result<i64> {
        let account = mypay_bank::BankAccount::new(&account.bank_code, &account.account_number)?;
        let told = bank.account(&account).await;
        let told = told.map_err(|error| anyhow::anyhow!("asking about {account:?}: {error}"))?;
        Ok(told.with_context(|| format!("no {account:?}"))?.balance)
    }

    /// Only these contracts are in force, until [`World::all_contracts`].
    async fn only_contracts(&self, contracts: &[&str]) -> anyhow::Result<()> {
        sqlx::query(
            "UPDATE banking.contract
                SET status = CASE WHEN bank_code = ANY($1) THEN 'ACTIVE' ELSE 'SUSPENDED' END",
        )
        .bind(contracts)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Other tests have all contracts in force again.
    pub async fn all_contracts(&self) -> anyhow::Result<()> {
        sqlx::query("UPDATE banking.contract SET status = 'ACTIVE'")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A member's account at a bank, with savings.
    async fn saver(&self, bank: &BankClient, code: &str) -> anyhow::Result<BankAccount> {
        let number = Uuid::now_v7().as_u128() % 1_000_000_000_000;
        let seed = AccountSeed {
            account_number: format!("6{number:012}"),
            holder_name: HOLDER.into(),
            opening_balance: SAVINGS,
            kind: AccountKind::Personal,
            status: Default::default(),
        };
        let account = BankAccount {
            bank_code: code.to_owned(),
            account_number: seed.account_number.clone(),
        };
        let seeded = bank.seed_accounts(code, &[seed]).await;
        seeded.map_err(|error| anyhow::anyhow!("seeding {account:?}: {error}"))?;
        Ok(account)
    }

    /// Staff sets a franchise's commission, in force at once.
    pub async fn set_commission(&self, franchise: Uuid, bps: i32) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO payment.commission_rate (franchise_id, in_force_from, bps)
             VALUES ($1, now(), $2)",
        )
        .bind(franchise)
        .bind(bps)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Staff holds a franchise's payouts back, or releases them.
    pub async fn set_hold(&self, franchise: Uuid, on_hold: bool) -> anyhow::Result<()> {
        let statement = match on_hold {
            true => {
                "INSERT INTO settlement.hold (hold_id, franchise_id, placed_at, placed_by, reason)
                 VALUES (gen_random_uuid(), $1, now(), 'model', 'drawn')"
            }
            false => {
                "UPDATE settlement.hold
                    SET released_at = now(), released_by = 'model', release_reason = 'drawn'
                  WHERE franchise_id = $1 AND released_at IS NULL"
            }
        };
        sqlx::query(statement)
            .bind(franchise)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// What the ledger owes franchises, whole won.
    pub async fn payables(
        &self,
        franchises: &[Uuid],
    ) -> anyhow::Result<std::collections::HashMap<Uuid, i64>> {
        // 3: what a franchise is owed.
        let rows = sqlx::query(
            "SELECT owner, sum(balance)::bigint FROM money.account
              WHERE kind = 3 AND owner = ANY($1) GROUP BY owner",
        )
        .bind(franchises)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// How much is under way: requests, commands, answers that no flow has heard,
    /// payouts and notices.
    pub async fn under_way(&self) -> anyhow::Result<i64> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM queue_log WHERE status <> 'done')
                  + (SELECT count(*) FROM banking.firmbanking WHERE state NOT IN ('done', 'refused'))
                  + (SELECT count(*) FROM recharge.recharge WHERE state = 'AWAITS_BANK')
                  + (SELECT count(*) FROM remittance.payout WHERE state = 'AWAITS_BANK')
                  + (SELECT count(*) FROM settlement.payout WHERE state = 'AWAITS_BANK')
                  + (SELECT count(*) FROM membership.closing WHERE state = 'AWAITS_BANK')
                  + (SELECT count(*) FROM dummy_bank.transfer
                      WHERE status = 'in_progress' OR (status = 'done' AND reverse_at IS NOT NULL))
                  + (SELECT count(*) FROM dummy_bank.notice n
                      WHERE NOT EXISTS (SELECT FROM banking.notice b
                                         WHERE b.bank_code = n.bank_code AND b.notice_date = n.notice_date
                                           AND b.notice_number = n.notice_number AND b.state <> 'waits'))
                  + (SELECT count(*) FROM banking.reversal JOIN remittance.payout p USING (firmbanking_id)
                      WHERE p.reversed_at IS NULL)
                  + (SELECT count(*) FROM banking.reversal JOIN settlement.payout p USING (firmbanking_id)
                      WHERE p.reversed_at IS NULL)
                  + (SELECT count(*) FROM banking.reversal JOIN membership.closing c USING (firmbanking_id)
                      WHERE c.reversed_at IS NULL)",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }
}
