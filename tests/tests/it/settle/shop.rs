//! A franchise that is paid and settled over HTTP.

use anyhow::{Context, ensure};
use chrono::Utc;
use mypay_tests::World;
use mypay_tests::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::BANK;
use crate::day::LONG;
use crate::over_http::Client;

pub(crate) const HOLDER: &str = "홍길동상회";
/// What the business day of the other tests gives the corporate account, too.
const CAPITAL: i64 = 5_000_000_000;

/// A franchise with an account at the bank, and a member who pays it.
pub(crate) struct Shop<'a> {
    world: &'a World,
    pub(crate) client: Client,
    pub(crate) franchise: String,
    account: String,
    pub(crate) member: Uuid,
}

impl<'a> Shop<'a> {
    /// The bank, the edge, the contract and the franchise; no consumer.
    pub(crate) async fn open(world: &'a World) -> anyhow::Result<Self> {
        world.bank().await?;
        world.edge().await?;
        let client = Client::new(world);
        client.accepts().await?;
        let shop = Self {
            world,
            client,
            franchise: String::new(),
            account: format!("77{:010}", Utc::now().timestamp_millis() % 10_000_000_000),
            member: world.members(1, 1_000_000).await?[0],
        };
        let corporate = format!("990{BANK}000001");
        shop.at_bank(&corporate, "마이페이", "CORPORATE", CAPITAL)
            .await?;
        shop.held_by(HOLDER).await?;
        let contract = json!({
            "bank_name": "국민은행", "corporate_account": corporate, "fee": 50,
            "expires_on": "2099-12-31", "opening_capital": CAPITAL,
        });
        let put = shop
            .client
            .request(Method::PUT, &format!("/contracts/{BANK}"), &contract);
        put.json(&contract).send().await?.error_for_status()?;
        let franchise = shop
            .post(
                "/members",
                &json!({"kind": "FRANCHISE", "name": HOLDER, "area": "Gangnam-gu", "commission_bps": 250}),
            )
            .await?;
        let franchise = franchise["member_id"]
            .as_str()
            .context("a franchise")?
            .to_owned();
        let account = json!({
            "bank_code": BANK, "account_number": shop.account, "holder_name": HOLDER,
        });
        shop.post(&format!("/members/{franchise}/bank-account"), &account)
            .await?;
        Ok(Self { franchise, ..shop })
    }

    /// Says to the bank whose the franchise's account is.
    pub(crate) async fn held_by(&self, holder: &str) -> anyhow::Result<()> {
        self.at_bank(&self.account, holder, "PERSONAL", 0).await
    }

    async fn at_bank(
        &self,
        account: &str,
        holder: &str,
        kind: &str,
        opening: i64,
    ) -> anyhow::Result<()> {
        let bank = self.world.endpoints.bank_url.trim_end_matches('/');
        let put = self
            .client
            .http
            .put(format!("{bank}/banks/{BANK}/accounts/{account}"));
        let kind = kind.to_lowercase();
        let seed = json!({"holder_name": holder, "opening_balance": opening, "kind": kind});
        let answer = put.json(&seed).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status} {}", answer.text().await?);
        Ok(())
    }

    /// Posts something, which must be taken.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let key = Uuid::now_v7().to_string();
        let (status, answer) = self.client.post(path, &key, body).await?;
        ensure!(status.is_success(), "{path}: {status} {answer}");
        Ok(answer)
    }

    /// Asks for something, and waits until it is done.
    pub(crate) async fn done(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        let answer = self.post(path, body).await?;
        let id = answer["message_id"].as_str().context("an id")?.to_owned();
        let done = self.client.done(&id).await?;
        ensure!(done["processed_status"] == "success", "{path}: {done}");
        Ok(id)
    }

    /// The member pays the shop; gives the payment's id.
    pub(crate) async fn pay(&self, won: i64) -> anyhow::Result<String> {
        let body = json!({
            "member_id": self.member, "franchise_id": self.franchise, "order_ref": "a,\"b\"", "amount": won,
        });
        self.done("/payments", &body).await
    }

    /// Settles the shop by the command line; gives the run's id.
    pub(crate) async fn settle(&self) -> anyhow::Result<String> {
        let args = [
            "settle",
            "--franchise",
            &self.franchise,
            "--wait",
            "60",
            "--json",
        ];
        let output = self.world.mypay(&args).await?;
        let complained = String::from_utf8_lossy(&output.stderr);
        let told: Value =
            serde_json::from_slice(&output.stdout).with_context(|| complained.into_owned())?;
        ensure!(told["status"] == "COMPLETED", "{told}");
        Ok(told["run_id"].as_str().context("a run")?.to_owned())
    }

    /// The shop's part of a run, once the bank has answered.
    pub(crate) async fn part(
        &self,
        run: &str,
        net: i64,
        state: &str,
        carried_for: Value,
    ) -> anyhow::Result<()> {
        let part = eventually("the bank's answer", LONG, async || {
            let told = self.client.get(&format!("/settlements/{run}")).await?;
            let part = told["payouts"][0].clone();
            Ok((part["state"] != "AWAITS_BANK").then_some(part))
        })
        .await?;
        let found = (&part["net"], &part["state"], &part["carried_for"]);
        ensure!(
            found == (&json!(net), &json!(state), &carried_for),
            "{net} {state} {carried_for}: {part}"
        );
        self.statement_adds_up(run, net).await
    }

    /// The lines of the shop's statement of a run.
    pub(crate) async fn lines(&self, run: &str) -> anyhow::Result<Vec<Value>> {
        let statement = self.client.get(&self.statement(run)).await?;
        Ok(statement["lines"].as_array().context("lines")?.clone())
    }

    fn statement(&self, run: &str) -> String {
        format!("/settlements/{run}/franchises/{}/statement", self.franchise)
    }

    /// Both forms of the statement have the same lines, which add up to the net.
    async fn statement_adds_up(&self, run: &str, net: i64) -> anyhow::Result<()> {
        let path = self.statement(run);
        let statement = self.client.get(&path).await?;
        let lines = statement["lines"].as_array().context("lines")?;
        let sum = |field: &str| -> i64 { lines.iter().filter_map(|it| it[field].as_i64()).sum() };
        ensure!(sum("net") == net, "{statement}");
        ensure!(
            sum("supply") + sum("vat") == sum("commission"),
            "{statement}"
        );
        for field in ["amount", "commission", "supply", "vat", "net"] {
            ensure!(
                statement["totals"][field] == sum(field),
                "{field}: {statement}"
            );
        }
        let csv = self
            .client
            .request(Method::GET, &path, &Value::Null)
            .header("Accept", "text/csv");
        let csv = csv.send().await?.error_for_status()?.text().await?;
        ensure!(csv.lines().count() == lines.len() + 2, "{csv}");
        ensure!(csv.ends_with(&format!(",{net}\r\n")), "{csv}");
        Ok(())
    }
}
