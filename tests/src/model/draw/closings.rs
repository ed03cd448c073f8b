//! Closings, drawn while all is quiet: so that they find what the ledger says.

use super::{Body, Draw, Drawn, Outcome, drawn};
use crate::model::ledger::{Member, Standing};
use crate::requests::closing;

/// At most one member in so many leaves, else nobody is left in a long run.
const LEAVERS: usize = 4;

fn is_open(member: &Member) -> bool {
    member.standing == Standing::Open
}

impl Draw {
    /// Whether a member has left.
    pub(super) fn has_left(&self, member: usize) -> bool {
        !is_open(&self.ledger.members[member])
    }

    /// Closings between two rounds: of somebody with nothing, of one with money and an
    /// account, of one with money and no account, of one who has left before and, if
    /// there is such a one, of one for whom something is kept. Each of somebody else.
    pub fn closings(&mut self) -> Vec<Drawn> {
        let has_account = |it: &Member| it.account.is_some();
        let left = self.ledger.members.iter().filter(|it| !is_open(it)).count();
        let mut chosen = Vec::new();
        if left < self.ledger.members.len() / LEAVERS {
            chosen.extend(self.one(|it| is_open(it) && it.balance == 0));
            chosen.extend(self.one(|it| is_open(it) && it.balance > 0 && has_account(it)));
        }
        chosen.extend(self.one(|it| is_open(it) && it.balance > 0 && !has_account(it)));
        chosen.extend(self.one(|it| !is_open(it) && it.unclaimed == 0));
        chosen.extend(self.one(|it| !is_open(it) && it.unclaimed > 0));
        chosen.into_iter().map(|it| self.closing(it)).collect()
    }

    fn one(&mut self, of: impl Fn(&Member) -> bool) -> Option<usize> {
        let members = self.ledger.members.iter().enumerate();
        let them: Vec<usize> = members.filter(|(_, it)| of(it)).map(|(n, _)| n).collect();
        self.rng.choice(them)
    }

    fn closing(&mut self, member: usize) -> Drawn {
        let leaving = self.ledger.members[member].clone();
        let mut request = closing(leaving.id);
        request.pays_out = self.rng.u32(0..4) > 0;
        let pays_out = request.pays_out;
        let says = |outcome| drawn(Body::Closing(request), outcome, true);
        match (leaving.leaves_with(), leaving.account.clone()) {
            (0, _) if !is_open(&leaving) => says(Outcome::Rejected("member_closed")),
            (0, _) => {
                self.ledger.close(member);
                says(Outcome::Completed)
            }
            _ if !pays_out => says(Outcome::Rejected("balance_not_empty")),
            (_, None) => says(Outcome::Rejected("no_bank_account")),
            (_, Some(to)) => {
                let drawn = says(Outcome::AwaitsBank);
                self.ledger.close_and_pay_out(drawn.id, member, to);
                drawn
            }
        }
    }
}
