//! Each request has one row of `queue_log`, with its content.

use mypay_schemas::Flow;
use mypay_schemas::identity::derive;
use mypay_schemas::reversal::reversal_id;
use uuid::Uuid;

use crate::claimable::{Claimable, PUT_ASIDE, WITHOUT_REQUEST, claimable};
use crate::data::{Data, FlowData};
use crate::report::Check;
use crate::rows::{Kind, Message, Row, Source, Status, shown};
use crate::sorted::{Cursor, find, groups};

/// Compares handled requests with `queue_log`.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "requests_have_one_queue_log_row",
        "each request that was handled, and its row in queue_log: there, and of the same content",
        "GET /requests/<id>; SELECT * FROM queue_log WHERE message_id = '<id>'",
    );
    for flow in Flow::ALL {
        let of = data.flow(flow);
        let mut rows = Cursor::new(&of.rows);
        for occurrences in groups(&of.messages) {
            let id = occurrences[0].id;
            let row = rows.of(id).first();
            if row.is_none() && is_ignored(data, flow, &occurrences[0]) {
                continue;
            }
            // Only the snapshot's past: what was handled after it has no row in it.
            if occurrences.iter().any(|message| of.handled(&message.place)) {
                check.compare();
                compare(data, flow, of, occurrences, row, &mut check);
            }
        }
    }
    check
}

fn compare(
    data: &Data,
    flow: Flow,
    of: &FlowData,
    occurrences: &[Message],
    row: Option<&Row>,
    check: &mut Check,
) {
    let handled = || {
        occurrences
            .iter()
            .filter(|message| of.handled(&message.place))
    };
    let Some(row) = row else {
        let claimed =
            handled().find(|message| claimable(message, data.now, data.horizon) == Claimable::Yes);
        // Parked behind a defect of ours, or written under a schema that nobody
        // knew then: the dead letter is where it is.
        if let Some(message) = claimed
            && !is_put_aside(data, of, occurrences)
        {
            check.offend_with(|| {
                let place = message.place.shown(flow);
                (
                    shown(message.id),
                    place,
                    "handled, but queue_log has no row".to_string(),
                )
            });
        }
        return;
    };
    match row.status {
        Status::Waiting => {
            let same = handled().find(|message| {
                message.content == row.content && !has_dead_letter(data, of, message)
            });
            if let Some(message) = same {
                check.offend_with(|| {
                    let place = message.place.shown(flow);
                    (
                        shown(row.id),
                        place,
                        "its offset was passed, but it still waits".to_string(),
                    )
                });
            }
        }
        Status::Processing | Status::Done => {
            let at_place = occurrences
                .iter()
                .find(|message| Some(message.place) == row.place);
            if let Some(message) = at_place
                && message.content != row.content
            {
                check.offend_with(|| {
                    let place = message.place.shown(flow);
                    (
                        shown(row.id),
                        place,
                        "queue_log has the hash of other content".to_string(),
                    )
                });
            }
        }
    }
}

/// Whether a bank's result tells its flow nothing: a command that no row of the
/// flow waits for, or an id that no genuine result has. A recharge's likewise.
fn is_ignored(data: &Data, flow: Flow, message: &Message) -> bool {
    let command = message.payee;
    if message.place.source == Source::TopUp {
        // To be claimed only by the flow whose request waits for that recharge.
        let genuine = derive(Uuid::from_u128(command), "result").as_u128() == message.id;
        let waits = find(&data.tables.top_ups, command)
            .first()
            .is_some_and(|top_up| top_up.flow == flow);
        return !genuine || !waits;
    }
    let genuine = match message.place.source {
        Source::Bank => derive(Uuid::from_u128(command), "result"),
        // Believed only with the row that says so.
        Source::Reversal if find(&data.tables.reversals, command).is_empty() => return true,
        Source::Reversal => reversal_id(Uuid::from_u128(command)),
        Source::Request | Source::TopUp | Source::Other => return false,
    };
    let genuine = genuine.as_u128() == message.id;
    let Some(origin) = find(&data.tables.commands, command)
        .first()
        .map(|it| it.origin)
    else {
        // Refused before it became one, or asked by nobody.
        return !genuine || find(&data.flow(Flow::Firmbanking).rows, command).is_empty();
    };
    let tables = &data.tables;
    let asked = match flow {
        Flow::Recharge => !find(&tables.recharges, origin).is_empty(),
        Flow::Remittance => !find(&tables.remittances, origin).is_empty(),
        _ => !find(&tables.payouts, origin).is_empty(),
    };
    !genuine || !asked
}

/// Whether a message was put aside: whether the last of its occurrences that was
/// handled has the dead letter. An earlier letter excuses nothing, for what is put
/// through again is claimed or dies again. (One that died for having other content
/// than the message says nothing of it.)
pub(super) fn is_put_aside(data: &Data, of: &FlowData, occurrences: &[Message]) -> bool {
    last_handled(data, of, occurrences).is_some_and(|message| has_dead_letter(data, of, message))
}

/// Whether a message waits for a redrive: as above, and a redrive is of use.
pub(super) fn awaits_a_redrive(data: &Data, of: &FlowData, occurrences: &[Message]) -> bool {
    last_handled(data, of, occurrences)
        .and_then(|message| reason_of_letter(data, of, message))
        .is_some_and(|reason| PUT_ASIDE.contains(&reason.as_str()))
}

/// The last occurrence that was handled; across partitions the broker's time tells.
fn last_handled<'a>(data: &Data, of: &FlowData, occurrences: &'a [Message]) -> Option<&'a Message> {
    let conflicts = |message: &Message| {
        reason_of_letter(data, of, message).is_some_and(|reason| reason == "id_conflict")
    };
    occurrences
        .iter()
        .filter(|message| of.handled(&message.place) && !conflicts(message))
        .max_by_key(|message| (message.at, message.place))
}

/// What a message died of, if it did.
fn reason_of_letter(data: &Data, of: &FlowData, message: &Message) -> Option<String> {
    let letter = of
        .dead_letters
        .binary_search_by_key(&message.place, |letter| letter.place);
    letter
        .ok()
        .map(|place| data.reasons.text(of.dead_letters[place].reason))
}

/// Whether a message was put aside for a reason that is not its own.
fn has_dead_letter(data: &Data, of: &FlowData, message: &Message) -> bool {
    let follows = message.kind == Kind::Follows;
    reason_of_letter(data, of, message).is_some_and(|reason| {
        PUT_ASIDE.contains(&reason.as_str())
            || (follows && WITHOUT_REQUEST.contains(&reason.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_handled_request_without_a_row_is_found() {
        let mut data = sample::day();
        assert!(check(&data).ok);
        data.flow_mut(Flow::Remittance).rows.remove(0);
        let check = check(&data);
        assert_eq!((check.ok, check.offenders_total), (false, 1));
        assert_eq!(check.offenders[0].id, shown(sample::REMITTED));
    }

    #[test]
    fn only_a_dead_letter_of_the_last_occurrence_excuses_a_request_without_a_row() {
        let mut data = sample::day();
        let reason = data.reasons.code("defect");
        let of = data.flow_mut(Flow::Payment);
        let id = of.rows[0].id;
        of.rows.clear();
        let first = find(&of.messages, id)[0];
        of.dead_letters = vec![sample::letter(&first, reason)];
        assert!(check(&data).ok);
        // It was put through again, and then it was lost.
        let again = sample::put_through_again(data.flow_mut(Flow::Payment), &first);
        assert_eq!(check(&data).offenders_total, 1);
        data.flow_mut(Flow::Payment)
            .dead_letters
            .push(sample::letter(&again, reason));
        assert!(check(&data).ok);
    }

    #[test]
    fn a_row_with_other_content_is_found() {
        let mut data = sample::day();
        data.flow_mut(Flow::Payment).rows[0].content ^= 1;
        assert_eq!(check(&data).offenders_total, 1);
    }

    #[test]
    fn a_request_behind_the_snapshot_is_not_judged() {
        let mut data = sample::day();
        data.flow_mut(Flow::Remittance).rows.clear();
        data.flow_mut(Flow::Remittance).lanes.clear();
        assert!(check(&data).ok);
    }

    #[test]
    fn a_forged_answer_of_a_bank_needs_no_row_and_the_genuine_one_does() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Recharge);
        let genuine = *of
            .messages
            .iter()
            .find(|message| message.place.source == Source::Bank)
            .unwrap();
        let forged = Message {
            id: genuine.id ^ 1,
            ..genuine
        };
        of.messages.push(forged);
        crate::sorted::sort(&mut of.messages);
        assert!(check(&data).ok);
        let of = data.flow_mut(Flow::Recharge);
        of.rows.retain(|row| row.id != genuine.id);
        assert_eq!(check(&data).offenders_total, 1);
    }

    #[test]
    fn a_row_that_waits_though_its_offset_was_passed_is_found() {
        let mut data = sample::day();
        let row = &mut data.flow_mut(Flow::Remittance).rows[0];
        (row.status, row.place) = (Status::Waiting, None);
        assert_eq!(check(&data).offenders_total, 1);
    }
}
