//! Each closing paid out what was left, once, and a rejected one nothing.

use mypay_decide::{AccountKind, EntryKind};
use mypay_schemas::Flow;
use mypay_schemas::identity::derive;
use uuid::Uuid;

use super::entry::{IN_TRANSIT, Line, difference};
use crate::data::Data;
use crate::flows::{Closing, Stage};
use crate::ledger::{Posting, Side, of_kinds};
use crate::report::Check;
use crate::rows::{Message, ResultEvent, Row, Source, Status, shown};
use crate::sorted::{Cursor, find};

/// Compares closing requests with the closings, the journal and their results.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "closings_paid_out_once",
        "each closing request on the topic, and its postings: what was left to in transit, and what the bank's answer made of it; the amount that its result tells",
        "GET /requests/<id>; SELECT * FROM membership.closing WHERE closing_id = '<id>'",
    );
    let of = data.flow(Flow::Closing);
    let mut messages = Cursor::new(&of.messages);
    let mut results = Cursor::new(&of.results);
    let mut postings = Cursor::new(&data.ledger.postings);
    let mut closings = Cursor::new(&data.tables.closings);
    for row in &of.rows {
        let Some(place) = row.place.filter(|place| place.source == Source::Request) else {
            continue;
        };
        let occurrences = messages.of(row.id);
        let Some(message) = occurrences.iter().find(|message| message.place == place) else {
            continue;
        };
        check.compare();
        let result = results.of(row.id).first();
        let moved = of_kinds(postings.of(row.id), &[EntryKind::Closing]);
        let problem = match closings.of(row.id).first() {
            Some(closing) => {
                of_closing(data, row, message, closing, moved).or_else(|| told(closing, result))
            }
            None if row.status != Status::Done || row.success => {
                Some("it was taken up, yet there is no closing".to_string())
            }
            None => difference(&data.ledger, moved, &[]),
        };
        if let Some(problem) = problem {
            check.offend_with(|| (shown(row.id), place.shown(Flow::Closing), problem));
        }
    }
    check
}

fn of_closing(
    data: &Data,
    row: &Row,
    message: &Message,
    closing: &Closing,
    moved: &[Posting],
) -> Option<String> {
    if closing.member != message.payer {
        return Some("another member was closed".to_string());
    }
    let fits = match closing.stage {
        Stage::Awaits | Stage::Carried => row.status == Status::Processing,
        Stage::Completed => row.status == Status::Done && row.success,
        Stage::Refused => row.status == Status::Done && !row.success,
    };
    if !fits {
        return Some(format!(
            "it is {:?}, queue_log says otherwise",
            closing.stage
        ));
    }
    let line = (closing.amount > 0).then(|| Line {
        kind: EntryKind::Closing,
        debit: from(closing),
        credit: IN_TRANSIT,
        amount: closing.amount,
    });
    difference(&data.ledger, moved, line.as_slice())
        .or_else(|| answer(data, closing).map(|problem| format!("the bank's answer: {problem}")))
}

/// Whose money it was.
fn from(closing: &Closing) -> Side {
    if closing.unclaimed {
        kept(closing)
    } else {
        Side::Member(closing.member)
    }
}

fn kept(closing: &Closing) -> Side {
    Side::Ours(AccountKind::Unclaimed, closing.member)
}

/// Compares what the bank's answer made of what was paid out: it left us, or it is
/// the member's again, with what came back meanwhile.
fn answer(data: &Data, closing: &Closing) -> Option<String> {
    let entry = derive(Uuid::from_u128(closing.payout), "bank answered").as_u128();
    let found = match closing.amount {
        0 => &[],
        _ => find(&data.ledger.postings, entry),
    };
    let mut lines = Vec::new();
    match closing.stage {
        _ if closing.amount == 0 => {}
        Stage::Awaits | Stage::Carried => {}
        Stage::Completed => lines.push(Line {
            kind: EntryKind::TransitConfirmed,
            debit: IN_TRANSIT,
            credit: Side::cash(&data.reasons.text(closing.bank)),
            amount: closing.amount,
        }),
        Stage::Refused => {
            let kind = EntryKind::TransitRefused;
            lines.push(Line {
                kind,
                debit: IN_TRANSIT,
                credit: from(closing),
                amount: closing.amount,
            });
            if let (Some(second), false) = (found.get(1), closing.unclaimed) {
                lines.push(Line {
                    kind,
                    debit: kept(closing),
                    credit: from(closing),
                    amount: second.amount,
                });
            }
        }
    }
    difference(&data.ledger, found, &lines)
}

fn told(closing: &Closing, result: Option<&ResultEvent>) -> Option<String> {
    let paid = match closing.stage {
        Stage::Completed => closing.amount,
        _ => 0,
    };
    let told = result?.extra;
    (told != paid).then(|| format!("the result tells {told} won, and {paid} were paid out"))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::rows::{Kind, Place};

    const CLOSING: u128 = sample::REMITTED + 0x7000;
    const MEMBER: u128 = 77;

    /// The day, on which a member with 6,000 won has left, or was refused by its bank.
    fn day(stage: Stage) -> Data {
        let mut data = sample::day();
        let place = Place {
            source: Source::Request,
            partition: 0,
            offset: 0,
        };
        let message = Message {
            id: CLOSING,
            content: 0,
            payer: MEMBER,
            payee: 0,
            amount: 0,
            at: data.now,
            place,
            bytes: 0,
            kind: Kind::Plain,
        };
        let done = stage == Stage::Completed;
        let row = Row {
            id: CLOSING,
            content: 0,
            processed_at: data.now,
            place: Some(place),
            reason: 0,
            status: Status::Done,
            success: done,
        };
        let transit = data.ledger.postings.iter();
        let transit = transit
            .clone()
            .find(|it| it.kind == EntryKind::TransitConfirmed as i16);
        let (transit, cash) = transit.map(|it| (it.debit, it.credit)).unwrap();
        let payout = derive(Uuid::from_u128(CLOSING), "closing payout").as_u128();
        let answered = derive(Uuid::from_u128(payout), "bank answered").as_u128();
        let (kind, credit) = match stage {
            Stage::Completed => (EntryKind::TransitConfirmed, cash),
            _ => (EntryKind::TransitRefused, MEMBER),
        };
        for (entry, kind, debit, credit) in [
            (CLOSING, EntryKind::Closing, MEMBER, transit),
            (answered, kind, transit, credit),
        ] {
            data.ledger.postings.push(Posting {
                entry,
                debit,
                credit,
                amount: 6_000,
                kind: kind as i16,
                line: 0,
            });
        }
        data.ledger.postings.sort_by_key(Posting::order);
        data.tables.closings.push(Closing {
            id: CLOSING,
            payout,
            member: MEMBER,
            amount: 6_000,
            unclaimed: false,
            bank: data.reasons.code("004"),
            command: 1,
            stage,
        });
        let of = data.flow_mut(Flow::Closing);
        of.messages.push(message);
        of.rows.push(row);
        of.results.push(ResultEvent {
            request: CLOSING,
            message_id: 1,
            extra: if done { 6_000 } else { 0 },
            offset: 0,
            partition: 0,
            reason: 0,
            completed: done,
            topped_up: 0,
        });
        data
    }

    fn offenders(stage: Stage, break_it: impl Fn(&mut Data)) -> u64 {
        let mut data = day(stage);
        break_it(&mut data);
        check(&data).offenders_total
    }

    #[test]
    fn a_closing_that_paid_out_or_gave_back_what_was_left_does_not_offend() {
        for stage in [Stage::Completed, Stage::Refused] {
            assert_eq!(check(&day(stage)).offenders, []);
            assert_eq!(check(&day(stage)).compared, 1);
        }
    }

    #[test]
    fn a_closing_that_paid_out_twice_or_not_or_another_amount_is_found() {
        for stage in [Stage::Completed, Stage::Refused] {
            let posting = |data: &Data| {
                let of = data.ledger.postings.iter();
                of.clone().position(|it| it.entry == CLOSING).unwrap()
            };
            let twice = |data: &mut Data| {
                let mut again = data.ledger.postings[posting(data)];
                again.line = 1;
                data.ledger.postings.push(again);
                data.ledger.postings.sort_by_key(Posting::order);
            };
            assert_eq!(offenders(stage, twice), 1);
            let never = |data: &mut Data| {
                data.ledger.postings.remove(posting(data));
            };
            assert_eq!(offenders(stage, never), 1);
            assert_eq!(
                offenders(stage, |data| data.tables.closings[0].amount += 1),
                1
            );
            assert_eq!(
                offenders(stage, |data| data.tables.closings[0].member += 1),
                1
            );
            assert_eq!(offenders(stage, |data| data.tables.closings.clear()), 1);
            let told = |data: &mut Data| data.flow_mut(Flow::Closing).results[0].extra += 1;
            assert_eq!(offenders(stage, told), 1);
        }
    }
}
