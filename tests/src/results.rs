//! Result events, as far as they are the same for all flows.

use std::collections::HashSet;

use anyhow::Context;
use mypay_schemas::closing::ClosingResult;
use mypay_schemas::decoder::{DecodeError, Decoder};
use mypay_schemas::firmbanking::FirmbankingResult;
use mypay_schemas::payment::PaymentResult;
use mypay_schemas::recharge::RechargeResult;
use mypay_schemas::remittance::RemittanceResult;
use mypay_schemas::settlement::SettlementResult;
use mypay_schemas::{Flow, ResultStatus};

use crate::topic::{Offsets, Record};
use crate::world::World;

/// What every result says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its own id.
    pub message_id: String,
    /// The request's.
    pub request_id: String,
    /// The business transaction's.
    pub correlation_id: String,
    /// The outcome.
    pub status: ResultStatus,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
}

/// Decodes a payload as a flow's result, and takes what all flows' have.
macro_rules! decode {
    ($decoder:expr, $payload:expr, $record:ty) => {{
        let result: $record = $decoder.decode($payload).await?;
        Ok(Answer {
            message_id: result.message_id,
            request_id: result.request_id,
            correlation_id: result.correlation_id,
            status: result.status,
            reason: result.reason,
            occurred_at: result.occurred_at,
        })
    }};
}

async fn decode(decoder: &mut Decoder, flow: Flow, payload: &[u8]) -> Result<Answer, DecodeError> {
    match flow {
        Flow::Recharge => decode!(decoder, payload, RechargeResult),
        Flow::Remittance => decode!(decoder, payload, RemittanceResult),
        Flow::Payment => decode!(decoder, payload, PaymentResult),
        Flow::Settlement => decode!(decoder, payload, SettlementResult),
        Flow::Firmbanking => decode!(decoder, payload, FirmbankingResult),
        Flow::Closing => decode!(decoder, payload, ClosingResult),
    }
}

impl World {
    /// All results of a flow since `from`, with the records they were read from.
    pub async fn results(
        &self,
        flow: Flow,
        from: &Offsets,
    ) -> anyhow::Result<Vec<(Answer, Record)>> {
        let mut decoder = Decoder::new(&self.endpoints.registry_url);
        let mut results = Vec::new();
        for record in self.read_from(flow.result_topic(), from)? {
            let payload = record
                .payload
                .as_deref()
                .context("a result without a value")?;
            let answer = decode(&mut decoder, flow, payload)
                .await
                .context("decoding a result")?;
            results.push((answer, record));
        }
        Ok(results)
    }

    /// The results of these requests, since `from`.
    pub async fn results_of(
        &self,
        flow: Flow,
        from: &Offsets,
        requests: &HashSet<String>,
    ) -> anyhow::Result<Vec<Answer>> {
        let all = self.results(flow, from).await?;
        let answers = all.into_iter().map(|(answer, _)| answer);
        Ok(answers
            .filter(|answer| requests.contains(&answer.request_id))
            .collect())
    }
}
