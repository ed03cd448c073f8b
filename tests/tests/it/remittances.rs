//! Remittances by member and by state, page by page.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use mypay_auth::Role;
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::BankAccount;
use mypay_schemas::remittance::{BankReceiver, RemittanceRequest};
use mypay_tests::World;
use mypay_tests::banks::HOLDER;
use mypay_tests::edge::Client;
use mypay_tests::requests::{payout, remittance};
use mypay_tests::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::day::LONG;

const BANK: &str = "004";

fn receiver(account: &BankAccount, holder_name: &str) -> BankReceiver {
    BankReceiver {
        bank_code: account.bank_code.clone(),
        account_number: account.account_number.clone(),
        holder_name: holder_name.to_owned(),
    }
}

async fn remit(world: &World, requests: &[&RemittanceRequest]) -> anyhow::Result<Vec<Uuid>> {
    let messages = requests
        .iter()
        .map(|request| world.message(Flow::Remittance, *request))
        .collect::<Result<Vec<_>, _>>()?;
    world.send(messages).await?;
    let ids = requests.iter().map(|it| Uuid::try_parse(&it.message_id));
    Ok(ids.collect::<Result<_, _>>()?)
}

/// The pages of a list, down to a remittance or to the end; fails where one is not
/// below the one before, or two share an id.
async fn walked(
    client: &Client,
    path: &str,
    limit: usize,
    down_to: &str,
) -> anyhow::Result<Vec<Value>> {
    let mark = if path.contains('?') { '&' } else { '?' };
    let mut found: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client
            .get(&format!("{path}{mark}limit={limit}{cursor}"))
            .await?;
        let items = page["items"].as_array().with_context(|| page.to_string())?;
        ensure!(items.len() <= limit, "{page}");
        for item in items {
            let id = item["remittance_id"].as_str().context("an id")?;
            let before = found.last().and_then(|it| it["remittance_id"].as_str());
            ensure!(before.is_none_or(|before| id < before), "{id}: {before:?}");
            if id < down_to {
                return Ok(found);
            }
            found.push(item.clone());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(found),
        }
    }
}

/// What a list says of a remittance; null where it is not in it.
async fn listed(client: &Client, path: &str, id: &str) -> anyhow::Result<Value> {
    let all = walked(client, path, 500, id).await?;
    let found = all.into_iter().find(|it| it["remittance_id"] == id);
    Ok(found.unwrap_or_default())
}

async fn awaits(client: &Client, state: &str, id: &str) -> anyhow::Result<Value> {
    let path = format!("/remittances?state={state}");
    eventually(&format!("{id} in {state}"), LONG, async || {
        let found = listed(client, &path, id).await?;
        Ok((!found.is_null()).then_some(found))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remittance_is_in_the_list_of_its_member_and_of_its_state() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let to = world.receiver(&bank, BANK).await?;
    let members = world.members(5, 100_000).await?;
    let [sender, friend, poor, spender, broke] = members[..] else {
        anyhow::bail!("five members");
    };
    world
        .open_accounts(&bank, BANK, &[poor, spender], 3_000_000)
        .await?;
    world.open_accounts(&bank, BANK, &[broke], 10).await?;
    let consumers = world.start("all", &["consume", "all"])?;
    let of_sender = format!("/members/{sender}/remittances");

    // What is done at once, in the order of the requests.
    let between: Vec<RemittanceRequest> =
        (1..=3).map(|won| remittance(sender, friend, won)).collect();
    let ids = remit(&world, &between.iter().collect::<Vec<_>>()).await?;
    world.await_done(Flow::Remittance, &ids, LONG).await?;
    let paid = payout(sender, receiver(&to, HOLDER), 5_000);
    let mismatched = payout(sender, receiver(&to, "이두리"), 6_000);
    // Rejected at once: in no list.
    let too_much = remittance(sender, friend, 1_900_000);
    let none = remittance(sender, sender, 1);
    let ids = remit(&world, &[&paid, &mismatched, &too_much, &none]).await?;
    world.await_done(Flow::Remittance, &ids, LONG).await?;

    // What waits for a bank that does nothing at the moment.
    let mut dial = Dial::default();
    dial.set("error_before=1")?;
    world.dial(&bank, dial).await?;
    let waiting = payout(sender, receiver(&to, HOLDER), 7_000);
    let topped_up = remittance(poor, friend, 115_000);
    let unpaid = remittance(broke, friend, 150_000);
    let outspent = remittance(spender, friend, 115_000);
    let late = remit(&world, &[&waiting, &topped_up, &unpaid, &outspent]).await?;
    let found = awaits(&client, "AWAITS_BANK", &waiting.message_id).await?;
    ensure!(
        (&found["amount"], &found["fee"], &found["to_account"])
            == (&json!(7_000), &json!(500), &json!(to.account_number)),
        "{found}"
    );
    let found = awaits(&client, "AWAITS_TOP_UP", &topped_up.message_id).await?;
    ensure!(
        (&found["amount"], &found["topped_up"], &found["receiver_id"])
            == (&json!(115_000), &json!(20_000), &json!(friend)),
        "{found}"
    );
    let of_poor = format!("/members/{poor}/remittances");
    let found = listed(&client, &of_poor, &topped_up.message_id).await?;
    ensure!(found["state"] == "AWAITS_TOP_UP", "{found}");

    // What the balance has of it is gone when its top-up comes.
    awaits(&client, "AWAITS_TOP_UP", &outspent.message_id).await?;
    let spent = remit(&world, &[&remittance(spender, friend, 100_000)]).await?;
    world.await_done(Flow::Remittance, &spent, LONG).await?;

    // The bank does them, and they leave these lists for another.
    world.dial(&bank, Dial::default()).await?;
    world.await_done(Flow::Remittance, &late, LONG).await?;
    for state in ["AWAITS_BANK", "AWAITS_TOP_UP"] {
        let path = format!("/remittances?state={state}");
        for request in [&waiting, &topped_up, &unpaid, &outspent] {
            let id = &request.message_id;
            let found = listed(&client, &path, id).await?;
            ensure!(found.is_null(), "{state}: {found}");
        }
    }
    let found = awaits(&client, "COMPLETED", &topped_up.message_id).await?;
    ensure!(found["topped_up"] == 20_000, "{found}");
    for request in between.iter().chain([&paid, &waiting]) {
        let found = awaits(&client, "COMPLETED", &request.message_id).await?;
        ensure!(found["amount"] == request.amount, "{found}");
    }
    let found = awaits(&client, "REJECTED", &mismatched.message_id).await?;
    ensure!(found["reason"] == "holder_mismatch", "{found}");
    for (request, reason, topped_up) in [
        (&unpaid, "top_up_refused", 0),
        (&outspent, "insufficient_funds", 20_000),
    ] {
        is_rejected(&client, request, reason, topped_up).await?;
    }

    // The member's own, however the pages are cut; nothing of what it only received.
    let expected: BTreeSet<&str> = between
        .iter()
        .chain([&paid, &mismatched, &waiting])
        .map(|request| &*request.message_id)
        .collect();
    for limit in [1, 2, 5, 6, 7, 500] {
        let all = walked(&client, &of_sender, limit, "").await?;
        let ids: BTreeSet<&str> = all
            .iter()
            .filter_map(|it| it["remittance_id"].as_str())
            .collect();
        ensure!(ids == expected, "pages of {limit}: {all:?}");
        ensure!(all.iter().all(|it| it["sender_id"] == json!(sender)));
    }
    let received = walked(&client, &format!("/members/{friend}/remittances"), 50, "").await?;
    ensure!(received.is_empty(), "{received:?}");
    its_own_are_told_to_a_member(&client, sender, friend).await?;
    world.stop(&consumers).await?;
    world.audit_is_clean().await
}

/// A remittance that waited for its top-up and went no further is in both lists.
async fn is_rejected(
    client: &Client,
    request: &RemittanceRequest,
    reason: &str,
    topped_up: i64,
) -> anyhow::Result<()> {
    let (id, sender) = (&request.message_id, &request.sender_id);
    let of_state = listed(client, "/remittances?state=REJECTED", id).await?;
    let of_sender = listed(client, &format!("/members/{sender}/remittances"), id).await?;
    ensure!(of_state == of_sender, "{of_state} {of_sender}");
    ensure!(
        of_state["state"] == "REJECTED" && of_state["reason"] == reason,
        "{of_state}"
    );
    let (amount, fee) = (&of_state["amount"], &of_state["fee"]);
    ensure!(*amount == request.amount && *fee == 0, "{of_state}");
    ensure!(
        of_state["topped_up"] == topped_up && of_state["receiver_id"].is_string(),
        "{of_state}"
    );
    Ok(())
}

async fn its_own_are_told_to_a_member(
    client: &Client,
    sender: Uuid,
    friend: Uuid,
) -> anyhow::Result<()> {
    let path = format!("/members/{sender}/remittances");
    let status = async |role: Role, subject: &str, path: &str| {
        let request = client.request_by(role, subject, Method::GET, path);
        anyhow::Ok(request.send().await?.status().as_u16())
    };
    let all = "/remittances?state=COMPLETED";
    let own = sender.to_string();
    ensure!(status(Role::Member, &own, &path).await? == 200);
    ensure!(status(Role::Member, &friend.to_string(), &path).await? == 403);
    ensure!(status(Role::Member, &own, all).await? == 403);
    ensure!(status(Role::Operator, "kim", all).await? == 200);
    let nobody = format!("/members/{}/remittances", Uuid::now_v7());
    ensure!(status(Role::Staff, "kim", &nobody).await? == 404);
    for bad in ["/remittances", "/remittances?state=DONE"] {
        let answer = client.get(bad).await?;
        ensure!(
            answer["status"] == 400 && answer["code"] == "invalid_state",
            "{answer}"
        );
    }
    Ok(())
}
