//! Nothing stands in the journal that no message brought about.

use mypay_decide::{AccountKind, EntryKind};
use mypay_schemas::Flow;
use mypay_schemas::identity::{derive, time_of};
use uuid::Uuid;

use crate::data::Data;
use crate::flows::Stage;
use crate::ledger::Posting;
use crate::report::Check;
use crate::rows::{Row, Source, shown};
use crate::sorted::find;

/// Looks for the cause of each journal entry.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "journal_entries_have_causes",
        "each journal entry, and the request, bank's answer, command or opening that it belongs to",
        "SELECT * FROM money.posting WHERE entry_id = '<id>'",
    );
    let answers = answers(data);
    let commands = commands(data);
    let reversals = super::reversals::entries(data);
    let postings = &data.ledger.postings;
    for entry in postings.chunk_by(|a, b| (a.entry, a.kind) == (b.entry, b.kind)) {
        check.compare();
        let first = entry[0];
        let reversal = first.kind == EntryKind::Reversal as i16;
        let reversed = reversal && reversals.binary_search(&first.entry).is_ok();
        if !reversed && !has_cause(data, &first, &answers, &commands) {
            check.offend_with(|| {
                let sum: i64 = entry.iter().map(|posting| posting.amount).sum();
                let kind = first.kind;
                let problem = format!("no message stands behind it (kind {kind}, {sum} won)");
                (shown(first.entry), String::new(), problem)
            });
        }
    }
    check
}

/// The entries that the banks' answers made, sorted.
fn answers(data: &Data) -> Vec<u128> {
    let tables = &data.tables;
    let remittances = tables
        .remittances
        .iter()
        .map(|payout| (payout.id, payout.stage));
    let settlements = tables
        .payouts
        .iter()
        .map(|payout| (payout.id, payout.stage));
    let closings = tables
        .closings
        .iter()
        .filter(|closing| closing.amount > 0)
        .map(|closing| (closing.payout, closing.stage));
    let mut entries: Vec<u128> = remittances
        .chain(settlements)
        .chain(closings)
        .filter(|(_, stage)| matches!(stage, Stage::Completed | Stage::Refused))
        .map(|(id, _)| derive(Uuid::from_u128(id), "bank answered").as_u128())
        .collect();
    entries.sort_unstable();
    entries
}

/// The entries that commands to banks made, sorted.
fn commands(data: &Data) -> Vec<u128> {
    let mut entries: Vec<u128> = data
        .tables
        .commands
        .iter()
        .flat_map(|command| {
            let id = Uuid::from_u128(command.id);
            [derive(id, "fee"), derive(id, "transfer")]
        })
        .map(|id| id.as_u128())
        .collect();
    entries.sort_unstable();
    entries
}

fn has_cause(data: &Data, posting: &Posting, answers: &[u128], commands: &[u128]) -> bool {
    let entry = posting.entry;
    let of_request = |flow: Flow| {
        let row: Option<&Row> = find(&data.flow(flow).rows, entry).first();
        let request = row.is_some_and(|row| {
            row.place
                .is_some_and(|place| place.source == Source::Request)
        });
        // queue_log forgets, the journal does not.
        request || time_of(Uuid::from_u128(entry)) < data.horizon
    };
    let is = |kind: EntryKind| posting.kind == kind as i16;
    if is(EntryKind::Recharge) {
        of_request(Flow::Recharge)
    } else if is(EntryKind::Remittance) || is(EntryKind::RemittanceOut) {
        of_request(Flow::Remittance)
    } else if is(EntryKind::Payment) || is(EntryKind::PaymentCancel) {
        of_request(Flow::Payment)
    } else if is(EntryKind::Closing) {
        of_request(Flow::Closing)
    } else if is(EntryKind::TransitConfirmed) || is(EntryKind::TransitRefused) {
        answers.binary_search(&entry).is_ok()
    } else if is(EntryKind::Settlement) {
        !find(&data.tables.payouts, entry).is_empty()
    } else if is(EntryKind::FirmbankingFee) || is(EntryKind::Transfer) {
        commands.binary_search(&entry).is_ok()
    } else {
        is(EntryKind::Opening) && opens_an_account(data, posting)
    }
}

/// What a corporate account held when it was opened is our capital.
fn opens_an_account(data: &Data, posting: &Posting) -> bool {
    let kind = |account| data.ledger.system.get(&account).map(|account| account.kind);
    kind(posting.debit) == Some(AccountKind::CorporateCash.number())
        && kind(posting.credit) == Some(AccountKind::Capital.number())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn offenders(break_it: impl Fn(&mut Data)) -> u64 {
        let mut data = sample::day();
        break_it(&mut data);
        data.ledger.postings.sort_by_key(Posting::order);
        check(&data).offenders_total
    }

    #[test]
    fn a_clean_day_has_no_offenders() {
        assert_eq!(check(&sample::day()).offenders, []);
    }

    #[test]
    fn an_entry_that_nothing_brought_about_is_found_whatever_its_kind() {
        for kind in (1..=12).chain([EntryKind::Reversal as i16]) {
            let stray = |data: &mut Data| {
                let entry = sample::REMITTED + 0xffff;
                data.ledger.postings.push(Posting {
                    entry,
                    kind,
                    ..data.ledger.postings[0]
                });
            };
            assert_eq!(offenders(stray), 1, "{kind}");
        }
    }
}
