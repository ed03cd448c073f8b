//! Each remittance moved its money once, and a rejected one moved none.

use mypay_decide::EntryKind;
use mypay_schemas::Flow;
use mypay_schemas::identity::derive;
use uuid::Uuid;

use super::entry::{IN_TRANSIT, Line, REMITTANCE_FEE, difference};
use crate::data::Data;
use crate::flows::{Awaited, Stage};
use crate::ledger::{Posting, Side, of_kinds};
use crate::report::Check;
use crate::rows::{Kind, Message, ResultEvent, Row, Source, Status, shown};
use crate::sorted::{Cursor, find};

/// The steps that a remittance's own entry can be.
const KINDS: [EntryKind; 2] = [EntryKind::Remittance, EntryKind::RemittanceOut];

/// Compares remittance requests with the journal.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "remittances_moved_once",
        "each remittance request on the topic, and its postings: amount, fee, sender, receiver; for a bank account also what the bank's answer made of it",
        "GET /requests/<id>; SELECT * FROM money.posting WHERE entry_id = '<id>'",
    );
    let of = data.flow(Flow::Remittance);
    let mut messages = Cursor::new(&of.messages);
    let mut results = Cursor::new(&of.results);
    let mut postings = Cursor::new(&data.ledger.postings);
    let mut payouts = Cursor::new(&data.tables.remittances);
    for row in &of.rows {
        let Some(place) = row.place.filter(|place| place.source == Source::Request) else {
            continue;
        };
        let occurrences = messages.of(row.id);
        let Some(message) = occurrences.iter().find(|message| message.place == place) else {
            continue;
        };
        check.compare();
        let case = Case {
            row,
            message,
            result: results.of(row.id).first(),
            postings: of_kinds(postings.of(row.id), &KINDS),
            payout: payouts.of(row.id).first(),
        };
        if let Some(problem) = case.problem(data) {
            check.offend_with(|| (shown(row.id), place.shown(Flow::Remittance), problem));
        }
    }
    check
}

struct Case<'a> {
    row: &'a Row,
    message: &'a Message,
    result: Option<&'a ResultEvent>,
    postings: &'a [Posting],
    payout: Option<&'a Awaited>,
}

impl Case<'_> {
    fn problem(&self, data: &Data) -> Option<String> {
        let done = self.row.status == Status::Done;
        // Before it goes on, and where it never does, it has moved nothing.
        let waits = data
            .tables
            .top_up_of(Flow::Remittance, self.row.id)
            .is_some_and(|top_up| top_up.stage == Stage::Awaits);
        match (self.message.kind, self.payout) {
            (_, None) if waits => difference(&data.ledger, self.postings, &[]),
            (Kind::ToBank, Some(payout)) => self.of_payout(data, payout),
            (Kind::ToBank, None) if !done || self.row.success => {
                Some("it was accepted, yet there is no payout".to_string())
            }
            (_, Some(_)) => Some("a payout, though its receiver is a member".to_string()),
            (_, None) if done && self.row.success => {
                let receiver = Side::Member(self.message.payee);
                let fee = self
                    .result
                    .map_or_else(|| self.posted_fee(), |result| result.extra);
                let lines = self.lines(EntryKind::Remittance, receiver, fee);
                difference(&data.ledger, self.postings, &lines)
            }
            (_, None) => difference(&data.ledger, self.postings, &[]),
        }
    }

    /// The fee as it was posted, while no result tells it.
    fn posted_fee(&self) -> i64 {
        self.postings.get(1).map_or(0, |posting| posting.amount)
    }

    fn lines(&self, kind: EntryKind, credit: Side, fee: i64) -> Vec<Line> {
        let debit = Side::Member(self.message.payer);
        let mut lines = vec![Line {
            kind,
            debit,
            credit,
            amount: self.message.amount,
        }];
        if fee > 0 {
            lines.push(Line {
                kind,
                debit,
                credit: REMITTANCE_FEE,
                amount: fee,
            });
        }
        lines
    }

    fn of_payout(&self, data: &Data, payout: &Awaited) -> Option<String> {
        if payout.amount != self.message.amount || payout.member != self.message.payer {
            return Some("the payout is of another amount or sender".to_string());
        }
        let status = match payout.stage {
            Stage::Awaits | Stage::Carried => self.row.status == Status::Processing,
            Stage::Completed => self.row.status == Status::Done && self.row.success,
            Stage::Refused => self.row.status == Status::Done && !self.row.success,
        };
        if !status {
            return Some(format!(
                "the payout is {:?}, queue_log says otherwise",
                payout.stage
            ));
        }
        let lines = self.lines(EntryKind::RemittanceOut, IN_TRANSIT, payout.fee);
        difference(&data.ledger, self.postings, &lines)
            .or_else(|| answer(data, payout).map(|problem| format!("the bank's answer: {problem}")))
    }
}

/// Compares what the bank's answer made of a payout: exactly one of confirmed
/// and refused, and nothing before.
fn answer(data: &Data, payout: &Awaited) -> Option<String> {
    let entry = derive(Uuid::from_u128(payout.id), "bank answered").as_u128();
    let found = find(&data.ledger.postings, entry);
    let member = Side::Member(payout.member);
    let amount = payout.amount;
    let lines = match payout.stage {
        Stage::Awaits | Stage::Carried => vec![],
        Stage::Completed => {
            let credit = Side::cash(&data.reasons.text(payout.bank));
            vec![Line {
                kind: EntryKind::TransitConfirmed,
                debit: IN_TRANSIT,
                credit,
                amount,
            }]
        }
        Stage::Refused => {
            let kind = EntryKind::TransitRefused;
            let mut lines = vec![Line {
                kind,
                debit: IN_TRANSIT,
                credit: member,
                amount,
            }];
            if payout.fee > 0 {
                let (debit, amount) = (REMITTANCE_FEE, payout.fee);
                lines.push(Line {
                    kind,
                    debit,
                    credit: member,
                    amount,
                });
            }
            lines
        }
    };
    difference(&data.ledger, found, &lines)
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

    fn posting(data: &mut Data, entry: u128) -> &mut Posting {
        data.ledger
            .postings
            .iter_mut()
            .find(|posting| posting.entry == entry)
            .unwrap()
    }

    #[test]
    fn a_clean_day_has_no_offenders() {
        let data = sample::day();
        assert_eq!(check(&data).offenders, []);
        assert_eq!(check(&data).compared, 4);
    }

    #[test]
    fn a_movement_that_is_lost_doubled_or_wrong_is_found() {
        let id = sample::REMITTED;
        let lost = |data: &mut Data| data.ledger.postings.retain(|posting| posting.entry != id);
        assert_eq!(offenders(lost), 1);
        let doubled = |data: &mut Data| {
            let twice = Posting {
                line: 1,
                ..*posting(data, id)
            };
            let place = data
                .ledger
                .postings
                .iter()
                .position(|posting| posting.entry == id);
            data.ledger.postings.insert(place.unwrap() + 1, twice);
        };
        assert_eq!(offenders(doubled), 1);
        assert_eq!(offenders(|data| posting(data, id).amount += 1), 1);
        assert_eq!(
            offenders(|data| {
                let posting = posting(data, id);
                (posting.debit, posting.credit) = (posting.credit, posting.debit);
            }),
            1
        );
    }

    #[test]
    fn money_of_a_rejected_remittance_is_found() {
        let moved = |data: &mut Data| {
            let stray = Posting {
                entry: sample::REJECTED,
                ..*posting(data, sample::REMITTED)
            };
            data.ledger.postings.push(stray);
            data.ledger.postings.sort_by_key(Posting::order);
        };
        assert_eq!(offenders(moved), 1);
    }

    #[test]
    fn a_payout_without_the_bank_s_entry_is_found() {
        let entry = derive(Uuid::from_u128(sample::PAID_OUT), "bank answered").as_u128();
        assert_eq!(
            offenders(|data| data
                .ledger
                .postings
                .retain(|posting| posting.entry != entry)),
            1
        );
        assert_eq!(
            offenders(|data| posting(data, entry).kind = EntryKind::TransitRefused as i16),
            1
        );
    }
}
