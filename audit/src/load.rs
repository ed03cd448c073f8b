//! Loads what is compared, in the order that the crate's page gives.

use std::collections::HashMap;
use std::sync::Arc;

use mypay_schemas::Flow;
use sqlx::PgPool;

use crate::data::Data;
use crate::error::AuditError;
use crate::flows::{self, Tables};
use crate::kafka::{self, Isolation, Span};
use crate::ledger::{self, Ledger};
use crate::queue_log::{self, Loaded};
use crate::report::Check;
use crate::rows::Source;
use crate::snapshot::Snapshot;
use crate::topics::{self, Ends};
use crate::{Servers, balances, bank as statements, checks, interned};

/// A flow, and the offsets that its group has committed.
type Committed = (Flow, HashMap<(&'static str, i32), i64>);

/// Loads all but the banks' statements; tells how many messages were read.
pub(crate) async fn all(
    servers: &Servers,
    pool: &PgPool,
) -> Result<(Data, Vec<Check>, u64), AuditError> {
    let bootstrap = servers.bootstrap.clone();
    let before = tokio::task::spawn_blocking(move || {
        let mut before = ends_of(&bootstrap, Flow::result_topic)?;
        before.extend(ends_of_reversals(&bootstrap)?);
        Ok::<_, AuditError>(before)
    })
    .await??;
    let snapshot = Arc::new(Snapshot::take(pool).await?);
    let bootstrap = servers.bootstrap.clone();
    let (committed, ends) = tokio::task::spawn_blocking(move || {
        Ok::<_, AuditError>((all_committed(&bootstrap)?, all_ends(&bootstrap)?))
    })
    .await??;

    // Reasons are shared by all that load, so they are made before and put
    // into the data afterwards.
    let texts = Arc::new(interned::Interned::default());
    let reading = tokio::task::spawn_blocking({
        let (servers, texts) = (servers.clone(), Arc::clone(&texts));
        let runtime = tokio::runtime::Handle::current();
        move || {
            let mut data = Data::with_reasons(texts);
            topics::read(
                &servers.bootstrap,
                &servers.registry_url,
                &runtime,
                &ends,
                &mut data,
            )
            .map(|read| (data, read))
        }
    });
    let rows = tokio::spawn(rows(
        Arc::clone(&snapshot),
        servers.registry_url.clone(),
        Arc::clone(&texts),
    ));
    let money = tokio::spawn(money(Arc::clone(&snapshot), texts));
    let (reading, rows, money) = tokio::try_join!(reading, rows, money)?;
    let ((mut data, read), rows, (ledger, tables, balances)) = (reading?, rows?, money?);
    rows.put(&mut data);
    put_committed(&mut data, committed);
    (data.ledger, data.tables) = (ledger, tables);
    for span in before {
        let flow = Flow::ALL
            .into_iter()
            .find(|flow| flow.result_topic() == span.topic);
        if let Some(flow) = flow {
            data.flow_mut(flow)
                .results_before
                .insert(span.partition, span.high);
        } else if let Some(flow) = topics::came_back(span.topic) {
            data.flow_mut(flow)
                .came_back_before
                .insert(span.partition, span.high);
        }
    }
    Ok((data, balances, read))
}

/// What each flow's group has committed.
fn all_committed(bootstrap: &str) -> Result<Vec<Committed>, AuditError> {
    let consumer = kafka::consumer(bootstrap, Isolation::Uncommitted)?;
    let of = |flow| {
        let partitions = kafka::partitions(&consumer, &kafka::read_by(flow))?;
        Ok((flow, kafka::committed(bootstrap, flow, &partitions)?))
    };
    Flow::ALL.into_iter().map(of).collect()
}

/// A lane notes what it has emitted once a second; its group knows it at once.
fn put_committed(data: &mut Data, committed: Vec<Committed>) {
    for (flow, offsets) in committed {
        for ((topic, partition), offset) in offsets {
            let source = Source::of(flow, topic);
            let lane = data
                .flow_mut(flow)
                .lanes
                .entry((source, partition))
                .or_default();
            lane.emitted_offset = lane.emitted_offset.max(offset);
        }
    }
}

fn ends_of(bootstrap: &str, topic: fn(Flow) -> &'static str) -> Result<Vec<Span>, AuditError> {
    let consumer = kafka::consumer(bootstrap, Isolation::Uncommitted)?;
    kafka::spans(&consumer, &Flow::ALL.map(topic))
}

fn ends_of_reversals(bootstrap: &str) -> Result<Vec<Span>, AuditError> {
    let consumer = kafka::consumer(bootstrap, Isolation::Uncommitted)?;
    kafka::spans(&consumer, &topics::CAME_BACK.map(|(_, topic)| topic))
}

fn all_ends(bootstrap: &str) -> Result<Ends, AuditError> {
    // Dead letters before requests, so that each has its message below the ends.
    let dead_letters = ends_of(bootstrap, Flow::dead_letter_topic)?;
    let results = ends_of(bootstrap, Flow::result_topic)?;
    let requests = ends_of(bootstrap, Flow::request_topic)?;
    let reversals = ends_of_reversals(bootstrap)?;
    for spans in [&dead_letters, &results, &requests, &reversals] {
        kafka::await_decided(bootstrap, spans)?;
    }
    Ok(Ends {
        requests,
        results,
        dead_letters,
        reversals,
    })
}

async fn rows(
    snapshot: Arc<Snapshot>,
    registry_url: String,
    texts: Arc<interned::Interned>,
) -> Result<Loaded, AuditError> {
    let mut connection = snapshot.see().await?;
    queue_log::load(&mut connection, &registry_url, &texts).await
}

async fn money(
    snapshot: Arc<Snapshot>,
    texts: Arc<interned::Interned>,
) -> Result<(Ledger, Tables, Vec<Check>), AuditError> {
    let mut connection = snapshot.see().await?;
    let ledger = ledger::load(&mut connection).await?;
    let tables = flows::load(&mut connection, &texts).await?;
    let balances = balances::all(&mut connection).await?;
    Ok((ledger, tables, balances))
}

/// Asks the banks, and for lines whose command the snapshot does not have looks
/// once more: it may have been made since.
pub(crate) async fn bank(
    servers: &Servers,
    pool: &PgPool,
    data: &mut Data,
) -> Result<(), AuditError> {
    let bank = statements::load(&servers.bank_url, &data.tables.contracts, &data.reasons).await;
    let unknown = bank
        .as_ref()
        .is_ok_and(|bank| checks::has_unknown_lines(data, bank));
    data.bank = Some(bank);
    if unknown {
        let mut connection = pool.acquire().await?;
        data.later_numbers = flows::numbers(&mut connection, &data.reasons).await?;
    }
    Ok(())
}
