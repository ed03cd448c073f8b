//! Each handled request has one result.

use mypay_schemas::Flow;
use mypay_schemas::identity::derive;
use uuid::Uuid;

use crate::claimable::REFUSALS;
use crate::data::{Data, FlowData};
use crate::interned::Code;
use crate::report::Check;
use crate::rows::{ResultEvent, Row, Source, Status, shown};
use crate::sorted::{Cursor, find};

/// Clocks of brokers and database may differ by this much, in milliseconds.
pub(super) const CLOCKS: i64 = 60_000;

/// Rejections that leave no row.
pub(super) fn refusals(data: &Data) -> [Code; 3] {
    REFUSALS.map(|reason| data.reasons.code(reason))
}

/// Compares done requests with the result topics: none missing, none twice.
pub(super) fn done_have_one(data: &Data) -> Check {
    let mut check = Check::new(
        "done_requests_have_one_result",
        "each request that queue_log has as done, and its results on the topic (read_committed)",
        "GET /requests/<id>; the consumer's log around its processed_timestamp",
    );
    let refusals = refusals(data);
    let (mut under_way, mut given_up) = (0u64, 0u64);
    for flow in Flow::ALL {
        let of = data.flow(flow);
        let mut results = Cursor::new(&of.results);
        for row in of.rows.iter().filter(|row| is_request(flow, row)) {
            let found = results
                .of(row.id)
                .iter()
                .filter(|result| !is_refusal(&refusals, result));
            let count = found.clone().count();
            match count {
                0 if row.status != Status::Done => {}
                0 if data.is_given_up(of, row) => given_up += 1,
                0 if !is_due(data, flow, of, row) => under_way += 1,
                0 => {
                    check.compare();
                    offend(&mut check, flow, row, || "done, but no result".to_string());
                }
                1 => check.compare(),
                _ => {
                    check.compare();
                    offend(&mut check, flow, row, || {
                        format!("{count} results: {}", shown_places(found))
                    });
                }
            }
        }
        same_message_id_twice(flow, of, &refusals, &mut check);
    }
    if given_up > 0 {
        check.note(format!(
            "{given_up} requests that people have given up, and that have no result"
        ));
    }
    if under_way > 0 {
        check.note(format!(
            "{under_way} results that are on their way, or older than the topic"
        ));
    }
    check
}

fn is_request(flow: Flow, row: &Row) -> bool {
    // What a flow has handled of others' results has no result of its own; nor
    // has what lets a payment go on, for it ends the payment.
    let of_others = [Source::Bank, Source::Reversal, Source::TopUp];
    let continues = flow == Flow::Payment && Uuid::from_u128(row.id).get_version_num() == 8;
    !continues
        && row
            .place
            .is_none_or(|place| !of_others.contains(&place.source))
}

pub(super) fn is_refusal(refusals: &[Code; 3], result: &ResultEvent) -> bool {
    !result.completed && refusals.contains(&result.reason)
}

/// Whether the result of a done request must be on the topic by now: whether
/// what told of it was in Kafka before the snapshot.
pub(super) fn is_due(data: &Data, flow: Flow, of: &FlowData, row: &Row) -> bool {
    if of.results_floor > 0 && row.processed_at < of.results_floor + CLOCKS {
        return false;
    }
    let awaited = match flow {
        Flow::Recharge => find(&data.tables.recharges, row.id).first(),
        Flow::Remittance => find(&data.tables.remittances, row.id).first(),
        _ => None,
    };
    if let Some(awaited) = awaited {
        // Told by the lane that handled the bank's answer.
        let answer = derive(Uuid::from_u128(awaited.command), "result").as_u128();
        let answer = find(&of.rows, answer).first();
        return answer
            .and_then(|row| row.place)
            .is_none_or(|place| of.emitted(&place));
    }
    if let Some(top_up) = data.tables.top_up_of(flow, row.id) {
        let ended = super::top_ups::ended_by(of, top_up);
        return ended
            .and_then(|row| row.place)
            .is_none_or(|place| of.emitted(&place));
    }
    if flow == Flow::Firmbanking && !find(&data.tables.commands, row.id).is_empty() {
        // Told by the bank's worker, through the outbox.
        return of.outbox_results.binary_search(&row.id).is_err();
    }
    row.place.is_some_and(|place| of.emitted(&place))
}

fn same_message_id_twice(flow: Flow, of: &FlowData, refusals: &[Code; 3], check: &mut Check) {
    let claimed = of
        .results
        .iter()
        .filter(|result| !is_refusal(refusals, result));
    let mut by_id: Vec<(u128, u128)> = claimed
        .map(|result| (result.message_id, result.request))
        .collect();
    by_id.sort_unstable();
    // One request's results are counted above; here are two requests' with one id.
    for pair in by_id
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1)
    {
        check.offend_with(|| {
            let problem = format!(
                "two results have this message_id, of {} and {}",
                shown(pair[0].1),
                shown(pair[1].1)
            );
            (shown(pair[0].0), flow.result_topic().to_string(), problem)
        });
    }
}

fn shown_places<'a>(results: impl Iterator<Item = &'a ResultEvent>) -> String {
    let places: Vec<String> = results
        .take(4)
        .map(|result| format!("{}@{}", result.partition, result.offset))
        .collect();
    places.join(", ")
}

fn offend(check: &mut Check, flow: Flow, row: &Row, problem: impl FnOnce() -> String) {
    check.offend_with(|| {
        let place = row.place.map(|place| place.shown(flow)).unwrap_or_default();
        (shown(row.id), place, problem())
    });
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_lost_result_is_found() {
        let mut data = sample::day();
        assert!(done_have_one(&data).ok);
        data.flow_mut(Flow::Remittance).results.remove(0);
        let check = done_have_one(&data);
        assert_eq!(check.offenders_total, 1);
        assert_eq!(check.offenders[0].id, shown(sample::REMITTED));
    }

    #[test]
    fn a_lost_result_of_a_bank_s_answer_is_found() {
        let mut data = sample::day();
        data.flow_mut(Flow::Recharge)
            .results
            .retain(|result| result.request != sample::RECHARGED);
        assert_eq!(done_have_one(&data).offenders_total, 1);
    }

    #[test]
    fn a_result_that_is_on_its_way_is_not_missed() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Remittance);
        of.results.clear();
        of.lanes
            .values_mut()
            .for_each(|lane| lane.emitted_offset = 0);
        assert!(done_have_one(&data).ok);
    }

    #[test]
    fn what_was_given_up_has_no_result() {
        let mut data = sample::day();
        let reason = data.reasons.code(crate::data::GIVEN_UP);
        let of = data.flow_mut(Flow::Payment);
        of.results.clear();
        let row = &mut of.rows[0];
        (row.place, row.success, row.reason) = (None, false, reason);
        let id = row.id;
        of.given_up.insert(id);
        let check = done_have_one(&data);
        assert!(check.ok, "{:?}", check.offenders);
        assert!(check.notes.iter().any(|note| note.contains("given up")));
    }

    #[test]
    fn a_result_twice_is_found() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Payment);
        let twice = ResultEvent {
            offset: 77,
            ..of.results[0]
        };
        of.results.insert(1, twice);
        assert_eq!(done_have_one(&data).offenders_total, 1);
    }

    #[test]
    fn a_message_id_under_two_requests_is_found() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Remittance);
        of.results[1].message_id = of.results[0].message_id;
        assert_eq!(done_have_one(&data).offenders_total, 1);
    }
}
