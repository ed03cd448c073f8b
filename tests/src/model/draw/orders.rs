//! That what is drawn is certain: a round is played in random orders, as lanes and
//! banks may, and comes to the same each time.
//!
//! Only as much is played as moves members' money. Where two consumers of different
//! topics come to one member's money, either may be the first.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use mypay_schemas::remittance::Receiver;

use super::tests::{draw, noon};
use super::*;
use crate::model::ledger::{CAP, Command, REMITTANCE_DAY, Standing, Whose, top_up};

/// What happens next to money, in no order but that of its lane.
enum Event {
    Asked(Box<Drawn>),
    /// The bank has answered for the recharge of a request, its own or a top-up.
    Recharged {
        id: Uuid,
        member: usize,
        won: i64,
    },
    /// What waited for its top-up goes on.
    GoesOn {
        id: Uuid,
    },
    /// The bank has answered for a payout.
    PaidOut {
        id: Uuid,
        member: usize,
        won: i64,
    },
}

struct Waits {
    drawn: Drawn,
    needed: i64,
    won: i64,
    arrived: bool,
}

struct Played<'a> {
    ledger: &'a Ledger,
    /// What banks do, by request.
    done: &'a HashMap<(Uuid, bool), bool>,
    /// What each request recharges first, by the second ledger.
    top_ups: &'a HashMap<Uuid, i64>,
    balance: Vec<i64>,
    pending: Vec<i64>,
    sent: Vec<i64>,
    /// What is left of payments, by id.
    paid: HashMap<String, i64>,
    waits: BTreeMap<Uuid, Waits>,
    events: Vec<Event>,
}

/// The money of a request: whose, to whom, how much, with its fee.
fn parties(ledger: &Ledger, drawn: &Drawn) -> Option<(usize, Option<usize>, i64, i64)> {
    let of = |id: &str| {
        let id = Uuid::try_parse(id).ok()?;
        ledger.members.iter().position(|member| member.id == id)
    };
    Some(match &drawn.body {
        Body::Recharge(it) => (of(&it.member_id)?, None, it.amount, 0),
        Body::Payment(it) => (of(&it.member_id)?, None, it.amount, 0),
        Body::Remittance(it) => match &it.receiver {
            Receiver::MemberReceiver(to) => {
                (of(&it.sender_id)?, Some(of(&to.member_id)?), it.amount, 0)
            }
            Receiver::BankReceiver(_) => (of(&it.sender_id)?, None, it.amount, FEE_TO_BANK),
        },
        Body::Firmbanking(_) | Body::Closing(_) => return None,
    })
}

impl Played<'_> {
    /// Takes a step; tells what came of a request, where it is told at once.
    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Asked(drawn) => self.asked(*drawn),
            Event::Recharged { id, member, won } => {
                self.pending[member] -= won;
                let done = self.done[&(id, true)];
                self.balance[member] += if done { won } else { 0 };
                match self.waits.get_mut(&id) {
                    Some(waits) if done => waits.arrived = true,
                    Some(_) => drop(self.waits.remove(&id)),
                    None => return Ok(()),
                }
                if done {
                    self.events.push(Event::GoesOn { id });
                }
                Ok(())
            }
            Event::GoesOn { id } => {
                let waits = self.waits.remove(&id).ok_or("it waited for nothing")?;
                match self.decide(&waits.drawn) {
                    None => self.moves(&waits.drawn),
                    Some(reason) => Err(format!("{:?} cannot go on: {reason}", waits.drawn)),
                }
            }
            Event::PaidOut { id, member, won } => {
                if !self.done[&(id, false)] {
                    self.balance[member] += won;
                }
                Ok(())
            }
        }
    }

    fn asked(&mut self, drawn: Drawn) -> Result<(), String> {
        let Some((member, _, amount, fee)) = parties(self.ledger, &drawn) else {
            return Ok(());
        };
        let cancels = matches!(&drawn.body, Body::Payment(it) if it.cancels.is_some());
        let closed = self.ledger.members[member].standing == Standing::Closed;
        if closed && !cancels && !matches!(drawn.outcome, Outcome::Rejected(_)) {
            return Err(format!("{drawn:?} of a member who has left"));
        }
        let topic = match &drawn.body {
            Body::Recharge(_) => return self.recharge(drawn, member, amount),
            Body::Payment(it) if cancels => {
                if drawn.outcome == Outcome::Completed {
                    let paid = it.cancels.as_ref().and_then(|id| self.paid.get_mut(id));
                    let left = paid.ok_or("a cancel of what is not paid")?;
                    let back = if it.cancels_rest { *left } else { it.amount };
                    *left -= back;
                    // A closed member has no money: it is kept elsewhere.
                    self.balance[member] += if closed { 0 } else { back };
                }
                return Ok(());
            }
            Body::Payment(_) => Topic::Payment,
            _ => Topic::Remittance,
        };
        let must = match drawn.outcome {
            Outcome::Rejected("holder_mismatch") => None,
            Outcome::Rejected(reason) => Some(reason),
            _ => None,
        };
        // The day's limit is looked at before the receiver.
        let after_limit = ["unknown_receiver", "same_member"];
        if must.is_some_and(|must| after_limit.contains(&must))
            && self.sent[member] + amount > REMITTANCE_DAY
        {
            return Err(format!("{drawn:?} passes the day's limit"));
        }
        // What nobody may ask for is rejected before money is looked at.
        let of_money = [
            "insufficient_funds",
            "balance_cap_exceeded",
            "daily_limit_exceeded",
        ];
        if must.is_some_and(|must| !of_money.contains(&must)) {
            return Ok(());
        }
        let mut came_to = self.decide(&drawn);
        if came_to == Some("insufficient_funds") && self.ledger.members[member].account.is_some() {
            let needed = amount + fee;
            let spoken_for: i64 = self
                .waits
                .values()
                .filter(|it| {
                    parties(self.ledger, &it.drawn).is_some_and(|(whose, ..)| whose == member)
                })
                .map(|it| (it.needed - if it.arrived { 0 } else { it.won }).max(0))
                .sum();
            let left = (self.balance[member] - spoken_for).max(0);
            let won = top_up(topic, needed - left);
            if self.balance[member] + self.pending[member] + won > CAP {
                came_to = Some("balance_cap_exceeded");
            } else if self.top_ups.get(&drawn.id) != Some(&won) {
                return Err(format!(
                    "{drawn:?} recharges {won}, not {:?}",
                    self.top_ups.get(&drawn.id)
                ));
            } else {
                self.pending[member] += won;
                self.events.push(Event::Recharged {
                    id: drawn.id,
                    member,
                    won,
                });
                self.waits.insert(
                    drawn.id,
                    Waits {
                        drawn,
                        needed,
                        won,
                        arrived: false,
                    },
                );
                return Ok(());
            }
        }
        if came_to != must || self.top_ups.contains_key(&drawn.id) {
            return Err(format!("{drawn:?} came to {came_to:?}"));
        }
        if came_to.is_none() {
            self.moves(&drawn)
        } else {
            Ok(())
        }
    }

    fn recharge(&mut self, drawn: Drawn, member: usize, won: i64) -> Result<(), String> {
        let passes = self.balance[member] + self.pending[member] + won > CAP;
        match drawn.outcome {
            Outcome::AwaitsBank if !passes => {
                self.pending[member] += won;
                self.events.push(Event::Recharged {
                    id: drawn.id,
                    member,
                    won,
                });
                Ok(())
            }
            Outcome::Rejected("balance_cap_exceeded") if passes => Ok(()),
            Outcome::AwaitsBank | Outcome::Rejected("balance_cap_exceeded") => {
                Err(format!("{drawn:?} passes the cap: {passes}"))
            }
            Outcome::Rejected("no_bank_account") if passes => Err(format!("{drawn:?}: the cap")),
            _ => Ok(()),
        }
    }

    fn decide(&self, drawn: &Drawn) -> Option<&'static str> {
        let (member, to, amount, fee) = parties(self.ledger, drawn)?;
        if matches!(drawn.body, Body::Remittance(_)) {
            if self.sent[member] + amount > REMITTANCE_DAY {
                return Some("daily_limit_exceeded");
            }
            if let Some(to) = to
                && self.balance[to] + self.pending[to] + amount > CAP
            {
                return Some("balance_cap_exceeded");
            }
        }
        (self.balance[member] < amount + fee).then_some("insufficient_funds")
    }

    fn moves(&mut self, drawn: &Drawn) -> Result<(), String> {
        let parties = parties(self.ledger, drawn);
        let (member, to, amount, fee) = parties.ok_or("nobody's money")?;
        self.balance[member] -= amount + fee;
        if matches!(drawn.body, Body::Remittance(_)) {
            self.sent[member] += amount;
        }
        match to {
            Some(to) => self.balance[to] += amount,
            None if fee > 0 => self.events.push(Event::PaidOut {
                id: drawn.id,
                member,
                won: amount + fee,
            }),
            None => {
                self.paid.insert(drawn.id.to_string(), amount);
            }
        }
        Ok(())
    }
}

/// Of so many requests that need not be in order, one comes twice: again in a lane of
/// its own, sooner or later.
const TWICE: usize = 5;

/// Which lane a request waits in, and behind whom.
fn lane(drawn: &Drawn) -> (u8, String) {
    match &drawn.body {
        Body::Recharge(it) => (0, it.member_id.clone()),
        Body::Remittance(it) => (1, it.sender_id.clone()),
        Body::Payment(it) => (2, it.member_id.clone()),
        Body::Firmbanking(it) => (3, it.message_id.clone()),
        Body::Closing(it) => (4, it.member_id.clone()),
    }
}

/// Plays a round in an order of this seed; gives what members have in the end.
fn play(
    mut played: Played<'_>,
    drawn: &[Drawn],
    rng: &mut fastrand::Rng,
) -> Result<Vec<i64>, String> {
    let mut lanes: BTreeMap<(u8, String), VecDeque<Drawn>> = BTreeMap::new();
    for drawn in drawn {
        lanes
            .entry(lane(drawn))
            .or_default()
            .push_back(drawn.clone());
        if !drawn.in_order && rng.usize(..TWICE) == 0 {
            let alone = (5, drawn.id.to_string());
            lanes.insert(alone, VecDeque::from([drawn.clone()]));
        }
    }
    let mut handled: HashSet<Uuid> = HashSet::new();
    let mut lanes: Vec<VecDeque<Drawn>> = lanes.into_values().collect();
    loop {
        lanes.retain(|lane| !lane.is_empty());
        let which = lanes.len() + played.events.len();
        if which == 0 {
            return Ok(played.balance);
        }
        let which = rng.usize(..which);
        let event = match lanes.get_mut(which) {
            Some(lane) => lane.pop_front().map(|drawn| Event::Asked(Box::new(drawn))),
            None => Some(played.events.swap_remove(which - lanes.len())),
        };
        match event {
            Some(Event::Asked(drawn)) if !handled.insert(drawn.id) => {}
            Some(event) => played.take(event)?,
            None => {}
        }
    }
}

#[test]
fn a_round_comes_to_the_same_in_every_order() {
    let mut rng = fastrand::Rng::with_seed(1);
    for seed in 0..60 {
        let mut draw = draw(seed);
        for round in 0..3 {
            draw.closings();
            banks_do(&mut draw, &mut rng);
            draw.ledger.quiet_on(korean(noon()).date());
            let before = draw.ledger.clone();
            let earlier = before.payments.iter();
            let paid = earlier.map(|it| (it.id.to_string(), it.gross - it.refunded));
            let paid: HashMap<String, i64> = paid.collect();
            let drawn = draw.round(120, noon());
            let (done, top_ups) = banks_do(&mut draw, &mut rng);
            let balances = draw.ledger.members.iter().map(|member| member.balance);
            let balances: Vec<i64> = balances.collect();
            for order in 0..20 {
                let of = |of: fn(&super::super::ledger::Member) -> i64| {
                    before.members.iter().map(of).collect::<Vec<_>>()
                };
                let played = Played {
                    ledger: &before,
                    done: &done,
                    top_ups: &top_ups,
                    balance: of(|member| member.balance),
                    pending: of(|member| member.pending),
                    sent: of(|member| member.sent),
                    paid: paid.clone(),
                    waits: BTreeMap::new(),
                    events: Vec::new(),
                };
                let ends = play(played, &drawn, &mut rng);
                assert_eq!(
                    ends,
                    Ok(balances.clone()),
                    "seed {seed}, round {round}, order {order}"
                );
            }
        }
    }
}

/// What banks do with the commands of a round, by request and whether it is a
/// recharge; and what requests recharge first.
type Banks = (HashMap<(Uuid, bool), bool>, HashMap<Uuid, i64>);

fn banks_do(draw: &mut Draw, rng: &mut fastrand::Rng) -> Banks {
    let (mut told, mut top_ups) = (HashMap::new(), HashMap::new());
    loop {
        let commands: Vec<Command> = std::mem::take(&mut draw.ledger.commands);
        if commands.is_empty() {
            return (told, top_ups);
        }
        for command in commands {
            let recharge = matches!(command.whose, Whose::Recharge(_) | Whose::TopUp(_));
            let done = !command.mismatch && rng.u32(0..3) > 0;
            if let Some(request) = command.request {
                told.insert((request, recharge), done);
                if matches!(command.whose, Whose::TopUp(_)) {
                    top_ups.insert(request, command.amount);
                }
            }
            draw.ledger.answered(&command, done, false);
        }
    }
}
