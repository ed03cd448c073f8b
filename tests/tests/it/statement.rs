//! A franchise's statement as CSV and as JSON: the same lines, and the payout's sum.

use anyhow::{Context, ensure};
use mypay_schemas::Flow;
use mypay_tests::World;
use mypay_tests::edge::Client;
use mypay_tests::requests::{cancel, payment};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::day::LONG;

const NAMES: &str = "kind,id,payment_id,order_ref,at,amount,commission,supply,vat,net";
/// Amounts that rounding splits in every way.
const GROSS: [i64; 8] = [1, 7, 999, 12_345, 10_000, 33_333, 7_777, 100_003];

/// Settles the franchise; gives the run's id.
async fn settle(world: &World, franchise: Uuid) -> anyhow::Result<String> {
    let franchise = franchise.to_string();
    let args = [
        "settle",
        "--franchise",
        &franchise,
        "--wait",
        "60",
        "--json",
    ];
    let output = world.mypay(&args).await?;
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    let told: Value = serde_json::from_slice(&output.stdout).context(complained)?;
    ensure!(told["status"] == "COMPLETED", "{told}");
    Ok(told["run_id"].as_str().context("a run")?.to_owned())
}

/// The fields of a line of CSV (RFC 4180), of which none has a line break.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    fields.push(field);
    fields
}

/// A line of JSON as CSV has it.
fn as_fields(line: &Value) -> anyhow::Result<Vec<String>> {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let won = |name: &str| line[name].as_i64().context("won").map(|it| it.to_string());
    Ok(vec![
        text("kind"),
        text("id"),
        text("payment_id"),
        text("order_ref"),
        instant(&text("at"))?,
        won("amount")?,
        won("commission")?,
        won("supply")?,
        won("vat")?,
        won("net")?,
    ])
}

/// An instant in one spelling.
fn instant(written: &str) -> anyhow::Result<String> {
    if written.is_empty() {
        return Ok(String::new());
    }
    let instant: chrono::DateTime<chrono::Utc> = written.parse()?;
    Ok(instant.to_rfc3339())
}

/// Both forms of a statement have the same lines, which add up to the payout's net.
async fn both_forms_are_one(
    client: &Client,
    franchise: Uuid,
    run: &str,
    net: i64,
    count: usize,
) -> anyhow::Result<()> {
    let path = format!("/settlements/{run}/franchises/{franchise}/statement");
    let json = client.get(&path).await?;
    let lines = json["lines"].as_array().context("lines")?;
    ensure!(lines.len() == count, "{json}");
    let request = client.request(Method::GET, &format!("{path}?format=csv"), &Value::Null);
    let answer = request.send().await?.error_for_status()?;
    let kind = answer.headers()["content-type"].to_str()?.to_owned();
    ensure!(kind == "text/csv; charset=utf-8", "{kind}");
    let csv = answer.text().await?;
    let csv = csv.strip_suffix("\r\n").context("a last line's end")?;
    let rows: Vec<&str> = csv.split("\r\n").collect();
    let [names, told @ .., total] = &rows[..] else {
        anyhow::bail!("a line of names and one of totals: {csv}");
    };
    ensure!(*names == NAMES, "{names}");
    ensure!(told.len() == lines.len(), "{csv}\n{json}");
    let mut sums = [0; 5];
    for (row, line) in told.iter().zip(lines) {
        let mut row = fields(row);
        ensure!(row.len() == 10, "{row:?}");
        row[4] = instant(&row[4])?;
        let mut expected = as_fields(line)?;
        if expected[3].starts_with(['=', '@', '-']) {
            // A spreadsheet would reckon it.
            expected[3].insert(0, '\'');
        }
        ensure!(row == expected, "{row:?}: {line}");
        for (sum, won) in sums.iter_mut().zip(&row[5..]) {
            *sum += won.parse::<i64>()?;
        }
    }
    let total = fields(total);
    let written: Vec<i64> = total[5..]
        .iter()
        .map(|won| won.parse())
        .collect::<Result<_, _>>()?;
    ensure!(written == sums, "{written:?}: {sums:?}");
    ensure!(total[1] == json["payout_id"], "{total:?}: {json}");
    let [amount, commission, supply, vat, lines_net] = sums;
    ensure!(supply + vat == commission, "{sums:?}");
    let totals = &json["totals"];
    let owed = totals["owed"].as_i64().context("owed")?;
    ensure!(amount - commission + owed == lines_net, "{sums:?} {totals}");
    for (name, won) in [
        ("amount", amount),
        ("commission", commission),
        ("supply", supply),
        ("vat", vat),
        ("net", lines_net),
    ] {
        ensure!(totals[name] == won, "{name}: {won}, {totals}");
    }
    let told = client.get(&format!("/settlements/{run}")).await?;
    let payout = &told["payouts"][0];
    ensure!(
        payout["net"] == net && lines_net == net,
        "{payout}: {sums:?}"
    );
    ensure!(payout["payout_id"] == json["payout_id"], "{payout}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_s_csv_and_json_are_the_same_lines_and_add_up_to_the_payout()
-> anyhow::Result<()> {
    let world = World::begin().await?;
    world.edge().await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let member = world.members(1, 1_000_000).await?[0];
    let franchise = world.franchise(333).await?;
    for flow in ["payment", "settlement"] {
        world.consume(flow)?;
    }
    // Orders that a spreadsheet, or a reader of CSV, would take for something else.
    let orders = [
        "2026-1", "a,\"b\"", "=1+1", "@SUM(A1)", "주문;7", "-3", "\"", "'quoted'",
    ];
    let paid: Vec<_> = GROSS
        .iter()
        .zip(orders)
        .map(|(won, order)| payment(member, franchise, order, *won))
        .collect();
    let send = async |requests: &[mypay_schemas::payment::PaymentRequest]| {
        let messages = requests
            .iter()
            .map(|request| world.message(Flow::Payment, request))
            .collect::<anyhow::Result<Vec<_>>>()?;
        world.send(messages).await?;
        world.drained(Flow::Payment, LONG).await
    };
    send(&paid).await?;
    send(&[cancel(&paid[3], 2_345), cancel(&paid[6], 0)]).await?;
    let gross: i64 = GROSS.iter().sum();
    let charged = |won: i64| won * 333 / 10_000;
    let mut commission: i64 = GROSS.iter().map(|won| charged(*won)).sum();
    commission -= charged(12_345) - charged(10_000) + charged(7_777);
    let first = gross - 2_345 - 7_777 - commission;
    let run = settle(&world, franchise).await?;
    // It has no account: the net is owed, and a line of the next statement.
    both_forms_are_one(&client, franchise, &run, first, 10).await?;

    // A cancel of what was settled, and the rest of one that was cancelled in part.
    send(&[cancel(&paid[7], 100_003), cancel(&paid[3], 0)]).await?;
    let back = 100_003 - charged(100_003) + 10_000 - charged(10_000);
    let run = settle(&world, franchise).await?;
    both_forms_are_one(&client, franchise, &run, first - back, 3).await?;
    world.audit_is_clean().await
}
