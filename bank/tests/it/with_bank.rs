//! A dummy bank of its own for each test, on one PostgreSQL.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use chrono::NaiveDate;
use mypay_bank::dummy::{Dial, DummyBank, ServerConfig};
use mypay_bank::wire::{AccountKind, AccountSeed, AccountStatus};
use mypay_bank::{BankAccount, BankClient, ClassTable, ClientConfig, TransferCommand};

/// What an account of ours is opened with.
pub(crate) const OPENING: i64 = 10_000_000;

pub(crate) fn database_url() -> String {
    std::env::var("MYPAY_TEST_DATABASE_URL").unwrap_or_else(|_| {
        panic!("MYPAY_TEST_DATABASE_URL is not set: these tests need a PostgreSQL (`make test` has one)")
    })
}

/// The schema is shared, so each test has accounts and a day of its own: the first
/// is made of this instant, the second is counted on from a day drawn for this process.
fn unique() -> (u64, u64) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static START: LazyLock<u64> = LazyLock::new(|| millis() % 30_000);
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    (millis() * 1_000 + nth % 1_000, (*START + nth) % 30_000)
}

fn millis() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_millis() as u64
}

pub(crate) struct WithBank {
    pub(crate) client: BankClient,
    pub(crate) url: String,
    /// As it was dialled at the start.
    pub(crate) dial: Dial,
    pub(crate) day: NaiveDate,
    /// Ours, at 004.
    pub(crate) ours: BankAccount,
    /// Somebody's, at 004.
    pub(crate) member: BankAccount,
    /// Somebody's, at 020.
    pub(crate) receiver: BankAccount,
    first_number: u32,
}

impl WithBank {
    pub(crate) async fn start(faults: &[&str]) -> Self {
        let mut dial = Dial {
            in_progress_ms: 1_500,
            not_found_ms: 1_500,
            reversal_ms: 100,
            slow_ms: Some(5_500),
            ..Dial::default()
        };
        for fault in faults {
            dial.set(fault).unwrap();
        }
        let table = ClassTable::embedded().adjusted(|bank| {
            // Long enough for a busy machine, and for 020 long enough to be outlived.
            let seconds = if bank.bank_code == "020" { 60 } else { 5 };
            bank.transfer_timeout = Duration::from_secs(seconds);
        });
        let config = ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            database_url: database_url(),
            table: table.clone(),
            dial: dial.clone(),
        };
        let bank = DummyBank::bind(config).await.unwrap();
        let url = format!("http://{}", bank.local_addr());
        tokio::spawn(bank.run(std::future::pending()));
        let config = ClientConfig {
            table: Arc::new(table),
            ..ClientConfig::new(&url)
        };
        let client = BankClient::new(config).unwrap();

        let (base, day) = unique();
        let account = |bank, tail| BankAccount::new(bank, &format!("{base}{tail}")).unwrap();
        let with_bank = Self {
            ours: account("004", "01"),
            member: account("004", "02"),
            receiver: account("020", "03"),
            day: NaiveDate::from_ymd_opt(2010, 1, 1).unwrap() + chrono::Days::new(day),
            first_number: (base % 900_000) as u32 + 1,
            client,
            url,
            dial,
        };
        with_bank
            .open(&with_bank.ours, OPENING, AccountKind::Corporate)
            .await;
        with_bank
            .open(&with_bank.member, 100_000, AccountKind::Personal)
            .await;
        with_bank
            .open(&with_bank.receiver, 0, AccountKind::Personal)
            .await;
        with_bank
    }

    async fn open(&self, account: &BankAccount, balance: i64, kind: AccountKind) {
        let seed = AccountSeed {
            account_number: account.account_number.clone(),
            holder_name: "홍길동".into(),
            opening_balance: balance,
            kind,
            status: AccountStatus::Open,
        };
        self.client
            .seed_accounts(&account.bank_code, &[seed])
            .await
            .unwrap();
    }

    /// The `n`th payout of this test, ours to the receiver at the other bank.
    pub(crate) fn payout(&self, n: u32, amount: i64) -> TransferCommand {
        TransferCommand {
            bank_code: "004".into(),
            business_date: self.day,
            number: self.first_number + n,
            from: self.ours.clone(),
            to: self.receiver.clone(),
            amount,
        }
    }

    pub(crate) async fn balance(&self, account: &BankAccount) -> i64 {
        self.client.account(account).await.unwrap().unwrap().balance
    }

    /// Every balance is the sum of its lines, without gaps, line by line.
    pub(crate) async fn check_statement(&self, account: &BankAccount) {
        let page = self.client.statement(account, 0).await.unwrap();
        let mut balance = 0;
        for (line, number) in page.lines.iter().zip(1..) {
            balance += line.amount - line.fee;
            assert_eq!(
                (line.line_number, line.balance_after),
                (number, balance),
                "{line:?}"
            );
        }
        assert_eq!(balance, self.balance(account).await);
    }
}

/// Asks until the answer is the one waited for; a busy machine may take its time.
pub(crate) async fn until<T: std::fmt::Debug>(
    mut ask: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    for _ in 0..200 {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not in 20 s: {:?}", ask().await);
}
