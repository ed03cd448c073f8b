//! Members and their bank accounts: changes by version, histories, bad input.

mod closing;
mod closing_race;

use anyhow::{Context, ensure};
use mypay_bank::BankClient;
use mypay_bank::wire::{AccountKind, AccountSeed, AccountStatus};
use mypay_tests::World;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::over_http::Client;

fn key() -> String {
    Uuid::now_v7().to_string()
}

/// A new member over HTTP.
async fn member(client: &Client, kind: &str, area: &str) -> anyhow::Result<String> {
    let body = json!({ "kind": kind, "name": "김하나", "email": "hana@example.com", "area": area });
    let (status, answer) = client.post("/members", &key(), &body).await?;
    ensure!(status == StatusCode::CREATED, "{status} {answer}");
    let id = answer["member_id"].as_str().context("a member")?;
    Ok(id.to_owned())
}

/// Twenty change a member at once, all having seen the same version: one does, and
/// the others are told that it is another by now. What was before can be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_changed_by_who_has_seen_the_version_that_holds() -> anyhow::Result<()> {
    let world = World::begin().await?;
    world.edge().await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let id = member(&client, "CUSTOMER", "서울 강남구").await?;
    let path = format!("/members/{id}");
    let (status, _, tag) = client.send("GET", &path, None, &json!({})).await?;
    ensure!(
        status == StatusCode::OK && tag.as_deref() == Some("\"1\""),
        "{tag:?}"
    );

    let change = |number: usize| json!({ "name": format!("김하나 {number}") });
    let changes = (0..20).map(|number| {
        let (client, path) = (&client, &path);
        async move {
            client
                .send("PATCH", path, Some("\"1\""), &change(number))
                .await
        }
    });
    let answers = futures::future::try_join_all(changes).await?;
    let of = |wanted: StatusCode| answers.iter().filter(|it| it.0 == wanted).count();
    ensure!(
        (of(StatusCode::OK), of(StatusCode::PRECONDITION_FAILED)) == (1, 19),
        "{answers:?}"
    );
    for (if_match, expected) in [
        (None, 428),
        (Some("*"), 400),
        (Some("2"), 400),
        (Some("\"1\""), 412),
    ] {
        let (status, answer, _) = client.send("PATCH", &path, if_match, &change(1)).await?;
        ensure!(
            status.as_u16() == expected,
            "{if_match:?}: {status} {answer}"
        );
        ensure!(answer["detail"].is_string(), "{answer}");
    }
    // The syllables as their letters, and an e-mail address taken away.
    let apart = "\u{1109}\u{1165}\u{110e}\u{1169}\u{1100}\u{116e}";
    let body = json!({ "area": format!(" 서울 {apart} "), "email": null });
    let (status, answer, tag) = client.send("PATCH", &path, Some("\"2\""), &body).await?;
    ensure!(
        status == StatusCode::OK && tag.as_deref() == Some("\"3\""),
        "{answer}"
    );
    ensure!(
        answer["area"] == "서울 서초구" && answer["email"].is_null(),
        "{answer}"
    );
    // The same once more changes nothing.
    let (status, _, tag) = client.send("PATCH", &path, Some("\"3\""), &body).await?;
    ensure!(
        status == StatusCode::OK && tag.as_deref() == Some("\"3\""),
        "{tag:?}"
    );

    let (mut versions, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client
            .get(&format!("{path}/versions?limit=2{cursor}"))
            .await?;
        versions.extend(page["items"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    let numbers: Vec<i64> = versions
        .iter()
        .filter_map(|it| it["version"].as_i64())
        .collect();
    ensure!(numbers == [3, 2, 1], "{versions:?}");
    ensure!(
        versions[2]["name"] == "김하나" && versions[2]["area"] == "서울 강남구",
        "{versions:?}"
    );
    ensure!(
        versions[2]["valid_to"] == versions[1]["valid_from"],
        "{versions:?}"
    );
    ensure!(versions[0]["valid_to"].is_null(), "{versions:?}");
    world.audit_is_clean_as_it_is().await
}

/// What the members of an area have together, and who they are: whatever way the
/// area is written in.
#[tokio::test(flavor = "multi_thread")]
async fn the_members_of_an_area_and_their_money() -> anyhow::Result<()> {
    let world = World::begin().await?;
    world.edge().await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let area = format!("구-{}", Uuid::now_v7());
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(member(&client, "CUSTOMER", &area).await?);
    }
    let rich = world.members(2, 30_000).await?;
    sqlx::query("UPDATE membership.member SET area = $1 WHERE member_id = ANY($2)")
        .bind(&area)
        .bind(&rich)
        .execute(&world.pool)
        .await?;
    // The first letter of the area apart.
    let written = area.replacen('구', "%E1%84%80%E1%85%AE", 1);
    let money = client
        .get(&format!("/money/members?area={written}"))
        .await?;
    ensure!(
        money["members"] == 7 && money["balance"] == 60_000,
        "{money}"
    );
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client
            .get(&format!("/members?area={written}&limit=3{cursor}"))
            .await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        found.extend(
            items
                .iter()
                .filter_map(|it| Some(it["member_id"].as_str()?.to_owned())),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    ids.extend(rich.iter().map(Uuid::to_string));
    ids.sort();
    ensure!(found == ids, "{found:?}");
    let nobody = client.get("/money/members?area=nowhere").await?;
    ensure!(nobody["members"] == 0 && nobody["balance"] == 0, "{nobody}");
    world.audit_is_clean_as_it_is().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_be_one_is_refused_with_the_field_and_the_fault() -> anyhow::Result<()>
{
    let world = World::begin().await?;
    world.edge().await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let good = json!({ "kind": "CUSTOMER", "name": "محمد", "area": "종로구" });
    let (status, answer) = client.post("/members", &key(), &good).await?;
    ensure!(
        status == StatusCode::CREATED && answer["name"] == "محمد",
        "{answer}"
    );
    let id = answer["member_id"].as_str().context("a member")?.to_owned();
    let long = "가".repeat(101);
    let cases = [
        ("name", json!(""), "is empty"),
        ("name", json!(long), "101 characters"),
        ("name", json!("김\u{7}하나"), "U+0007"),
        ("name", json!("김\u{202e}하나"), "U+202E"),
        ("name", json!("김\n하나"), "U+000A"),
        ("area", json!("  "), "is empty"),
        ("email", json!("hana"), "e-mail"),
        ("email", json!("hana@@example.com"), "e-mail"),
        (
            "email",
            json!(format!("{}@example.com", "a".repeat(250))),
            "characters",
        ),
        ("address", json!("길".repeat(301)), "301 characters"),
    ];
    for (field, value, fault) in cases {
        let mut body = good.clone();
        body[field] = value.clone();
        let created = client.post("/members", &key(), &body).await?;
        let path = format!("/members/{id}");
        let patch = json!({ field: value });
        let (status, answer, _) = client.send("PATCH", &path, Some("\"1\""), &patch).await?;
        for (status, answer) in [created, (status, answer)] {
            let detail = answer["detail"].as_str().unwrap_or_default();
            ensure!(
                status == StatusCode::UNPROCESSABLE_ENTITY,
                "{field}: {status} {answer}"
            );
            ensure!(
                detail.contains(field) && detail.contains(fault),
                "{field}: {detail}"
            );
        }
    }
    world.audit_is_clean_as_it_is().await
}

async fn seed(
    bank: &BankClient,
    number: &str,
    holder: &str,
    status: AccountStatus,
) -> anyhow::Result<()> {
    let seed = AccountSeed {
        account_number: number.to_owned(),
        holder_name: holder.to_owned(),
        opening_balance: 0,
        kind: AccountKind::Personal,
        status,
    };
    let seeded = bank.seed_accounts("004", &[seed]).await;
    seeded.map_err(|error| anyhow::anyhow!("{error}"))
}

/// Dashes and spaces make no other account, nor does the same one once more; one
/// that is replaced stays in the history.
#[tokio::test(flavor = "multi_thread")]
async fn a_bank_account_that_is_replaced_stays_in_the_history() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&["004"]).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let id = member(&client, "CUSTOMER", "강남구").await?;
    let path = format!("/members/{id}/bank-account");
    let tail = Uuid::now_v7().as_u128() % 1_000_000_000;
    let (first, second) = (format!("61{tail:09}"), format!("62{tail:09}"));
    for number in [&first, &second] {
        seed(&bank, number, "김하나", AccountStatus::Open).await?;
    }
    let gone = format!("63{tail:09}");
    seed(&bank, &gone, "김하나", AccountStatus::Closed).await?;
    let account = |number: &str| json!({ "bank_code": "004", "account_number": number, "holder_name": "김하나" });
    let dashed = format!("{}-{} {}", &first[..3], &first[3..6], &first[6..]);
    for (number, expected) in [
        (&dashed, 201),
        (&first, 200),
        (&second, 201),
        (&second, 200),
        (&first, 201),
    ] {
        let (status, answer) = client.post(&path, &key(), &account(number)).await?;
        ensure!(status.as_u16() == expected, "{number}: {status} {answer}");
    }
    let history = client.get(&format!("/members/{id}/bank-accounts")).await?;
    let accounts: Vec<&str> = history["items"]
        .as_array()
        .context("a page")?
        .iter()
        .filter_map(|it| it["account_number"].as_str())
        .collect();
    ensure!(accounts == [&first, &second, &first], "{history}");
    ensure!(history["items"][0]["replaced_at"].is_null(), "{history}");
    ensure!(
        history["items"][1]["replaced_at"] == history["items"][0]["registered_at"],
        "{history}"
    );
    for (number, holder, reason) in [
        (&*first, "홍길동", "holder_mismatch"),
        ("99999999999", "김하나", "no_such_account"),
        (&*gone, "김하나", "account_closed"),
        ("12ab5678", "김하나", "invalid_account_number"),
        ("1-2 3", "김하나", "invalid_account_number"),
    ] {
        let mut body = account(number);
        body["holder_name"] = Value::from(holder);
        let (status, answer) = client.post(&path, &key(), &body).await?;
        ensure!(
            status == StatusCode::UNPROCESSABLE_ENTITY,
            "{status} {answer}"
        );
        ensure!(
            answer["detail"].is_string() && is(&answer, reason),
            "{reason}: {answer}"
        );
    }
    a_bank_that_does_not_say_is_asked_again_later(&world, &client, &path, &account(&second))
        .await?;
    let kept = client.get(&path).await?;
    ensure!(kept["account_number"] == *first, "{kept}");
    world.audit_is_clean_as_it_is().await
}

/// A bank that is away: the client is told to come again, and nothing is registered.
async fn a_bank_that_does_not_say_is_asked_again_later(
    world: &World,
    client: &Client,
    path: &str,
    account: &Value,
) -> anyhow::Result<()> {
    world.kill_bank().await?;
    let request = client.request(Method::POST, path, account).json(account);
    let answer = request.send().await?;
    let again = answer.headers().get("retry-after").cloned();
    let status = answer.status();
    let told: Value = answer.json().await?;
    world.bank().await?;
    ensure!(
        status == StatusCode::SERVICE_UNAVAILABLE && told["code"] == "bank_unavailable",
        "{status} {told}"
    );
    let seconds: Option<u32> = again.and_then(|it| it.to_str().ok()?.parse().ok());
    ensure!(seconds.is_some_and(|it| it > 0), "{seconds:?}");
    Ok(())
}

/// Whether a problem is of this kind.
fn is(problem: &Value, reason: &str) -> bool {
    problem["reason"] == reason || problem["code"] == reason
}
