//! What requests must be told once a bank has answered.

use mypay_schemas::Flow;
use mypay_schemas::recharge::id_of_top_up;
use uuid::Uuid;

use super::{After, Command, Ledger, Whose};
use crate::exactly_once::Must;

/// A flow, a request of it, and what that must be answered with.
pub type Told = (Flow, Uuid, Must);

impl Ledger {
    /// What must be told when a command was done, or not: nothing of a run's, two
    /// things of a top-up. To be asked before the ledger has heard of the answer.
    pub fn told(&self, command: &Command, done: bool) -> Vec<Told> {
        let must = match (done, command.mismatch) {
            (true, _) => Must::Complete,
            (false, true) => Must::BeRejected("holder_mismatch"),
            (false, false) => Must::BeRefused,
        };
        let Some(request) = command.request else {
            return Vec::new();
        };
        match command.whose {
            Whose::Recharge(_) => vec![(Flow::Recharge, request, must)],
            Whose::Remittance(_) => vec![(Flow::Remittance, request, must)],
            Whose::Direct => vec![(Flow::Firmbanking, request, must)],
            Whose::Closing(_) => vec![(Flow::Closing, request, must)],
            Whose::Settlement(_) => Vec::new(),
            Whose::TopUp(_) => self.told_of_top_up(request, must),
        }
    }

    /// The recharge's own result, and that of the request behind it.
    fn told_of_top_up(&self, request: Uuid, must: Must) -> Vec<Told> {
        let Some(after) = self.after.get(&request) else {
            return Vec::new();
        };
        let flow = after.flow();
        let mut told = vec![(Flow::Recharge, id_of_top_up(flow, request), must)];
        match (must, after) {
            // Its second bank has yet to answer.
            (Must::Complete, After::PayOut { .. }) => {}
            (Must::Complete, _) => told.push((flow, request, Must::Complete)),
            _ => told.push((flow, request, Must::BeRejected("top_up_refused"))),
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::draw::tests::town;

    fn told(after: After, done: bool) -> Vec<(Flow, Must)> {
        let mut ledger = town();
        ledger.top_up(Uuid::now_v7(), 0, 10_000, after);
        let command = ledger.commands.remove(0);
        let told = ledger.told(&command, done);
        told.into_iter()
            .map(|(flow, _, must)| (flow, must))
            .collect()
    }

    #[test]
    fn a_top_up_has_a_result_and_so_has_its_request() {
        let pay = After::Pay {
            franchise: 0,
            gross: 700_000,
        };
        let refused = Must::BeRejected("top_up_refused");
        assert_eq!(
            told(pay.clone(), false),
            [(Flow::Recharge, Must::BeRefused), (Flow::Payment, refused)]
        );
        assert_eq!(
            told(pay, true),
            [
                (Flow::Recharge, Must::Complete),
                (Flow::Payment, Must::Complete)
            ]
        );
    }

    #[test]
    fn one_that_goes_to_a_bank_then_waits_for_that() {
        let pay_out = After::PayOut {
            to: crate::banks::corporate("088"),
            amount: 700_000,
            mismatch: false,
        };
        assert_eq!(told(pay_out, true), [(Flow::Recharge, Must::Complete)]);
    }
}
