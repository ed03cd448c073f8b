//! The day's requests: most are good, some impossible, some twice, some bad.

use chrono::Utc;
use fastrand::Rng;
use mypay_schemas::Flow;
use serde_json::{Value, json};
use uuid::Uuid;

use super::town::{Resident, Town};

/// A request as it will be sent.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) flow: Flow,
    pub(super) id: Uuid,
    /// Where it is posted to.
    pub(super) path: String,
    pub(super) body: Value,
    pub(super) way: Way,
}

/// How it is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Once, over HTTP.
    Http,
    /// Once, straight onto the topic: no row waits for it.
    Topic,
    /// Twice over HTTP, with the same id.
    HttpTwice,
    /// Over HTTP, and again straight onto the topic.
    HttpThenTopic,
    /// Over HTTP, then with other content under the same id, both ways.
    Conflict,
}

/// Bytes that can never be handled, for a request topic.
pub(super) struct Bad {
    pub(super) flow: Flow,
    pub(super) bytes: Vec<u8>,
}

/// The requests of a day, as far as they are known in the morning.
pub(super) struct Plan {
    /// Recharges.
    pub(super) morning: Vec<Planned>,
    /// Remittances and payments, before the first run.
    pub(super) noon: Vec<Planned>,
    /// And after it, when the first franchise takes no payment any more.
    pub(super) afternoon: Vec<Planned>,
    pub(super) bad: Vec<Bad>,
}

impl Plan {
    /// Plans `count` requests: two fifths recharges, the rest remittances and
    /// payments.
    pub(super) fn of_a_day(town: &Town, count: u32, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let recharges = count * 2 / 5;
        let morning = (0..recharges)
            .map(|_| recharge(town, &mut random))
            .collect();
        let mut some = |count: u32, franchises: &[String]| -> Vec<Planned> {
            (0..count)
                .map(|_| match random.bool() {
                    true => remittance(town, &mut random),
                    false => payment(town, franchises, &mut random),
                })
                .collect()
        };
        let noon = some((count - recharges) / 2, &town.franchises);
        let rest = count - recharges - noon.len() as u32;
        let open = match &town.franchises[..] {
            [_, open @ ..] if !open.is_empty() => open,
            all => all,
        };
        let afternoon = some(rest, open);
        let bad = (0..(count / 1_000).clamp(1, 100))
            .flat_map(|number| Flow::ALL.map(|flow| (number, flow)))
            .map(|(number, flow)| Bad {
                flow,
                bytes: bad(number, &mut random),
            })
            .collect();
        Self {
            morning,
            noon,
            afternoon,
            bad,
        }
    }
}

/// The settlement of all franchises, up to now.
pub(super) fn settlement() -> Planned {
    let body = json!({ "cut_at": Utc::now().to_rfc3339() });
    asked(Flow::Settlement, "/settlements".into(), body)
}

/// A payout that was carried, tried again by an operator.
pub(super) fn retry(franchise: &str) -> Planned {
    let path = format!("/franchises/{franchise}/payouts/retry");
    asked(Flow::Settlement, path, json!({}))
}

/// A cancel of a payment, of so much or of all that is left.
pub(super) fn cancel(payment: Uuid, amount: Option<i64>) -> Planned {
    let mut body = json!({ "reason": "changed their mind" });
    if let Some(amount) = amount {
        body["amount"] = amount.into();
    }
    asked(
        Flow::Payment,
        format!("/payments/{payment}/cancellations"),
        body,
    )
}

/// Asked for once, over HTTP.
fn asked(flow: Flow, path: String, body: Value) -> Planned {
    Planned {
        flow,
        id: Uuid::now_v7(),
        path,
        body,
        way: Way::Http,
    }
}

fn recharge(town: &Town, random: &mut Rng) -> Planned {
    let member = resident(town, random);
    let (member_id, amount) = match random.u32(0..1_000) {
        // Nobody of that id.
        0..2 => (Uuid::now_v7().to_string(), 50_000),
        // More than a member may hold.
        2..5 => (member.member_id.clone(), 2_100_000),
        _ => (member.member_id.clone(), random.i64(2..=30) * 10_000),
    };
    planned(
        (Flow::Recharge, "/recharges"),
        json!({ "member_id": member_id, "amount": amount }),
        random,
    )
}

fn remittance(town: &Town, random: &mut Rng) -> Planned {
    let sender = resident(town, random);
    let receiver = resident(town, random);
    let amount = random.i64(1..=60) * 1_000;
    let (receiver, amount) = match random.u32(0..1_000) {
        0..3 => (json!({ "member_id": Uuid::now_v7() }), amount),
        // More than anybody has.
        3..8 => (json!({ "member_id": receiver.member_id }), 1_999_999),
        8..110 => (at_bank(receiver, &receiver.holder_name), amount),
        // To a bank that we have no contract with: from one bank to another, which
        // a bank may undo later.
        110..150 => {
            let outsider = &town.outsiders[random.usize(0..town.outsiders.len())];
            (at_bank(outsider, &outsider.holder_name), amount)
        }
        // Somebody else's account: the bank is asked before money moves.
        150..153 => (at_bank(receiver, "홍길동"), amount),
        _ => (json!({ "member_id": receiver.member_id }), amount),
    };
    let body = json!({ "sender_id": sender.member_id, "receiver": receiver, "amount": amount });
    planned((Flow::Remittance, "/remittances"), body, random)
}

fn at_bank(whose: &Resident, holder_name: &str) -> Value {
    json!({
        "bank_code": whose.bank_code,
        "account_number": whose.account_number,
        "holder_name": holder_name,
    })
}

fn payment(town: &Town, franchises: &[String], random: &mut Rng) -> Planned {
    let member = resident(town, random);
    let franchise = &franchises[random.usize(0..franchises.len())];
    let (franchise_id, amount) = match random.u32(0..1_000) {
        0..2 => (Uuid::now_v7().to_string(), 10_000),
        2..7 => (franchise.clone(), 1_999_999),
        _ => (franchise.clone(), random.i64(10..=800) * 100),
    };
    let body = json!({
        "member_id": member.member_id,
        "franchise_id": franchise_id,
        "order_ref": format!("order-{}", random.u32(..)),
        "amount": amount,
    });
    planned((Flow::Payment, "/payments"), body, random)
}

fn resident<'a>(town: &'a Town, random: &mut Rng) -> &'a Resident {
    &town.members[random.usize(0..town.members.len())]
}

/// One in a hundred is sent twice, one in a thousand with other content.
fn planned((flow, path): (Flow, &str), body: Value, random: &mut Rng) -> Planned {
    let way = match random.u32(0..1_000) {
        0..5 => Way::HttpTwice,
        5..10 => Way::HttpThenTopic,
        10 => Way::Conflict,
        11..50 => Way::Topic,
        _ => Way::Http,
    };
    Planned {
        way,
        ..asked(flow, path.into(), body)
    }
}

fn bad(number: u32, random: &mut Rng) -> Vec<u8> {
    match number % 4 {
        0 => b"{\"this\": \"is JSON, not Avro\"}".to_vec(),
        // A schema id that no registry gave out.
        1 => [
            &[0][..],
            &(0x7fff_0000 + random.u32(0..1_000)).to_be_bytes(),
            b"datum",
        ]
        .concat(),
        2 => Vec::new(),
        _ => (0..random.usize(1..200)).map(|_| random.u8(1..)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn town() -> Town {
        let resident = |number: u32| Resident {
            member_id: Uuid::from_u128(number.into()).to_string(),
            bank_code: "004".into(),
            account_number: number.to_string(),
            holder_name: "김서연".into(),
        };
        let shops = (10_000..10_200).map(|number| resident(number).member_id);
        Town {
            members: (0..10_000).map(resident).collect(),
            franchises: shops.collect(),
            banks: vec!["004".into()],
            outsiders: (20_000..20_020).map(resident).collect(),
        }
    }

    fn paid<'a>(requests: &'a [Planned], franchise: &'a str) -> impl Iterator<Item = i64> {
        requests
            .iter()
            .filter(move |it| it.path == "/payments" && it.body["franchise_id"] == franchise)
            .filter_map(|it| it.body["amount"].as_i64())
    }

    /// Of the shortest day that must show all: the first franchise is below zero once
    /// its payments are cancelled, the last has a net that is held back, and somebody
    /// remits to where a bank may undo it.
    #[test]
    fn the_shortest_day_that_must_show_all_has_what_it_needs() {
        let town = town();
        let plan = Plan::of_a_day(&town, 5_000, 20_251_124);
        assert!(paid(&plan.noon, &town.franchises[0]).any(|won| won < 100_000));
        assert_eq!(paid(&plan.afternoon, &town.franchises[0]).count(), 0);
        assert!(paid(&plan.afternoon, &town.franchises[199]).any(|won| won < 100_000));
        let outsiders: Vec<&str> = town
            .outsiders
            .iter()
            .map(|it| &*it.account_number)
            .collect();
        let undoable = plan.noon.iter().chain(&plan.afternoon).filter(|it| {
            let to = it.body["receiver"]["account_number"].as_str();
            to.is_some_and(|to| outsiders.contains(&to))
        });
        // A bank undoes one in ten.
        let count = undoable.count();
        assert!(count >= 40, "{count}");
    }
}
