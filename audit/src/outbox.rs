//! What waits in the outbox, as it was at the snapshot.

use futures::TryStreamExt;
use mypay_schemas::closing::ClosingRequest;
use mypay_schemas::decoder::{DecodeError, Decoder};
use mypay_schemas::firmbanking::{FirmbankingRequest, FirmbankingResult};
use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::recharge::RechargeRequest;
use mypay_schemas::remittance::RemittanceRequest;
use mypay_schemas::reversal::{FIRMBANKING_REVERSAL, FirmbankingReversal};
use mypay_schemas::settlement::SettlementRequest;
use mypay_schemas::{Flow, Request};
use serde::de::DeserializeOwned;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::error::AuditError;

/// Requests, results and reversals that are yet to be sent.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Requests.
    pub(crate) requests: Vec<(Flow, u128)>,
    /// Requests whose result is in the outbox.
    pub(crate) results: Vec<(Flow, u128)>,
    /// Commands whose reversal is in the outbox.
    pub(crate) reversals: Vec<u128>,
}

/// Reads the outboxes of all writers.
pub(crate) async fn load(
    connection: &mut PgConnection,
    registry_url: &str,
) -> Result<Outbox, AuditError> {
    let mut decoder = Decoder::new(registry_url);
    let mut outbox = Outbox::default();
    let mut messages = sqlx::query("SELECT topic, payload FROM outbox").fetch(connection);
    while let Some(row) = messages.try_next().await? {
        let (topic, payload): (&str, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        if topic == Flow::Firmbanking.result_topic() {
            let answer = record::<FirmbankingResult>(&mut decoder, payload).await?;
            let id = answer.and_then(|answer| uuid(&answer.request_id));
            outbox.results.extend(id.map(|id| (Flow::Firmbanking, id)));
        } else if topic == FIRMBANKING_REVERSAL {
            let told = record::<FirmbankingReversal>(&mut decoder, payload).await?;
            let id = told.and_then(|told| uuid(&told.request_id));
            outbox.reversals.extend(id);
        } else if let Some(flow) = Flow::ALL
            .into_iter()
            .find(|flow| flow.request_topic() == topic)
        {
            let id = request_id(&mut decoder, flow, payload).await?;
            outbox.requests.extend(id.map(|id| (flow, id)));
        }
    }
    Ok(outbox)
}

async fn request_id(
    decoder: &mut Decoder,
    flow: Flow,
    payload: &[u8],
) -> Result<Option<u128>, AuditError> {
    match flow {
        Flow::Recharge => id_of::<RechargeRequest>(decoder, payload).await,
        Flow::Remittance => id_of::<RemittanceRequest>(decoder, payload).await,
        Flow::Payment => id_of::<PaymentRequest>(decoder, payload).await,
        Flow::Settlement => id_of::<SettlementRequest>(decoder, payload).await,
        Flow::Firmbanking => id_of::<FirmbankingRequest>(decoder, payload).await,
        Flow::Closing => id_of::<ClosingRequest>(decoder, payload).await,
    }
}

async fn id_of<R: Request + DeserializeOwned>(
    decoder: &mut Decoder,
    payload: &[u8],
) -> Result<Option<u128>, AuditError> {
    let request = record::<R>(decoder, payload).await?;
    Ok(request.and_then(|request| uuid(request.message_id())))
}

/// What cannot be decoded is nobody's; that the registry is silent is an error.
async fn record<T: DeserializeOwned>(
    decoder: &mut Decoder,
    payload: &[u8],
) -> Result<Option<T>, AuditError> {
    match decoder.decode(payload).await {
        Ok(record) => Ok(Some(record)),
        Err(DecodeError::Poison(_)) => Ok(None),
        Err(error) => Err(AuditError::registry(error)),
    }
}

fn uuid(text: &str) -> Option<u128> {
    Uuid::try_parse(text).ok().map(|id| id.as_u128())
}
