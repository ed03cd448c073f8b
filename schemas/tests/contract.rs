//! Every record goes through its own schema and comes back the same; what
//! older and newer writers wrote is read.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest};
use mypay_schemas::recharge::RechargeResult;
use mypay_schemas::remittance::{BankReceiver, MemberReceiver, Receiver, RemittanceRequest};
use mypay_schemas::wire::Encoder;
use mypay_schemas::{Request, ResultStatus, Subject};

fn schema(topic: &str) -> &'static str {
    Subject::of_topic(topic).unwrap().schema
}

fn decoder(schema: &str) -> Decoder {
    let mut decoder = Decoder::new("http://127.0.0.1:1");
    decoder.learn(7, schema).unwrap();
    decoder
}

fn remittance(receiver: Receiver) -> RemittanceRequest {
    RemittanceRequest {
        message_id: "01890000-0000-7000-8000-000000000001".into(),
        correlation_id: "01890000-0000-7000-8000-000000000001".into(),
        requested_at: 1_700_000_000_000,
        sender_id: "01890000-0000-7000-8000-000000000002".into(),
        receiver,
        amount: 5_000,
        causation_id: None,
    }
}

fn to_member() -> Receiver {
    Receiver::MemberReceiver(MemberReceiver {
        member_id: "01890000-0000-7000-8000-000000000003".into(),
    })
}

fn to_bank() -> Receiver {
    Receiver::BankReceiver(BankReceiver {
        bank_code: "004".into(),
        account_number: "12345".into(),
        holder_name: "홍길동".into(),
    })
}

#[test]
fn a_remittance_comes_back_as_it_was_written() {
    let encoder = Encoder::new(7, schema("my.remittance.request")).unwrap();
    let decoder = decoder(schema("my.remittance.request"));
    for receiver in [to_member(), to_bank()] {
        let request = remittance(receiver);
        let bytes = encoder.encode(&request).unwrap();
        let read: RemittanceRequest = decoder.decode_cached(&bytes).unwrap().unwrap();
        assert_eq!(read, request);
        assert_eq!(read.content_hash(), request.content_hash());
    }
}

#[test]
fn a_record_that_is_used_twice_and_an_enum_come_back() {
    let encoder = Encoder::new(7, schema("my.firmbanking.request")).unwrap();
    let account = |number: &str| BankAccount {
        bank_code: "020".into(),
        account_number: number.into(),
    };
    let request = FirmbankingRequest {
        message_id: "m".into(),
        correlation_id: "c".into(),
        requested_at: 1,
        purpose: "transfer".into(),
        from: account("1"),
        to: account("2"),
        amount: 3,
        to_holder_name: None,
        causation_id: Some("o".into()),
    };
    let read: FirmbankingRequest = decoder(schema("my.firmbanking.request"))
        .decode_cached(&encoder.encode(&request).unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(read, request);

    let encoder = Encoder::new(7, schema("my.recharge.result")).unwrap();
    let result = RechargeResult {
        message_id: "m".into(),
        request_id: "r".into(),
        correlation_id: "c".into(),
        status: ResultStatus::Rejected,
        reason: Some("balance_cap_exceeded".into()),
        occurred_at: 4,
        member_id: "x".into(),
        amount: 5,
        causation_id: None,
    };
    let read: RechargeResult = decoder(schema("my.recharge.result"))
        .decode_cached(&encoder.encode(&result).unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(read, result);
}

#[test]
fn the_hash_tells_contents_apart_and_leaves_the_time_out() {
    let first = remittance(to_member());
    let mut again = first.clone();
    again.requested_at += 60_000;
    again.correlation_id = "01890000-0000-7000-8000-0000000000ff".into();
    assert_eq!(first.content_hash(), again.content_hash());
    let mut other = first.clone();
    other.amount += 1;
    assert_ne!(first.content_hash(), other.content_hash());
    assert_ne!(first.content_hash(), remittance(to_bank()).content_hash());
}

#[test]
fn an_older_and_a_newer_writer_are_read() {
    let current: serde_json::Value = serde_json::from_str(schema("my.remittance.request")).unwrap();
    let mut older = current.clone();
    older["fields"]
        .as_array_mut()
        .unwrap()
        .retain(|field| field["name"] != "causation_id");
    let mut newer = current;
    newer["fields"]
        .as_array_mut()
        .unwrap()
        .push(serde_json::json!(
            {"name": "memo", "type": ["null", "string"], "default": null}
        ));

    #[derive(serde::Serialize)]
    #[serde(rename = "RemittanceRequest")]
    struct Older<'a> {
        message_id: &'a str,
        correlation_id: &'a str,
        requested_at: i64,
        sender_id: &'a str,
        receiver: &'a Receiver,
        amount: i64,
    }
    #[derive(serde::Serialize)]
    #[serde(rename = "RemittanceRequest")]
    struct Newer<'a> {
        message_id: &'a str,
        correlation_id: &'a str,
        requested_at: i64,
        sender_id: &'a str,
        receiver: &'a Receiver,
        amount: i64,
        causation_id: Option<&'a str>,
        memo: Option<&'a str>,
    }
    let request = remittance(to_member());
    let (message_id, correlation_id) = (&*request.message_id, &*request.correlation_id);
    let (requested_at, sender_id) = (request.requested_at, &*request.sender_id);
    let (receiver, amount) = (&request.receiver, request.amount);

    let text = older.to_string();
    let bytes = Encoder::new(7, &text)
        .unwrap()
        .encode(&Older {
            message_id,
            correlation_id,
            requested_at,
            sender_id,
            receiver,
            amount,
        })
        .unwrap();
    let read: RemittanceRequest = decoder(&text).decode_cached(&bytes).unwrap().unwrap();
    assert_eq!(read, request);

    let text = newer.to_string();
    let bytes = Encoder::new(7, &text)
        .unwrap()
        .encode(&Newer {
            message_id,
            correlation_id,
            requested_at,
            sender_id,
            receiver,
            amount,
            causation_id: None,
            memo: Some("생일 축하"),
        })
        .unwrap();
    let read: RemittanceRequest = decoder(&text).decode_cached(&bytes).unwrap().unwrap();
    assert_eq!(read, request);
}

#[test]
fn what_does_not_fit_is_poison_with_a_reason() {
    let encoder = Encoder::new(7, schema("my.remittance.request")).unwrap();
    let good = encoder.encode(&remittance(to_member())).unwrap();
    let reading = |schema: &str, bytes: &[u8]| {
        decoder(schema)
            .decode_cached::<RemittanceRequest>(bytes)
            .unwrap()
            .unwrap_err()
    };
    let own = schema("my.remittance.request");
    assert_eq!(reading(own, b"not avro"), Poison::NotWireFormat);
    assert_eq!(reading(own, &good[..good.len() - 1]).code(), "undecodable");
    assert_eq!(
        reading(own, &[&good[..], b"x"].concat()).code(),
        "undecodable"
    );
    // A string that claims to be 2^62 bytes long.
    let huge = [
        &good[..5],
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..],
    ]
    .concat();
    assert_eq!(reading(own, &huge).code(), "undecodable");
    // A well-formed record of another flow.
    assert_eq!(
        reading(schema("my.payment.request"), &good).code(),
        "undecodable"
    );
}

/// Not a check but a measurement: what reading and writing a message costs.
///
/// `cargo test -p mypay-schemas --release -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement"]
fn speed() {
    const ROUNDS: u32 = 500_000;
    let encoder = Encoder::new(7, schema("my.remittance.request")).unwrap();
    let decoder = decoder(schema("my.remittance.request"));
    let request = remittance(to_member());
    let bytes = encoder.encode(&request).unwrap();
    let time = |what: &str, work: &dyn Fn()| {
        let began = std::time::Instant::now();
        (0..ROUNDS).for_each(|_| work());
        println!("{what}: {:?} a message", began.elapsed() / ROUNDS);
    };
    time("write", &|| {
        std::hint::black_box(encoder.encode(&request).unwrap());
    });
    time("read", &|| {
        let read: RemittanceRequest = decoder.decode_cached(&bytes).unwrap().unwrap();
        std::hint::black_box(read);
    });
    time("hash", &|| {
        std::hint::black_box(request.content_hash());
    });
}
