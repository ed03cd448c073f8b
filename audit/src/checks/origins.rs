//! What a flow says of its command to a bank is what the command says.

use mypay_schemas::Flow;

use crate::data::Data;
use crate::flows::{Stage, State};
use crate::report::Check;
use crate::rows::{Status, shown};
use crate::sorted::find;

/// Compares recharges, remittances to banks and payouts of settlements and closings
/// with their commands.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "flows_agree_with_bank_commands",
        "each recharge and each payout of a remittance, a settlement and a closing, and its command: the same amount, completed where the bank did it, refused where it did not",
        "SELECT * FROM banking.firmbanking WHERE firmbanking_id = '<id>'",
    );
    let tables = &data.tables;
    let recharges = tables
        .recharges
        .iter()
        .map(|it| (it.id, it.command, it.amount, it.stage));
    let payouts = tables
        .remittances
        .iter()
        .map(|it| (it.id, it.command, it.amount, it.stage));
    let settled = tables
        .payouts
        .iter()
        .filter(|it| it.stage != Stage::Carried)
        .map(|it| (it.id, it.command, it.net, it.stage));
    let closed = tables
        .closings
        .iter()
        .filter(|it| it.amount > 0)
        .map(|it| (it.payout, it.command, it.amount, it.stage));
    let all = recharges
        .map(|of| (Flow::Recharge, of))
        .chain(payouts.map(|of| (Flow::Remittance, of)))
        .chain(settled.map(|of| (Flow::Settlement, of)))
        .chain(closed.map(|of| (Flow::Closing, of)));
    for (flow, (id, command, amount, stage)) in all {
        check.compare();
        if let Some(problem) = problem(data, id, command, amount, stage) {
            check.offend_with(|| (shown(command), format!("{flow} {}", shown(id)), problem));
        }
    }
    check
}

fn problem(data: &Data, id: u128, command: u128, amount: i64, stage: Stage) -> Option<String> {
    let Some(found) = find(&data.tables.commands, command).first() else {
        // Refused before it came to the bank; or not yet taken in.
        let refused = find(&data.flow(Flow::Firmbanking).rows, command)
            .first()
            .is_some_and(|row| row.status == Status::Done && !row.success);
        let fits = stage == Stage::Awaits || (stage == Stage::Refused && refused);
        return (!fits).then(|| format!("it is {stage:?}, but there is no command"));
    };
    if found.amount != amount {
        return Some(format!("{amount} won here, {} won commanded", found.amount));
    }
    if found.origin != id {
        return Some("the command names another request as its origin".to_string());
    }
    let fits = match stage {
        // The answer may be on its way back.
        Stage::Awaits => true,
        Stage::Completed => found.state == State::Done,
        Stage::Refused | Stage::Carried => found.state == State::Refused,
    };
    (!fits).then(|| format!("it is {stage:?}, but the command is {:?}", found.state))
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
        let data = sample::day();
        assert_eq!((check(&data).offenders, check(&data).compared), (vec![], 4));
    }

    #[test]
    fn a_recharge_that_the_bank_refused_and_we_credited_is_found() {
        let refused = |data: &mut Data| {
            for command in &mut data.tables.commands {
                if command.state == State::Done {
                    command.state = State::Refused;
                }
            }
        };
        assert_eq!(offenders(refused), 3);
        assert_eq!(offenders(|data| data.tables.commands.clear()), 3);
        assert_eq!(offenders(|data| data.tables.recharges[0].amount -= 1), 1);
        assert_eq!(offenders(|data| data.tables.commands[0].origin ^= 1), 1);
    }
}
