//! What people give up, one by one and a key at a time, and what they cannot.

use anyhow::{Context, ensure};
use mypay_schemas::Flow;
use mypay_schemas::remittance::RemittanceRequest;
use mypay_tests::World;
use mypay_tests::requests::remittance;
use uuid::Uuid;

use super::{Case, DEFECTIVE, ParkedAnswer, broken, ids, mend, parked, said};
use crate::day::LONG;

/// Who gives something up of the remittances, and why.
const WHO: [&str; 6] = [
    "--flow",
    "remittance",
    "--by",
    "kim.minji",
    "--reason",
    "never",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_lets_those_behind_it_pass() -> anyhow::Result<()> {
    let mut case = Case::begin().await?;
    let requests = case.requests(&[100, 200]);
    let (from, to) = (case.members[0], case.members[1]);
    let hopeless = remittance(from, to, DEFECTIVE);
    broken(&case.world, &format!("amount <> {DEFECTIVE}")).await?;
    let consumer = case.world.consume("remittance")?;
    case.send(&[&hopeless, &requests[0], &requests[1]]).await?;

    let release = ["dlq", "release", "--message-id", &hopeless.message_id];
    let release = [&release[..], &WHO[..]].concat();
    let released = said(&case.world, &release).await?;
    ensure!(released["next"] == requests[0].message_id.as_str());
    ensure!(released["done"] == true, "{released:#}");
    let row: (String, Option<String>, Option<i64>) = sqlx::query_as(
        r#"SELECT status::text, reason, "offset" FROM queue_log
            WHERE consumer = 'remittance' AND message_id = $1"#,
    )
    .bind(Uuid::try_parse(&hopeless.message_id)?)
    .fetch_one(&case.world.pool)
    .await?;
    ensure!(
        row == ("done".to_owned(), Some("given_up".to_owned()), None),
        "{row:?}"
    );
    let again = case.world.mypay(&release).await?;
    let complained = String::from_utf8_lossy(&again.stderr).into_owned();
    ensure!(again.status.code() == Some(1), "{complained}");
    ensure!(complained.contains("no parked message"), "{complained}");
    let given_up = ["dlq", "redrive", "--dry-run", "--message-id"];
    let given_up = [&given_up[..], &[&hopeless.message_id]].concat();
    let report = said(&case.world, &given_up).await?;
    // However it comes again, it stays given up.
    case.send(&[&hopeless]).await?;
    ensure!(report["left_out"]["given_up"] == 1, "{report:#}");

    let redrive = ["dlq", "redrive", "--message-id", &requests[1].message_id];
    let report = said(&case.world, &redrive).await?;
    ensure!(report["put_through"] == 2, "{report:#}");
    case.world.drained(Flow::Remittance, LONG).await?;
    case.world.stop(&consumer).await?;
    mend(&case.world).await?;
    let trace = said(&case.world, &["trace", &hopeless.message_id]).await?;
    let steps = trace["steps"].as_array().context("steps")?;
    ensure!(steps.iter().any(|step| step["table"] == "parked_release"));
    case.is_settled(&[&requests[0], &requests[1]]).await
}

/// All that waits under a key at once, and what comes after that is not held up.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_given_up_as_a_whole_in_its_order() -> anyhow::Result<()> {
    let mut case = Case::begin().await?;
    let (from, to) = (case.members[0], case.members[1]);
    let hopeless: Vec<RemittanceRequest> = [DEFECTIVE, 100, 200]
        .map(|won| remittance(from, to, won))
        .into();
    let hopeless: Vec<&RemittanceRequest> = hopeless.iter().collect();
    broken(&case.world, &format!("amount <> {DEFECTIVE}")).await?;
    let consumer = case.world.consume("remittance")?;
    case.send(&hopeless).await?;
    ensure!(parked(&case.world).await? == ids(&hopeless)?);

    let key = from.to_string();
    let release = [&["dlq", "release", "--key", &key][..], &WHO[..]].concat();
    let released = said(&case.world, &release).await?;
    let given_up = released["messages"].as_array().context("messages")?;
    let told: Vec<&str> = given_up
        .iter()
        .filter(|it| it["done"] == true)
        .filter_map(|it| it["message_id"].as_str())
        .collect();
    let asked: Vec<&str> = hopeless.iter().map(|it| &*it.message_id).collect();
    ensure!(told == asked, "{released:#}");
    ensure!(parked(&case.world).await?.is_empty());
    are_given_up(&case.world, &ids(&hopeless)?).await?;
    let again = case.world.mypay(&release).await?;
    let complained = String::from_utf8_lossy(&again.stderr).into_owned();
    ensure!(
        again.status.code() == Some(1) && complained.contains("nothing parked under the key"),
        "{complained}"
    );

    // However they come again, they stay given up; what is new is handled.
    case.send(&hopeless).await?;
    let requests = case.requests(&[300]);
    case.send(&[&requests[0]]).await?;
    case.world.stop(&consumer).await?;
    mend(&case.world).await?;
    case.is_settled(&[&requests[0]]).await
}

/// Each is done, for the reason that people gave it up, and who did so is kept.
async fn are_given_up(world: &World, messages: &[Uuid]) -> anyhow::Result<()> {
    let given_up: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM queue_log q
           JOIN parked_release r ON r.consumer = q.consumer AND r.message_id = q.message_id
          WHERE q.consumer = 'remittance' AND q.message_id = ANY($1) AND q.status = 'done'
            AND q.reason = 'given_up' AND r.released_by = 'kim.minji'",
    )
    .bind(messages)
    .fetch_one(&world.pool)
    .await?;
    ensure!(given_up == messages.len() as i64, "{given_up} are given up");
    Ok(())
}

/// A bank's answer that nothing else can bring: given up, its remittance would be in
/// progress for ever. It stays parked, and is put through once the defect is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_bank_s_answer_that_a_remittance_waits_for_is_not_given_up() -> anyhow::Result<()> {
    let mut case = Case::begin().await?;
    let ParkedAnswer {
        remittance: id,
        command,
        result,
        consumers,
    } = case.parked_answer().await?;

    let (result_id, key) = (result.to_string(), command.to_string());
    for which in [["--message-id", &result_id], ["--key", &key]] {
        let release = [&["dlq", "release"][..], &which[..], &WHO[..]].concat();
        let refused = case.world.mypay(&release).await?;
        let complained = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(
            refused.status.code() == Some(2)
                && complained.contains(&format!("the remittance {id} waits for it"))
                && complained.contains("mypay dlq redrive"),
            "{complained}"
        );
    }
    ensure!(parked(&case.world).await? == [result], "it stays parked");
    let status = case.world.statuses("remittance", &[id]).await?;
    ensure!(status.contains_key("processing"), "{status:?}");

    mend(&case.world).await?;
    let report = said(&case.world, &["dlq", "redrive", "--message-id", &result_id]).await?;
    ensure!(report["put_through"] == 1, "{report:#}");
    case.is_paid_out(id).await?;
    // Now nothing waits for it, nor is it parked.
    let release = [
        &["dlq", "release", "--message-id", &result_id][..],
        &WHO[..],
    ]
    .concat();
    ensure!(case.world.mypay(&release).await?.status.code() == Some(1));
    for consumer in &consumers {
        case.world.stop(consumer).await?;
    }
    let answers = case
        .world
        .results_of(Flow::Remittance, &case.results, &case.asked.ids())
        .await?;
    case.asked.are_answered_once(&answers)?;
    case.world.balances_are(&case.reckoning).await?;
    case.world.audit_is_clean_as_it_is().await
}
