//! Whether both ledgers end with the same money.

use std::collections::BTreeMap;

use anyhow::bail;

/// Whole won, by whose they are or which request they belong to.
pub type Won = BTreeMap<String, i64>;

/// All that differs, a line each.
pub fn differences(ours: &Won, theirs: &Won) -> Vec<String> {
    let whose: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    whose
        .into_iter()
        .filter(|whose| ours.get(*whose) != theirs.get(*whose))
        .map(|whose| {
            let shown = |won: Option<&i64>| won.map_or("nothing".to_owned(), i64::to_string);
            let (ours, theirs) = (shown(ours.get(whose)), shown(theirs.get(whose)));
            format!("{whose}: {ours}, by the second ledger {theirs}")
        })
        .collect()
}

/// Fails unless both say the same, to the won.
pub fn are_the_same(what: &str, ours: &Won, theirs: &Won) -> anyhow::Result<()> {
    let differences = differences(ours, theirs);
    if differences.is_empty() {
        return Ok(());
    }
    let first = &differences[..differences.len().min(10)];
    bail!(
        "{} {what} differ:\n  {}",
        differences.len(),
        first.join("\n  ")
    )
}

/// That the comparison complains: of money, and of results as the model test
/// compares them.
#[cfg(test)]
mod tests {
    use mypay_schemas::ResultStatus;

    use super::*;
    use crate::exactly_once::{Asked, Fault, Must};
    use crate::results::Answer;

    fn won() -> Won {
        [("a member", 5_000), ("a franchise", 0)]
            .map(|(whose, won)| (whose.to_owned(), won))
            .into()
    }

    fn asked() -> Asked {
        let mut asked = Asked::default();
        asked.add("done", Must::Complete);
        asked.add("refused", Must::BeRejected("top_up_refused"));
        asked
    }

    fn answer(request: &str, reason: Option<&str>) -> Answer {
        let status = match reason {
            None => ResultStatus::Completed,
            Some(_) => ResultStatus::Rejected,
        };
        Answer {
            message_id: format!("result of {request}"),
            request_id: request.to_owned(),
            correlation_id: String::new(),
            status,
            reason: reason.map(str::to_owned),
            occurred_at: 0,
        }
    }

    #[test]
    fn the_same_ends_are_the_same() {
        assert!(are_the_same("balances", &won(), &won()).is_ok());
        let answers = [
            answer("done", None),
            answer("refused", Some("top_up_refused")),
        ];
        assert!(asked().are_answered_once(&answers).is_ok());
    }

    #[test]
    fn one_won_is_complained_of() {
        for change in [1, -1] {
            let mut other = won();
            *other.get_mut("a member").unwrap() += change;
            let said = are_the_same("balances", &won(), &other).unwrap_err();
            assert!(said.to_string().contains("a member: 5000"), "{said}");
        }
    }

    #[test]
    fn money_that_only_one_of_them_knows_of_is_complained_of() {
        let mut less = won();
        less.remove("a franchise");
        assert_eq!(differences(&won(), &less).len(), 1);
        assert_eq!(differences(&less, &won()).len(), 1);
    }

    #[test]
    fn a_missing_result_is_complained_of() {
        let faults = asked().faults(&[answer("done", None)]);
        assert_eq!(faults, [Fault::Missing("refused".to_owned())]);
    }

    #[test]
    fn a_reversed_status_is_complained_of() {
        let answers = [answer("done", None), answer("refused", None)];
        assert!(asked().are_answered_once(&answers).is_err());
        let answers = [
            answer("done", Some("insufficient_funds")),
            answer("refused", Some("top_up_refused")),
        ];
        assert!(asked().are_answered_once(&answers).is_err());
    }
}
