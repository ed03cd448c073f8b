use mypay_bank::ClassTable;
use mypay_bank::client::NotSentWhy;

use super::*;
use crate::worker::claim::Task;

/// A command that was called so often, this time counted in.
pub(in crate::worker) fn taken(calls: i32) -> Taken {
    Taken {
        firmbanking_id: Uuid::nil(),
        fence: 1,
        from: ("004".into(), "990004000001".into()),
        to: ("020".into(), "110200300400".into()),
        amount: 1_000,
        task: Task::Lapsed,
        sent_at: DateTime::UNIX_EPOCH,
        inquiries: 1,
        calls,
        tries: Tries::default(),
    }
}

fn made(call: Call, answer: Answer, calls: i32) -> Made {
    let table = ClassTable::embedded();
    let bank = table.bank("004").unwrap();
    let now = DateTime::UNIX_EPOCH + TimeDelta::hours(4);
    of_call(call, answer, &taken(calls), bank, Inquiry::default(), now)
}

#[test]
fn every_refusal_that_leaves_no_doubt_is_final_and_no_other_is() {
    for reason in Reason::ALL {
        let code = "0000".to_string();
        let answer = Answer::Refused {
            code,
            reason,
            fee: 300,
        };
        let (next, ..) = made(Call::Command, answer, 1);
        match reason {
            Reason::BankResting => assert!(matches!(next, Next::Pending { .. })),
            Reason::NumberUsedWithOtherContent | Reason::FormatError => {
                assert_eq!(next, Next::Manual);
            }
            _ => {
                let reason = reason.as_str().to_string();
                assert_eq!(next, Next::Refused { reason, fee: 300 });
            }
        }
    }
}

#[test]
fn an_answer_keeps_its_fee_and_what_tells_nothing_is_unknown() {
    let done = Answer::Done {
        bank_reference: "ref".into(),
        fee: 300,
        executed_at: DateTime::UNIX_EPOCH,
    };
    let (next, _, detail) = made(Call::Inquiry, done, 1);
    assert_eq!(next.fee(), 300);
    assert!(detail.starts_with("inquiry 1: done: done at"), "{detail}");
    for why in [
        UnknownWhy::TimedOut,
        UnknownWhy::Status(502),
        UnknownWhy::CodeNotInTable("9999".into()),
    ] {
        let (next, ..) = made(Call::Command, Answer::Unknown { why }, 1);
        assert!(matches!(next, Next::Unknown { .. }), "{next:?}");
    }
}

#[test]
fn what_never_left_and_never_can_is_refused_unless_it_was_sent_before() {
    let never = || Answer::NotSent {
        why: NotSentWhy::Request("no URL".into()),
    };
    let (next, ..) = made(Call::Command, never(), 1);
    assert_eq!(next, Next::refused("format_error"));
    assert_eq!(made(Call::Command, never(), 2).0, Next::Manual);
}
