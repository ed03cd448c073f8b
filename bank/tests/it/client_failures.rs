//! What the client makes of a bank that fails: unknown unless not a byte has left.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use futures::future::join_all;
use mypay_bank::client::{NotSentWhy, UnknownWhy};
use mypay_bank::{
    Answer, BankAccount, BankClient, ClassTable, ClientConfig, Reason, TransferCommand,
};
use mypay_bank::{HolderAnswer, client::CallFailed};

use crate::toy_server::{Then, http, nobody, one_connection};

fn client(address: SocketAddr) -> BankClient {
    let table = ClassTable::embedded().adjusted(|bank| {
        bank.transfer_timeout = Duration::from_secs(2);
        bank.inquiry_timeout = Duration::from_secs(2);
    });
    let config = ClientConfig::new(format!("http://{address}"));
    BankClient::new(ClientConfig {
        table: Arc::new(table),
        ..config
    })
    .unwrap()
}

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 2).unwrap()
}

fn command() -> TransferCommand {
    TransferCommand {
        bank_code: "004".into(),
        business_date: day(),
        number: 7,
        from: BankAccount::new("004", "110000001").unwrap(),
        to: BankAccount::new("020", "220000002").unwrap(),
        amount: 10_000,
    }
}

fn body(number: &str, code: &str) -> String {
    format!(
        r#"{{"bank_code":"004","business_date":"2026-03-02","number":"{number}","code":"{code}",
            "bank_reference":"R1","fee":300,"executed_at":"2026-03-02T01:02:03Z"}}"#
    )
}

async fn answered(bytes: Vec<u8>) -> Answer {
    let address = one_connection(vec![Then::Answer(bytes)]).await;
    client(address).transfer(&command()).await
}

async fn inquired(bytes: Vec<u8>) -> Answer {
    let address = one_connection(vec![Then::Answer(bytes)]).await;
    client(address).inquire("004", day(), 7).await
}

fn why(answer: Answer) -> &'static str {
    match answer {
        Answer::Unknown { why } => why.as_str(),
        other => panic!("not unknown: {other:?}"),
    }
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let answer = client(nobody().await).transfer(&command()).await;
    assert!(
        matches!(
            answer,
            Answer::NotSent {
                why: NotSentWhy::NoConnection(_)
            }
        ),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_request_that_was_read_and_met_with_silence_is_unknown() {
    for (then, expected) in [
        (Then::Close, "connection_broke"),
        (Then::Reset, "connection_broke"),
        (Then::Hang, "timed_out"),
    ] {
        let address = one_connection(vec![then]).await;
        assert_eq!(why(client(address).transfer(&command()).await), expected);
    }
}

/// The trap: the pool hands out a connection that dies under the request, and
/// nobody listens any more. "Connection refused" to a second attempt would look
/// like "not sent"; so there must be none.
#[tokio::test]
async fn a_reused_connection_that_dies_under_the_request_is_unknown() {
    for then in [Then::Close, Then::Reset] {
        let first = Then::Answer(http("200 OK", &body("000007", "0000")));
        let client = client(one_connection(vec![first, then]).await);
        assert!(matches!(
            client.transfer(&command()).await,
            Answer::Done { fee: 300, .. }
        ));
        assert_eq!(why(client.transfer(&command()).await), "connection_broke");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_anywhere_is_unknown() {
    let whole = http("200 OK", &body("000007", "0000"));
    let cuts = (0..whole.len())
        .step_by(17)
        .map(|length| whole[..length].to_vec());
    // The rest never comes, and the client gives up: all at once, for each takes as long.
    let answers = join_all(cuts.map(answered)).await;
    for answer in answers {
        assert_eq!(why(answer), "timed_out");
    }
}

#[tokio::test]
async fn a_5xx_is_unknown_even_with_a_code_that_says_refused() {
    assert_eq!(
        why(answered(http("500 Oops", &body("000007", "0419"))).await),
        "http_status"
    );
    assert_eq!(why(answered(http("503 Oops", "")).await), "http_status");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere =
        b"HTTP/1.1 307 There\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(why(answered(elsewhere.to_vec()).await), "http_status");
}

#[tokio::test]
async fn garbage_and_gateways_are_unknown() {
    assert_eq!(why(answered(http("200 OK", "<html>")).await), "unreadable");
    assert_eq!(
        why(answered(http("404 Not Found", "<html>")).await),
        "unreadable"
    );
    assert_eq!(
        why(answered(b"\x00\x01garbage\r\n\r\n".to_vec()).await),
        "connection_broke"
    );
    assert_eq!(
        why(answered(http("200 OK", &" ".repeat(100_000))).await),
        "unreadable"
    );
    let without = body("000007", "0000").replace("bank_reference", "other");
    assert_eq!(why(answered(http("200 OK", &without)).await), "unreadable");
}

#[tokio::test]
async fn an_answer_about_another_transaction_is_unknown() {
    assert_eq!(
        why(answered(http("200 OK", &body("000008", "0000"))).await),
        "other_transaction"
    );
    let other_bank = body("000007", "0000").replace("\"004\"", "\"020\"");
    assert_eq!(
        why(inquired(http("200 OK", &other_bank)).await),
        "other_transaction"
    );
}

#[tokio::test]
async fn a_code_that_is_not_in_the_table_is_unknown() {
    assert_eq!(
        why(answered(http("200 OK", &body("000007", "9999"))).await),
        "code_not_in_table"
    );
}

#[tokio::test]
async fn a_known_code_has_its_banks_class() {
    let stolen = answered(http("200 OK", &body("000007", "0419"))).await;
    assert!(matches!(
        stolen,
        Answer::Refused {
            reason: Reason::StolenAccount,
            ..
        }
    ));
    assert_eq!(
        answered(http("200 OK", &body("000007", "0011"))).await,
        Answer::InProgress
    );
    let malformed = answered(http("400 Bad Request", &body("000007", "0902"))).await;
    assert!(matches!(
        malformed,
        Answer::Refused {
            reason: Reason::FormatError,
            ..
        }
    ));
}

#[tokio::test]
async fn no_such_transaction_answers_an_inquiry_and_no_transfer() {
    let bytes = http("200 OK", &body("000007", "0100"));
    assert_eq!(inquired(bytes.clone()).await, Answer::NotFound);
    assert_eq!(why(answered(bytes).await), "code_out_of_place");
}

/// Else a gateway's "bad request" would refund a transfer that was done.
#[tokio::test]
async fn a_refused_inquiry_says_nothing_of_the_transfer() {
    assert_eq!(
        why(inquired(http("400 Bad", &body("000007", "0902"))).await),
        "http_status"
    );
}

#[tokio::test]
async fn what_no_bank_could_take_is_not_sent() {
    let client = client(nobody().await);
    let answer = client
        .transfer(&TransferCommand {
            amount: -1,
            ..command()
        })
        .await;
    assert!(matches!(
        answer,
        Answer::NotSent {
            why: NotSentWhy::Malformed(_)
        }
    ));
    let answer = client.inquire("999", day(), 1).await;
    assert!(matches!(
        answer,
        Answer::NotSent {
            why: NotSentWhy::NoSuchBank(_)
        }
    ));
}

#[tokio::test]
async fn a_gateways_404_is_no_missing_account() {
    let account = BankAccount::new("004", "110000001").unwrap();
    let ask = async |bytes: Vec<u8>| {
        client(one_connection(vec![Then::Answer(bytes)]).await)
            .holder(&account)
            .await
    };
    let from_bank = ask(http("404 Not Found", r#"{"code":"0412"}"#)).await;
    assert_eq!(from_bank, HolderAnswer::NoSuchAccount);
    let gateway = ask(http("404 Not Found", r#"{"code":"no_route"}"#)).await;
    let why = CallFailed::Unknown(UnknownWhy::Status(404));
    assert_eq!(gateway, HolderAnswer::Unavailable { why });
}
