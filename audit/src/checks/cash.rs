//! Our corporate cash by the ledger against the banks' balances.

use mypay_bank::wire::LineKind;
use mypay_decide::AccountKind;
use mypay_decide::account::bank_owner;
use mypay_schemas::firmbanking::{
    PURPOSE_CLOSING, PURPOSE_RECHARGE, PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, PURPOSE_UNDO,
};

use super::reversals;
use super::statement::bank;
use super::statement_lines::by_number;
use crate::bank::Line;
use crate::data::Data;
use crate::flows::{Command, Stage, State};
use crate::report::Check;
use crate::sorted::find;

/// Compares the balance of each corporate account, to the won.
///
/// What the bank did and we have yet to hear of, or to post, is counted apart:
/// it is known line by line, so a difference is none that time explains.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "corporate_cash_equals_bank_balance",
        "corporate cash by the ledger, and our account's balance by the bank's own statement",
        "mypay close --date <date>",
    );
    let Some(statements) = bank(data, &mut check) else {
        return check;
    };
    let known = by_number(data);
    for (bank, balance) in &statements.balances {
        check.compare();
        let code = data.reasons.text(*bank);
        let owner = bank_owner(&code).as_u128();
        // Cash is an asset: below zero in a ledger that is credit-positive.
        let ours = -data.ledger.balance(AccountKind::CorporateCash, owner);
        let unposted: i64 = statements
            .lines
            .iter()
            .filter(|line| line.bank == *bank)
            .map(|line| unposted(data, line, known.get(&line.key()).copied()))
            .sum();
        if unposted != 0 {
            check.note(format!(
                "bank {code}: {unposted} won moved that are yet to be posted"
            ));
        }
        if ours + unposted != *balance {
            let difference = balance - ours - unposted;
            check.offend(
                format!("bank {code}"),
                "",
                format!(
                    "the ledger has {ours} won, the bank {balance} won, {unposted} won are on \
                     their way: {difference} won too {}",
                    if difference > 0 { "few" } else { "many" }
                ),
            );
        }
    }
    check
}

/// What a line moved that the ledger does not have yet.
fn unposted(data: &Data, line: &Line, command: Option<&Command>) -> i64 {
    if line.kind == LineKind::Opening {
        return 0;
    }
    let Some(command) = command else {
        // Asked for after the snapshot, or by nobody, which is told elsewhere.
        return if data.later_numbers.contains(&line.key()) {
            line.amount - line.fee
        } else {
            0
        };
    };
    if line.kind == LineKind::Reversal {
        return if reversals::is_posted(data, command) {
            0
        } else {
            line.amount
        };
    }
    // The worker posts the fee with the answer, the flow the money after it.
    let answered = !matches!(command.state, State::Live | State::Manual);
    let fee = if answered { 0 } else { -line.fee };
    let pending = line.kind == LineKind::Transfer && (!answered || is_awaited(data, command));
    fee + if pending { line.amount } else { 0 }
}

/// Whether a flow has yet to post what its command moved.
fn is_awaited(data: &Data, command: &Command) -> bool {
    let purpose = data.reasons.text(command.purpose);
    let tables = &data.tables;
    let stage = match purpose.as_str() {
        PURPOSE_RECHARGE => find(&tables.recharges, command.origin)
            .first()
            .map(|it| it.stage),
        PURPOSE_REMITTANCE => find(&tables.remittances, command.origin)
            .first()
            .map(|it| it.stage),
        PURPOSE_SETTLEMENT => find(&tables.payouts, command.origin)
            .first()
            .map(|it| it.stage),
        PURPOSE_CLOSING => tables.closing_of(command.origin).map(|it| it.stage),
        // The flow whose payout it brings back posts it.
        PURPOSE_UNDO => {
            let payout = find(&tables.commands, command.origin).first();
            let posted = payout.is_some_and(|payout| reversals::is_posted(data, payout));
            return command.state == State::Done && !posted;
        }
        _ => None,
    };
    stage == Some(Stage::Awaits)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_difference_of_one_won_is_found() {
        let mut data = sample::day();
        assert_eq!(check(&data).offenders, []);
        assert_eq!(check(&data).compared, 1);
        let cash = AccountKind::CorporateCash.number();
        data.ledger
            .system
            .values_mut()
            .filter(|it| it.kind == cash)
            .for_each(|it| it.balance += 1);
        assert_eq!(check(&data).offenders_total, 1);
    }

    #[test]
    fn what_the_bank_did_and_is_not_posted_yet_is_no_difference() {
        let mut data = sample::day();
        let cash = AccountKind::CorporateCash.number();
        // The recharge is confirmed by the bank, and its flow has yet to hear.
        data.tables.recharges[0].stage = Stage::Awaits;
        let amount = data.tables.recharges[0].amount;
        data.ledger
            .system
            .values_mut()
            .filter(|it| it.kind == cash)
            .for_each(|it| it.balance += amount);
        assert_eq!(check(&data).offenders, []);
        data.tables.recharges[0].stage = Stage::Completed;
        assert_eq!(check(&data).offenders_total, 1);
    }
}
