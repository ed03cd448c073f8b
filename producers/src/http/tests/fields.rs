//! Each field of a body and each parameter of a query has its own code.

use axum::body::Body;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use mypay_auth::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::cursor;
use super::{OWN, ask, assert_problem, bearer, get};

/// Each parameter of a query has its code, whatever is in it: nothing is looked up.
#[tokio::test]
async fn each_parameter_of_a_query_has_its_own_code() {
    let place = |place: &str| cursor::seal(place);
    let statement = format!("/settlements/{OWN}/franchises/{OWN}/statement");
    let holds = format!("/franchises/{OWN}/holds");
    for limit in [
        "x",
        "",
        "-1",
        "0",
        "501",
        "65536",
        "1.5",
        "1e2",
        "99999999999999999999",
        "%20",
    ] {
        for list in ["/members", "/settlements", "/bank-cases", "/remittances"] {
            let path = format!("{list}?state=COMPLETED&limit={limit}");
            assert_problem(get(&path), 400, "invalid_limit").await;
        }
    }
    assert_problem(get("/members?limit=1&limit=2"), 400, "invalid_limit").await;
    let ends = [i64::MIN, i64::MAX].map(|micros| place(&format!("{micros}.{OWN}")));
    let years = [-62_135_596_800_000_000, 253_402_300_800_000_000_i64]
        .map(|micros| place(&format!("{micros}.{OWN}")));
    for cursor in ends.iter().chain(&years) {
        for list in [&*holds, "/bank-cases"] {
            let path = format!("{list}?cursor={cursor}");
            assert_problem(get(&path), 400, "invalid_cursor").await;
        }
    }
    let beyond = [
        place(&format!("{OWN}.2147483648")),
        place(&format!("{OWN}.")),
        place("0:9223372036854775808"),
        place("2147483648:1"),
        place("9223372036854775808"),
        "x".to_owned(),
        String::new(),
        "A".repeat(4_096),
    ];
    for cursor in &beyond {
        for list in [
            format!("/members/{OWN}/history"),
            format!("/members/{OWN}/remittances"),
            format!("/members/{OWN}/firmbankings"),
            format!("/franchises/{OWN}/slips"),
            format!("/franchises/{OWN}/payouts"),
            format!("/franchises/{OWN}/commission-rates"),
        ] {
            let path = format!("{list}?cursor={cursor}");
            assert_problem(get(&path), 400, "invalid_cursor").await;
        }
    }
    for query in ["", "?state=", "?state=completed", "?state=DONE&limit=1"] {
        let path = format!("/remittances{query}");
        assert_problem(get(&path), 400, "invalid_state").await;
    }
    assert_problem(get("/money/members"), 400, "invalid_area").await;
    for format in ["xml", "", "CSV"] {
        let path = format!("{statement}?format={format}");
        assert_problem(get(&path), 400, "invalid_format").await;
    }
    for month in [
        "",
        "2026",
        "2026-13",
        "2026-1",
        "0000-01",
        "9999-12",
        "1999-12",
        "-262143-01",
        "%EF%BC%92026-01",
        "2026-01-01",
        "999999999999-01",
    ] {
        let path = format!("/contracts/004/bill?month={month}");
        assert_problem(get(&path), 400, "invalid_month").await;
    }
    assert_problem(get("/contracts/004/bill"), 400, "invalid_month").await;
    assert_problem(get("/members?area=%00"), 400, "invalid_query").await;
}

/// What a decision says is checked before the case is looked for.
#[tokio::test]
async fn each_field_of_a_decision_has_its_own_code() {
    let decide = |body: String, key: Option<Uuid>| {
        let mut request = Request::post(format!("/bank-cases/{OWN}/decision"))
            .header(AUTHORIZATION, bearer(Role::Operator, "lee"))
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key.to_string());
        }
        request.body(Body::from(body)).unwrap()
    };
    let with = |field: &str, value: Value| {
        let mut body = json!({ "outcome": "done", "fee": 0, "reason": "asked the bank" });
        body[field] = value;
        body
    };
    let long = "가".repeat(1_001);
    let mut fee_of_nothing = with("fee", json!(300));
    fee_of_nothing["outcome"] = json!("resend");
    for (body, code, pointer) in [
        (json!({ "outcome": "done" }), "missing_field", "/reason"),
        (json!({ "reason": "x" }), "missing_field", "/outcome"),
        (with("reason", json!(7)), "wrong_type", "/reason"),
        (with("reason", json!(null)), "wrong_type", "/reason"),
        (with("reason", json!(" ")), "field_empty", "/reason"),
        (with("reason", json!(long)), "field_too_long", "/reason"),
        (
            with("reason", json!("a\u{0}b")),
            "field_has_control_characters",
            "/reason",
        ),
        (with("outcome", json!("DONE")), "unknown_value", "/outcome"),
        (with("outcome", json!(1)), "wrong_type", "/outcome"),
        (with("fee", json!("300")), "wrong_type", "/fee"),
        (with("fee", json!(0.5)), "wrong_type", "/fee"),
        (with("fee", json!(-1)), "fee_out_of_range", "/fee"),
        (with("fee", json!(i64::MIN)), "fee_out_of_range", "/fee"),
        (with("fee", json!(i64::MAX)), "fee_out_of_range", "/fee"),
        (with("fee", json!(u64::MAX)), "number_out_of_range", "/fee"),
        (fee_of_nothing, "fee_of_nothing", "/fee"),
        (with("operator", json!("kim")), "unknown_field", "/operator"),
    ] {
        let response = ask(decide(body.to_string(), Some(Uuid::now_v7()))).await;
        assert_eq!(response.status(), 422, "{body}");
        let told = super::body(response).await;
        let found = (&told["code"], &told["pointer"]);
        assert_eq!(found, (&json!(code), &json!(pointer)), "{body}: {told}");
    }
    let good = with("fee", json!(0)).to_string();
    assert_problem(decide(good, None), 400, "missing_idempotency_key").await;
}

/// The same of what staff sets: holds, commissions, contracts.
#[tokio::test]
async fn each_field_that_staff_sets_has_its_own_code() {
    let franchise = |what: &str| format!("/franchises/{OWN}/{what}");
    let rate = |bps: Value, from: Value| json!({ "bps": bps, "in_force_from": from });
    let contract = |field: &str, value: Value| {
        let mut body = json!({
            "bank_name": "국민은행", "corporate_account": "900-000-000001", "fee": 50,
            "expires_on": "2099-12-31",
        });
        body[field] = value;
        body
    };
    let (holds, rates) = (franchise("holds"), franchise("commission-rates"));
    let bank = "/contracts/004".to_owned();
    for (path, body, code, pointer) in [
        (&holds, json!({}), "missing_field", "/reason"),
        (&holds, json!({ "reason": true }), "wrong_type", "/reason"),
        (&holds, json!({ "reason": "" }), "field_empty", "/reason"),
        (
            &holds,
            json!({ "reason": "x".repeat(201) }),
            "field_too_long",
            "/reason",
        ),
        (
            &holds,
            json!({ "reason": "\u{3164}" }),
            "field_has_invisible_characters",
            "/reason",
        ),
        (&rates, json!({}), "missing_field", "/bps"),
        (&rates, rate(json!("1"), json!(null)), "wrong_type", "/bps"),
        (
            &rates,
            rate(json!(i64::MAX), json!(null)),
            "number_out_of_range",
            "/bps",
        ),
        (
            &rates,
            rate(json!(10_001), json!(null)),
            "commission_out_of_range",
            "/bps",
        ),
        (
            &rates,
            rate(json!(-1), json!(null)),
            "commission_out_of_range",
            "/bps",
        ),
        (
            &rates,
            rate(json!(1), json!("+20000-01-01T00:00:00Z")),
            "date_out_of_range",
            "/in_force_from",
        ),
        (
            &rates,
            rate(json!(1), json!("0001-01-01T00:00:00Z")),
            "date_out_of_range",
            "/in_force_from",
        ),
        (
            &rates,
            rate(json!(1), json!("tomorrow")),
            "wrong_form",
            "/in_force_from",
        ),
        (
            &bank,
            contract("fee", json!(-1)),
            "fee_out_of_range",
            "/fee",
        ),
        (
            &bank,
            contract("fee", json!(i64::MAX)),
            "fee_out_of_range",
            "/fee",
        ),
        (
            &bank,
            contract("bank_name", json!("\u{200b}")),
            "field_has_invisible_characters",
            "/bank_name",
        ),
        (
            &bank,
            contract("corporate_account", json!("12")),
            "invalid_account_number",
            "/corporate_account",
        ),
        (
            &bank,
            contract("expires_on", json!("1999-12-31")),
            "date_out_of_range",
            "/expires_on",
        ),
        (
            &bank,
            contract("expires_on", json!("-200000-01-01")),
            "date_out_of_range",
            "/expires_on",
        ),
        (
            &bank,
            contract("status", json!("CLOSED")),
            "unknown_value",
            "/status",
        ),
        (
            &bank,
            contract("opening_capital", json!(i64::MIN)),
            "invalid_amount",
            "/opening_capital",
        ),
    ] {
        let method = if path == &bank { "PUT" } else { "POST" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(AUTHORIZATION, bearer(Role::Staff, "kim"))
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = ask(request).await;
        assert_eq!(response.status(), 422, "{path} {body}");
        let told = super::body(response).await;
        let found = (&told["code"], &told["pointer"]);
        assert_eq!(found, (&json!(code), &json!(pointer)), "{body}: {told}");
    }
}
