//! What waits is somewhere: in the outbox, or on the topic before its consumer.

use mypay_schemas::Flow;

use super::requests::is_put_aside;
use crate::data::Data;
use crate::report::Check;
use crate::rows::{Status, shown};
use crate::sorted::Cursor;

/// Looks for the message of each row that waits.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "waiting_requests_are_not_lost",
        "each row of queue_log that waits: its message is in the outbox, or on the topic and not yet handled, or was put aside",
        "SELECT * FROM outbox; is the edge that took it in still running?",
    );
    for flow in Flow::ALL {
        let of = data.flow(flow);
        let mut messages = Cursor::new(&of.messages);
        for row in of.rows.iter().filter(|row| row.status == Status::Waiting) {
            check.compare();
            let in_outbox = of.outbox_requests.binary_search(&row.id).is_ok();
            let occurrences = messages.of(row.id);
            let on_topic = occurrences
                .iter()
                .any(|message| !of.handled(&message.place))
                || is_put_aside(data, of, occurrences);
            if !in_outbox && !on_topic {
                check.offend_with(|| {
                    let problem =
                        "accepted, but neither in the outbox nor on the topic before its consumer";
                    (
                        shown(row.id),
                        flow.request_topic().to_string(),
                        problem.to_string(),
                    )
                });
            }
        }
    }
    check
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_request_that_waits_nowhere_is_found() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Payment);
        of.rows[0].status = Status::Waiting;
        let id = of.rows[0].id;
        assert_eq!(check(&data).offenders_total, 1);
        data.flow_mut(Flow::Payment).outbox_requests.push(id);
        assert!(check(&data).ok);
        let of = data.flow_mut(Flow::Payment);
        of.outbox_requests.clear();
        of.lanes.clear();
        assert!(check(&data).ok);
    }

    #[test]
    fn a_request_that_was_put_aside_is_not_lost() {
        let mut data = sample::day();
        let reason = data.reasons.code("parked_behind");
        let of = data.flow_mut(Flow::Payment);
        of.rows[0].status = Status::Waiting;
        let message = crate::sorted::find(&of.messages, of.rows[0].id)[0];
        of.dead_letters = vec![sample::letter(&message, reason)];
        assert!(check(&data).ok);
        // Put through again, and lost: the earlier letter excuses nothing.
        sample::put_through_again(data.flow_mut(Flow::Payment), &message);
        assert_eq!(check(&data).offenders_total, 1);
    }
}
