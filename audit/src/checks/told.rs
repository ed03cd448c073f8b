//! Each result has a request behind it, and says what `queue_log` says.

use mypay_schemas::Flow;
use uuid::Uuid;

use super::results::{is_refusal, refusals};
use crate::data::{Data, FlowData};
use crate::interned::Code;
use crate::report::Check;
use crate::rows::{ResultEvent, Row, Status, shown};
use crate::sorted::{Cursor, HasId};

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
        let mut rows = Cursor::new(&of.rows);
        for result in &of.results {
            check.compare();
            let row = rows.of(result.id()).first();
            if let Some(problem) = disagreement(data, of, row, result, &refusals) {
                check.offend_with(|| {
                    let place = format!(
                        "{}-{}@{}",
                        flow.result_topic(),
                        result.partition,
                        result.offset
                    );
                    (shown(result.request), place, problem)
                });
            }
        }
    }
    check
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
    fn a_result_that_says_something_else_is_found() {
        let mut data = sample::day();
        data.flow_mut(Flow::Remittance).results[0].completed = false;
        assert_eq!(have_requests(&data).offenders_total, 1);
    }
}
