//! What people put on a topic.

use anyhow::Context;
use mypay_decide::{AccountKind, SystemAccount};
use mypay_schemas::Flow;
use mypay_schemas::remittance::{BankReceiver, MemberReceiver, Receiver, RemittanceRequest};
use mypay_tests::World;
use mypay_tests::exactly_once::Must;
use mypay_tests::requests::{Outgoing, payment, payout, recharge, remittance};
use uuid::Uuid;

const DAY: i64 = 24 * 3_600_000;

/// An account that is no member's. Whoever knows how its id is made can name it.
pub(super) fn account_of_ours() -> SystemAccount {
    SystemAccount::new(AccountKind::Commission, Uuid::nil(), 0)
}

/// A message, and what must come of it.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) message: Outgoing,
    pub(super) expect: Expect,
}

pub(super) enum Expect {
    /// A result for this request.
    Answer(String, Must),
    /// A dead letter with this reason.
    DeadLetter(&'static str),
}

/// One of each kind.
pub(super) fn all(world: &World, members: &[Uuid]) -> anyhow::Result<Vec<Case>> {
    let mut cases = undecodable(world, members)?;
    cases.extend(bad_ids(world, members)?);
    cases.extend(rejected(world, members)?);
    cases.extend(asked_at_any_time(world, members)?);
    cases.extend(conflicting(world, members)?);
    Ok(cases)
}

/// Random bytes, of which some look like a message of ours at first.
pub(super) fn garbage(rng: &mut fastrand::Rng) -> Case {
    let mut bytes: Vec<u8> = (0..rng.usize(1..200)).map(|_| rng.u8(..)).collect();
    // Not the wire format: else it could be a schema's id.
    bytes[0] = rng.u8(1..);
    Case {
        name: "garbage",
        message: raw(&rng.u16(..).to_string(), bytes),
        expect: Expect::DeadLetter("not_avro"),
    }
}

/// Messages that unpack to more than a topic takes.
pub(super) fn large(world: &World, members: &[Uuid]) -> anyhow::Result<Vec<Outgoing>> {
    const LARGE: usize = 3_000_000;
    let small = || raw("small", b"no Avro".to_vec());
    let mut sender = remittance(members[0], members[1], 1);
    // A result repeats the sender, and has the sender for its key.
    sender.sender_id = "0".repeat(600_000);
    Ok(vec![
        raw("large", vec![b'0'; LARGE]),
        Outgoing {
            key: Some(vec![b'k'; LARGE]),
            ..small()
        },
        Outgoing {
            headers: vec![("large".to_owned(), vec![b'h'; LARGE])],
            ..small()
        },
        Outgoing {
            key: None,
            ..world.message(Flow::Remittance, &sender)?
        },
    ])
}

fn raw(key: &str, payload: Vec<u8>) -> Outgoing {
    Outgoing {
        topic: Flow::Remittance.request_topic(),
        key: Some(key.as_bytes().to_vec()),
        payload: Some(payload),
        ..Outgoing::default()
    }
}

fn undecodable(world: &World, members: &[Uuid]) -> anyhow::Result<Vec<Case>> {
    let good = || remittance(members[0], members[1], 1);
    let bytes = |request: &RemittanceRequest| -> anyhow::Result<Vec<u8>> {
        world
            .message(Flow::Remittance, request)?
            .payload
            .context("it has a value")
    };
    let mut cases = Vec::new();
    let mut dead = |name, reason, message| {
        cases.push(Case {
            name,
            message,
            expect: Expect::DeadLetter(reason),
        });
    };
    dead("text", "not_avro", raw("text", b"hello".to_vec()));
    dead(
        "JSON",
        "not_avro",
        raw("JSON", br#"{"amount": 1}"#.to_vec()),
    );
    dead("nothing", "not_avro", raw("nothing", Vec::new()));
    dead(
        "a tombstone",
        "not_avro",
        Outgoing {
            payload: None,
            ..raw("tombstone", Vec::new())
        },
    );
    dead("900 KB", "too_large", raw("large", vec![b'x'; 900_000]));
    dead("an empty key", "not_avro", raw("", b"no Avro".to_vec()));
    dead(
        "no key",
        "not_avro",
        Outgoing {
            key: None,
            ..raw("", b"no Avro".to_vec())
        },
    );
    let not_utf8 = Some(vec![0xff, 0, 0xfe]);
    dead(
        "a binary key",
        "not_avro",
        Outgoing {
            key: not_utf8,
            ..raw("", b"no Avro".to_vec())
        },
    );
    let headers = vec![
        ("dlq.reason".to_owned(), b"mine".to_vec()),
        ("b".to_owned(), vec![]),
    ];
    dead(
        "headers",
        "not_avro",
        Outgoing {
            headers,
            ..raw("headers", b"no Avro".to_vec())
        },
    );
    dead(
        "a schema id alone",
        "undecodable",
        raw("short", bytes(&good())?[..5].to_vec()),
    );
    let no_schema = [&[0, 0x7f, 0xff, 0xff, 0xf1], &bytes(&good())?[5..]].concat();
    dead(
        "an unknown schema",
        "unknown_schema_id",
        raw("unknown", no_schema),
    );
    let whole = bytes(&good())?;
    dead(
        "half a record",
        "undecodable",
        raw("half", whole[..whole.len() / 2].to_vec()),
    );
    dead(
        "something behind it",
        "undecodable",
        raw("behind", [&whole[..], b"0"].concat()),
    );
    dead(
        "text that is not UTF-8",
        "undecodable",
        raw("utf-8", not_utf8_inside(&good(), bytes)?),
    );
    let other_flow = world.message(Flow::Payment, &payment(members[0], members[1], "1", 1))?;
    let topic = Flow::Remittance.request_topic();
    dead(
        "another flow's",
        "undecodable",
        Outgoing {
            topic,
            ..other_flow
        },
    );
    let other_flow = world.message(Flow::Recharge, &recharge(members[0], 1))?;
    dead(
        "another flow's",
        "undecodable",
        Outgoing {
            topic,
            ..other_flow
        },
    );
    Ok(cases)
}

fn not_utf8_inside(
    request: &RemittanceRequest,
    bytes: impl Fn(&RemittanceRequest) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Vec<u8>> {
    const MARK: &[u8] = b"MARK";
    let marked = RemittanceRequest {
        sender_id: "MARK".to_owned(),
        ..request.clone()
    };
    let mut bytes = bytes(&marked)?;
    let at = bytes.windows(MARK.len()).position(|window| window == MARK);
    let at = at.context("the mark is in the bytes")?;
    bytes[at..at + MARK.len()].copy_from_slice(&[0xff, 0xfe, 0x80, 0xc0]);
    Ok(bytes)
}

/// A UUID of version 7 at a time, in milliseconds since the epoch.
fn id_at(millis: i64) -> Uuid {
    let random = fastrand::u128(..) & 0x0fff_3fff_ffff_ffff_ffff;
    Uuid::from_u128((millis as u128) << 80 | 0x7000_8000_0000_0000_0000 | random)
}

fn bad_ids(world: &World, members: &[Uuid]) -> anyhow::Result<Vec<Case>> {
    let now = chrono::Utc::now().timestamp_millis();
    let random = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid();
    let mut cases = Vec::new();
    let with = |message_id: &str| RemittanceRequest {
        message_id: message_id.to_owned(),
        ..remittance(members[0], members[1], 1)
    };
    for (name, id, reason) in [
        ("a random UUID", random, "id_without_time"),
        ("an id of long ago", id_at(now - 60 * DAY), "past_horizon"),
        (
            "an id of the year 1970",
            id_at(fastrand::i64(0..DAY)),
            "past_horizon",
        ),
        (
            "an id of next week",
            id_at(now + 7 * DAY),
            "id_from_the_future",
        ),
        (
            "an id of the last year",
            id_at((1 << 48) - 1 - fastrand::i64(0..DAY)),
            "id_from_the_future",
        ),
    ] {
        let request = with(&id.to_string());
        cases.push(Case {
            name,
            message: world.message(Flow::Remittance, &request)?,
            expect: Expect::Answer(request.message_id, Must::BeRejected(reason)),
        });
    }
    let bare = Uuid::now_v7().simple().to_string();
    let braced = format!("{{{}}}", Uuid::now_v7());
    let with_zero = format!("{}\0", Uuid::now_v7());
    let long = "7".repeat(10_000);
    for id in [
        "",
        "42",
        "no id at all, but of thirty-six chars",
        &bare,
        &braced,
        &with_zero,
        &long,
    ] {
        cases.push(Case {
            name: "an id that is no UUID",
            message: world.message(Flow::Remittance, &with(id))?,
            expect: Expect::DeadLetter("bad_message_id"),
        });
    }
    for correlation_id in [
        "c".repeat(1_000),
        "zero\0byte".to_owned(),
        "two\nlines".to_owned(),
    ] {
        let request = RemittanceRequest {
            correlation_id,
            ..with(&Uuid::now_v7().to_string())
        };
        cases.push(Case {
            name: "a bad correlation id",
            message: world.message(Flow::Remittance, &request)?,
            expect: Expect::DeadLetter("bad_correlation_id"),
        });
    }
    Ok(cases)
}

fn rejected(world: &World, members: &[Uuid]) -> anyhow::Result<Vec<Case>> {
    let good = || remittance(members[0], members[1], 1);
    let amount = |amount| RemittanceRequest { amount, ..good() };
    let sender = |sender: &str| RemittanceRequest {
        sender_id: sender.to_owned(),
        ..good()
    };
    let receiver = |member_id: &str| RemittanceRequest {
        receiver: Receiver::MemberReceiver(MemberReceiver {
            member_id: member_id.to_owned(),
        }),
        ..good()
    };
    let bank = |bank_code: &str, account_number: &str, holder_name: &str| {
        let (bank_code, account_number, holder_name) = (
            bank_code.to_owned(),
            account_number.to_owned(),
            holder_name.to_owned(),
        );
        payout(
            members[0],
            BankReceiver {
                bank_code,
                account_number,
                holder_name,
            },
            1_000,
        )
    };
    let nobody = Uuid::now_v7().to_string();
    let ours = account_of_ours().id().to_string();
    let requests = [
        ("less than nothing", amount(-5), "invalid_amount"),
        ("nothing", amount(0), "invalid_amount"),
        ("the largest number", amount(i64::MAX), "invalid_amount"),
        ("the smallest number", amount(i64::MIN), "invalid_amount"),
        (
            "more than is allowed",
            amount(2_000_001),
            "remittance_limit_exceeded",
        ),
        (
            "more than there is",
            amount(1_500_000),
            "insufficient_funds",
        ),
        ("an unknown sender", sender(&nobody), "unknown_member"),
        ("a sender that is no UUID", sender("zzz"), "unknown_member"),
        ("no sender", sender(""), "unknown_member"),
        (
            "a zero byte in the sender",
            sender("a\0b"),
            "unknown_member",
        ),
        (
            "a long sender",
            sender(&"s".repeat(10_000)),
            "unknown_member",
        ),
        ("an unknown receiver", receiver(&nobody), "unknown_receiver"),
        (
            "an account of ours as the sender",
            sender(&ours),
            "unknown_member",
        ),
        (
            "an account of ours as the receiver",
            receiver(&ours),
            "unknown_receiver",
        ),
        (
            "a zero byte in the receiver",
            receiver("a\0b"),
            "unknown_receiver",
        ),
        (
            "to oneself",
            receiver(&members[0].to_string()),
            "same_member",
        ),
        (
            "a zero byte in the holder",
            bank("004", "123456789012", "a\0b"),
            "invalid_holder_name",
        ),
        (
            "a long holder",
            bank("004", "123456789012", &"김".repeat(10_000)),
            "invalid_holder_name",
        ),
        (
            "no holder",
            bank("004", "123456789012", " "),
            "invalid_holder_name",
        ),
        (
            "a filler for a holder",
            bank("004", "123456789012", "\u{3164}"),
            "invalid_holder_name",
        ),
        (
            "a holder with a blank without width",
            bank("004", "123456789012", "김\u{200b}철수"),
            "invalid_holder_name",
        ),
        (
            "a holder that is turned around",
            bank("004", "123456789012", "\u{202e}수철김"),
            "invalid_holder_name",
        ),
        (
            "a zero byte in the account",
            bank("004", "12345\x006789012", "김철수"),
            "invalid_account_number",
        ),
        (
            "a long account",
            bank("004", &"1".repeat(10_000), "김철수"),
            "invalid_account_number",
        ),
        (
            "an account number of five digits",
            bank("004", "1-2345", "김철수"),
            "invalid_account_number",
        ),
        (
            "a bank that is none",
            bank("kakao", "123456789012", "김철수"),
            "invalid_bank_code",
        ),
    ];
    let cases = requests.into_iter().map(|(name, request, reason)| {
        Ok(Case {
            name,
            message: world.message(Flow::Remittance, &request)?,
            expect: Expect::Answer(request.message_id, Must::BeRejected(reason)),
        })
    });
    cases.collect()
}

/// Whenever a client says that it asked: what counts is when it is handled.
fn asked_at_any_time(world: &World, members: &[Uuid]) -> anyhow::Result<Vec<Case>> {
    const YEAR_10000: i64 = 253_402_300_800_000;
    let instants = [i64::MIN, -1, 0, YEAR_10000, i64::MAX];
    let cases = instants.into_iter().map(|requested_at| {
        let request = RemittanceRequest {
            requested_at,
            ..remittance(members[0], members[1], 1)
        };
        Ok(Case {
            name: "asked at an instant far away",
            message: world.message(Flow::Remittance, &request)?,
            expect: Expect::Answer(request.message_id, Must::Complete),
        })
    });
    cases.collect()
}

/// A request, and another under its id.
fn conflicting(world: &World, members: &[Uuid]) -> anyhow::Result<Vec<Case>> {
    let first = remittance(members[0], members[1], 10);
    let other = RemittanceRequest {
        amount: 20,
        ..first.clone()
    };
    Ok(vec![
        Case {
            name: "the first under its id",
            message: world.message(Flow::Remittance, &first)?,
            expect: Expect::Answer(first.message_id, Must::Complete),
        },
        Case {
            name: "another under the same id",
            message: world.message(Flow::Remittance, &other)?,
            expect: Expect::DeadLetter("id_conflict"),
        },
    ])
}
