//! Each result has a request behind it, and says what `queue_log` says.

use std::collections::HashMap;

use mypay_schemas::Flow;
use uuid::Uuid;

use super::results::{is_refusal, refusals};
use crate::at::At;
use crate::data::{Data, FlowData};
use crate::interned::Code;
use crate::report::Check;
use crate::rows::{Repeated, ResultEvent, Row, Status, shown};
use crate::sorted::{Cursor, HasId, find};

/// Compares results with `queue_log`: each has a request behind it, and says of
/// it what its row says.
pub(super) fn have_requests(data: &Data) -> Check {
    let mut check = Check::new(
        "results_say_what_queue_log_says",
        "each result, and the row of its request in queue_log: status and reason",
        "GET /requests/<request_id>",
    );
    let refusals = refusals(data);
    for flow in Flow::ALL {
        let of = data.flow(flow);
        for (place, problem) in &of.strange {
            if place.starts_with(flow.result_topic()) {
                check.offend(place, "", problem);
            }
        }
        repeated(data, flow, &refusals, &mut check);
        let mut rows = Cursor::new(&of.rows);
        for result in &of.results {
            check.compare();
            let row = rows.of(result.id()).first();
            if let Some(problem) = disagreement(data, of, row, result, &refusals) {
                offend(&mut check, flow, result, problem);
            }
        }
    }
    check
}

/// A result that says it repeats another must say just that; and what `queue_log`
/// says, for the other may be gone from the topic.
fn repeated(data: &Data, flow: Flow, refusals: &[Code; 3], check: &mut Check) {
    let of = data.flow(flow);
    // One that was put through twice repeats the first time.
    let others: HashMap<(i32, i64), &ResultEvent> = of
        .repeated
        .iter()
        .map(|Repeated { event, .. }| ((event.partition, event.offset), event))
        .collect();
    for Repeated { event, of: offset } in &of.repeated {
        check.compare();
        let place = (event.partition, *offset);
        let first = find(&of.results, event.request)
            .iter()
            .find(|result| (result.partition, result.offset) == place)
            .or_else(|| others.get(&place).copied());
        let same = match first {
            Some(first) => {
                *first
                    == ResultEvent {
                        offset: *offset,
                        ..*event
                    }
            }
            // It may be older than the topic reaches.
            None => of
                .results_low
                .get(&event.partition)
                .is_some_and(|low| offset < low),
        };
        let problem = if same {
            let row = find(&of.rows, event.request).first();
            disagreement(data, of, row, event, refusals)
        } else {
            Some(format!(
                "it says that it repeats offset {offset}, and does not"
            ))
        };
        if let Some(problem) = problem {
            offend(check, flow, event, problem);
        }
    }
}

fn offend(check: &mut Check, flow: Flow, result: &ResultEvent, problem: String) {
    check.offend_with(|| {
        let at = At {
            topic: flow.result_topic(),
            partition: result.partition,
            offset: result.offset,
        };
        (shown(result.request), at.to_string(), problem)
    });
}

fn disagreement(
    data: &Data,
    of: &FlowData,
    row: Option<&Row>,
    result: &ResultEvent,
    refusals: &[Code; 3],
) -> Option<String> {
    let status = if result.completed {
        "COMPLETED"
    } else {
        "REJECTED"
    };
    // Before the snapshot began: what it tells of was committed by then.
    let old = of
        .results_before
        .get(&result.partition)
        .is_some_and(|end| result.offset < *end);
    match row {
        // A refused id has no row; its own check compares it.
        _ if is_refusal(refusals, result) => None,
        None => {
            let purged =
                mypay_schemas::identity::time_of(Uuid::from_u128(result.request)) < data.horizon;
            (old && !purged)
                .then(|| format!("a result ({status}), but queue_log knows no such request"))
        }
        Some(row) if row.status != Status::Done => {
            old.then(|| format!("a result ({status}), but its request is not done"))
        }
        Some(row) if row.success != result.completed || row.reason != result.reason => {
            let ours = if row.success { "success" } else { "failure" };
            let (theirs, reason) = (
                data.reasons.text(result.reason),
                data.reasons.text(row.reason),
            );
            Some(format!(
                "the result says {status} ({theirs}), queue_log {ours} ({reason})"
            ))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_result_without_a_request_is_found_unless_it_is_younger_than_the_snapshot() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Payment);
        of.rows.clear();
        assert_eq!(have_requests(&data).offenders_total, 1);
        data.flow_mut(Flow::Payment).results_before.clear();
        assert!(have_requests(&data).ok);
    }

    #[test]
    fn a_result_that_was_put_through_again_says_what_the_first_one_says() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Payment);
        let event = ResultEvent {
            offset: 77,
            ..of.results[0]
        };
        let of_offset = of.results[0].offset;
        of.repeated = vec![Repeated {
            event,
            of: of_offset,
        }];
        assert!(have_requests(&data).ok);
        let of = data.flow_mut(Flow::Payment);
        of.repeated[0].event.completed ^= true;
        assert_eq!(have_requests(&data).offenders_total, 1);
        let of = data.flow_mut(Flow::Payment);
        of.repeated[0] = Repeated { event, of: 70 };
        assert_eq!(have_requests(&data).offenders_total, 1);
    }

    #[test]
    fn a_result_that_repeats_one_that_is_gone_says_what_queue_log_says() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Payment);
        let event = ResultEvent {
            offset: 77,
            ..of.results[0]
        };
        of.results.clear();
        of.repeated = vec![Repeated { event, of: 70 }];
        // The topic has lost some, but nothing at that offset.
        of.results_floor = 1;
        of.results_low.insert(0, 70);
        assert_eq!(have_requests(&data).offenders_total, 1);
        data.flow_mut(Flow::Payment).results_low.insert(0, 71);
        assert!(have_requests(&data).ok);
        let of = data.flow_mut(Flow::Payment);
        of.repeated[0].event.completed ^= true;
        assert_eq!(have_requests(&data).offenders_total, 1);
    }

    #[test]
    fn a_result_that_says_something_else_is_found() {
        let mut data = sample::day();
        data.flow_mut(Flow::Remittance).results[0].completed = false;
        assert_eq!(have_requests(&data).offenders_total, 1);
    }
}
