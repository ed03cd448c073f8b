//! Each row of `queue_log` has the message that it says it handled.

use mypay_schemas::Flow;

use crate::data::{Data, FlowData};
use crate::report::Check;
use crate::rows::{Message, Row, Source, Status, shown};
use crate::sorted::Cursor;

/// Compares rows with the topics, as far back as the topics keep messages.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "queue_log_rows_have_messages",
        "each row of queue_log that was handled, and the message at its topic, partition and offset",
        "SELECT * FROM queue_log WHERE message_id = '<id>'",
    );
    for flow in Flow::ALL {
        let of = data.flow(flow);
        let mut messages = Cursor::new(&of.messages);
        for row in &of.rows {
            let occurrences = messages.of(row.id);
            let problem = match row.status {
                Status::Waiting => row.place.map(|_| "it waits, yet has an offset"),
                // Given up: it was never handled.
                Status::Done if data.is_given_up(of, row) => None,
                Status::Processing | Status::Done => {
                    check.compare();
                    problem(of, row, occurrences)
                }
            };
            if let Some(problem) = problem {
                check.offend_with(|| {
                    let place = row.place.map(|place| place.shown(flow)).unwrap_or_default();
                    (shown(row.id), place, problem.to_string())
                });
            }
        }
    }
    check
}

fn problem(of: &FlowData, row: &Row, occurrences: &[Message]) -> Option<&'static str> {
    let Some(place) = row.place else {
        return Some("it was handled, yet has no offset");
    };
    if place.source == Source::Other {
        return Some("it was handled from a topic that its consumer does not read");
    }
    if !of.retained(&place) || occurrences.iter().any(|message| message.place == place) {
        return None;
    }
    Some("the topic has no such message there")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_row_of_no_message_is_found() {
        let mut data = sample::day();
        assert!(check(&data).ok, "{:?}", check(&data).offenders);
        data.flow_mut(Flow::Remittance).messages.remove(0);
        assert_eq!(check(&data).offenders_total, 1);
    }

    #[test]
    fn a_row_without_a_place_is_found_unless_its_message_was_given_up() {
        let mut data = sample::day();
        let reason = data.reasons.code(crate::data::GIVEN_UP);
        let of = data.flow_mut(Flow::Payment);
        let row = &mut of.rows[0];
        (row.place, row.success, row.reason) = (None, false, reason);
        let id = row.id;
        assert_eq!(check(&data).offenders_total, 1);
        data.flow_mut(Flow::Payment).given_up.insert(id);
        assert!(check(&data).ok);
    }

    #[test]
    fn a_row_beyond_the_end_of_its_topic_is_found() {
        let mut data = sample::day();
        let row = &mut data.flow_mut(Flow::Payment).rows[0];
        row.place = row.place.map(|place| crate::rows::Place {
            offset: 1_000_000,
            ..place
        });
        assert_eq!(check(&data).offenders_total, 1);
    }

    #[test]
    fn a_message_that_retention_deleted_is_not_missed() {
        let mut data = sample::day();
        let of = data.flow_mut(Flow::Remittance);
        of.messages
            .retain(|message| message.place.source == Source::Bank);
        of.low.insert((Source::Request, 0), 1_000);
        assert!(check(&data).ok);
    }
}
