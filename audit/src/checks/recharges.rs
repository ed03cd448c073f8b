//! Each recharge that its bank confirmed was credited once; no other was.

use mypay_decide::EntryKind;
use mypay_schemas::Flow;

use super::entry::{Line, difference};
use crate::data::Data;
use crate::flows::{Awaited, Stage};
use crate::ledger::{Posting, Side, of_kinds};
use crate::report::Check;
use crate::rows::{Message, Row, Source, Status, shown};
use crate::sorted::Cursor;

/// Compares recharge requests with the journal.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "recharges_moved_once",
        "each recharge request on the topic, its state, and its posting: one once the bank confirmed, none else",
        "GET /requests/<id>; SELECT * FROM recharge.recharge WHERE recharge_id = '<id>'",
    );
    let of = data.flow(Flow::Recharge);
    let mut messages = Cursor::new(&of.messages);
    let mut postings = Cursor::new(&data.ledger.postings);
    let mut recharges = Cursor::new(&data.tables.recharges);
    for row in &of.rows {
        let Some(place) = row.place.filter(|place| place.source == Source::Request) else {
            continue;
        };
        let occurrences = messages.of(row.id);
        let Some(message) = occurrences.iter().find(|message| message.place == place) else {
            continue;
        };
        check.compare();
        let recharge = recharges.of(row.id).first();
        let postings = of_kinds(postings.of(row.id), &[EntryKind::Recharge]);
        let problem = problem(data, row, message, recharge, postings);
        if let Some(problem) = problem {
            check.offend_with(|| (shown(row.id), place.shown(Flow::Recharge), problem));
        }
    }
    check
}

fn problem(
    data: &Data,
    row: &Row,
    message: &Message,
    recharge: Option<&Awaited>,
    postings: &[Posting],
) -> Option<String> {
    let Some(recharge) = recharge else {
        let rejected = row.status == Status::Done && !row.success;
        return if rejected {
            difference(&data.ledger, postings, &[])
        } else {
            Some("it was accepted, yet there is no recharge".to_string())
        };
    };
    if recharge.amount != message.amount || recharge.member != message.payer {
        return Some("the recharge is of another amount or member".to_string());
    }
    let (status, credited) = match recharge.stage {
        Stage::Awaits | Stage::Carried => (row.status == Status::Processing, false),
        Stage::Completed => (row.status == Status::Done && row.success, true),
        Stage::Refused => (row.status == Status::Done && !row.success, false),
    };
    if !status {
        return Some(format!(
            "the recharge is {:?}, queue_log says otherwise",
            recharge.stage
        ));
    }
    let line = Line {
        kind: EntryKind::Recharge,
        debit: Side::cash(&data.reasons.text(recharge.bank)),
        credit: Side::Member(recharge.member),
        amount: recharge.amount,
    };
    let lines = if credited {
        std::slice::from_ref(&line)
    } else {
        &[]
    };
    difference(&data.ledger, postings, lines)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn offenders(break_it: impl Fn(&mut Data)) -> u64 {
        let mut data = sample::day();
        break_it(&mut data);
        check(&data).offenders_total
    }

    #[test]
    fn a_clean_day_has_no_offenders() {
        assert_eq!(check(&sample::day()).offenders, []);
    }

    #[test]
    fn a_recharge_that_was_not_credited_or_before_its_time_is_found() {
        let id = sample::RECHARGED;
        let lost = |data: &mut Data| data.ledger.postings.retain(|posting| posting.entry != id);
        assert_eq!(offenders(lost), 1);
        let early = |data: &mut Data| {
            data.tables.recharges[0].stage = Stage::Awaits;
            for row in &mut data.flow_mut(Flow::Recharge).rows {
                row.status = Status::Processing;
            }
        };
        assert_eq!(offenders(early), 1);
        assert_eq!(offenders(|data| data.tables.recharges[0].amount += 1), 1);
        assert_eq!(offenders(|data| data.tables.recharges.clear()), 1);
    }
}
