//! The ledger's accounts.
//!
//! Balances are kept credit-positive: what we owe (members' money, what
//! franchises are due, money in transit) and income are positive, cash and
//! expenses negative. So the balances of all accounts add up to zero, always.

use uuid::Uuid;

/// What an account stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum AccountKind {
    /// Liability: a member's prepaid balance, my money.
    MemberMoney = 1,
    /// Asset: our corporate account at a bank.
    CorporateCash = 2,
    /// Liability: what a franchise is owed for payments.
    FranchisePayable = 3,
    /// Liability: left a balance, not yet confirmed by the bank.
    InTransit = 4,
    /// Income: remittance fees.
    RemittanceFee = 5,
    /// Income: commissions.
    Commission = 6,
    /// Expense: what banks take for commands.
    FirmbankingFee = 7,
    /// Equity: what the corporate accounts held when they were opened.
    Capital = 8,
    /// Liability: cash that moved by direct command of staff, with no flow behind it.
    Suspense = 9,
    /// Liability: what came back to a member who is closed.
    Unclaimed = 10,
}

impl AccountKind {
    /// All kinds.
    pub const ALL: [AccountKind; 10] = [
        AccountKind::MemberMoney,
        AccountKind::CorporateCash,
        AccountKind::FranchisePayable,
        AccountKind::InTransit,
        AccountKind::RemittanceFee,
        AccountKind::Commission,
        AccountKind::FirmbankingFee,
        AccountKind::Capital,
        AccountKind::Suspense,
        AccountKind::Unclaimed,
    ];

    /// The kind's number in the database.
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The kind's name for people.
    pub const fn name(self) -> &'static str {
        match self {
            AccountKind::MemberMoney => "member money",
            AccountKind::CorporateCash => "corporate cash",
            AccountKind::FranchisePayable => "franchise payable",
            AccountKind::InTransit => "in transit",
            AccountKind::RemittanceFee => "remittance fee",
            AccountKind::Commission => "commission",
            AccountKind::FirmbankingFee => "firmbanking fee",
            AccountKind::Capital => "capital",
            AccountKind::Suspense => "suspense",
            AccountKind::Unclaimed => "unclaimed",
        }
    }
}

/// How many rows an account that many lanes write is spread over.
///
/// A row is locked from its update to the commit, so lanes that write the same
/// row wait for each other. Each lane writes its own slot; the account's
/// balance is the sum of its slots.
pub const SLOTS: i32 = 8;

/// An account of ours or of a franchise, in one of its slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SystemAccount {
    /// What it stands for.
    pub kind: AccountKind,
    /// The franchise, the member, or the bank (see [`bank_owner`]), or nil.
    pub owner: Uuid,
    /// Which of its rows.
    pub slot: i16,
}

impl SystemAccount {
    /// The account of a kind, in the slot of a partition.
    pub fn new(kind: AccountKind, owner: Uuid, partition: i32) -> Self {
        Self {
            kind,
            owner,
            slot: (partition.rem_euclid(SLOTS)) as i16,
        }
    }

    /// Our corporate account at a bank.
    pub fn corporate_cash(bank_code: &str, partition: i32) -> Self {
        Self::new(AccountKind::CorporateCash, bank_owner(bank_code), partition)
    }

    /// What came back to a closed member and is kept for it.
    pub fn unclaimed(member_id: Uuid) -> Self {
        Self::new(AccountKind::Unclaimed, member_id, 0)
    }

    /// The account's id: a hash of what it is, so that nobody has to look it up.
    pub fn id(&self) -> Uuid {
        let mut content = [0; 20];
        content[..2].copy_from_slice(&self.kind.number().to_le_bytes());
        content[2..4].copy_from_slice(&self.slot.to_le_bytes());
        content[4..].copy_from_slice(self.owner.as_bytes());
        mypay_schemas::identity::derive(
            // Time zero: these accounts exist from the beginning.
            Uuid::nil(),
            &content
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
        )
    }
}

/// The owner of an account that belongs to a bank, as a UUID.
pub fn bank_owner(bank_code: &str) -> Uuid {
    mypay_schemas::identity::derive(Uuid::nil(), &format!("bank {bank_code}"))
}

/// One side of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// A member's my money; the account's id is the member's.
    Member(Uuid),
    /// Any other account.
    System(SystemAccount),
}

impl From<SystemAccount> for Account {
    fn from(account: SystemAccount) -> Self {
        Account::System(account)
    }
}
