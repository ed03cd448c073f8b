//! What the description says a field of a command can be is what is taken: at each
//! edge of each field, the command's own check and the description agree.
//!
//! A bound that is written in a body's description and one that the code keeps to
//! are two literals; this is what holds them together.

use std::collections::BTreeSet;

use mypay_cases::{Decision, Verdict};
use regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::bank_accounts::BankAccountBody;
use super::bank_cases::DecisionBody;
use super::commissions::RateBody;
use super::contracts::ContractBody;
use super::docs;
use super::holds::HoldBody;
use super::members::closing::HowBody;
use super::members::create::MemberBody;
use super::members::modify::MemberPatch;
use super::resources;
use super::undos::UndoBody;
use crate::firmbanking::FirmbankingBody;
use crate::payment::{Cancellation, CancellationBody, PaymentBody};
use crate::recharge::RechargeBody;
use crate::remittance::RemittanceBody;
use crate::request::{Body, Head, amount};
use crate::settlement::SettlementBody;

const ID: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

/// A command: a content that is taken, and whether another one is.
struct Command {
    body: &'static str,
    example: Value,
    is_taken: fn(Value) -> bool,
}

fn read<B: DeserializeOwned>(content: Value) -> Option<B> {
    serde_json::from_value(content).ok()
}

fn is_request<B: Body>(content: B) -> bool {
    let head = Head {
        message_id: ID.to_owned(),
        correlation_id: ID.to_owned(),
        requested_at: i64::MAX,
    };
    content.into_request(head).is_ok()
}

fn request<B: Body>(content: Value) -> bool {
    read::<B>(content).is_some_and(is_request)
}

fn cancellation(content: Value) -> bool {
    read::<CancellationBody>(content).is_some_and(|asked| {
        is_request(Cancellation {
            payment_id: ID.to_owned(),
            member_id: ID.to_owned(),
            franchise_id: ID.to_owned(),
            order_ref: "7".to_owned(),
            asked,
        })
    })
}

fn closing(content: Value) -> bool {
    read::<HowBody>(content).is_some_and(|how| is_request(how.of(Uuid::nil())))
}

fn member(content: Value) -> bool {
    read::<MemberBody>(content).is_some_and(|body| body.check(Uuid::nil()).is_ok())
}

fn change(content: Value) -> bool {
    let before = json!({ "kind": "CUSTOMER", "name": "Kim", "area": "Seoul" });
    let before = read::<MemberBody>(before).unwrap();
    let (before, _) = before.check(Uuid::nil()).unwrap();
    read::<MemberPatch>(content).is_some_and(|change| change.applied_to(&before).is_ok())
}

fn contract(content: Value) -> bool {
    let capital = content["opening_capital"].as_i64();
    let capital = capital.is_none_or(|won| amount(won).is_ok());
    let body = read::<ContractBody>(content);
    capital && body.is_some_and(|body| body.check("004".to_owned()).is_ok())
}

fn decision(content: Value) -> bool {
    read::<DecisionBody>(content).is_some_and(|body| {
        let Ok(verdict) = body.outcome.parse::<Verdict>() else {
            return false;
        };
        let decision = Decision {
            decision_id: Uuid::nil(),
            case_id: Uuid::nil(),
            verdict,
            fee: body.fee,
            operator: "kim".to_owned(),
            reason: body.reason,
        };
        mypay_cases::check(&decision).is_ok()
    })
}

fn commands() -> Vec<Command> {
    let command = |body, example, is_taken| Command {
        body,
        example,
        is_taken,
    };
    let account = json!({ "bank_code": "004", "account_number": "110123456789" });
    let holder =
        json!({ "bank_code": "004", "account_number": "110123456789", "holder_name": "Kim" });
    vec![
        command(
            "RechargeBody",
            json!({ "member_id": ID, "amount": 1 }),
            request::<RechargeBody>,
        ),
        command(
            "RemittanceBody",
            json!({ "sender_id": ID, "receiver": { "member_id": ID }, "amount": 1 }),
            request::<RemittanceBody>,
        ),
        // The same, to a bank.
        command(
            "RemittanceBody",
            json!({ "sender_id": ID, "receiver": holder, "amount": 1 }),
            request::<RemittanceBody>,
        ),
        command(
            "PaymentBody",
            json!({ "member_id": ID, "franchise_id": ID, "order_ref": "7", "amount": 1 }),
            request::<PaymentBody>,
        ),
        command(
            "CancellationBody",
            json!({ "amount": 1, "reason": "broken" }),
            cancellation,
        ),
        command(
            "FirmbankingBody",
            json!({
                "purpose": "fee", "from": account, "to": account, "amount": 1,
                "to_holder_name": "Kim",
            }),
            request::<FirmbankingBody>,
        ),
        command(
            "SettlementBody",
            json!({ "cut_at": "2026-01-01T00:00:00Z", "franchise_id": ID }),
            request::<SettlementBody>,
        ),
        command("HowBody", json!({ "reason": "moves abroad" }), closing),
        command("BankAccountBody", holder, |content| {
            read::<BankAccountBody>(content).is_some_and(|body| body.check().is_ok())
        }),
        command(
            "MemberBody",
            json!({
                "kind": "FRANCHISE", "name": "Kim", "email": "kim@example.com",
                "area": "Seoul", "address": "1", "commission_bps": 1,
            }),
            member,
        ),
        command(
            "MemberPatch",
            json!({ "name": "Kim", "email": "kim@example.com", "area": "Seoul", "address": "1" }),
            change,
        ),
        command(
            "ContractBody",
            json!({
                "bank_name": "KB", "corporate_account": "900000000001", "fee": 50,
                "expires_on": "2027-12-31", "opening_capital": 1,
            }),
            contract,
        ),
        command("HoldBody", json!({ "reason": "disputed" }), |content| {
            read::<HoldBody>(content).is_some_and(|body| body.check().is_ok())
        }),
        command("UndoBody", json!({ "reason": "agreed" }), |content| {
            read::<UndoBody>(content)
                .is_some_and(|body| mypay_cases::check_words("kim", &body.reason).is_ok())
        }),
        command("RateBody", json!({ "bps": 1 }), |content| {
            read::<RateBody>(content).is_some_and(|body| body.check().is_ok())
        }),
        command(
            "DecisionBody",
            json!({ "outcome": "done", "fee": 0, "reason": "asked" }),
            decision,
        ),
    ]
}

fn described() -> Value {
    let (_, mut api) = resources().split_for_parts();
    docs::complete(&mut api);
    json!(api)
}

/// The forms that a schema can have, references and alternatives taken apart.
fn forms<'a>(api: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    if let Some(named) = schema["$ref"].as_str() {
        let name = named.rsplit('/').next().unwrap();
        return forms(api, &api["components"]["schemas"][name]);
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(several) = schema[several].as_array() {
            return several.iter().flat_map(|one| forms(api, one)).collect();
        }
    }
    vec![schema]
}

fn is_of(schema: &Value, kind: &str) -> bool {
    let of = &schema["type"];
    of == kind || of.as_array().is_some_and(|of| of.contains(&json!(kind)))
}

/// The fields of a body that have bounds, as pointers, with their schemas.
fn fields(api: &Value, schema: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    for form in forms(api, schema) {
        for (name, field) in form["properties"].as_object().into_iter().flatten() {
            fields(api, field, &format!("{at}/{name}"), found);
        }
        let of_time = ["date", "date-time"].map(Value::from);
        let bounded = is_of(form, "integer") || is_of(form, "string");
        if bounded && form["enum"].is_null() && !of_time.contains(&form["format"]) {
            found.push((at.to_owned(), form.clone()));
        }
    }
}

/// Accounts as people write them, and what is none.
const NUMBERS: [&str; 16] = [
    "12345",
    "123456",
    "12345678901234567890",
    "123456789012345678901",
    "110-123-456789",
    "110--123 - 456789",
    "1-2-3-4-5-6",
    "1-2-3-4-5-",
    "------",
    "-123456-",
    "12345a",
    "１２３４５６",
    "123456\n",
    "123.456",
    "",
    "+123456",
];
const CODES: [&str; 8] = ["004", "000", "999", "04", "0004", "0a4", "", "００４"];
const OUTCOMES: [&str; 6] = ["done", "refused", "resend", "dismiss", "Done", ""];

/// An address of so many bytes.
fn email(length: usize) -> String {
    let host = format!("{}.{}", "b".repeat(63), "c".repeat(63));
    let rest = length - 64 - 1 - host.len() - 1 - 4;
    format!("{}@{host}.{}.com", "a".repeat(64), "d".repeat(rest))
}

/// What lies at the edges of a field, and whether the description has it inside.
fn edges(schema: &Value) -> Vec<(Value, bool)> {
    if is_of(schema, "integer") {
        let bound = |name: &str| {
            let bound = schema[name].as_i64();
            bound.unwrap_or_else(|| panic!("no {name}: {schema}"))
        };
        let (least, most) = (bound("minimum"), bound("maximum"));
        return vec![
            (json!(least - 1), false),
            (json!(least), true),
            (json!(most), true),
            (json!(most + 1), false),
            (json!(i64::MIN), false),
            (json!(i64::MAX), false),
        ];
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let fits = Regex::new(pattern).unwrap();
        let longest = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
        let mut written = [&NUMBERS[..], &CODES, &OUTCOMES].concat();
        let dashes = [64, 65].map(|length| format!("{}123456", "-".repeat(length - 6)));
        written.extend(dashes.iter().map(String::as_str));
        let inside = |text: &str| fits.is_match(text) && text.len() as u64 <= longest;
        return written
            .into_iter()
            .map(|text| (json!(text), inside(text)))
            .collect();
    }
    if schema["format"] == "uuid" {
        return vec![(json!(ID), true), (json!(""), false), (json!("x"), false)];
    }
    let length = |name: &str| schema[name].as_u64().map(|length| length as usize);
    let most = length("maxLength").unwrap_or_else(|| panic!("no maxLength: {schema}"));
    if schema["format"] == "email" {
        return vec![
            (json!(email(most)), true),
            (json!(email(most + 1)), false),
            (json!("kim"), false),
        ];
    }
    let least = length("minLength").unwrap_or(0);
    let mut texts = vec![
        (json!("가".repeat(least)), true),
        (json!("가".repeat(most)), true),
        (json!("가".repeat(most + 1)), false),
    ];
    if least > 0 {
        texts.push((json!("가".repeat(least - 1)), false));
    }
    texts
}

#[test]
fn every_field_takes_what_its_description_says_and_nothing_beyond() {
    let api = described();
    for command in commands() {
        let Command {
            body,
            example,
            is_taken,
        } = command;
        assert!(is_taken(example.clone()), "{body}: {example}");
        let mut of_body = Vec::new();
        fields(&api, &api["components"]["schemas"][body], "", &mut of_body);
        let mut tried = 0;
        for (pointer, schema) in &of_body {
            for (value, inside) in edges(schema) {
                let mut content = example.clone();
                // Of the alternatives only the example's own is tried.
                let Some(place) = content.pointer_mut(pointer) else {
                    continue;
                };
                *place = value.clone();
                assert_eq!(is_taken(content), inside, "{body}{pointer}: {value}");
                tried += 1;
            }
        }
        assert!(tried > 2, "{body}");
    }
}

/// A body, or a field, that is new is tried, too.
#[test]
fn no_field_of_any_command_is_left_out() {
    let api = described();
    let mut bodies = BTreeSet::new();
    for item in api["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if let Some(named) = schema["$ref"].as_str() {
                bodies.insert(named.rsplit('/').next().unwrap().to_owned());
            }
        }
    }
    let commands = commands();
    let tried: BTreeSet<String> = commands.iter().map(|it| it.body.to_owned()).collect();
    assert_eq!(bodies, tried);
    for body in &bodies {
        let mut of_body = Vec::new();
        fields(&api, &api["components"]["schemas"][body], "", &mut of_body);
        for (pointer, _) in of_body {
            let examples = commands.iter().filter(|command| command.body == body);
            let mut named = examples.map(|command| command.example.pointer(&pointer));
            assert!(named.any(|it| it.is_some()), "{body}{pointer}");
        }
    }
}
