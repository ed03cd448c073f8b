//! A small day on which everything agrees; the tests break it.

use mypay_bank::wire::LineKind;
use mypay_decide::account::bank_owner;
use mypay_decide::{AccountKind, EntryKind};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::id_of_command;
use mypay_schemas::identity::derive;
use uuid::Uuid;

use crate::bank::{Bank, Line};
use crate::data::{Data, FlowData};
use crate::flows::{Awaited, Command, Contract, Payout, Slip, Stage, State};
use crate::interned::Code;
use crate::ledger::{Posting, System};
use crate::rows::{
    DeadLetter, Kind, Lane, Message, Place, Poison, ResultEvent, Row, Source, Status,
};

mod bank;
mod journal;

const AT: u128 = 1_790_000_000_000;
const DAY: u128 = 24 * 3_600_000;

const fn id(number: u128) -> u128 {
    (AT << 80) + number
}

/// A remittance between members.
pub(super) const REMITTED: u128 = id(1);
/// One that was rejected.
pub(super) const REJECTED: u128 = id(2);
/// One to a bank account that the bank confirmed.
pub(super) const PAID_OUT: u128 = id(3);
/// One to a bank account that waits for the bank.
pub(super) const AWAITING: u128 = id(4);
/// A recharge that the bank confirmed.
pub(super) const RECHARGED: u128 = id(20);
/// A remittance whose id carries no time.
pub(super) const TIMELESS: u128 = 0x4cbb_2d2c_1c12_4b3e_9d3a_3f4f_5f6f_7f8f;
const PAID: u128 = id(10);
const RUN: u128 = id(30);
const FROM_THE_FUTURE: u128 = (AT + 2 * DAY) << 80;
/// A direct command of staff; the last of all commands by its id.
const DIRECT: u128 = id(0xffff << 64);

const MEMBER: u128 = id(100);
const RECEIVER: u128 = id(101);
const FRANCHISE: u128 = id(102);
const CASH: u128 = 1_001;
const IN_TRANSIT: u128 = 1_002;
const PAYABLE: u128 = 1_003;
const COMMISSION: u128 = 1_004;
const FEE_EXPENSE: u128 = 1_005;
const CAPITAL: u128 = 1_006;
const SUSPENSE: u128 = 1_007;
const FEE_INCOME: u128 = 1_008;
const FEE: i64 = 300;

fn derived(id: u128, what: &str) -> u128 {
    derive(Uuid::from_u128(id), what).as_u128()
}

fn command_of(id: u128) -> u128 {
    // All of the sample's commands are derived as a remittance's are: only the
    // one of AWAITING is looked up by its derivation.
    id_of_command("remittance", Uuid::from_u128(id)).as_u128()
}

fn place(source: Source, offset: i64) -> Place {
    Place {
        source,
        partition: 0,
        offset,
    }
}

fn message(id: u128, offset: i64, payee: u128, amount: i64, kind: Kind) -> Message {
    let place = place(Source::Request, offset);
    let (content, bytes) = (id ^ 7, offset as u64);
    Message {
        id,
        content,
        payer: MEMBER,
        payee,
        amount,
        at: AT as i64,
        place,
        bytes,
        kind,
    }
}

fn row(message: &Message, success: bool) -> Row {
    Row {
        id: message.id,
        content: message.content,
        processed_at: AT as i64,
        place: Some(message.place),
        reason: 0,
        status: Status::Done,
        success,
    }
}

fn result(request: u128, offset: i64, extra: i64) -> ResultEvent {
    ResultEvent {
        request,
        message_id: derived(request, "result"),
        extra,
        topped_up: 0,
        offset,
        partition: 0,
        reason: 0,
        completed: true,
    }
}

/// The dead letter of a message.
pub(super) fn letter(message: &Message, reason: Code) -> DeadLetter {
    DeadLetter {
        place: message.place,
        bytes: message.bytes,
        reason,
        offset: 0,
    }
}

/// Puts a message on the topic once more, behind itself; gives the second one.
pub(super) fn put_through_again(of: &mut FlowData, message: &Message) -> Message {
    let mut again = *message;
    again.place.offset += 1;
    of.messages.push(again);
    of.messages
        .sort_by_key(|message| (message.id, message.place));
    again
}

/// The day.
pub(super) fn day() -> Data {
    let mut data = Data {
        now: AT as i64,
        horizon: (AT - 35 * DAY) as i64,
        ..Data::default()
    };
    for flow in Flow::ALL {
        let of = data.flow_mut(flow);
        for source in [Source::Request, Source::Bank] {
            of.lanes.insert(
                (source, 0),
                Lane {
                    next_offset: 100,
                    emitted_offset: 100,
                },
            );
        }
        of.results_before.insert(0, 100);
    }
    remittances(&mut data);
    refused_and_dead(&mut data);
    others(&mut data);
    bank::at_the_bank(&mut data);
    journal::journal(&mut data);
    for flow in &mut data.flows {
        flow.messages
            .sort_by_key(|message| (message.id, message.place));
        crate::sorted::sort(&mut flow.rows);
        crate::sorted::sort(&mut flow.results);
        flow.dead_letters.sort_by_key(|letter| letter.place);
    }
    crate::sorted::sort(&mut data.tables.commands);
    data
}

fn remittances(data: &mut Data) {
    let insufficient = data.reasons.code("insufficient_funds");
    let of = data.flow_mut(Flow::Remittance);
    of.messages = vec![
        message(REMITTED, 0, RECEIVER, 1_000, Kind::ToMember),
        message(REJECTED, 1, RECEIVER, 9_000, Kind::ToMember),
        message(PAID_OUT, 2, 0, 5_000, Kind::ToBank),
        message(AWAITING, 3, 0, 7_000, Kind::ToBank),
    ];
    of.rows = of
        .messages
        .iter()
        .map(|message| row(message, true))
        .collect();
    (of.rows[1].success, of.rows[1].reason) = (false, insufficient);
    of.rows[3].status = Status::Processing;
    of.results = vec![
        result(REMITTED, 0, 0),
        result(REJECTED, 1, 0),
        result(PAID_OUT, 2, 500),
    ];
    (of.results[1].completed, of.results[1].reason) = (false, insufficient);
}

fn refused_and_dead(data: &mut Data) {
    let reasons = [
        "id_without_time",
        "id_from_the_future",
        "not_avro",
        "id_conflict",
    ];
    let [timeless, future, not_avro, conflict] = reasons.map(|it| data.reasons.code(it));
    let of = data.flow_mut(Flow::Remittance);
    of.timeless
        .push(message(TIMELESS, 6, RECEIVER, 1, Kind::ToMember));
    of.messages
        .push(message(FROM_THE_FUTURE, 7, RECEIVER, 1, Kind::ToMember));
    for (id, reason, offset) in [(TIMELESS, timeless, 3), (FROM_THE_FUTURE, future, 4)] {
        of.results.push(ResultEvent {
            completed: false,
            reason,
            ..result(id, offset, 0)
        });
    }
    let other = Message {
        content: 1,
        ..message(REMITTED, 5, RECEIVER, 2_000, Kind::ToMember)
    };
    of.messages.push(other);
    let poison = Poison {
        place: place(Source::Request, 4),
        bytes: 44,
        at: AT as i64,
        reason: not_avro,
    };
    of.poison.push(poison);
    for (place, bytes, reason) in [
        (poison.place, 44, not_avro),
        (other.place, other.bytes, conflict),
    ] {
        of.dead_letters.push(DeadLetter {
            place,
            bytes,
            reason,
            offset: 0,
        });
    }
}

fn others(data: &mut Data) {
    let paid = message(PAID, 0, FRANCHISE, 3_000, Kind::Plain);
    let recharged = message(RECHARGED, 0, 0, 20_000, Kind::Plain);
    let run = message(RUN, 0, 0, 0, Kind::Plain);
    for (flow, message, extra) in [
        (Flow::Payment, paid, 30),
        (Flow::Recharge, recharged, 0),
        (Flow::Settlement, run, 0),
    ] {
        let of = data.flow_mut(flow);
        of.messages.push(message);
        of.rows.push(row(&message, true));
        of.results.push(result(message.id, 0, extra));
    }
    let slip = Slip {
        id: PAID,
        member: MEMBER,
        franchise: FRANCHISE,
        gross: 3_000,
        commission: 30,
    };
    data.tables.slips.push(slip);
}

fn payout() -> u128 {
    derived(RUN, &Uuid::from_u128(FRANCHISE).to_string())
}

#[test]
fn a_clean_day_is_clean() {
    for check in super::all(&day()) {
        assert!(
            check.ok,
            "{}: {:?} {:?}",
            check.name, check.offenders, check.could_not
        );
    }
}
