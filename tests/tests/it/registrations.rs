//! How often a member may have a bank asked whose an account is.

use anyhow::ensure;
use mypay_auth::Role;
use mypay_tests::World;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::over_http::Client;

const BANK: &str = "004";
/// What the edge allows where nothing else is set.
const A_DAY: usize = 20;

async fn register(
    client: &Client,
    role: Role,
    who: &str,
    member: Uuid,
) -> anyhow::Result<Response> {
    let path = format!("/members/{member}/bank-account");
    let account = json!({
        "bank_code": BANK, "account_number": "99999999999", "holder_name": "Hong Gil-dong",
    });
    let request = client.request_by(role, who, Method::POST, &path);
    Ok(request.json(&account).send().await?)
}

/// Thirty tries at once, of which none finds an account: each that asks the bank costs
/// as much as one that does. Others, and staff for the same member, go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_has_a_bank_asked_so_often_a_day_and_no_more() -> anyhow::Result<()> {
    let world = World::begin().await?;
    world.banks(&[BANK]).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let members = world.members(2, 0).await?;
    let own = members[0].to_string();
    let tries = (0..30).map(|_| register(&client, Role::Member, &own, members[0]));
    let mut asked = 0;
    for answer in futures::future::try_join_all(tries).await? {
        let status = answer.status().as_u16();
        let again = answer.headers().get("retry-after").cloned();
        let told: Value = answer.json().await?;
        if status == 422 {
            ensure!(told["code"] == "no_such_account", "{told}");
            asked += 1;
            continue;
        }
        ensure!(
            status == 429 && told["code"] == "too_many_registrations",
            "{status} {told}"
        );
        let seconds: Option<u32> = again.and_then(|it| it.to_str().ok()?.parse().ok());
        ensure!(
            seconds.is_some_and(|it| (1..=86_400).contains(&it)),
            "{seconds:?}"
        );
    }
    ensure!(asked == A_DAY, "the bank was asked {asked} times");
    let other = members[1].to_string();
    for (role, who, member) in [
        (Role::Member, &*other, members[1]),
        (Role::Staff, "kim.minji", members[0]),
    ] {
        let answer = register(&client, role, who, member).await?;
        ensure!(answer.status() == 422, "{role}: {}", answer.status());
    }
    // Of a day that is over nothing is left.
    sqlx::query("UPDATE banking.registration_day SET day = day - 1 WHERE member_id = $1")
        .bind(members[0])
        .execute(&world.pool)
        .await?;
    let answer = register(&client, Role::Member, &own, members[0]).await?;
    ensure!(answer.status() == 422, "{}", answer.status());
    world.audit_is_clean().await
}
