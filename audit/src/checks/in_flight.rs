//! What is under way, and whether something stands behind all that is.

use mypay_schemas::Flow;
use mypay_schemas::firmbanking::id_of_command;
use mypay_schemas::identity::derive;
use uuid::Uuid;

use super::requests::awaits_a_redrive;
use crate::data::{Data, FlowData};
use crate::flows::{Payout, Stage, State};
use crate::report::Check;
use crate::rows::{Place, Row, Source, Status, shown};
use crate::sorted::find;

/// How many requests that wait for their bank are named.
const NAMED: usize = 20;

/// Lists what is in flight; a request that is in progress with nothing behind
/// it will never end, and offends.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "nothing_in_flight",
        "what is not handled yet, and for each request in progress, and each payout that waits, the bank command or message that will end it",
        "mypay bank cases; is `mypay consume all` running?",
    );
    let mut awaiting = Vec::new();
    for flow in Flow::ALL {
        let of = data.flow(flow);
        note_unhandled(flow, of, &mut check);
        for row in of
            .rows
            .iter()
            .filter(|row| row.status == Status::Processing)
        {
            check.compare();
            match behind(data, flow, of, row) {
                Some(what) => awaiting.push(format!("{flow} {}: {what}", shown(row.id))),
                None => check.offend_with(|| {
                    let place = row.place.map(|place| place.shown(flow)).unwrap_or_default();
                    let problem = "in progress, and nothing is under way that would end it";
                    (shown(row.id), place, problem.to_string())
                }),
            }
        }
    }
    let payouts = data.tables.payouts.iter();
    for payout in payouts.filter(|payout| payout.stage == Stage::Awaits) {
        check.compare();
        match behind_payout(data, payout) {
            Some(what) => awaiting.push(format!("payout {}: {what}", shown(payout.id))),
            None => check.offend_with(|| {
                let run = format!("run {}", shown(payout.run));
                let problem = "a payout waits, and nothing is under way that would end it";
                (shown(payout.id), run, problem.to_string())
            }),
        }
    }
    if !awaiting.is_empty() {
        check.note(format!("{} requests in progress", awaiting.len()));
        check.notes.extend(awaiting.into_iter().take(NAMED));
    }
    check
}

fn note_unhandled(flow: Flow, of: &FlowData, check: &mut Check) {
    let unhandled = of
        .messages
        .iter()
        .filter(|message| !of.handled(&message.place))
        .count();
    let waiting = of
        .rows
        .iter()
        .filter(|row| row.status == Status::Waiting)
        .count();
    for (count, what) in [
        (unhandled, "messages not handled yet"),
        (waiting, "requests that wait"),
        (of.outbox_requests.len(), "requests in the outbox"),
        (of.outbox_results.len(), "results in the outbox"),
    ] {
        if count > 0 {
            check.note(format!("{flow}: {count} {what}"));
        }
    }
}

/// What will end a request that is in progress.
fn behind(data: &Data, flow: Flow, of: &FlowData, row: &Row) -> Option<String> {
    if flow == Flow::Firmbanking {
        return at_the_bank(data, row.id);
    }
    if let Some(top_up) = data.tables.top_up_of(flow, row.id)
        && top_up.stage == Stage::Awaits
    {
        return super::top_ups::behind(data, of, row, top_up);
    }
    let command = id_of_command(flow.name(), Uuid::from_u128(row.id)).as_u128();
    if let Some(at_the_bank) = at_the_bank(data, command) {
        return Some(at_the_bank);
    }
    if !asked_by(data, flow, of, row).is_some_and(|place| of.emitted(&place)) {
        return Some("the command is being sent".to_string());
    }
    on_its_way(data, of, command)
}

/// What will end a payout of a settlement that waits for its bank. Its run is done,
/// so no request in progress tells of it.
fn behind_payout(data: &Data, payout: &Payout) -> Option<String> {
    if let Some(at_the_bank) = at_the_bank(data, payout.command) {
        return Some(at_the_bank);
    }
    let (of, bank) = (data.flow(Flow::Settlement), data.flow(Flow::Firmbanking));
    let run = find(&of.rows, payout.run).first().and_then(|row| row.place);
    let unsent = bank.outbox_requests.binary_search(&payout.command).is_ok()
        || run.is_some_and(|place| !of.emitted(&place));
    if unsent {
        return Some("the command is being sent".to_string());
    }
    on_its_way(data, of, payout.command)
}

/// Where a command or its answer lies, once it was sent.
fn on_its_way(data: &Data, of: &FlowData, command: u128) -> Option<String> {
    let bank = data.flow(Flow::Firmbanking);
    // The command is on its way to the firmbanking consumer ...
    let asked = find(&bank.messages, command);
    if asked.iter().any(|message| !bank.handled(&message.place)) {
        return Some("the command waits for the firmbanking consumer".to_string());
    }
    // ... or its answer on the way back.
    let refused_at = find(&bank.rows, command).first().and_then(|row| row.place);
    let answer = derive(Uuid::from_u128(command), "result").as_u128();
    let answered = find(&of.messages, answer);
    let unsent = bank.outbox_results.binary_search(&command).is_ok()
        || refused_at.is_some_and(|place| !bank.emitted(&place));
    let unread = answered
        .iter()
        .any(|message| message.place.source == Source::Bank && !of.handled(&message.place));
    if unsent || unread {
        return Some("the bank's answer is on its way back".to_string());
    }
    let awaits = awaits_a_redrive(data, of, answered);
    awaits.then(|| "the bank's answer awaits a redrive (mypay dlq)".to_string())
}

/// Where the message lies that asked for a command: the request, or the result of
/// the recharge that topped it up.
fn asked_by(data: &Data, flow: Flow, of: &FlowData, row: &Row) -> Option<Place> {
    match data.tables.top_up_of(flow, row.id) {
        Some(top_up) => super::top_ups::ended_by(of, top_up)?.place,
        None => row.place,
    }
}

fn at_the_bank(data: &Data, command: u128) -> Option<String> {
    let state = find(&data.tables.commands, command).first()?.state;
    match state {
        State::Live => Some(format!("the bank has yet to answer for {}", shown(command))),
        State::Manual => Some(format!("an operator must decide on {}", shown(command))),
        State::Done | State::Refused => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_request_that_waits_for_its_bank_is_listed_and_does_not_offend() {
        let check = check(&sample::day());
        assert!(check.ok, "{:?}", check.offenders);
        assert_eq!(check.compared, 2);
        assert!(
            check
                .notes
                .iter()
                .any(|note| note.contains(&shown(sample::AWAITING)))
        );
    }

    #[test]
    fn a_request_in_progress_with_nothing_behind_it_is_found() {
        let mut data = sample::day();
        data.tables
            .commands
            .retain(|command| command.state != State::Live);
        let check = check(&data);
        // The remittance, and the firmbanking request that it made.
        assert_eq!(check.offenders_total, 2);
    }

    #[test]
    fn a_payout_that_waits_with_nothing_behind_it_is_found() {
        let mut data = sample::day();
        data.tables.payouts[0].stage = Stage::Awaits;
        let command = data.tables.payouts[0].command;
        data.tables.commands.retain(|known| known.id != command);
        assert_eq!(check(&data).offenders_total, 1);
        let bank = data.flow_mut(Flow::Firmbanking);
        bank.outbox_requests.push(command);
        bank.outbox_requests.sort_unstable();
        let check = check(&data);
        assert!(check.ok, "{:?}", check.offenders);
    }

    #[test]
    fn an_answer_on_its_way_back_stands_behind_a_request() {
        let mut data = sample::day();
        let command = id_of_command("remittance", Uuid::from_u128(sample::AWAITING)).as_u128();
        for known in data
            .tables
            .commands
            .iter_mut()
            .filter(|known| known.id == command)
        {
            known.state = State::Done;
        }
        let bank = data.flow_mut(Flow::Firmbanking);
        bank.rows
            .iter_mut()
            .for_each(|row| row.status = Status::Done);
        assert_eq!(super::check(&data).offenders_total, 1);
        data.flow_mut(Flow::Firmbanking)
            .outbox_results
            .push(command);
        assert!(super::check(&data).ok);
    }

    #[test]
    fn an_answer_that_no_redrive_brings_back_does_not_stand_behind_a_request() {
        let mut data = sample::day();
        let command = id_of_command("remittance", Uuid::from_u128(sample::AWAITING)).as_u128();
        for known in &mut data.tables.commands {
            if known.id == command {
                known.state = State::Done;
            }
        }
        let bank = data.flow_mut(Flow::Firmbanking);
        bank.rows
            .iter_mut()
            .for_each(|row| row.status = Status::Done);
        let [defect, past] = ["defect", "past_horizon"].map(|it| data.reasons.code(it));
        let of = data.flow_mut(Flow::Remittance);
        let mut answer = of.messages[0];
        answer.id = derive(Uuid::from_u128(command), "result").as_u128();
        answer.payee = command;
        answer.kind = crate::rows::Kind::Follows;
        for (offset, reason) in [(50, defect), (51, past)] {
            answer.place = Place {
                source: Source::Bank,
                partition: 0,
                offset,
            };
            let of = data.flow_mut(Flow::Remittance);
            of.messages.push(answer);
            of.messages
                .sort_by_key(|message| (message.id, message.place));
            of.dead_letters.push(crate::rows::DeadLetter {
                place: answer.place,
                bytes: answer.bytes,
                reason,
                offset: 9,
            });
            of.dead_letters.sort_by_key(|letter| letter.place);
            let found = super::check(&data).offenders_total;
            assert_eq!(found, u64::from(reason == past));
        }
    }
}
