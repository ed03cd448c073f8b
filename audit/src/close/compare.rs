//! The two sides of a day, set against each other: a function of both.

use mypay_bank::wire::{DayTotals, Total};
use serde::Serialize;

use super::ours::Ours;

/// Something that the two sides say differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What.
    pub what: String,
    /// What we have.
    pub ours: i64,
    /// What the bank has.
    pub theirs: i64,
}

/// What is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct InFlight {
    /// Commands of the day whose outcome we do not know.
    pub commands: i64,
    /// Of those, the ones that only an operator can settle.
    pub cases: i64,
    /// Commands of the day that the bank has not decided.
    pub at_the_bank: i64,
    /// Notices of the day that wait for their command, or for people.
    pub notices: i64,
}

/// Compares counts, amounts, fees and the balance; tells how many figures.
pub(super) fn compare(ours: &Ours, theirs: &DayTotals, account: &str) -> (usize, Vec<Difference>) {
    let mut figures = Vec::new();
    let mut total = |what: &str, ours: &Total, theirs: &Total| {
        figures.push((format!("{what}: commands"), ours.count, theirs.count));
        figures.push((format!("{what}: amount, won"), ours.amount, theirs.amount));
        figures.push((format!("{what}: fees, won"), ours.fees, theirs.fees));
    };
    total("paid out", &ours.outgoing, &theirs.outgoing);
    total("drawn", &ours.incoming, &theirs.incoming);
    total("between others", &ours.other, &theirs.other);
    total("refused", &ours.refused, &theirs.refused);
    total("came back", &ours.reversed, &theirs.reversed);
    let at_close = theirs
        .accounts
        .iter()
        .find(|it| it.account_number == account)
        .map(|it| it.closing_balance);
    figures.push((
        format!("balance of {account} at the day's end, won"),
        ours.closing_balance,
        // An account that the bank does not have holds nothing.
        at_close.unwrap_or(0),
    ));
    let compared = figures.len();
    let differences = figures
        .into_iter()
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(what, ours, theirs)| Difference { what, ours, theirs })
        .collect();
    (compared, differences)
}

/// What is under way on either side.
pub(super) fn in_flight(ours: &Ours, theirs: &DayTotals) -> InFlight {
    InFlight {
        commands: ours.unsettled,
        cases: ours.cases,
        at_the_bank: theirs.in_progress.count,
        notices: ours.open_notices,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;
    use mypay_bank::wire::AccountClose;

    fn sides() -> (Ours, DayTotals) {
        let total = Total {
            count: 3,
            amount: 30_000,
            fees: 900,
        };
        let ours = Ours {
            outgoing: total,
            closing_balance: 1_000,
            ..Ours::default()
        };
        let theirs = DayTotals {
            bank_code: "004".into(),
            business_date: NaiveDate::default(),
            outgoing: total,
            incoming: Total::default(),
            other: Total::default(),
            in_progress: Total::default(),
            refused: Total::default(),
            reversed: Total::default(),
            accounts: vec![AccountClose {
                account_number: "1".into(),
                closing_balance: 1_000,
                balance: 5,
            }],
        };
        (ours, theirs)
    }

    #[test]
    fn two_sides_that_say_the_same_have_no_difference() {
        let (ours, theirs) = sides();
        assert_eq!(compare(&ours, &theirs, "1"), (16, vec![]));
    }

    #[test]
    fn one_won_or_one_command_is_a_difference_with_both_sides() {
        let (ours, theirs) = sides();
        let mut dearer = theirs.clone();
        dearer.outgoing.fees += 1;
        let (_, differences) = compare(&ours, &dearer, "1");
        assert_eq!(differences.len(), 1);
        assert_eq!((differences[0].ours, differences[0].theirs), (900, 901));

        let mut more = theirs.clone();
        more.reversed.count = 1;
        more.accounts[0].closing_balance += 1;
        assert_eq!(compare(&ours, &more, "1").1.len(), 2);
        // An account that is not there holds nothing.
        assert_eq!(compare(&ours, &theirs, "2").1.len(), 1);
    }
}
