//! `POST /banks/{bank}/transfers` and the inquiry about one.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::book::Outcome;
use super::connection::Cut;
use super::faults::Dial;
use super::http::{self, Problem, Shared};
use super::plan::{After, Before, Plan};
use super::store;
use super::transfer::TransferKey;
use super::writer::{self, Task};
use crate::account::BankAccount;
use crate::classes::{Class, Reason};
use crate::command::TransferCommand;
use crate::wire::{TransferAnswer, TransferRequest};

/// A code that no bank has.
const NO_BANKS_CODE: &str = "XX99";
/// Any answer has at least so many bytes before its body, so that a cut is always
/// within the answer.
const HEAD: u64 = 100;

pub(super) async fn transfer(
    State(state): State<Shared>,
    Path(bank): Path<String>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let start = Instant::now();
    let dial = state.dial();
    state.known_bank(&bank)?;
    let command = match read(&state, &bank, http::parse(body)?)? {
        Ok(command) => command,
        Err(refused) => return Ok((StatusCode::BAD_REQUEST, Json(refused)).into_response()),
    };
    let key = TransferKey::from(&command);
    let latency = Duration::from_millis(dial.latency_of(&bank));
    if resting(&state, &dial, &bank) {
        tokio::time::sleep_until(start + latency).await;
        let resting = Class::Refused(Reason::BankResting);
        return Ok(
            Json(state.answers.bare(&key, resting, "the bank rests".into())).into_response(),
        );
    }

    let plan = Plan::draw(&dial, &key, writer::now());
    if let Some(before) = plan.before.filter(|_| state.strike(&key)) {
        tokio::time::sleep_until(start + latency).await;
        if before == Before::Cut {
            cut.after(0);
        }
        return Err(Problem::internal("before execution"));
    }
    let outcome = state.writer.submit(Task::Execute(command, plan.wish)).await;
    let outcome = outcome.map_err(|e| Problem::internal(e.to_string()))?;
    tokio::time::sleep_until(start + latency).await;
    match outcome {
        Some(Outcome::Fresh(transfer)) => {
            let slow = slow(&state, &dial, &bank);
            Ok(spoiled(state.answers.of(&transfer), plan.after, &cut, start + slow).await)
        }
        // Faults strike a command once: the second time the bank tells the truth.
        Some(Outcome::Known(transfer)) => Ok(Json(state.answers.of(&transfer)).into_response()),
        Some(Outcome::NumberTaken) => {
            let taken = Class::Refused(Reason::NumberUsedWithOtherContent);
            let message = "the number is known with other content".to_owned();
            Ok(Json(state.answers.bare(&key, taken, message)).into_response())
        }
        None => Err(Problem::internal("no outcome")),
    }
}

pub(super) async fn inquire(
    State(state): State<Shared>,
    Path((bank, date, number)): Path<(String, String, String)>,
) -> Result<Json<TransferAnswer>, Problem> {
    state.known_bank(&bank)?;
    let key = TransferKey {
        business_date: http::date(&date)?,
        number: http::number(&number)?,
        bank_code: bank,
    };
    let found = store::transfer_by_key(&state.pool, &key).await?;
    state.latency(&key.bank_code).await;
    let now = writer::now();
    let visible = found.filter(|transfer| transfer.hidden_until.is_none_or(|until| until <= now));
    Ok(Json(match visible {
        Some(transfer) => state.answers.of(&transfer),
        None => state
            .answers
            .bare(&key, Class::NotFound, "no such transaction".to_owned()),
    }))
}

/// The command, or the bank's "format error" for one that is readable and wrong.
fn read(
    state: &Shared,
    bank: &str,
    request: TransferRequest,
) -> Result<Result<TransferCommand, TransferAnswer>, Problem> {
    // Without a date and a number there is nothing that an answer could be about.
    let business_date = http::date(&request.business_date)?;
    let number = http::number(&request.number)?;
    let account = |written: &BankAccount| {
        BankAccount::new(&written.bank_code, &written.account_number)
            .map_err(|e| Problem::bad(e.to_string()))
    };
    let command = account(&request.from).and_then(|from| {
        let command = TransferCommand {
            bank_code: bank.to_owned(),
            business_date,
            number,
            from,
            to: account(&request.to)?,
            amount: request.amount,
        };
        command.check().map_err(|e| Problem::bad(e.to_string()))?;
        Ok(command)
    });
    Ok(command.map_err(|problem| {
        let key = TransferKey {
            bank_code: bank.to_owned(),
            business_date,
            number,
        };
        let class = Class::Refused(Reason::FormatError);
        state.answers.bare(&key, class, problem.detail().to_owned())
    }))
}

fn resting(state: &Shared, dial: &Dial, bank: &str) -> bool {
    let now = writer::now();
    let window = state.table.bank(bank).map(|rules| rules.rest_window);
    let told = dial.banks.get(bank).is_some_and(|bank| bank.resting);
    told || (dial.rest_windows && window.is_some_and(|window| window.contains(now)))
}

/// Longer than the client waits.
fn slow(state: &Shared, dial: &Dial, bank: &str) -> Duration {
    let patience = state
        .table
        .bank(bank)
        .map_or(Duration::ZERO, |rules| rules.transfer_timeout);
    dial.slow_ms
        .map_or(patience + Duration::from_secs(1), Duration::from_millis)
}

/// The answer, as the fault leaves it.
async fn spoiled(
    mut answer: TransferAnswer,
    fault: Option<After>,
    cut: &Cut,
    late: Instant,
) -> Response {
    match fault {
        None => {}
        Some(After::Slow) => tokio::time::sleep_until(late).await,
        Some(After::Error) => return Problem::internal("after execution").into_response(),
        Some(After::Lost) => cut.after(0),
        Some(After::Cut(place)) => {
            let body = serde_json::to_vec(&answer).map_or(0, |body| body.len() as u64);
            cut.after((place % (HEAD + body)) as u32);
        }
        Some(After::Garbage) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            return (json, "\u{0}<html>{\"code\": 00").into_response();
        }
        Some(After::UnknownCode) => NO_BANKS_CODE.clone_into(&mut answer.code),
    }
    Json(answer).into_response()
}
