//! Each payment moved its money once and left one slip, each cancel moved it back
//! once and left one link of a chain; a rejected one neither.

use mypay_decide::{AccountKind, EntryKind};
use mypay_schemas::Flow;

use super::entry::{Line, difference};
use crate::data::Data;
use crate::flows::{Cancel, Slip};
use crate::ledger::{Posting, Side, of_kinds};
use crate::report::Check;
use crate::rows::{Kind, Message, Status, shown};
use crate::sorted::{Cursor, find};

/// Compares payment requests with the journal and the slips.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "payments_moved_once",
        "each payment request on the topic, its postings, its slip or cancel, and the commission that its result tells",
        "GET /requests/<id>; SELECT * FROM payment.slip WHERE payment_id = '<id>'",
    );
    let of = data.flow(Flow::Payment);
    let mut messages = Cursor::new(&of.messages);
    let mut results = Cursor::new(&of.results);
    let mut postings = Cursor::new(&data.ledger.postings);
    let mut slips = Cursor::new(&data.tables.slips);
    let mut cancels = Cursor::new(&data.tables.cancels);
    for row in &of.rows {
        let occurrences = messages.of(row.id);
        let Some(message) = occurrences
            .iter()
            .find(|message| Some(message.place) == row.place)
        else {
            continue;
        };
        // What lets a payment go on makes the slip under the payment's id.
        if message.kind == Kind::Follows {
            continue;
        }
        check.compare();
        let paid = row.status == Status::Done && row.success;
        let postings = postings.of(row.id);
        let slip = slips.of(row.id).first();
        let cancel = cancels.of(row.id).first();
        let told = results.of(row.id).first().map(|result| result.extra);
        let problem = if message.kind == Kind::Cancel {
            let postings = of_kinds(postings, &[EntryKind::PaymentCancel]);
            moved_back(data, postings, cancel.filter(|_| paid))
                .or_else(|| cancel_problem(message, cancel, paid, told))
        } else {
            let postings = of_kinds(postings, &[EntryKind::Payment]);
            movement(data, message, postings, paid)
                .or_else(|| slip_problem(message, slip, paid, told))
        };
        if let Some(problem) = problem {
            check.offend_with(|| (shown(row.id), message.place.shown(Flow::Payment), problem));
        }
    }
    stray_slips(data, &mut check);
    check
}

fn movement(data: &Data, message: &Message, postings: &[Posting], paid: bool) -> Option<String> {
    let line = Line {
        kind: EntryKind::Payment,
        debit: Side::Member(message.payer),
        credit: Side::Ours(AccountKind::FranchisePayable, message.payee),
        amount: message.amount,
    };
    let lines = if paid {
        std::slice::from_ref(&line)
    } else {
        &[]
    };
    difference(&data.ledger, postings, lines)
}

fn slip_problem(
    message: &Message,
    slip: Option<&Slip>,
    paid: bool,
    told: Option<i64>,
) -> Option<String> {
    let problem = match slip {
        None if paid => "it was paid, yet has no slip",
        Some(_) if !paid => "a slip, though nothing was paid",
        Some(slip) if slip.gross != message.amount => "the slip has another amount",
        Some(slip) if (slip.member, slip.franchise) != (message.payer, message.payee) => {
            "the slip is of another member or franchise"
        }
        Some(slip) if told.is_some_and(|told| told != slip.commission) => {
            "the result tells another commission than the slip"
        }
        _ => return None,
    };
    Some(problem.to_string())
}

fn moved_back(data: &Data, postings: &[Posting], cancel: Option<&Cancel>) -> Option<String> {
    let line = cancel.map(|cancel| Line {
        kind: EntryKind::PaymentCancel,
        debit: Side::Ours(AccountKind::FranchisePayable, cancel.franchise),
        credit: Side::Back(cancel.member),
        amount: cancel.amount,
    });
    difference(&data.ledger, postings, line.as_slice())
}

fn cancel_problem(
    message: &Message,
    cancel: Option<&Cancel>,
    granted: bool,
    told: Option<i64>,
) -> Option<String> {
    let problem = match cancel {
        None if granted => "it was granted, yet no payment is cancelled",
        Some(_) if !granted => "a payment is cancelled, though the cancel was not granted",
        // An amount of 0 asks for all that is left.
        Some(cancel) if message.amount != 0 && cancel.amount != message.amount => {
            "another amount was refunded than was asked for"
        }
        Some(cancel) if (cancel.member, cancel.franchise) != (message.payer, message.payee) => {
            "the payment is of another member or franchise"
        }
        Some(cancel) if told.is_some_and(|told| told != cancel.commission_back) => {
            "the result tells another commission than was given back"
        }
        _ => return None,
    };
    Some(problem.to_string())
}

/// Slips and cancels of no request; those whose row was purged are not judged.
fn stray_slips(data: &Data, check: &mut Check) {
    let rows = &data.flow(Flow::Payment).rows;
    let tables = &data.tables;
    let slips = tables
        .slips
        .iter()
        .map(|slip| (slip.id, "a slip of no payment"));
    let cancels = tables
        .cancels
        .iter()
        .map(|cancel| (cancel.id, "a payment is cancelled by no request"));
    for (id, problem) in slips.chain(cancels) {
        let purged = mypay_schemas::identity::time_of(uuid::Uuid::from_u128(id)) < data.horizon;
        if !purged && find(rows, id).is_empty() {
            check.offend_with(|| (shown(id), String::new(), problem.to_string()));
        }
    }
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
    fn a_slip_that_is_lost_swapped_or_stray_is_found() {
        assert_eq!(offenders(|data| data.tables.slips.clear()), 1);
        assert_eq!(offenders(|data| data.tables.slips[0].gross += 1), 1);
        assert_eq!(offenders(|data| data.tables.slips[0].franchise += 1), 1);
        assert_eq!(offenders(|data| data.tables.slips[0].commission += 1), 1);
        assert_eq!(
            offenders(|data| {
                let stray = Slip {
                    id: data.tables.slips[0].id + 1,
                    ..data.tables.slips[0]
                };
                data.tables.slips.push(stray);
            }),
            1
        );
    }

    #[test]
    fn a_payment_to_another_franchise_is_found() {
        let other = |data: &mut Data| {
            for account in data.ledger.system.values_mut() {
                if account.kind == AccountKind::FranchisePayable.number() {
                    account.owner += 1;
                }
            }
        };
        assert_eq!(offenders(other), 1);
    }
}
