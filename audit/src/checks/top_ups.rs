//! A remittance or payment that was topped up waits for its own recharge, goes on
//! once, and says what was recharged.

use mypay_schemas::Flow;
use mypay_schemas::identity::{derive, time_of};
use mypay_schemas::payment::id_of_continuation;
use uuid::Uuid;

use crate::data::{Data, FlowData};
use crate::flows::{Awaited, Stage, TopUp};
use crate::report::Check;
use crate::rows::{Row, Status, shown};
use crate::sorted::{Cursor, find};

/// Compares what waits for top-ups with its recharges, and what was recharged on
/// the way with what results say.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "top_ups_recharged_once",
        "each remittance and payment that recharged first what it lacked: its recharge, of the same amount and member; and each recharge of ours, and what its result says was topped up",
        "SELECT * FROM remittance.top_up WHERE recharge_id = '<id>'; GET /requests/<id>",
    );
    for top_up in &data.tables.top_ups {
        check.compare();
        if let Some(problem) = problem(data, top_up) {
            let origin = format!("{} {}", top_up.flow, shown(top_up.origin));
            check.offend_with(|| (shown(top_up.recharge), origin, problem));
        }
    }
    let ours = data
        .tables
        .recharges
        .iter()
        .filter(|recharge| Uuid::from_u128(recharge.id).get_version_num() == 8);
    for recharge in ours {
        if find(&data.tables.top_ups, recharge.id).is_empty() {
            check.offend_with(|| {
                let problem = "recharged under an id of ours, and nothing waits for it";
                (shown(recharge.id), String::new(), problem.to_string())
            });
        }
    }
    told(data, &mut check);
    check
}

fn problem(data: &Data, top_up: &TopUp) -> Option<String> {
    let of = data.flow(top_up.flow);
    let recharge = find(&data.tables.recharges, top_up.recharge).first();
    if let Some(recharge) = recharge
        && (recharge.amount, recharge.member) != (top_up.amount, top_up.member)
    {
        return Some("the recharge is of another amount or member".to_string());
    }
    let recharged = find(&data.flow(Flow::Recharge).rows, top_up.recharge).first();
    let forgotten = time_of(Uuid::from_u128(top_up.origin)) < data.horizon;
    let Some(row) = find(&of.rows, top_up.origin).first() else {
        return (!forgotten).then(|| "queue_log knows no such request".to_string());
    };
    let asked = find(&of.messages, top_up.origin)
        .iter()
        .find(|message| Some(message.place) == row.place);
    if let Some(asked) = asked {
        // A payment takes its amount; a remittance its fee, too.
        let lacks = top_up.flow == Flow::Payment && top_up.needed != asked.amount;
        if lacks || top_up.needed < asked.amount || top_up.member != asked.payer {
            return Some("it was topped up for another amount or member".to_string());
        }
    }
    let fits = match top_up.stage {
        Stage::Awaits | Stage::Carried => row.status == Status::Processing,
        Stage::Completed => is_done(recharge, recharged, forgotten),
        Stage::Refused => {
            let refused = recharged.is_some_and(|row| row.status == Status::Done && !row.success);
            (refused || forgotten) && row.status == Status::Done && !row.success
        }
    };
    (!fits).then(|| {
        format!(
            "it is {:?}, its recharge or queue_log says otherwise",
            top_up.stage
        )
    })
}

fn is_done(recharge: Option<&Awaited>, row: Option<&Row>, forgotten: bool) -> bool {
    recharge.is_some_and(|recharge| recharge.stage == Stage::Completed)
        && (forgotten || row.is_some_and(|row| row.status == Status::Done && row.success))
}

/// Compares what results say was recharged with what was.
fn told(data: &Data, check: &mut Check) {
    for flow in [Flow::Remittance, Flow::Payment] {
        let of = data.flow(flow);
        let mut rows = Cursor::new(&of.rows);
        for result in &of.results {
            let done = rows
                .of(result.request)
                .first()
                .is_some_and(|row| row.status == Status::Done);
            let recharged = data
                .tables
                .top_up_of(flow, result.request)
                .map_or(0, |top_up| match top_up.stage {
                    Stage::Completed => top_up.amount,
                    _ => 0,
                });
            // A result that is younger than the snapshot is judged by the next audit.
            if done && result.topped_up != recharged {
                let place = format!(
                    "{}-{}@{}",
                    flow.result_topic(),
                    result.partition,
                    result.offset
                );
                check.offend_with(|| {
                    let told = result.topped_up;
                    let problem =
                        format!("the result tells of {told} won topped up, not {recharged}");
                    (shown(result.request), place, problem)
                });
            }
        }
    }
}

/// The row of what ended a request that waited for a top-up, or let it go on to
/// its bank: the recharge's result, or the payment's continuation.
pub(super) fn ended_by<'a>(of: &'a FlowData, top_up: &TopUp) -> Option<&'a Row> {
    let told = match (top_up.flow, top_up.stage) {
        (Flow::Payment, Stage::Completed) => continuation(top_up),
        _ => told_by(top_up),
    };
    find(&of.rows, told).first()
}

/// What will end a request that waits for its top-up.
pub(super) fn behind(data: &Data, of: &FlowData, row: &Row, top_up: &TopUp) -> Option<String> {
    let recharge = data.flow(Flow::Recharge);
    let is_unread = |of: &FlowData, id: u128| {
        find(&of.messages, id)
            .iter()
            .any(|message| !of.handled(&message.place))
    };
    let Some(recharged) = find(&recharge.rows, top_up.recharge).first() else {
        if !row.place.is_some_and(|place| of.emitted(&place)) {
            return Some("its top-up is being asked for".to_string());
        }
        return is_unread(recharge, top_up.recharge)
            .then(|| "its top-up waits for the recharge consumer".to_string());
    };
    if recharged.status != Status::Done {
        return Some(format!(
            "its top-up {} is in progress",
            shown(top_up.recharge)
        ));
    }
    let Some(told) = find(&of.rows, told_by(top_up)).first() else {
        let unsent = !super::results::is_due(data, Flow::Recharge, recharge, recharged);
        return (unsent || is_unread(of, told_by(top_up)))
            .then(|| "the result of its top-up is on its way".to_string());
    };
    let unsent = !told.place.is_some_and(|place| of.emitted(&place));
    let goes_on = top_up.flow == Flow::Payment && (unsent || is_unread(of, continuation(top_up)));
    goes_on.then(|| "it is topped up, and about to go on".to_string())
}

fn told_by(top_up: &TopUp) -> u128 {
    derive(Uuid::from_u128(top_up.recharge), "result").as_u128()
}

fn continuation(top_up: &TopUp) -> u128 {
    id_of_continuation(Uuid::from_u128(top_up.origin)).as_u128()
}

#[cfg(test)]
mod tests {
    use mypay_schemas::recharge::id_of_top_up;

    use super::super::sample;
    use super::*;

    const AMOUNT: i64 = 10_000;

    fn recharge() -> u128 {
        id_of_top_up(Flow::Remittance, Uuid::from_u128(sample::REMITTED)).as_u128()
    }

    /// The sample's day, whose first remittance was topped up.
    fn day() -> Data {
        let mut data = sample::day();
        let recharge = recharge();
        let made = Awaited {
            id: recharge,
            amount: AMOUNT,
            ..data.tables.recharges[0]
        };
        let row = Row {
            id: recharge,
            ..data.flow(Flow::Recharge).rows[0]
        };
        data.tables.top_ups.push(TopUp {
            recharge,
            flow: Flow::Remittance,
            origin: sample::REMITTED,
            member: made.member,
            needed: 1_000,
            amount: AMOUNT,
            stage: Stage::Completed,
        });
        data.tables.recharges.push(made);
        crate::sorted::sort(&mut data.tables.recharges);
        let of = data.flow_mut(Flow::Recharge);
        of.rows.push(row);
        crate::sorted::sort(&mut of.rows);
        result(&mut data).topped_up = AMOUNT;
        data
    }

    fn result(data: &mut Data) -> &mut crate::rows::ResultEvent {
        let of = data.flow_mut(Flow::Remittance);
        of.results
            .iter_mut()
            .find(|result| result.request == sample::REMITTED)
            .unwrap()
    }

    fn offenders(break_it: impl Fn(&mut Data)) -> u64 {
        let mut data = day();
        break_it(&mut data);
        check(&data).offenders_total
    }

    #[test]
    fn a_remittance_that_was_topped_up_is_clean() {
        let check = check(&day());
        assert_eq!((check.offenders, check.compared), (vec![], 1));
    }

    #[test]
    fn a_top_up_without_its_recharge_is_found_and_the_other_way_round() {
        let made = |data: &mut Data, change: fn(&mut Awaited)| {
            let id = recharge();
            change(
                data.tables
                    .recharges
                    .iter_mut()
                    .find(|it| it.id == id)
                    .unwrap(),
            );
        };
        assert_eq!(offenders(|data| made(data, |it| it.amount += 1)), 1);
        assert_eq!(offenders(|data| made(data, |it| it.member += 1)), 1);
        assert_eq!(
            offenders(|data| made(data, |it| it.stage = Stage::Refused)),
            1
        );
        assert_eq!(
            offenders(|data| made(data, |it| it.stage = Stage::Awaits)),
            1
        );
        assert_eq!(
            offenders(|data| data.tables.recharges.retain(|it| it.id != recharge())),
            1
        );
        // Nothing waits for it; and the result tells of a top-up that nobody made.
        assert_eq!(offenders(|data| data.tables.top_ups.clear()), 2);
    }

    #[test]
    fn a_top_up_in_another_stage_than_its_request_is_found() {
        // Refused, while the remittance is done; waiting likewise.
        for stage in [Stage::Refused, Stage::Awaits] {
            assert_eq!(
                offenders(|data| {
                    data.tables.top_ups[0].stage = stage;
                    result(data).topped_up = 0;
                }),
                1
            );
        }
    }

    #[test]
    fn a_top_up_for_another_amount_or_member_is_found() {
        assert_eq!(offenders(|data| data.tables.top_ups[0].needed = 999), 1);
        let payer = |data: &mut Data| {
            for message in &mut data.flow_mut(Flow::Remittance).messages {
                message.payer += 1;
            }
        };
        assert_eq!(offenders(payer), 1);
    }

    #[test]
    fn a_result_that_tells_another_top_up_is_found() {
        assert_eq!(offenders(|data| result(data).topped_up = 0), 1);
        assert_eq!(offenders(|data| result(data).topped_up += 1), 1);
    }

    #[test]
    fn each_step_of_a_waiting_request_has_something_behind_it() {
        let behind_it = |break_it: fn(&mut Data)| {
            let mut data = day();
            data.tables.top_ups[0].stage = Stage::Awaits;
            break_it(&mut data);
            let of = data.flow(Flow::Remittance);
            let row = find(&of.rows, sample::REMITTED)[0];
            behind(&data, of, &row, &data.tables.top_ups[0])
        };
        // The recharge is done, and its result due and not there: nothing comes.
        assert_eq!(behind_it(|_| ()), None);
        let unmade = |data: &mut Data| {
            data.flow_mut(Flow::Recharge)
                .rows
                .retain(|row| row.id != recharge());
        };
        assert_eq!(behind_it(unmade), None);
        let unsent = |data: &mut Data| {
            data.flow_mut(Flow::Recharge)
                .rows
                .retain(|row| row.id != recharge());
            data.flow_mut(Flow::Remittance).lanes.clear();
        };
        assert!(behind_it(unsent).is_some_and(|what| what.contains("asked for")));
        let in_progress = |data: &mut Data| {
            let of = data.flow_mut(Flow::Recharge);
            for row in of.rows.iter_mut().filter(|row| row.id == recharge()) {
                row.status = Status::Processing;
            }
        };
        assert!(behind_it(in_progress).is_some_and(|what| what.contains("in progress")));
        let untold = |data: &mut Data| {
            for lane in data.flow_mut(Flow::Recharge).lanes.values_mut() {
                lane.emitted_offset = 0;
            }
        };
        assert!(behind_it(untold).is_some_and(|what| what.contains("on its way")));
    }
}
