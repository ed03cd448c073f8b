//! The tables and the topics, as far as decisions read and write them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use mypay_schemas::firmbanking::BankAccount;
use uuid::Uuid;

use super::rows::{
    Closing, Command, Message, Paid, Payout, Recharge, Remittance, State, TopUp, UndoState,
};
use super::step::{Request, Step};
use crate::closing::Status;
use crate::firmbanking::Contract;
use crate::{AccountKind, Limits, MemberMoney, Posting, Reason, SystemAccount};

pub(super) mod kept;
mod lane;
mod ledger;
mod short;

use lane::{Lane, STRANGER};

pub(super) const BANKS: [&str; 2] = ["004", "020"];
/// What each corporate account held when it was opened.
pub(super) const CAPITAL: i64 = 50_000_000;
/// What each customer begins with.
const OPENING: i64 = 100_000;
pub(super) const CUSTOMERS: usize = 4;
pub(super) const FRANCHISES: usize = 3;

/// Another lane changed an account meanwhile.
pub(super) struct Shortfall;

pub(super) struct World {
    pub(super) limits: Limits,
    pub(super) now: DateTime<Utc>,
    /// Customers and franchises.
    pub(super) members: BTreeMap<Uuid, MemberMoney>,
    pub(super) statuses: BTreeMap<Uuid, Status>,
    pub(super) others: BTreeMap<Uuid, (SystemAccount, i64)>,
    pub(super) postings: Vec<Posting>,
    keys: BTreeSet<(Uuid, i16, i16)>,
    pub(super) in_force: [bool; 2],
    /// How often each contract was given another account.
    pub(super) accounts: [u32; 2],
    /// What the corporate accounts hold, by the banks' own books.
    pub(super) at_bank: [i64; 2],
    pub(super) rates: BTreeMap<Uuid, i32>,
    pub(super) holds: BTreeSet<Uuid>,
    pub(super) recharges: BTreeMap<Uuid, Recharge>,
    /// Top-ups that never came to their bank.
    pub(super) turned_down: BTreeMap<Uuid, Reason>,
    pub(super) top_ups: BTreeMap<Uuid, TopUp>,
    pub(super) remittances: BTreeMap<Uuid, Remittance>,
    pub(super) paid: BTreeMap<Uuid, Paid>,
    pub(super) positions: usize,
    pub(super) owed: BTreeMap<Uuid, i64>,
    pub(super) payouts: BTreeMap<Uuid, Payout>,
    pub(super) closings: BTreeMap<Uuid, Closing>,
    pub(super) commands: BTreeMap<Uuid, Command>,
    /// Undos that were approved, by the payout's command.
    pub(super) undos: BTreeMap<Uuid, UndoState>,
    /// What lies on the topics, and what was handled of it.
    pub(super) topics: Vec<Message>,
    pub(super) handled: Vec<Message>,
    ids: u128,
    /// What happened, and how often.
    pub(super) seen: BTreeMap<&'static str, usize>,
    /// What is wrong, where a step found out.
    pub(super) wrong: Option<String>,
}

pub(super) fn customer(which: usize) -> Uuid {
    Uuid::from_u128(1 + (which % CUSTOMERS) as u128)
}

pub(super) fn franchise(which: usize) -> Uuid {
    Uuid::from_u128(101 + (which % FRANCHISES) as u128)
}

/// The registered account of a member; the last franchise has none.
pub(super) fn registered(member: Uuid) -> Option<BankAccount> {
    let number = member.as_u128();
    let known = (1..=CUSTOMERS as u128).contains(&number)
        || (101..100 + FRANCHISES as u128).contains(&number);
    known.then(|| BankAccount {
        bank_code: BANKS[(number % 2) as usize].into(),
        account_number: format!("77{number:06}"),
    })
}

pub(super) fn bank_number(code: &str) -> usize {
    usize::from(code == BANKS[1])
}

impl World {
    pub(super) fn new(fee_to_member: i64) -> Self {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default();
        let nothing = MemberMoney {
            open: true,
            balance: 0,
            pending: 0,
            sent_on: NaiveDate::default(),
            sent: 0,
        };
        let members: Vec<Uuid> = (0..CUSTOMERS)
            .map(customer)
            .chain((0..FRANCHISES).map(franchise))
            .collect();
        let mut world = Self {
            // Small, so that sequences get to them.
            limits: Limits {
                balance_cap: 300_000,
                recharge_min: 10_000,
                remittance_max: 100_000,
                remittance_daily: 140_000,
                fee_to_member,
                fee_to_bank: 500,
            },
            now,
            members: members.iter().map(|id| (*id, nothing)).collect(),
            statuses: members.iter().map(|id| (*id, Status::Open)).collect(),
            others: BTreeMap::new(),
            postings: Vec::new(),
            keys: BTreeSet::new(),
            in_force: [true; 2],
            accounts: [0; 2],
            at_bank: [CAPITAL; 2],
            rates: (0..FRANCHISES).map(|n| (franchise(n), 250)).collect(),
            holds: BTreeSet::new(),
            recharges: BTreeMap::new(),
            turned_down: BTreeMap::new(),
            top_ups: BTreeMap::new(),
            remittances: BTreeMap::new(),
            paid: BTreeMap::new(),
            positions: 0,
            owed: BTreeMap::new(),
            payouts: BTreeMap::new(),
            closings: BTreeMap::new(),
            commands: BTreeMap::new(),
            undos: BTreeMap::new(),
            topics: Vec::new(),
            handled: Vec::new(),
            ids: 1_000_000,
            seen: BTreeMap::new(),
            wrong: None,
        };
        world.open_corporate_accounts();
        (0..CUSTOMERS).for_each(|number| world.recharged_long_ago(customer(number)));
        world
    }

    fn open_corporate_accounts(&mut self) {
        let mut book = self.book([]);
        for bank in BANKS {
            let id = self.new_id();
            let cash = SystemAccount::corporate_cash(bank, 0);
            let capital = SystemAccount::new(AccountKind::Capital, Uuid::nil(), 0);
            let kind = crate::EntryKind::Opening;
            book.post((id, 0), kind, cash, capital, CAPITAL);
        }
        self.must_write(&book);
    }

    fn recharged_long_ago(&mut self, member: Uuid) {
        let id = self.new_id();
        let bank = registered(member)
            .map(|it| it.bank_code)
            .unwrap_or_default();
        self.at_bank[bank_number(&bank)] += OPENING;
        let cash = SystemAccount::corporate_cash(&bank, 0);
        let mut book = self.book([member]);
        crate::recharge::confirmed(&mut book, id, member, OPENING, cash);
        book.reserve(member, OPENING);
        self.must_write(&book);
        let row = Recharge {
            member,
            amount: OPENING,
            bank,
            state: State::Completed,
        };
        self.recharges.insert(id, row);
    }

    pub(super) fn take(&mut self, step: &Step) {
        match step {
            Step::Lanes { lanes, closed } => self.in_lanes(lanes, *closed),
            Step::Handle(which) => self.handle(*which),
            Step::Again(which) => self.again(*which),
            Step::Call(which, call) => self.call(*which, *call),
            Step::Inquire(which) => self.inquire(*which),
            Step::Reverse(which) => self.reverse(*which),
            Step::Undo(which) => self.undo(*which),
            Step::Settle {
                franchise: whose,
                ago,
                in_the_future,
            } => self.settle(whose.map(franchise), *ago, *in_the_future),
            Step::Rate(whose, bps) => {
                self.rates.insert(franchise(*whose), *bps);
            }
            Step::Hold(whose) => {
                let whose = franchise(*whose);
                if !self.holds.remove(&whose) {
                    self.holds.insert(whose);
                }
            }
            Step::Contract(which, on) => self.in_force[which % 2] = *on,
            Step::Account(which) => self.accounts[which % 2] += 1,
            Step::Close {
                who,
                pays_out,
                once_more,
            } => {
                let who = self.whom(*who, *once_more);
                self.close(who, *pays_out);
            }
            Step::Tomorrow => self.now += TimeDelta::days(1),
        }
    }

    /// Two lanes at once. Where the second finds an account changed so that what it
    /// has decided does not hold, it decides again, with the accounts locked.
    fn in_lanes(&mut self, lanes: &[Vec<Request>; 2], closed: Option<usize>) {
        let before = self.members.clone();
        let lanes: Vec<Vec<(Uuid, &Request)>> = lanes
            .iter()
            .map(|requests| requests.iter().map(|it| (self.new_id(), it)).collect())
            .collect();
        let mut refunded = BTreeSet::new();
        let mut named = BTreeSet::new();
        let decided: Vec<Lane> = (0..2)
            .map(|number| Lane::decided(self, number, &lanes[number]))
            .collect();
        if let Some(which) = closed {
            self.close(customer(which), true);
        }
        for (number, mut lane) in decided.into_iter().enumerate() {
            // The slip of a cancel is locked from the loading on: the other lane
            // has loaded what this one left.
            if lane.named.iter().any(|payment| named.contains(payment)) {
                lane = Lane::decided(self, number, &lanes[number]);
            }
            if self.write(&lane.book).is_err() {
                self.see("a shortfall");
                lane = Lane::decided(self, number, &lanes[number]);
                self.must_write(&lane.book);
            }
            named.extend(lane.named.iter().copied());
            refunded.extend(lane.refunded.iter().copied());
            lane.keep(self);
        }
        self.caps_are_minded(&before, &refunded);
    }

    /// No request makes anybody pass the cap, pending recharges counted in; only
    /// one's own money that comes back does.
    pub(super) fn caps_are_minded(
        &mut self,
        before: &BTreeMap<Uuid, MemberMoney>,
        refunded: &BTreeSet<Uuid>,
    ) {
        let cap = self.limits.balance_cap;
        for (id, money) in &self.members {
            let had = before[id].balance + before[id].pending;
            let has = money.balance + money.pending;
            if !refunded.contains(id) && has > had.max(cap) {
                self.wrong = Some(format!("{id} has {has}, pending counted in"));
            }
        }
    }

    /// Who is closed: any member or franchise, one time in sixteen nobody that we know;
    /// once more, one for whom something is kept.
    fn whom(&self, which: usize, once_more: bool) -> Uuid {
        let kept = |id: &&Uuid| once_more && self.kept_for(**id) > 0;
        let kept: Vec<&Uuid> = self.members.keys().filter(kept).collect();
        match (which % 16, which % (CUSTOMERS + FRANCHISES)) {
            _ if !kept.is_empty() => *kept[which % kept.len()],
            (15, _) => STRANGER,
            (_, number) if number < CUSTOMERS => customer(number),
            (_, number) => franchise(number - CUSTOMERS),
        }
    }

    pub(super) fn contract(&self, code: &str) -> Contract {
        let bank = bank_number(code);
        Contract {
            corporate_account: self.corporate(bank).account_number,
            in_force: self.in_force[bank],
        }
    }

    /// Our account at a bank, as its contract names it now.
    pub(super) fn corporate(&self, bank: usize) -> BankAccount {
        BankAccount {
            bank_code: BANKS[bank].into(),
            account_number: format!("99{bank:03}{:03}", self.accounts[bank]),
        }
    }

    /// Our accounts at banks whose contracts are in force.
    pub(super) fn corporate_accounts(&self) -> Vec<BankAccount> {
        (0..2)
            .filter(|bank| self.in_force[*bank])
            .map(|bank| self.corporate(bank))
            .collect()
    }

    pub(super) fn new_id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    pub(super) fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }
}
