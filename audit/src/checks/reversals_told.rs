//! What banks have undone is told, and by each flow once.

use std::str::FromStr;

use mypay_schemas::Flow;
use mypay_schemas::reversal::reversal_id;
use uuid::Uuid;

use super::results::CLOCKS;
use crate::at::At;
use crate::data::{Data, FlowData};
use crate::flows::{Command, Reversal};
use crate::report::Check;
use crate::rows::{ReversalEvent, shown};
use crate::sorted::find;
use crate::topics::CAME_BACK;

/// Compares `banking.reversal` with the events on the reversal topics, both ways.
///
/// On `my.firmbanking.reversal` an event may lie several times, or be a stranger's:
/// the flows that read it believe the row and not the message. So there each reversal
/// must have one, and no event is suspected.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "reversals_are_told_once",
        "each reversal of a bank, its event, and the one event of the flow that had paid out; and each flow's event, and its reversal",
        "SELECT * FROM banking.reversal WHERE firmbanking_id = '<id>'; mypay trace <id>",
    );
    let mut on_their_way = 0;
    for reversal in &data.tables.reversals {
        check.compare();
        let problem = match untold(data, reversal) {
            None => of_flow(data, reversal, &mut on_their_way),
            problem => problem,
        };
        if let Some(problem) = problem {
            check.offend_with(|| (shown(reversal.id), String::new(), problem));
        }
    }
    strangers(data, &mut check);
    if on_their_way > 0 {
        check.note(format!(
            "{on_their_way} reversals that their flows have yet to tell of"
        ));
    }
    check
}

/// The id that the event must have of something that came back.
fn event_id(origin: u128) -> u128 {
    reversal_id(Uuid::from_u128(origin)).as_u128()
}

fn events(of: &FlowData, origin: u128) -> impl Iterator<Item = &ReversalEvent> {
    let id = event_id(origin);
    let events = find(&of.came_back, origin).iter();
    events.filter(move |event| event.message_id == id)
}

/// Whether an event of what was heard of then may be gone from the topic.
fn may_be_gone(of: &FlowData, reversal: &Reversal) -> bool {
    of.came_back_floor > 0 && reversal.recorded_at < of.came_back_floor + CLOCKS
}

fn untold(data: &Data, reversal: &Reversal) -> Option<String> {
    let bank = data.flow(Flow::Firmbanking);
    let told = events(bank, reversal.id).any(|event| event.amount == reversal.amount);
    let waits = bank.outbox_reversals.binary_search(&reversal.id).is_ok();
    let untold = !told && !waits && !may_be_gone(bank, reversal);
    untold.then(|| "no event tells of it".to_string())
}

fn of_flow(data: &Data, reversal: &Reversal, on_their_way: &mut u64) -> Option<String> {
    let command = find(&data.tables.commands, reversal.id).first()?;
    let flow = flow_of(data, command)?;
    let of = data.flow(flow);
    let events: Vec<&ReversalEvent> = events(of, command.origin).collect();
    match events[..] {
        [event] if event.amount == reversal.amount => None,
        [event] => Some(format!("{flow} tells that {} won came back", event.amount)),
        [] if is_due(data, of, reversal, command) => {
            Some(format!("{flow} has posted it, and tells nobody"))
        }
        [] => {
            *on_their_way += 1;
            None
        }
        _ => Some(format!("{flow} tells of it {} times", events.len())),
    }
}

/// The flow that had paid out; `None` of a direct command.
fn flow_of(data: &Data, command: &Command) -> Option<Flow> {
    let flow = Flow::from_str(&data.reasons.text(command.purpose)).ok()?;
    let tells = CAME_BACK.iter().any(|(tells, _)| *tells == flow);
    (tells && flow != Flow::Firmbanking).then_some(flow)
}

/// Whether a flow's event must be on the topic by now: whether the lane that posted
/// the reversal had sent it before the snapshot.
fn is_due(data: &Data, of: &FlowData, reversal: &Reversal, command: &Command) -> bool {
    let heard = find(&of.rows, event_id(reversal.id)).first();
    data.tables.came_back.contains(&command.origin)
        && !may_be_gone(of, reversal)
        && heard
            .and_then(|row| row.place)
            .is_some_and(|place| of.emitted(&place))
}

/// Events of flows without a reversal behind them.
fn strangers(data: &Data, check: &mut Check) {
    for (flow, topic) in CAME_BACK
        .into_iter()
        .filter(|(flow, _)| *flow != Flow::Firmbanking)
    {
        let of = data.flow(flow);
        for (place, problem) in &of.strange {
            if place.starts_with(topic) {
                check.offend(place, "", problem);
            }
        }
        for event in &of.came_back {
            // Younger ones tell of what the snapshot cannot have.
            let old = of.came_back_before.get(&event.partition);
            let old = old.is_some_and(|end| event.offset < *end);
            let problem = if event.message_id != event_id(event.origin) {
                "it has not the id of what it tells"
            } else if old && !data.tables.came_back.contains(&event.origin) {
                "it tells that this came back, and nothing has"
            } else {
                continue;
            };
            check.offend_with(|| {
                let at = At {
                    topic,
                    partition: event.partition,
                    offset: event.offset,
                };
                (shown(event.origin), at.to_string(), problem.to_string())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::rows::{Place, Row, Source};

    /// The remittance that was paid out has come back, and its flow has told so.
    fn day() -> Data {
        let mut data = sample::day();
        let of = |it: &&Command| it.origin == sample::PAID_OUT;
        let command = *data.tables.commands.iter().find(of).unwrap();
        data.tables.reversals.push(Reversal {
            id: command.id,
            bank: command.from_bank,
            amount: command.amount,
            undo: 0,
            recorded_at: data.now,
        });
        data.tables.came_back.insert(command.origin);
        for (flow, origin) in [
            (Flow::Firmbanking, command.id),
            (Flow::Remittance, command.origin),
        ] {
            let event = ReversalEvent {
                origin,
                message_id: event_id(origin),
                amount: command.amount,
                partition: 0,
                offset: 7,
            };
            let of = data.flow_mut(flow);
            of.came_back.push(event);
            of.came_back_before.insert(0, 8);
            of.lanes
                .insert((Source::Reversal, 0), *of.lanes.values().next().unwrap());
        }
        let of = data.flow_mut(Flow::Remittance);
        let row = Row {
            id: event_id(command.id),
            place: Some(Place {
                source: Source::Reversal,
                partition: 0,
                offset: 7,
            }),
            ..of.rows[0]
        };
        of.rows.push(row);
        crate::sorted::sort(&mut of.rows);
        data
    }

    fn offenders(break_it: impl Fn(&mut Data)) -> u64 {
        let mut data = day();
        break_it(&mut data);
        check(&data).offenders_total
    }

    fn events_of(data: &mut Data, flow: Flow) -> &mut Vec<ReversalEvent> {
        &mut data.flow_mut(flow).came_back
    }

    #[test]
    fn a_reversal_that_was_told_once_has_no_offenders() {
        let told = check(&day());
        assert_eq!((told.offenders, told.compared), (vec![], 1));
        assert!(check(&sample::day()).ok);
    }

    #[test]
    fn a_reversal_that_is_not_told_or_twice_or_wrongly_is_found() {
        for flow in [Flow::Firmbanking, Flow::Remittance] {
            assert_eq!(offenders(|data| events_of(data, flow).clear()), 1);
            assert_eq!(
                offenders(|data| events_of(data, flow)[0].amount += 1),
                1,
                "{flow}"
            );
        }
        let twice = |data: &mut Data, flow| {
            let events = events_of(data, flow);
            events.push(ReversalEvent {
                offset: 6,
                ..events[0]
            });
        };
        assert_eq!(offenders(|data| twice(data, Flow::Remittance)), 1);
        // Anybody may put a bank's event through again.
        assert_eq!(offenders(|data| twice(data, Flow::Firmbanking)), 0);
    }

    #[test]
    fn an_event_without_a_reversal_is_found_unless_it_is_younger_than_the_snapshot() {
        let forget = |data: &mut Data| {
            data.tables.reversals.clear();
            data.tables.came_back.clear();
        };
        assert_eq!(offenders(forget), 1);
        assert_eq!(
            offenders(|data| {
                forget(data);
                data.flow_mut(Flow::Remittance).came_back_before.clear();
            }),
            0
        );
        // Its own reversal then has none, and it is none of that.
        assert_eq!(
            offenders(|data| events_of(data, Flow::Remittance)[0].message_id ^= 1),
            2
        );
    }

    #[test]
    fn what_is_on_its_way_or_older_than_the_topic_is_not_missed() {
        assert_eq!(
            offenders(|data| {
                let id = data.tables.reversals[0].id;
                data.flow_mut(Flow::Firmbanking).came_back.clear();
                data.flow_mut(Flow::Firmbanking).outbox_reversals.push(id);
            }),
            0
        );
        let unsent = |data: &mut Data| {
            let of = data.flow_mut(Flow::Remittance);
            of.came_back.clear();
            for lane in of.lanes.values_mut() {
                lane.emitted_offset = 7;
            }
        };
        assert_eq!(offenders(unsent), 0);
        let mut data = day();
        unsent(&mut data);
        assert_eq!(check(&data).notes.len(), 1);
        assert_eq!(
            offenders(|data| {
                let floor = data.now;
                for flow in [Flow::Firmbanking, Flow::Remittance] {
                    let of = data.flow_mut(flow);
                    of.came_back.clear();
                    of.came_back_floor = floor;
                }
            }),
            0
        );
    }
}
