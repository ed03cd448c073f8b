//! The town: members in several areas, franchises, and their bank accounts.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use mypay_bank::BankClient;
use mypay_bank::wire::{AccountKind, AccountSeed};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::edge::Edge;
use super::send::progress_bar;

const AREAS: [&str; 6] = ["강남구", "서초구", "마포구", "종로구", "해운대구", "수성구"];
const FAMILY: [&str; 8] = ["김", "이", "박", "최", "정", "강", "조", "윤"];
const GIVEN: [&str; 10] = [
    "서연", "민준", "지우", "하준", "서윤", "도윤", "지호", "수아", "예준", "하은",
];
/// What each of our corporate accounts holds when it is opened, whole won.
const CAPITAL: i64 = 5_000_000_000;
/// What a customer has at the bank, whole won.
const SAVINGS: i64 = 100_000_000;
const AT_ONCE: usize = 64;
/// How many people without a membership members send money to.
const OUTSIDERS: u32 = 20;

/// Who lives here.
#[derive(Serialize, Deserialize)]
pub(super) struct Town {
    pub(super) members: Vec<Resident>,
    pub(super) franchises: Vec<String>,
    /// The banks that we have contracts with.
    pub(super) banks: Vec<String>,
    /// People with an account at a bank that we have no contract with.
    #[serde(default)]
    pub(super) outsiders: Vec<Resident>,
}

/// A customer and the registered bank account.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Resident {
    pub(super) member_id: String,
    pub(super) bank_code: String,
    pub(super) account_number: String,
    pub(super) holder_name: String,
}

/// Founds the town, or finds the one of an earlier day.
pub(super) async fn found(
    edge: &Edge,
    bank: &BankClient,
    home: &Path,
    (members, franchises): (u32, u32),
    say: &impl Fn(&str),
) -> anyhow::Result<Town> {
    let register = home.join("town.json");
    if let Ok(text) = std::fs::read(&register)
        && let Ok(town) = serde_json::from_slice::<Town>(&text)
        && let (Some(first), Some(last)) = (town.members.first(), town.franchises.last())
        && !town.outsiders.is_empty()
        && edge
            .get(&format!("/members/{}", first.member_id))
            .await?
            .is_some()
        && edge.get(&format!("/members/{last}")).await?.is_some()
    {
        say(&format!(
            "the town of an earlier day: {} members",
            town.members.len()
        ));
        return Ok(town);
    }
    say(&format!(
        "founding a town of {members} members and {franchises} franchises"
    ));
    let mut banks: Vec<String> = bank
        .table()
        .banks()
        .map(|bank| bank.bank_code.clone())
        .collect();
    // The last bank has no contract with us.
    let elsewhere = banks.pop().filter(|_| !banks.is_empty());
    let elsewhere = elsewhere.context("the table of answer codes has fewer than two banks")?;
    contracts(edge, bank, &banks).await?;
    let residents = (0..members)
        .map(|number| resident(number, "11", &banks))
        .collect();
    let shops = (0..franchises)
        .map(|number| resident(number, "77", &banks))
        .collect();
    let outsiders: Vec<Resident> = (0..OUTSIDERS)
        .map(|number| resident(number, "55", std::slice::from_ref(&elsewhere)))
        .collect();
    open_accounts(bank, &outsiders, 0).await?;
    let members = settle_in(edge, bank, "CUSTOMER", residents, SAVINGS).await?;
    let franchises = settle_in(edge, bank, "FRANCHISE", shops, 0).await?;
    let franchises = franchises.into_iter().map(|shop| shop.member_id).collect();
    let town = Town {
        members,
        franchises,
        banks,
        outsiders,
    };
    std::fs::write(&register, serde_json::to_vec(&town)?)
        .with_context(|| format!("writing {}", register.display()))?;
    Ok(town)
}

/// A contract and a corporate account at every bank.
async fn contracts(edge: &Edge, bank: &BankClient, banks: &[String]) -> anyhow::Result<()> {
    for bank_code in banks {
        let corporate = format!("990{bank_code}000001");
        let rules = bank
            .table()
            .bank(bank_code)
            .context("a bank of the table")?;
        let seed = AccountSeed {
            account_number: corporate.clone(),
            holder_name: "마이페이".into(),
            opening_balance: CAPITAL,
            kind: AccountKind::Corporate,
            status: Default::default(),
        };
        bank.seed_accounts(bank_code, &[seed]).await?;
        edge.put(
            &format!("/contracts/{bank_code}"),
            &json!({
                "bank_name": rules.name,
                "corporate_account": corporate,
                "fee": rules.fee,
                "expires_on": "2099-12-31",
                "opening_capital": CAPITAL,
            }),
        )
        .await?;
    }
    Ok(())
}

fn resident(number: u32, prefix: &str, banks: &[String]) -> Resident {
    let number = number as usize;
    let family = FAMILY[number % FAMILY.len()];
    let given = GIVEN[(number / FAMILY.len()) % GIVEN.len()];
    Resident {
        member_id: String::new(),
        bank_code: banks[number % banks.len()].clone(),
        account_number: format!("{prefix}0{number:09}"),
        holder_name: format!("{family}{given}"),
    }
}

/// Opens accounts at the banks.
async fn open_accounts(bank: &BankClient, whose: &[Resident], savings: i64) -> anyhow::Result<()> {
    let banks: BTreeSet<&String> = whose.iter().map(|it| &it.bank_code).collect();
    for bank_code in banks {
        let seeds: Vec<AccountSeed> = whose
            .iter()
            .filter(|resident| resident.bank_code == *bank_code)
            .map(|resident| AccountSeed {
                account_number: resident.account_number.clone(),
                holder_name: resident.holder_name.clone(),
                opening_balance: savings,
                kind: AccountKind::Personal,
                status: Default::default(),
            })
            .collect();
        bank.seed_accounts(bank_code, &seeds).await?;
    }
    Ok(())
}

/// Opens accounts at the banks, then memberships with those accounts.
async fn settle_in(
    edge: &Edge,
    bank: &BankClient,
    kind: &'static str,
    residents: Vec<Resident>,
    savings: i64,
) -> anyhow::Result<Vec<Resident>> {
    open_accounts(bank, &residents, savings).await?;
    let bar = progress_bar(
        residents.len() as u64,
        if kind == "CUSTOMER" {
            "members"
        } else {
            "franchises"
        },
    );
    let number = AtomicUsize::new(0);
    let settled = stream::iter(residents)
        .map(|resident| {
            let number = number.fetch_add(1, Ordering::Relaxed);
            let bar = bar.clone();
            async move {
                let settled = join(edge, kind, number, resident).await;
                bar.inc(1);
                settled
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await;
    bar.finish_and_clear();
    settled
}

async fn join(
    edge: &Edge,
    kind: &str,
    number: usize,
    mut resident: Resident,
) -> anyhow::Result<Resident> {
    let mut body = json!({
        "kind": kind,
        "name": resident.holder_name,
        "area": AREAS[number % AREAS.len()],
    });
    if kind == "FRANCHISE" {
        // 1.00 % to 2.50 %, as small and large franchises pay.
        body["commission_bps"] = json!(100 + (number % 4) * 50);
    }
    let (status, answer) = edge.post("/members", None, &body).await?;
    let Some(member_id) = answer["member_id"].as_str() else {
        bail!("POST /members: {status}: {answer}");
    };
    resident.member_id = member_id.to_string();
    let account = json!({
        "bank_code": resident.bank_code,
        "account_number": resident.account_number,
        "holder_name": resident.holder_name,
    });
    let (status, answer) = edge
        .post(
            &format!("/members/{member_id}/bank-account"),
            None,
            &account,
        )
        .await?;
    if !status.is_success() {
        bail!("POST /members/{member_id}/bank-account: {status}: {answer}");
    }
    Ok(resident)
}
