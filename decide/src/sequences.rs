//! Random sequences over everything that decides: requests of all flows in two
//! lanes at once, top-ups on the way, closings, duplicates, banks that answer late or
//! not at all, reversals at any later time, undos. After every step the ledger must hold.
//!
//! [`world`] plays the tables and the topics: what a consumer loads and writes, and
//! under which conditions (those of `mypay-ledger`). All that decides is the real
//! code; what must come of it is reckoned anew from the rows, in [`invariants`].

mod banks;
mod invariants;
mod leaving;
mod rows;
mod settling;
mod step;
mod told;
mod topping;
mod undoing;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use step::Step;
use world::World;

/// Takes the steps, and lets everything that is under way come to its end.
fn run(fee_to_member: i64, steps: &[Step]) -> Result<World, String> {
    let mut world = World::new(fee_to_member);
    for (number, step) in steps.iter().enumerate() {
        world.take(step);
        invariants::hold(&world).map_err(|why| format!("after step {number}, {step:?}: {why}"))?;
    }
    world.come_to_rest();
    invariants::hold(&world)?;
    invariants::at_rest(&world)?;
    Ok(world)
}

proptest! {
    #![proptest_config(Config { cases: 512, failure_persistence: None, ..Config::default() })]
    #[test]
    fn the_ledger_holds_after_every_step(
        fee_to_member in prop_oneof![Just(0_i64), Just(100)],
        steps in prop::collection::vec(step::steps(), 1..120),
    ) {
        if let Err(why) = run(fee_to_member, &steps) {
            prop_assert!(false, "{why}");
        }
    }
}

/// A property over sequences in which nothing happens would hold, too.
#[test]
fn the_sequences_go_everywhere() {
    let mut runner = TestRunner::deterministic();
    let steps = prop::collection::vec(step::steps(), 120);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..300 {
        let steps = steps.new_tree(&mut runner).expect("steps").current();
        for (what, count) in run(100, &steps).expect("the ledger holds").seen {
            *seen.entry(what).or_default() += count;
        }
    }
    let missing: Vec<&str> = PLACES
        .into_iter()
        .filter(|place| !seen.contains_key(place))
        .collect();
    assert!(missing.is_empty(), "never: {missing:?}, of {seen:#?}");
}

/// Where sequences must get to.
const PLACES: [&str; 77] = [
    "recharge awaits its bank",
    "recharge invalid_amount",
    "recharge below_recharge_minimum",
    "recharge unknown_member",
    "recharge balance_cap_exceeded",
    "recharge no_contract",
    "recharge completed",
    "recharge refused",
    "remittance completed",
    "remittance awaits its bank",
    "remittance invalid_amount",
    "remittance unknown_member",
    "remittance unknown_receiver",
    "remittance same_member",
    "remittance insufficient_funds",
    "remittance balance_cap_exceeded",
    "remittance remittance_limit_exceeded",
    "remittance daily_limit_exceeded",
    "remittance no_contract",
    "remittance paid out",
    "remittance refused",
    "remittance came back",
    "payment completed",
    "payment invalid_amount",
    "payment insufficient_funds",
    "payment unknown_franchise",
    "cancel completed",
    "cancel foreign_payment",
    "cancel unknown_payment",
    "cancel already_cancelled",
    "cancel cancel_exceeds_payment",
    "settlement paid out",
    "settlement refused",
    "settlement came back",
    "net pay",
    "net not_positive",
    "net on_hold",
    "net no_account",
    "direct done",
    "direct came back",
    "a payout undone",
    "an undo that was refused",
    "a command without a contract",
    "a command that names our account of before",
    "a direct command from our account of before",
    "a direct command to our account of before",
    "a reversal before the result",
    "a shortfall",
    "a message again",
    "payment balance_cap_exceeded",
    "cancel franchise_closed",
    "remittance awaits its top-up",
    "payment awaits its top-up",
    "a top-up that never came to its bank",
    "a request whose top-up was refused",
    "a topped-up remittance completed",
    "a topped-up remittance goes to its bank",
    "a topped-up payment completed",
    "a topped-up request whose money was spent meanwhile",
    "a topped-up request that has become impossible",
    "closing unknown_member",
    "closing closing_under_way",
    "closing member_closed",
    "closing recharge_pending",
    "closing payout_pending",
    "closing balance_not_empty",
    "closing no_contract",
    "closing franchise_on_hold",
    "closing franchise_not_settled",
    "closing with nothing left",
    "closing awaits its bank",
    "closing paid out",
    "closing refused",
    "closing came back",
    "closing of what came back",
    "closing of what came back refused",
    "a member is open again, and has what came back",
];
