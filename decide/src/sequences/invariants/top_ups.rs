//! What must be true of requests that recharge first what they lack.

use super::{Holds, equal};
use crate::sequences::rows::{State, TopUpState, Waits};
use crate::sequences::world::World;

/// Nothing moved for a request whose recharge did not come, and it was recharged once,
/// what it was to be.
pub(super) fn hold(world: &World) -> Holds {
    for (id, waits) in &world.top_ups {
        let recharge = world.recharges.get(id);
        if let Some(row) = recharge {
            equal(&format!("the recharge {id}"), row.amount, waits.amount)?;
            if row.member != waits.member {
                return Err(format!("{id} recharged {}, not {waits:?}", row.member));
            }
        }
        let came = recharge.is_some_and(|row| row.state == State::Completed);
        let origin = &waits.origin_id;
        let moved = match &waits.request {
            Waits::Remittance(_) => world.remittances.contains_key(origin),
            Waits::Payment(_) => world.paid.contains_key(origin),
        };
        let may_have_moved = came && waits.state == TopUpState::ToppedUp;
        if moved && !may_have_moved {
            return Err(format!("{waits:?} has moved money"));
        }
        if waits.state == TopUpState::Refused && came {
            return Err(format!("{waits:?} was refused, and recharged"));
        }
    }
    Ok(())
}

/// Nothing waits for a recharge that has ended.
pub(super) fn at_rest(world: &World) -> Holds {
    match world.top_ups.values().find(|waits| waits.state.waits()) {
        Some(waits) => Err(format!("{waits:?} waits, with nothing under way")),
        None => Ok(()),
    }
}
