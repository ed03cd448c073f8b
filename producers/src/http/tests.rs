//! Bad input meets the router: none of these tests has a database behind it.

mod fields;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use mypay_auth::{Checker, Identity, Key, Minter, Role, Sources};
use mypay_bank::{BankClient, ClientConfig};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;
use uuid::Uuid;

use super::access::{RULES, Rule};
use super::problem::Problem;
use super::{App, router};
use crate::edge::{Bounds, Edge};
use crate::firmbanking::FirmbankingBody;
use crate::metrics::Metrics;
use crate::payment::PaymentBody;
use crate::producer::{Settings, Stage};
use crate::recharge::RechargeBody;
use crate::remittance::RemittanceBody;
use crate::request::Head;
use crate::settlement::SettlementBody;

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

fn app() -> axum::Router {
    app_with(Bounds::default())
}

fn app_with(bounds: Bounds) -> axum::Router {
    let edge = Edge {
        pool: mypay_database::pool(&format!("postgres://mypay@{NOWHERE}/mypay"), 1).unwrap(),
        bank: BankClient::new(ClientConfig::new(format!("http://{NOWHERE}"))).unwrap(),
        tokens: Arc::new(Checker::new(key())),
        settings: Settings {
            kafka_bootstrap: NOWHERE.to_owned(),
            registry_url: format!("http://{NOWHERE}"),
            role: "edge",
            tries: Some(0),
        },
        bounds,
    };
    let (_, stage) = watch::channel(Stage::Registry);
    router(Arc::new(App::new(
        &edge,
        stage,
        Arc::new(Metrics::default()),
    )))
}

async fn ask(request: Request<Body>) -> Response {
    app().oneshot(request).await.unwrap()
}

fn key() -> Key {
    let sources = Sources {
        secret: Some("a secret of the tests, 32 bytes long".to_owned()),
        ..Sources::default()
    };
    sources.key().unwrap()
}

fn bearer(role: Role, subject: &str) -> String {
    let who = Identity::new(role, subject).unwrap();
    let token = Minter::new(&key())
        .unwrap()
        .mint(&who, Duration::from_secs(60));
    format!("Bearer {}", token.unwrap())
}

/// The member that asks in these tests.
const OWN: Uuid = Uuid::from_u128(0x0199_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b);

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header(AUTHORIZATION, bearer(Role::Member, &OWN.to_string()))
        .header(CONTENT_TYPE, "application/json")
        .header("Idempotency-Key", Uuid::now_v7().to_string())
        .body(body.into())
        .unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path)
        .header(AUTHORIZATION, bearer(Role::Auditor, "lee"))
        .body(Body::empty())
        .unwrap()
}

async fn body(response: Response) -> Value {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The status and the reason of the problem that the answer must be.
async fn problem(request: Request<Body>) -> (u16, String) {
    let response = ask(request).await;
    let status = response.status().as_u16();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let body = body(response).await;
    let code = body["code"].as_str().unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], format!("/docs/problems.md#{code}"));
    assert!(body["title"].is_string() && body["detail"].is_string());
    (status, code.to_owned())
}

async fn assert_problem(request: Request<Body>, status: u16, reason: &str) {
    assert_eq!(problem(request).await, (status, reason.to_owned()));
}

#[tokio::test]
async fn an_unknown_route_and_a_wrong_method_are_problems() {
    assert_problem(get("/nowhere"), 404, "unknown_route").await;
    let delete = Request::delete("/recharges").body(Body::empty()).unwrap();
    let response = ask(delete).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(body(response).await["code"], "method_not_allowed");
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let member_id = OWN;
    let trailing = format!(r#"{{"member_id":"{member_id}","amount":1}}x"#);
    for bad in [
        "",
        "{",
        "{\"amount\":1,}",
        "{'amount':1}",
        &trailing,
        "\u{0}",
    ] {
        assert_problem(post("/recharges", bad.to_owned()), 400, "malformed_json").await;
    }
    assert_problem(post("/recharges", vec![0xff, 0xfe]), 400, "malformed_json").await;
}

/// Each fault of the form has its code, and a pointer to the field.
#[tokio::test]
async fn what_is_wrong_with_a_body_is_said_field_by_field() {
    let recharge = |member_id: Value, amount: &str| {
        format!(r#"{{"member_id":{member_id},"amount":{amount}}}"#)
    };
    let own = || json!(OWN);
    let cases = [
        ("{}".to_owned(), "missing_field", "/member_id"),
        (
            json!({ "member_id": OWN }).to_string(),
            "missing_field",
            "/amount",
        ),
        (json!([OWN, 1]).to_string(), "wrong_type", ""),
        ("null".to_owned(), "wrong_type", ""),
        (recharge(json!(7), "1"), "wrong_type", "/member_id"),
        (recharge(json!(null), "1"), "wrong_type", "/member_id"),
        (recharge(own(), "\"1\""), "wrong_type", "/amount"),
        (recharge(own(), "1.5"), "wrong_type", "/amount"),
        (recharge(own(), "1e30"), "wrong_type", "/amount"),
        (
            recharge(own(), "9223372036854775808"),
            "number_out_of_range",
            "/amount",
        ),
        (
            recharge(own(), "1,\"currency\":\"KRW\""),
            "unknown_field",
            "/currency",
        ),
        (recharge(own(), "1,\"a/b~\":1"), "unknown_field", "/a~1b~0"),
        (
            recharge(own(), "1,\"amount\":2"),
            "duplicate_field",
            "/amount",
        ),
        (recharge(json!(Uuid::nil()), "1"), "not_yours", "/member_id"),
    ];
    for (sent, code, pointer) in cases {
        let response = ask(post("/recharges", sent.clone())).await;
        let status = if code == "not_yours" { 403 } else { 422 };
        assert_eq!(response.status(), status, "{sent}");
        let told = body(response).await;
        let found = (&told["code"], &told["pointer"]);
        assert_eq!(found, (&json!(code), &json!(pointer)), "{sent}: {told}");
        assert!(
            !told["detail"].as_str().unwrap().contains("line 1"),
            "{told}"
        );
    }
    let sent = json!({ "sender_id": OWN, "receiver": {}, "amount": 1 }).to_string();
    let told = body(ask(post("/remittances", sent)).await).await;
    let found = (&told["code"], &told["pointer"]);
    assert_eq!(found, (&json!("wrong_form"), &json!("/receiver")), "{told}");
}

/// The code and the pointer of a content that has the right form.
async fn refused<B: crate::request::Body>(content: Value) -> (u16, String, String) {
    let content: B = serde_json::from_value(content).unwrap();
    let head = Head {
        message_id: Uuid::now_v7().to_string(),
        correlation_id: Uuid::now_v7().to_string(),
        requested_at: 0,
    };
    let Err(refusal) = content.into_request(head) else {
        panic!("it was taken");
    };
    let response = Problem::from(refusal).into_response();
    let status = response.status().as_u16();
    let told = body(response).await;
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("pointer"))
}

#[tokio::test]
async fn each_field_has_its_bounds_and_a_code_for_whoever_passes_them() {
    let is = |told: (u16, String, String), code: &str, pointer: &str| {
        assert_eq!(told, (422, code.to_owned(), pointer.to_owned()));
    };
    for won in [i64::MIN, -1, 0, 100_000_000_001, i64::MAX] {
        let sent = json!({ "member_id": OWN, "amount": won });
        is(
            refused::<RechargeBody>(sent).await,
            "invalid_amount",
            "/amount",
        );
    }
    for id in [
        "",
        "nobody",
        "{0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b}",
        "\u{0}",
    ] {
        let sent = json!({ "member_id": id, "amount": 1 });
        is(
            refused::<RechargeBody>(sent).await,
            "invalid_uuid",
            "/member_id",
        );
    }
    let to = |receiver: Value| json!({ "sender_id": OWN, "receiver": receiver, "amount": 1 });
    let bank = |code: &str, number: &str, holder: &str| {
        to(json!({ "bank_code": code, "account_number": number, "holder_name": holder }))
    };
    let long = "홍".repeat(101);
    let number = "110123456789";
    for (sent, code, pointer) in [
        (
            to(json!({ "member_id": "x" })),
            "invalid_uuid",
            "/receiver/member_id",
        ),
        (
            bank("4", number, "a"),
            "invalid_bank_code",
            "/receiver/bank_code",
        ),
        (
            bank("004", "1-x", "a"),
            "invalid_account_number",
            "/receiver/account_number",
        ),
        (
            bank("004", number, " "),
            "field_empty",
            "/receiver/holder_name",
        ),
        (
            bank("004", number, &long),
            "field_too_long",
            "/receiver/holder_name",
        ),
        (
            bank("004", number, "\u{3164}"),
            "field_has_invisible_characters",
            "/receiver/holder_name",
        ),
        (
            bank("004", number, "김\u{202e}하나"),
            "field_has_invisible_characters",
            "/receiver/holder_name",
        ),
    ] {
        is(refused::<RemittanceBody>(sent).await, code, pointer);
    }
    let order = |order_ref: &str| json!({ "member_id": OWN, "franchise_id": OWN, "order_ref": order_ref, "amount": 1 });
    for (order_ref, code) in [
        ("", "field_empty"),
        (&*"x".repeat(65), "field_too_long"),
        ("a\nb", "field_has_control_characters"),
    ] {
        is(
            refused::<PaymentBody>(order(order_ref)).await,
            code,
            "/order_ref",
        );
    }
    let account = |code: &str| json!({ "bank_code": code, "account_number": number });
    let command = |purpose: &str, from: &str, to: &str| json!({ "purpose": purpose, "from": account(from), "to": account(to), "amount": 1 });
    for (sent, code, pointer) in [
        (
            command(&"x".repeat(41), "004", "004"),
            "field_too_long",
            "/purpose",
        ),
        (
            command(" recharge ", "004", "004"),
            "reserved_purpose",
            "/purpose",
        ),
        (
            command("closing", "004", "004"),
            "reserved_purpose",
            "/purpose",
        ),
        (
            command("fee", "x", "004"),
            "invalid_bank_code",
            "/from/bank_code",
        ),
        (
            command("fee", "004", ""),
            "invalid_bank_code",
            "/to/bank_code",
        ),
    ] {
        is(refused::<FirmbankingBody>(sent).await, code, pointer);
    }
    let cut = json!({ "cut_at": "2999-01-01T00:00:00Z" });
    is(
        refused::<SettlementBody>(cut).await,
        "cut_in_the_future",
        "/cut_at",
    );
    for long_ago in ["1969-12-31T23:59:59Z", "-200000-01-01T00:00:00Z"] {
        is(
            refused::<SettlementBody>(json!({ "cut_at": long_ago })).await,
            "date_out_of_range",
            "/cut_at",
        );
    }
    let one = json!({ "cut_at": "1970-01-01T00:00:00Z", "franchise_id": "x" });
    is(
        refused::<SettlementBody>(one).await,
        "invalid_uuid",
        "/franchise_id",
    );
}

#[tokio::test]
async fn a_body_of_another_type_or_size_is_refused() {
    let mut untyped = post("/recharges", "{}");
    untyped.headers_mut().remove(CONTENT_TYPE);
    assert_problem(untyped, 415, "unsupported_media_type").await;
    let large = json!({ "member_id": "x".repeat(70_000), "amount": 1 });
    assert_problem(post("/recharges", large.to_string()), 413, "body_too_large").await;
}

/// However often a piece of it comes.
#[tokio::test]
async fn a_body_that_drips_is_refused() {
    let bounds = Bounds {
        client: Duration::from_millis(100),
        ..Bounds::default()
    };
    let drops = futures::stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(" "), ()))
    });
    let dripping = post("/recharges", Body::from_stream(drops));
    let response = app_with(bounds).oneshot(dripping).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(body(response).await["code"], "body_too_slow");
    // One that comes in several pieces, in time, is read as one.
    let pieces = ["{\"member_id\":", "7}"].map(Ok::<_, std::io::Error>);
    let whole = post(
        "/recharges",
        Body::from_stream(futures::stream::iter(pieces)),
    );
    assert_problem(whole, 422, "wrong_type").await;
}

#[tokio::test]
async fn a_request_needs_one_key() {
    let recharge = json!({ "member_id": OWN, "amount": 10_000 }).to_string();
    let mut keyless = post("/recharges", recharge.clone());
    keyless.headers_mut().remove("Idempotency-Key");
    assert_problem(keyless, 400, "missing_idempotency_key").await;
    let mut twofold = post("/recharges", recharge);
    let other = Uuid::now_v7().to_string().parse().unwrap();
    twofold.headers_mut().append("Idempotency-Key", other);
    assert_problem(twofold, 400, "ambiguous_idempotency_key").await;
}

#[tokio::test]
async fn ids_and_pages_in_the_address_are_checked() {
    for path in [
        "/members/42",
        "/requests/not-an-id",
        "/members/42/money",
        "/settlements/x",
    ] {
        assert_problem(get(path), 400, "invalid_id").await;
    }
}

#[tokio::test]
async fn while_it_starts_the_edge_says_so_and_sends_clients_away() {
    let recharge = json!({ "member_id": OWN, "amount": 10_000 });
    let response = ask(post("/recharges", recharge.to_string())).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(body(response).await["code"], "starting");
    let response = ask(get("/health")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let health = body(response).await;
    assert_eq!(
        (&health["status"], &health["accepting"]),
        (&json!("unavailable"), &json!(false))
    );
}

#[tokio::test]
async fn the_description_names_every_resource() {
    let api = body(ask(get("/openapi.json")).await).await;
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in [
        "/members",
        "/members/{id}",
        "/members/{id}/bank-account",
        "/members/{id}/money",
        "/members/{id}/history",
        "/members/{id}/remittances",
        "/recharges",
        "/remittances",
        "/payments",
        "/settlements",
        "/settlements/{id}",
        "/firmbankings",
        "/requests/{id}",
        "/money/members",
        "/franchises/{id}/slips",
        "/payments/{id}/cancellations",
        "/contracts",
        "/contracts/{bank_code}",
        "/health",
    ] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    // Every reference leads somewhere.
    let text = api.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = &reference[..reference.find('"').unwrap()];
        assert!(api["components"]["schemas"][name].is_object(), "{name}");
    }
}

/// What a payer is not told may be absent, and is described as such.
#[tokio::test]
async fn the_commission_is_described_as_absent_for_whoever_paid() {
    let api = body(ask(get("/openapi.json")).await).await;
    for (schema, secrets) in [
        ("Slip", &["commission_bps", "commission"][..]),
        ("Cancel", &["commission_back"]),
    ] {
        let schema = &api["components"]["schemas"][schema];
        let required = schema["required"].as_array().unwrap();
        for secret in secrets {
            assert!(!required.contains(&json!(secret)), "{schema}");
            let described = &schema["properties"][secret]["description"];
            assert!(described.as_str().unwrap().contains("Absent"), "{schema}");
        }
    }
}

#[tokio::test]
async fn who_has_had_its_share_is_told_when_to_come_again() {
    let response = Problem::too_many("too_many_registrations", "", 43_200).into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "43200");
    assert_eq!(body(response).await["code"], "too_many_registrations");
    let api = body(ask(get("/openapi.json")).await).await;
    let responses = &api["paths"]["/members/{id}/bank-account"]["post"]["responses"];
    assert!(responses["429"]["headers"]["Retry-After"].is_object());
}

/// Asks for what a rule is about, with ids in the path that are the caller's own.
fn ask_for(rule: &Rule, token: Option<&str>) -> Request<Body> {
    let path = rule
        .path
        .replace("{id}", &OWN.to_string())
        .replace("{run}", &Uuid::nil().to_string())
        .replace("{bank_code}", "004");
    let mut request = Request::builder().method(rule.method).uri(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn every_operation_is_closed_to_whoever_it_is_not_for() {
    for rule in RULES.iter().filter(|rule| !rule.roles.is_empty()) {
        assert_problem(ask_for(rule, None), 401, "missing_token").await;
        for not_a_token in ["Bearer", "Bearer x", "Basic a2ltOmtpbQ==", ""] {
            let request = ask_for(rule, Some(not_a_token));
            assert_problem(request, 401, "invalid_token").await;
        }
        for role in Role::ALL
            .into_iter()
            .filter(|role| !rule.roles.contains(role))
        {
            let request = ask_for(rule, Some(&bearer(role, &OWN.to_string())));
            assert_problem(request, 403, "wrong_role").await;
        }
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_told_how_to_send_one() {
    let recharge = Request::post("/recharges").body(Body::empty()).unwrap();
    let response = ask(recharge).await;
    assert_eq!(
        response.headers()["www-authenticate"],
        r#"Bearer realm="my-pay""#
    );
    let mut twofold = get("/members");
    let other = bearer(Role::Staff, "kim").parse().unwrap();
    twofold.headers_mut().append(AUTHORIZATION, other);
    assert_problem(twofold, 401, "invalid_token").await;
}

#[tokio::test]
async fn another_s_money_is_refused_before_anything_is_looked_up() {
    let other = Uuid::now_v7();
    for (path, body) in [
        (
            "/recharges",
            json!({ "member_id": other, "amount": 10_000 }),
        ),
        (
            "/remittances",
            json!({ "sender_id": other, "receiver": { "member_id": OWN }, "amount": 1 }),
        ),
        (
            "/payments",
            json!({ "member_id": other, "franchise_id": OWN, "order_ref": "1", "amount": 1 }),
        ),
    ] {
        assert_problem(post(path, body.to_string()), 403, "not_yours").await;
    }
    let mut foreign = get(&format!("/members/{other}/money"));
    let own = bearer(Role::Member, &OWN.to_string()).parse().unwrap();
    foreign.headers_mut().insert(AUTHORIZATION, own);
    assert_problem(foreign, 403, "not_yours").await;
}

/// The table of rights and the description name the same operations.
#[tokio::test]
async fn every_operation_of_the_description_is_in_the_table_of_rights() {
    let api = body(ask(get("/openapi.json")).await).await;
    let mut described = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["responses"].is_object() {
                described.push((method.to_uppercase(), path.clone()));
            }
        }
    }
    let mut ruled: Vec<(String, String)> = RULES
        .iter()
        .map(|rule| (rule.method.to_owned(), rule.path.to_owned()))
        .collect();
    described.sort();
    ruled.sort();
    assert_eq!(described, ruled);
    for rule in RULES {
        let operation = &api["paths"][rule.path][rule.method.to_lowercase()];
        let closed = !rule.roles.is_empty();
        assert_eq!(operation["security"].is_array(), closed, "{rule:?}");
        assert_eq!(
            operation["responses"]["401"].is_object(),
            closed,
            "{rule:?}"
        );
        assert_eq!(
            operation["responses"]["403"].is_object(),
            closed,
            "{rule:?}"
        );
    }
    assert_eq!(
        api["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
}

/// What the answers of an operation have in common is described, whichever it is.
#[tokio::test]
async fn every_operation_describes_its_problems_as_problems() {
    let api = body(ask(get("/openapi.json")).await).await;
    for rule in RULES.iter().filter(|rule| !rule.roles.is_empty()) {
        let operation = &api["paths"][rule.path][rule.method.to_lowercase()];
        let responses = operation["responses"].as_object().unwrap();
        let mut due = vec!["401", "403", "500", "503"];
        if operation["requestBody"].is_object() {
            due.extend(["400", "408", "413", "415", "422"]);
        }
        for status in due {
            assert!(responses.contains_key(status), "{rule:?} has no {status}");
        }
        for (status, response) in responses
            .iter()
            .filter(|(status, _)| status.starts_with(['4', '5']))
        {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(
                schema, "#/components/schemas/ProblemBody",
                "{rule:?} {status}"
            );
        }
    }
    let page = ask(get("/docs/problems.md")).await;
    let bytes = to_bytes(page.into_body(), 1 << 20).await.unwrap();
    assert!(str::from_utf8(&bytes).unwrap().contains("### not_yours"));
}
