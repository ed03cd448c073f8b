//! Ids that cannot be claimed: refused each time, and never in `queue_log`.

use mypay_idempotency::horizon::HORIZON_WEEKS;
use mypay_schemas::Flow;
use mypay_schemas::identity::time_of;
use uuid::Uuid;

use crate::claimable::{Claimable, REFUSALS, claimable};
use crate::data::{Data, FlowData};
use crate::report::Check;
use crate::rows::{Kind, Message, shown};
use crate::sorted::{Cursor, find, groups};

/// Compares requests whose ids carry no time, or one out of bounds, with their
/// rejections.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "refused_ids_are_rejected_each_time",
        "each request whose id cannot be claimed: a REJECTED result an occurrence, and no queue_log row",
        "GET /requests/<id>; is the client's id a UUID version 7?",
    );
    for flow in Flow::ALL {
        let of = data.flow(flow);
        for occurrences in groups(&of.timeless) {
            if !find(&of.rows, occurrences[0].id).is_empty() {
                check.offend(
                    shown(occurrences[0].id),
                    occurrences[0].place.shown(flow),
                    "its id carries no time, yet queue_log has a row",
                );
            }
            compare(data, flow, of, occurrences, &mut check);
        }
        let mut rows = Cursor::new(&of.rows);
        for occurrences in groups(&of.messages) {
            let id = occurrences[0].id;
            let refused = |message: &Message| {
                // What follows from a request is put aside, and not rejected.
                message.kind != Kind::Follows
                    && match claimable(message, data.now, data.horizon) {
                        Claimable::No | Claimable::Perhaps => true,
                        Claimable::Purged => is_too_old(message),
                        Claimable::Yes => false,
                    }
            };
            // One that depends on the time may have been claimed, at another time.
            if occurrences.iter().all(refused) && rows.of(id).is_empty() {
                compare(data, flow, of, occurrences, &mut check);
            }
        }
    }
    check
}

/// Whether it was older than any row can be when it was put on the topic. Of a
/// younger one the row may be gone by now, and nothing is known.
fn is_too_old(message: &Message) -> bool {
    const KEPT: i64 = HORIZON_WEEKS * 7 * 24 * 3_600_000;
    time_of(Uuid::from_u128(message.id)) < message.at - KEPT
}

fn compare(data: &Data, flow: Flow, of: &FlowData, occurrences: &[Message], check: &mut Check) {
    if of.results_floor > 0 {
        return;
    }
    let due = occurrences
        .iter()
        .filter(|message| of.emitted(&message.place))
        .count();
    if due == 0 {
        return;
    }
    check.compare();
    let results = find(&of.results, occurrences[0].id);
    let refusals = REFUSALS.map(|reason| data.reasons.code(reason));
    let rejected = results
        .iter()
        .filter(|result| !result.completed && refusals.contains(&result.reason))
        .count();
    let problem = if rejected < results.len() {
        Some("it has a result that does not refuse its id".to_string())
    } else if rejected < due || rejected > occurrences.len() {
        Some(format!(
            "{} occurrences, {rejected} rejections",
            occurrences.len()
        ))
    } else {
        None
    };
    if let Some(problem) = problem {
        check.offend(
            shown(occurrences[0].id),
            occurrences[0].place.shown(flow),
            problem,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_refused_id_without_its_rejection_is_found() {
        let mut data = sample::day();
        assert!(check(&data).ok && check(&data).compared == 2);
        data.flow_mut(Flow::Remittance)
            .results
            .retain(|result| result.request != sample::TIMELESS);
        assert_eq!(check(&data).offenders_total, 1);
    }

    #[test]
    fn a_refused_id_that_was_claimed_is_found() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Remittance);
        let row = crate::rows::Row {
            id: sample::TIMELESS,
            ..of.rows[0]
        };
        of.rows.push(row);
        crate::sorted::sort(&mut of.rows);
        assert_eq!(check(&data).offenders_total, 1);
    }
}
