//! Malformed requests: a 4xx that says what is wrong, and nothing moves.

use serde_json::{Value, json};

use crate::with_bank::{OPENING, WithBank};

async fn send(bank: &WithBank, method: reqwest::Method, path: &str, body: String) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http
        .request(method, format!("{}{path}", bank.url))
        .body(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")),
    )
}

fn good(bank: &WithBank) -> Value {
    json!({
        "business_date": "2026-03-02", "number": "000001", "amount": 1,
        "from": bank.ours, "to": bank.receiver,
    })
}

#[tokio::test]
async fn each_field_of_a_transfer_is_checked() {
    let bank = WithBank::start(&[]).await;
    for (field, values) in [
        (
            "business_date",
            vec![
                json!("2026-02-30"),
                json!("20260302"),
                json!("9999-01-01"),
                json!(1),
                json!(null),
            ],
        ),
        (
            "number",
            vec![
                json!("1"),
                json!("000000"),
                json!("00000a"),
                json!("999999"),
                json!(1),
                json!("１２３４５６"),
            ],
        ),
        (
            "amount",
            vec![
                json!(0),
                json!(-1),
                json!(i64::MIN),
                json!(i64::MAX),
                json!(u64::MAX),
                json!(1.5),
                json!("1"),
            ],
        ),
        (
            "from",
            vec![
                json!(null),
                json!({"bank_code": "004"}),
                json!(bank.receiver),
                json!(bank.receiver),
            ],
        ),
        (
            "to",
            vec![
                json!(bank.ours),
                json!({"bank_code": "x", "account_number": "1"}),
            ],
        ),
        ("extra", vec![json!(1)]),
    ] {
        for value in values {
            let mut body = good(&bank);
            body[field] = value.clone();
            let (status, answer) = send(
                &bank,
                reqwest::Method::POST,
                "/banks/004/transfers",
                body.to_string(),
            )
            .await;
            assert_eq!(status, 400, "{field} = {value}: {answer}");
            assert!(
                answer["detail"].is_string() || answer["code"] == "0902",
                "{answer}"
            );
        }
    }
    assert_eq!(bank.balance(&bank.ours).await, OPENING);
}

#[tokio::test]
async fn malformed_http_is_told_what_is_wrong() {
    use reqwest::Method;
    let bank = WithBank::start(&[]).await;
    let number = &bank.ours.account_number;
    for (method, path, body, expected) in [
        (
            Method::POST,
            "/banks/004/transfers".to_owned(),
            "{".to_owned(),
            400,
        ),
        (
            Method::POST,
            "/banks/004/transfers".to_owned(),
            "x".repeat(100_000),
            413,
        ),
        (
            Method::POST,
            "/banks/999/transfers".to_owned(),
            good(&bank).to_string(),
            404,
        ),
        (
            Method::DELETE,
            "/banks/004/transfers".to_owned(),
            String::new(),
            405,
        ),
        (Method::GET, "/nowhere".to_owned(), String::new(), 404),
        (
            Method::GET,
            "/banks/004/transfers/2026-03-02/1".to_owned(),
            String::new(),
            400,
        ),
        (
            Method::GET,
            "/banks/004/transfers/today/000001".to_owned(),
            String::new(),
            400,
        ),
        (
            Method::GET,
            "/banks/004/accounts/abc".to_owned(),
            String::new(),
            400,
        ),
        (
            Method::GET,
            format!("/banks/004/accounts/{number}/statement?limit=0"),
            String::new(),
            400,
        ),
        (
            Method::GET,
            format!("/banks/004/accounts/{number}/statement?after=x"),
            String::new(),
            400,
        ),
        (
            Method::GET,
            "/banks/004/accounts/999999/statement".to_owned(),
            String::new(),
            404,
        ),
        (
            Method::GET,
            "/banks/004/notices?after=-1".to_owned(),
            String::new(),
            400,
        ),
        (
            Method::GET,
            "/banks/004/day-totals/0000-00-00".to_owned(),
            String::new(),
            400,
        ),
        (
            Method::PUT,
            "/banks/004/accounts/123456".to_owned(),
            json!({"holder_name": ""}).to_string(),
            400,
        ),
        (
            Method::PUT,
            "/banks/004/accounts/123456".to_owned(),
            json!({"holder_name": "a\u{0}b"}).to_string(),
            400,
        ),
        (
            Method::PUT,
            "/faults".to_owned(),
            json!({"rates": {"slow": 2.0}}).to_string(),
            400,
        ),
        (
            Method::PUT,
            "/faults".to_owned(),
            json!({"rates": {"fast": 1.0}}).to_string(),
            400,
        ),
        (
            Method::PUT,
            "/faults".to_owned(),
            json!({"banks": {"777": {}}}).to_string(),
            400,
        ),
    ] {
        let (status, answer) = send(&bank, method.clone(), &path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
        assert!(answer["detail"].is_string(), "{answer}");
    }
    let (status, _) = send(&bank, Method::GET, "/health", String::new()).await;
    assert_eq!(status, 200);
}
