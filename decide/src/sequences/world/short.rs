//! Requests that fail for their balance alone, and the top-ups they wait for.

use mypay_schemas::Flow;
use mypay_schemas::recharge::id_of_top_up;
use uuid::Uuid;

use super::super::rows::{State, TopUp, TopUpState, Waits};
use super::World;
use super::kept::Row;
use super::lane::Lane;
use crate::top_up::{Means, Purpose};
use crate::{Reason, top_up};

impl Lane {
    /// A request failed for its balance alone: it waits for a top-up, where the member
    /// can be topped up. What comes of it is reckoned anew.
    pub(super) fn short(
        &mut self,
        world: &World,
        origin_id: Uuid,
        member: Uuid,
        needed: i64,
        request: Waits,
    ) -> Result<(), Reason> {
        let (asks, purpose) = match request {
            Waits::Remittance(_) => (Flow::Remittance, Purpose::Remittance),
            Waits::Payment(_) => (Flow::Payment, Purpose::Payment),
        };
        let must_be = self.lacks(world, member, needed, purpose);
        let mut nothing = Means::default();
        let means = self.means.get_mut(&member).unwrap_or(&mut nothing);
        let limits = &world.limits;
        let decided = top_up::decide(&self.book, member, needed, means, purpose, limits);
        if decided != must_be {
            let what = format!("{origin_id}: a top-up of {decided:?}, and must be {must_be:?}");
            self.wrong = Some(what);
        }
        let waits = TopUp {
            origin_id,
            member,
            needed,
            amount: decided?,
            request,
            state: TopUpState::Awaits,
        };
        let id = id_of_top_up(asks, origin_id);
        self.rows.push(Row::TopUp(id, waits));
        Ok(())
    }

    /// What a request lacks of what those who wait before it leave, as one recharges it.
    fn lacks(
        &self,
        world: &World,
        member: Uuid,
        needed: i64,
        purpose: Purpose,
    ) -> Result<i64, Reason> {
        if !world.can_be_drawn_from(member) {
            return Err(Reason::InsufficientFunds);
        }
        let before = world.waiting(member).filter_map(|(id, waits)| {
            match world.recharges.get(id).map(|row| row.state) {
                Some(State::Refused) => None,
                // It is on the balance, and all of it is meant for the request.
                Some(State::Completed) => Some(waits.needed),
                _ => Some((waits.needed - waits.amount).max(0)),
            }
        });
        let of_batch = self.rows.iter().filter_map(|row| match row {
            Row::TopUp(_, it) if it.member == member => Some((it.needed - it.amount).max(0)),
            _ => None,
        });
        let taken: i64 = before.chain(of_batch).sum();
        let money = self.book.open_member(member).ok_or(Reason::UnknownMember)?;
        let mut lacks = needed - (money.balance - taken).max(0);
        match purpose {
            Purpose::Payment => lacks = lacks.max(10_000),
            Purpose::Remittance => {
                if lacks % 10_000 != 0 {
                    lacks += 10_000 - lacks % 10_000;
                }
            }
        }
        if money.balance + money.pending + lacks > 300_000 {
            return Err(Reason::BalanceCapExceeded);
        }
        Ok(lacks)
    }
}
