//! What must be true of members who are closed.

use super::{Holds, equal};
use crate::closing::Status;
use crate::sequences::rows::State;
use crate::sequences::world::World;

/// A closed member has no money, whatever comes; what comes back is kept for it, and for
/// nobody who is open. One that is closing has one payout at a bank.
pub(super) fn hold(world: &World) -> Holds {
    for (id, money) in &world.members {
        let status = world.statuses[id];
        if money.open != (status == Status::Open) {
            return Err(format!(
                "{id} is {status:?}, and its account says otherwise"
            ));
        }
        match money.open {
            true => equal(
                &format!("kept for {id}, who is open"),
                world.kept_for(*id),
                0,
            )?,
            false => {
                equal(
                    &format!("the money of {id}, who is closed"),
                    money.balance,
                    0,
                )?;
                equal(&format!("pending of {id}, who is closed"), money.pending, 0)?;
            }
        }
        let closings = world.closings.values().filter(|row| row.member == *id);
        let under_way = closings.filter(|row| row.state == State::Awaits && !row.unclaimed);
        let must_be = i64::from(status == Status::Closing);
        let under_way = under_way.count() as i64;
        equal(&format!("closings of {id} at a bank"), under_way, must_be)?;
    }
    Ok(())
}

/// Nobody stays between open and closed.
pub(super) fn at_rest(world: &World) -> Holds {
    let closing = world.statuses.iter();
    match closing.into_iter().find(|it| *it.1 == Status::Closing) {
        Some((id, _)) => Err(format!("{id} is closing, with nothing under way")),
        None => Ok(()),
    }
}
