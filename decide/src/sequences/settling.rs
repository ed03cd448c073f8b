//! Settlement runs.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use mypay_schemas::settlement::SettlementRequest;
use uuid::Uuid;

use super::rows::{Payout, State};
use super::world::{World, registered};
use crate::Decision;
use crate::remittance::paying_account;
use crate::settlement::{self, Found, Kept, Net};

impl World {
    /// A run up to the slips and cancels of a while ago.
    pub(super) fn settle(&mut self, whose: Option<Uuid>, ago: usize, in_the_future: bool) {
        let cut = self.positions.saturating_sub(ago);
        let found = self.found(whose, cut);
        let cut_at = self.now + TimeDelta::seconds(i64::from(in_the_future));
        let request = SettlementRequest {
            message_id: String::new(),
            correlation_id: String::new(),
            requested_at: 0,
            cut_at: cut_at.timestamp_millis(),
            franchise_id: whose.map(|id| id.to_string()),
            causation_id: None,
        };
        let run_id = self.new_id();
        let mut book = self.book([]);
        let run = match settlement::decide(&mut book, run_id, &request, &found, self.now) {
            Decision::Completed(run) | Decision::AwaitsBank(run) => run,
            Decision::Rejected(_) => {
                if !in_the_future {
                    self.wrong = Some("a run was rejected".into());
                }
                return;
            }
        };
        self.must_write(&book);
        self.note(whose, cut);
        for (found, (payout_id, net)) in found.iter().zip(run.nets) {
            let whose = found.franchise_id;
            *self.owed.entry(whose).or_default() += net.owed() - found.owed;
            match net {
                Net::Pay(amount) => {
                    self.see("net pay");
                    self.pay_out(whose, payout_id, amount);
                }
                Net::Carry(_, kept) => self.see(match kept {
                    Kept::NotPositive => "net not_positive",
                    Kept::OnHold => "net on_hold",
                    Kept::NoAccount => "net no_account",
                }),
            }
        }
    }

    fn pay_out(&mut self, franchise: Uuid, payout_id: Uuid, amount: i64) {
        let ours = self.corporate_accounts();
        let to = registered(franchise);
        let from = to
            .as_ref()
            .and_then(|to| paying_account(&ours, &to.bank_code));
        let (Some(from), Some(to)) = (from.cloned(), to) else {
            self.wrong = Some("a payout without an account".into());
            return;
        };
        if self.holds.contains(&franchise) {
            self.wrong = Some("a payout of a franchise that is held".into());
        }
        let row = Payout {
            franchise,
            amount,
            bank: from.bank_code.clone(),
            state: State::Awaits,
            reversed: false,
        };
        self.command_of_payout(payout_id, &row, from, to);
        self.payouts.insert(payout_id, row);
    }

    /// What each franchise has that no run has settled, as the tables tell it.
    fn found(&self, whose: Option<Uuid>, cut: usize) -> Vec<Found> {
        let mut found: BTreeMap<Uuid, Found> = BTreeMap::new();
        let ours = self.corporate_accounts();
        let of = |franchise_id| Found {
            franchise_id,
            slips: 0,
            gross: 0,
            cancelled: 0,
            commission: 0,
            owed: self.owed.get(&franchise_id).copied().unwrap_or(0),
            has_account: registered(franchise_id)
                .is_some_and(|to| paying_account(&ours, &to.bank_code).is_some()),
            on_hold: self.holds.contains(&franchise_id),
        };
        let in_run = |franchise| whose.is_none_or(|whose| whose == franchise);
        for paid in self.paid.values().filter(|it| in_run(it.slip.franchise_id)) {
            let franchise = paid.slip.franchise_id;
            if !paid.settled && paid.position < cut {
                let found = found.entry(franchise).or_insert_with(|| of(franchise));
                found.slips += 1;
                found.gross += paid.slip.gross;
                found.commission += paid.slip.commission;
            }
            for link in &paid.cancels {
                if !link.settled && link.position < cut {
                    let found = found.entry(franchise).or_insert_with(|| of(franchise));
                    found.cancelled += link.cancel.amount;
                    found.commission -= link.cancel.commission_back;
                }
            }
        }
        for (franchise, owed) in &self.owed {
            if *owed != 0 && in_run(*franchise) {
                found.entry(*franchise).or_insert_with(|| of(*franchise));
            }
        }
        found.into_values().collect()
    }

    /// What was settled is not settled again.
    fn note(&mut self, whose: Option<Uuid>, cut: usize) {
        let in_run = |franchise| whose.is_none_or(|whose| whose == franchise);
        for paid in self.paid.values_mut() {
            if in_run(paid.slip.franchise_id) {
                paid.settled |= paid.position < cut;
                for link in &mut paid.cancels {
                    link.settled |= link.position < cut;
                }
            }
        }
    }
}
