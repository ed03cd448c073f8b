//! The second ledger: single entries in plain numbers, one request after the other.

mod closings;
mod day;
mod told;
mod top_ups;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use mypay_schemas::firmbanking::BankAccount;
use uuid::Uuid;

pub use closings::Standing;
pub use day::{korean, near_midnight};
pub use told::Told;
pub use top_ups::{After, top_up};

/// What a member may hold, recharges that are under way counted in.
pub const CAP: i64 = 2_000_000;
/// The smallest direct recharge.
pub const RECHARGE_MIN: i64 = 10_000;
/// The largest remittance.
pub const REMITTANCE_MAX: i64 = 2_000_000;
/// What a member may remit in one day.
pub const REMITTANCE_DAY: i64 = 10_000_000;
/// What a remittance to a bank account costs; between members it is free.
pub const FEE_TO_BANK: i64 = 500;

/// An account at a bank, as a key.
pub type Account = (String, String);

/// An account as a key.
pub fn key(account: &BankAccount) -> Account {
    (account.bank_code.clone(), account.account_number.clone())
}

/// A member who is no franchise.
#[derive(Debug, Clone)]
pub struct Member {
    /// The id.
    pub id: Uuid,
    /// The registered account, where there is one.
    pub account: Option<BankAccount>,
    /// My money, whole won.
    pub balance: i64,
    /// Recharges under way, whole won.
    pub pending: i64,
    /// Remitted for certain on this day, whole won.
    pub sent: i64,
    /// The same with what waits for top-ups, whole won.
    pub perhaps_sent: i64,
    /// What must be within the day's limit and is not sent, whole won.
    pub kept_of_day: i64,
    /// How the membership stands.
    pub standing: Standing,
    /// What came back after it was closed, and is kept, whole won.
    pub unclaimed: i64,
}

/// A franchise, and what it has.
#[derive(Debug, Clone)]
pub struct Franchise {
    /// The id.
    pub id: Uuid,
    /// The registered account, where there is one.
    pub account: Option<BankAccount>,
    /// Whether that account is the holder's whom we know.
    pub holder_fits: bool,
    /// Commission in force, hundredths of a percent.
    pub bps: i32,
    /// Whether staff holds its payouts back.
    pub on_hold: bool,
    /// Payments that no run has settled, less their cancels, whole won.
    pub open: i64,
    /// The commission on them, less what cancels gave back, whole won.
    pub commission: i64,
    /// What runs before have left, whole won; may be below zero.
    pub owed: i64,
}

/// A payment that was made.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Its request.
    pub id: Uuid,
    /// Who paid.
    pub member: usize,
    /// Whom.
    pub franchise: usize,
    /// Whole won.
    pub gross: i64,
    /// The rate when it was made.
    pub bps: i32,
    /// What cancels have given back, whole won.
    pub refunded: i64,
}

/// Whose money a command to a bank moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A member's, coming in.
    Recharge(usize),
    /// A member's, going out.
    Remittance(usize),
    /// A franchise's payout.
    Settlement(usize),
    /// A member's, coming in for a request that lacked it.
    TopUp(usize),
    /// A member's who leaves, all of it going out.
    Closing(usize),
    /// Our own.
    Direct,
}

/// A command to a bank that is not answered yet.
#[derive(Debug, Clone)]
pub struct Command {
    /// The request that waits for it; a run does not.
    pub request: Option<Uuid>,
    /// Whose money.
    pub whose: Whose,
    /// Debited.
    pub from: BankAccount,
    /// Credited.
    pub to: BankAccount,
    /// Whole won.
    pub amount: i64,
    /// Whether the account is another holder's: then the bank is not commanded.
    pub mismatch: bool,
}

/// The second ledger.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The members.
    pub members: Vec<Member>,
    /// The franchises.
    pub franchises: Vec<Franchise>,
    /// Payments that were made.
    pub payments: Vec<Payment>,
    /// Commands that no bank has answered yet.
    pub commands: Vec<Command>,
    /// What waits for its top-up, by request.
    pub after: BTreeMap<Uuid, After>,
    /// What was recharged on the way, by request, whole won.
    pub topped_up: BTreeMap<Uuid, i64>,
    /// The day in Korea that limits are for.
    pub day: NaiveDate,
    /// What banks take for a command, whole won, by code: those that have a contract.
    pub fees: BTreeMap<String, i64>,
    /// What accounts at banks have, whole won.
    pub at_bank: BTreeMap<Account, i64>,
}

/// Our corporate account at a bank.
pub fn ours(bank_code: &str) -> BankAccount {
    crate::banks::corporate(bank_code)
}

/// Commission: a part of a won is not taken.
fn commission(gross: i64, bps: i32) -> i64 {
    gross * i64::from(bps) / 10_000
}

impl Ledger {
    /// The account that pays out to a bank: ours there, or else our first.
    pub fn paying(&self, to_bank: &str) -> BankAccount {
        let first = self.fees.keys().next().map_or("", String::as_str);
        let there = self.fees.contains_key(to_bank);
        ours(if there { to_bank } else { first })
    }

    /// A recharge begins.
    pub fn recharge(&mut self, request: Uuid, member: usize, amount: i64) {
        self.draw_from_bank(request, member, amount, Whose::Recharge(member));
    }

    /// Money is to come from a member's bank account.
    fn draw_from_bank(&mut self, request: Uuid, member: usize, amount: i64, whose: Whose) {
        let Some(from) = self.members[member].account.clone() else {
            return;
        };
        self.members[member].pending += amount;
        self.commands.push(Command {
            request: Some(request),
            whose,
            to: ours(&from.bank_code),
            from,
            amount,
            mismatch: false,
        });
    }

    /// Money goes from member to member.
    pub fn remit(&mut self, from: usize, to: usize, amount: i64) {
        self.members[from].balance -= amount;
        self.members[from].remits(amount);
        self.members[to].balance += amount;
    }

    /// Money leaves a member for a bank account.
    pub fn pay_out(
        &mut self,
        request: Uuid,
        from: usize,
        to: BankAccount,
        amount: i64,
        mismatch: bool,
    ) {
        self.members[from].balance -= amount + FEE_TO_BANK;
        self.members[from].remits(amount);
        self.commands.push(Command {
            request: Some(request),
            whose: Whose::Remittance(from),
            from: self.paying(&to.bank_code),
            to,
            amount,
            mismatch,
        });
    }

    /// A member pays a franchise.
    pub fn pay(&mut self, id: Uuid, member: usize, franchise: usize, gross: i64) {
        self.members[member].balance -= gross;
        let shop = &mut self.franchises[franchise];
        shop.open += gross;
        shop.commission += commission(gross, shop.bps);
        self.payments.push(Payment {
            id,
            member,
            franchise,
            gross,
            bps: shop.bps,
            refunded: 0,
        });
    }

    /// A payment is given back, in part or in whole.
    pub fn cancel(&mut self, payment: usize, amount: i64) {
        let payment = &mut self.payments[payment];
        let before = commission(payment.gross - payment.refunded, payment.bps);
        payment.refunded += amount;
        let after = commission(payment.gross - payment.refunded, payment.bps);
        self.members[payment.member].gets_back(amount);
        let shop = &mut self.franchises[payment.franchise];
        shop.open -= amount;
        shop.commission -= before - after;
    }

    /// Staff moves our own money.
    pub fn direct(&mut self, request: Uuid, from: BankAccount, to: BankAccount, amount: i64) {
        self.commands.push(Command {
            request: Some(request),
            whose: Whose::Direct,
            from,
            to,
            amount,
            mismatch: false,
        });
    }

    /// A run over all franchises.
    pub fn settle(&mut self) {
        for whose in 0..self.franchises.len() {
            let shop = &mut self.franchises[whose];
            let net = shop.open - shop.commission + shop.owed;
            (shop.open, shop.commission, shop.owed) = (0, 0, net);
            let Some(to) = shop.account.clone() else {
                continue;
            };
            if net <= 0 || shop.on_hold {
                continue;
            }
            shop.owed = 0;
            let mismatch = !shop.holder_fits;
            self.commands.push(Command {
                request: None,
                whose: Whose::Settlement(whose),
                from: self.paying(&to.bank_code),
                to,
                amount: net,
                mismatch,
            });
        }
    }

    /// A bank did what it was told, or did not, or did and has undone it.
    pub fn answered(&mut self, command: &Command, done: bool, undone: bool) {
        let (amount, moved) = (command.amount, i64::from(done) - i64::from(undone));
        *self.at_bank.entry(key(&command.from)).or_default() -= moved * amount;
        *self.at_bank.entry(key(&command.to)).or_default() += moved * amount;
        if done {
            // An executed command costs its fee, and one that is undone keeps it.
            let bank = &command.from.bank_code;
            let fee = self.fees.get(bank).copied().unwrap_or(0);
            *self.at_bank.entry(key(&ours(bank))).or_default() -= fee;
        }
        match command.whose {
            Whose::Recharge(member) => {
                self.members[member].pending -= amount;
                self.members[member].balance += moved * amount;
            }
            Whose::TopUp(member) => {
                self.members[member].pending -= amount;
                self.members[member].balance += moved * amount;
                if let Some(request) = command.request {
                    self.go_on(request, member, done.then_some(amount));
                }
            }
            Whose::Remittance(member) if undone => self.members[member].gets_back(amount),
            Whose::Remittance(member) if !done => {
                self.members[member].gets_back(amount + FEE_TO_BANK);
            }
            Whose::Closing(member) => self.members[member].left(amount, done, undone),
            Whose::Settlement(franchise) if undone || !done => {
                self.franchises[franchise].owed += amount;
            }
            Whose::Remittance(_) | Whose::Settlement(_) | Whose::Direct => {}
        }
    }

    /// What the ledger owes a franchise, whole won.
    pub fn payable(&self, franchise: usize) -> i64 {
        let shop = &self.franchises[franchise];
        shop.open + shop.owed
    }
}
