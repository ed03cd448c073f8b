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

/// The requests of a day.
pub(super) struct Plan {
    pub(super) morning: Vec<Planned>,
    pub(super) day: Vec<Planned>,
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
        let day = (recharges..count)
            .map(|_| {
                if random.bool() {
                    remittance(town, &mut random)
                } else {
                    payment(town, &mut random)
                }
            })
            .collect();
        let bad = (0..(count / 1_000).clamp(1, 100))
            .flat_map(|number| Flow::ALL.map(|flow| (number, flow)))
            .map(|(number, flow)| Bad {
                flow,
                bytes: bad(number, &mut random),
            })
            .collect();
        Self { morning, day, bad }
    }
}

/// The settlement of all franchises, up to now.
pub(super) fn settlement() -> Planned {
    Planned {
        flow: Flow::Settlement,
        id: Uuid::now_v7(),
        body: json!({ "cut_at": Utc::now().to_rfc3339() }),
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
        Flow::Recharge,
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
        8..150 => (
            json!({
                "bank_code": receiver.bank_code,
                "account_number": receiver.account_number,
                "holder_name": receiver.holder_name,
            }),
            amount,
        ),
        // Somebody else's account: the bank is asked before money moves.
        150..153 => (
            json!({
                "bank_code": receiver.bank_code,
                "account_number": receiver.account_number,
                "holder_name": "홍길동",
            }),
            amount,
        ),
        _ => (json!({ "member_id": receiver.member_id }), amount),
    };
    let body = json!({ "sender_id": sender.member_id, "receiver": receiver, "amount": amount });
    planned(Flow::Remittance, body, random)
}

fn payment(town: &Town, random: &mut Rng) -> Planned {
    let member = resident(town, random);
    let franchise = &town.franchises[random.usize(0..town.franchises.len())];
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
    planned(Flow::Payment, body, random)
}

fn resident<'a>(town: &'a Town, random: &mut Rng) -> &'a Resident {
    &town.members[random.usize(0..town.members.len())]
}

/// One in a hundred is sent twice, one in a thousand with other content.
fn planned(flow: Flow, body: Value, random: &mut Rng) -> Planned {
    let way = match random.u32(0..1_000) {
        0..5 => Way::HttpTwice,
        5..10 => Way::HttpThenTopic,
        10 => Way::Conflict,
        11..50 => Way::Topic,
        _ => Way::Http,
    };
    Planned {
        flow,
        id: Uuid::now_v7(),
        body,
        way,
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
