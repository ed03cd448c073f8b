//! The accounts of a batch while it is decided, and the postings it makes.
//!
//! Decisions of a batch are made one after the other on working copies. What is
//! written at the end is, per account, one change and the conditions under
//! which it may be made: other lanes may have changed the account meanwhile.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use mypay_schemas::identity::IdHash;
use uuid::Uuid;

use crate::account::{Account, SystemAccount};
use crate::reason::Reason;

/// A member's money as it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberMoney {
    /// False where the member is closed.
    pub open: bool,
    /// Whole won, never negative.
    pub balance: i64,
    /// Recharges that a bank has yet to confirm, whole won.
    pub pending: i64,
    /// The Korean day that `sent` belongs to.
    pub sent_on: NaiveDate,
    /// What was remitted on that day, whole won.
    pub sent: i64,
}

/// Which step of the ledger an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum EntryKind {
    /// A recharge confirmed by the bank.
    Recharge = 1,
    /// A remittance between members.
    Remittance = 2,
    /// A remittance to a bank account, accepted.
    RemittanceOut = 3,
    /// The bank confirmed what was in transit.
    TransitConfirmed = 4,
    /// The bank refused what was in transit.
    TransitRefused = 5,
    /// A payment.
    Payment = 6,
    /// A settlement of a franchise.
    Settlement = 7,
    /// The bank's fee for a command.
    FirmbankingFee = 8,
    /// A direct command of staff.
    Transfer = 9,
    /// What a corporate account held when it was opened.
    Opening = 10,
    /// A payment cancelled, in whole or in part.
    PaymentCancel = 11,
    /// What a member had left at the closing, on its way to the bank account.
    Closing = 12,
    /// A bank had done it, and has undone it.
    Reversal = 20,
}

/// One debit and one credit of the same amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The journal entry: the id of the message that it belongs to.
    pub entry_id: Uuid,
    /// Its place in the entry.
    pub line: i16,
    /// Which step it is.
    pub kind: EntryKind,
    /// The account whose balance goes down (credit-positive).
    pub debit: Uuid,
    /// The account whose balance goes up.
    pub credit: Uuid,
    /// Whole won, above zero.
    pub amount: i64,
}

/// What a change of a member's money asks of the membership.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(i16)]
pub enum Standing {
    /// It must be open: what was decided relies on it.
    #[default]
    MustBeOpen = 0,
    /// Whether it is open does not matter: a bank has already moved the money.
    Either = 1,
    /// It must be closed: money that came back was kept apart for it.
    MustBeClosed = 2,
    /// It is closed by this change, and must be left with nothing.
    Closes = 3,
    /// It is open again by this change.
    Reopens = 4,
}

/// What a batch does to one member's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberChange {
    /// The member.
    pub member_id: Uuid,
    /// Added to the balance.
    pub balance: i64,
    /// Added to the pending recharges.
    pub pending: i64,
    /// How far below its start the balance went while the batch was decided:
    /// the balance may only be changed where it covers this dip.
    pub dip: i64,
    /// How far above its start the balance and the pending went at a credit
    /// that minds the cap.
    pub peak: i64,
    /// Added to the day's remittances.
    pub sent: i64,
    /// What it asks of the membership.
    pub standing: Standing,
}

#[derive(Debug, Clone)]
struct Working {
    loaded: MemberMoney,
    change: MemberChange,
    /// Whether anything of the change was asked for: then the member must be open,
    /// whatever comes back in the same batch.
    asked: bool,
}

/// The working copies and the postings of a batch.
#[derive(Debug, Clone)]
pub struct Book {
    today: NaiveDate,
    members: HashMap<Uuid, Working, IdHash>,
    system: BTreeMap<SystemAccount, (Uuid, i64)>,
    postings: Vec<Posting>,
}

impl Book {
    /// A book over loaded accounts, on a Korean day.
    pub fn new(today: NaiveDate, members: impl IntoIterator<Item = (Uuid, MemberMoney)>) -> Self {
        let members = members
            .into_iter()
            .map(|(member_id, loaded)| {
                let change = MemberChange {
                    member_id,
                    balance: 0,
                    pending: 0,
                    dip: 0,
                    peak: 0,
                    sent: 0,
                    standing: Standing::MustBeOpen,
                };
                let working = Working {
                    loaded,
                    change,
                    asked: false,
                };
                (member_id, working)
            })
            .collect();
        Self {
            today,
            members,
            system: BTreeMap::new(),
            postings: Vec::new(),
        }
    }

    /// The Korean day of the batch.
    pub fn today(&self) -> NaiveDate {
        self.today
    }

    /// A member's money as it is now, `None` where unknown or closed.
    pub fn open_member(&self, member_id: Uuid) -> Option<MemberMoney> {
        let working = self.members.get(&member_id)?;
        working.loaded.open.then(|| working.now(self.today))
    }

    /// Debits `debit` and credits `credit`.
    ///
    /// The caller has checked the balance; a member's account that was not
    /// loaded is a defect of the caller.
    pub fn post(
        &mut self,
        (entry_id, line): (Uuid, i16),
        kind: EntryKind,
        debit: impl Into<Account>,
        credit: impl Into<Account>,
        amount: i64,
    ) {
        debug_assert!(amount > 0, "a posting moves something");
        let debit = self.change(debit.into(), -amount);
        let credit = self.change(credit.into(), amount);
        self.postings.push(Posting {
            entry_id,
            line,
            kind,
            debit,
            credit,
            amount,
        });
    }

    /// Reserves room under the cap for a recharge, or gives it back.
    pub fn reserve(&mut self, member_id: Uuid, amount: i64) {
        let working = self.working(member_id);
        working.change.pending += amount;
        if amount > 0 {
            working.asked = true;
            working.mind_cap();
        }
    }

    /// Notes that a member's last credit must not pass the cap.
    pub fn mind_cap(&mut self, member_id: Uuid) {
        let working = self.working(member_id);
        working.asked = true;
        working.mind_cap();
    }

    /// Notes that what comes back to this member holds even if it was closed
    /// meanwhile; what the same batch does because it was asked for does not.
    pub fn even_if_closed(&mut self, member_id: Uuid) {
        self.working(member_id).change.standing = Standing::Either;
    }

    /// Where money goes that comes back to a member: to my money, or, where the
    /// member is closed, to what is kept for it. A closed member has no money.
    pub fn money_back(&mut self, member_id: Uuid) -> Account {
        let working = self.working(member_id);
        if working.loaded.open {
            return Account::Member(member_id);
        }
        working.change.standing = Standing::MustBeClosed;
        Account::System(SystemAccount::unclaimed(member_id))
    }

    /// Closes a member, whose money has been posted elsewhere.
    pub fn close(&mut self, member_id: Uuid) {
        self.working(member_id).change.standing = Standing::Closes;
    }

    /// Opens a member again.
    pub fn reopen(&mut self, member_id: Uuid) {
        self.working(member_id).change.standing = Standing::Reopens;
    }

    /// Whether a member's account was loaded, open or not.
    pub fn has_member(&self, member_id: Uuid) -> bool {
        self.members.contains_key(&member_id)
    }

    /// Counts a remittance into the sender's day.
    pub fn count_sent(&mut self, member_id: Uuid, amount: i64) {
        self.working(member_id).change.sent += amount;
    }

    /// The changes of members' money, in the order in which rows are locked.
    pub fn member_changes(&self) -> Vec<MemberChange> {
        let mut changes: Vec<_> = self
            .members
            .values()
            .filter(|working| working.is_changed())
            .map(|working| MemberChange {
                standing: match working.change.standing {
                    Standing::Either if working.asked => Standing::MustBeOpen,
                    standing => standing,
                },
                ..working.change
            })
            .collect();
        changes.sort_unstable_by_key(|change| change.member_id);
        changes
    }

    /// The changes of all other accounts, in the order in which rows are locked.
    pub fn system_changes(&self) -> Vec<(Uuid, SystemAccount, i64)> {
        let mut changes: Vec<_> = self
            .system
            .iter()
            .map(|(account, (id, change))| (*id, *account, *change))
            .collect();
        changes.sort_unstable_by_key(|(id, _, _)| *id);
        changes
    }

    /// The postings, in the order in which they were made.
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn change(&mut self, account: Account, amount: i64) -> Uuid {
        match account {
            Account::Member(member_id) => {
                let working = self.working(member_id);
                // Money leaves a member because the member asked for it.
                working.asked |= amount < 0;
                let change = &mut working.change;
                change.balance += amount;
                change.dip = change.dip.min(change.balance);
                member_id
            }
            Account::System(account) => {
                let (id, change) = self
                    .system
                    .entry(account)
                    .or_insert_with(|| (account.id(), 0));
                *change += amount;
                *id
            }
        }
    }

    fn working(&mut self, member_id: Uuid) -> &mut Working {
        self.members
            .get_mut(&member_id)
            .expect("the member was loaded: open_member() answered for it")
    }
}

impl Working {
    fn now(&self, today: NaiveDate) -> MemberMoney {
        let sent_before = if self.loaded.sent_on >= today {
            self.loaded.sent
        } else {
            0
        };
        MemberMoney {
            open: self.loaded.open,
            balance: self.loaded.balance + self.change.balance,
            pending: self.loaded.pending + self.change.pending,
            sent_on: today,
            sent: sent_before + self.change.sent,
        }
    }

    /// Whether there is something to write or to look at: what was asked for needs
    /// its member open, though it may cancel out with what comes back.
    fn is_changed(&self) -> bool {
        let change = &self.change;
        let nothing = (
            change.balance,
            change.pending,
            change.dip,
            change.peak,
            change.sent,
        ) == (0, 0, 0, 0, 0);
        // Checked or changed, though no money moves.
        let stands = !matches!(change.standing, Standing::MustBeOpen | Standing::Either);
        self.asked || stands || !nothing
    }

    fn mind_cap(&mut self) {
        self.change.peak = self
            .change
            .peak
            .max(self.change.balance + self.change.pending);
    }
}

/// Refuses amounts that no request may move.
pub fn valid_amount(amount: i64) -> Result<i64, Reason> {
    if (1..=crate::limits::AMOUNT_MAX).contains(&amount) {
        Ok(amount)
    } else {
        Err(Reason::InvalidAmount)
    }
}
