//! Bad input meets the router: none of these tests has a database behind it.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use mypay_bank::{BankClient, ClientConfig};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;
use uuid::Uuid;

use super::{App, router};
use crate::edge::Edge;
use crate::metrics::Metrics;
use crate::producer::{Settings, Stage};

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

fn app() -> axum::Router {
    let edge = Edge {
        pool: mypay_database::pool(&format!("postgres://mypay@{NOWHERE}/mypay"), 1).unwrap(),
        bank: BankClient::new(ClientConfig::new(format!("http://{NOWHERE}"))).unwrap(),
        settings: Settings {
            kafka_bootstrap: NOWHERE.to_owned(),
            registry_url: format!("http://{NOWHERE}"),
            role: "edge",
            tries: Some(0),
        },
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

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .header("Idempotency-Key", Uuid::now_v7().to_string())
        .body(body.into())
        .unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
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
    let reason = body["reason"].as_str().unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], format!("urn:mypay:problem:{reason}"));
    assert!(body["title"].is_string() && body["detail"].is_string());
    (status, reason.to_owned())
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
    assert_eq!(body(response).await["reason"], "method_not_allowed");
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let member_id = Uuid::now_v7();
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

#[tokio::test]
async fn json_of_another_form_is_invalid() {
    let member_id = Uuid::now_v7();
    for bad in [
        json!({}),
        json!([member_id, 1]),
        json!(null),
        json!({ "member_id": member_id, "amount": "1" }),
        json!({ "member_id": member_id, "amount": 1.5 }),
        json!({ "member_id": member_id, "amount": 9_223_372_036_854_775_808_u64 }),
        json!({ "member_id": member_id, "amount": 1, "currency": "KRW" }),
    ] {
        assert_problem(post("/recharges", bad.to_string()), 422, "invalid_body").await;
    }
}

#[tokio::test]
async fn a_body_of_another_type_or_size_is_refused() {
    let mut untyped = post("/recharges", "{}");
    untyped.headers_mut().remove(CONTENT_TYPE);
    assert_problem(untyped, 415, "unsupported_media_type").await;
    let large = json!({ "member_id": "x".repeat(70_000), "amount": 1 });
    assert_problem(post("/recharges", large.to_string()), 413, "body_too_large").await;
}

#[tokio::test]
async fn a_request_needs_one_key() {
    let recharge = json!({ "member_id": Uuid::now_v7(), "amount": 10_000 }).to_string();
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
    for path in ["/members?limit=x", "/members?limit=70000", "/money/members"] {
        assert_problem(get(path), 400, "invalid_query").await;
    }
}

#[tokio::test]
async fn while_it_starts_the_edge_says_so_and_sends_clients_away() {
    let recharge = json!({ "member_id": Uuid::now_v7(), "amount": 10_000 });
    let response = ask(post("/recharges", recharge.to_string())).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(body(response).await["reason"], "starting");
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
        "/recharges",
        "/remittances",
        "/payments",
        "/settlements",
        "/settlements/{id}",
        "/firmbankings",
        "/requests/{id}",
        "/money/members",
        "/franchises/{id}/slips",
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
