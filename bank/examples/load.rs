//! Transfers as fast as they go: how many a second does the dummy bank take?
//!
//! `cargo run --release -p mypay-bank --example load -- URL [COUNT] [IN_FLIGHT]`
//! (the bank: `mypay bank serve --latency-ms 50`).

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime};

use mypay_bank::rest_window::korean_date;
use mypay_bank::wire::{AccountKind, AccountSeed, AccountStatus};
use mypay_bank::{Answer, BankAccount, BankClient, ClientConfig, TransferCommand};

const MEMBERS: u32 = 10_000;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let url = args.next().expect("the bank's URL");
    let mut next = |default| args.next().map_or(default, |text| text.parse().unwrap());
    let (count, in_flight) = (next(50_000), next(500));
    let client = BankClient::new(ClientConfig::new(url)).unwrap();

    // Accounts of this run's own, and with them contents of its own.
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let base = now.as_secs() % 1_000_000_000;
    seed(
        &client,
        "004",
        &format!("{base}99999"),
        AccountKind::Corporate,
        1_000_000_000_000,
    )
    .await;
    let members: Vec<_> = (0..MEMBERS).map(|n| format!("{base}{n:05}")).collect();
    for batch in members.chunks(5_000) {
        let seeds: Vec<_> = batch
            .iter()
            .map(|n| account(n, AccountKind::Personal, 0))
            .collect();
        client.seed_accounts("020", &seeds).await.unwrap();
    }
    let ours = BankAccount::new("004", &format!("{base}99999")).unwrap();
    let today = korean_date(SystemTime::now().into()) + chrono::Days::new(base % 10_000);

    let number = Arc::new(AtomicU32::new(0));
    let start = Instant::now();
    let workers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (client, number, ours) = (client.clone(), number.clone(), ours.clone());
            let members = members.clone();
            tokio::spawn(async move {
                let mut took = hdrhistogram::Histogram::<u64>::new(3).unwrap();
                let mut done = 0u32;
                loop {
                    let number = number.fetch_add(1, Ordering::Relaxed) + 1;
                    if number > count {
                        return (done, took);
                    }
                    let member = &members[(number % MEMBERS) as usize];
                    let command = TransferCommand {
                        bank_code: "004".into(),
                        business_date: today,
                        number,
                        from: ours.clone(),
                        to: BankAccount::new("020", member).unwrap(),
                        amount: 1_000,
                    };
                    let sent = Instant::now();
                    match client.transfer(&command).await {
                        Answer::Done { .. } => done += 1,
                        other => eprintln!("{number}: {other:?}"),
                    }
                    took.record(sent.elapsed().as_micros() as u64).unwrap();
                }
            })
        })
        .collect();
    let mut took = hdrhistogram::Histogram::<u64>::new(3).unwrap();
    let mut done = 0;
    for worker in workers {
        let (some, theirs) = worker.await.unwrap();
        done += some;
        took.add(theirs).unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    let ms = |quantile| took.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{done} of {count} done in {seconds:.1} s: {:.0} transfers/s with {in_flight} in flight, \
         answered in {:.1} ms (p50), {:.1} ms (p99)",
        f64::from(done) / seconds,
        ms(0.5),
        ms(0.99),
    );
}

fn account(number: &str, kind: AccountKind, opening_balance: i64) -> AccountSeed {
    AccountSeed {
        account_number: number.to_owned(),
        holder_name: "부하 시험".into(),
        opening_balance,
        kind,
        status: AccountStatus::Open,
    }
}

async fn seed(client: &BankClient, bank: &str, number: &str, kind: AccountKind, balance: i64) {
    client
        .seed_accounts(bank, &[account(number, kind, balance)])
        .await
        .unwrap();
}
