//! Reads dead-letter topics.

use mypay_schemas::Flow;

use super::letter::Letter;
use crate::decoding::Decoding;
use crate::error::AuditError;
use crate::kafka::{self, Isolation};
use crate::{Servers, read};

/// All dead letters of a flow, or of all flows, the oldest first.
pub(super) async fn letters(
    servers: &Servers,
    flow: Option<Flow>,
) -> Result<Vec<Letter>, AuditError> {
    let servers = servers.clone();
    let flows = flow.map_or_else(|| Flow::ALL.to_vec(), |flow| vec![flow]);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || blocking(&servers, &runtime, &flows)).await?
}

fn blocking(
    servers: &Servers,
    runtime: &tokio::runtime::Handle,
    flows: &[Flow],
) -> Result<Vec<Letter>, AuditError> {
    let consumer = kafka::consumer(&servers.bootstrap, Isolation::Uncommitted)?;
    let topics: Vec<&'static str> = flows.iter().map(|it| it.dead_letter_topic()).collect();
    let spans = kafka::spans(&consumer, &topics)?;
    kafka::await_decided(&servers.bootstrap, &spans)?;
    let shares = read::in_parallel(
        read::shares(&spans),
        || Decoding::new(&servers.registry_url, runtime),
        |decoding, share| {
            let topic = share.0.first().map_or("", |span| span.topic);
            let flow = flows.iter().find(|it| it.dead_letter_topic() == topic);
            let (mut letters, mut strangers) = (Vec::new(), 0_u64);
            read::each(&servers.bootstrap, share, |record| {
                let letter = match flow {
                    Some(flow) => Letter::read(decoding, *flow, record)?,
                    None => None,
                };
                strangers += u64::from(letter.is_none());
                letters.extend(letter);
                Ok(())
            })?;
            if strangers > 0 {
                tracing::warn!(topic, strangers, "records that are no dead letters of ours");
            }
            Ok(letters)
        },
    )?;
    let mut letters: Vec<Letter> = shares.into_iter().flatten().collect();
    letters.sort_by_key(|letter| (letter.at, letter.place));
    Ok(letters)
}
