//! Settlement: what a franchise is owed, to its bank account.

use chrono::{DateTime, Utc};
use mypay_schemas::identity::derive;
use mypay_schemas::settlement::SettlementRequest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::{Account, AccountKind, SystemAccount};
use crate::book::{Book, EntryKind};
use crate::{Decision, Reason};

/// What a request for a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Slips and cancels up to this instant belong to the run.
    pub cut_at: DateTime<Utc>,
    /// The one franchise to settle; all where there is none.
    pub franchise_id: Option<Uuid>,
}

/// Reads a request for a run.
///
/// # Errors
///
/// A cut before the epoch, or in the future; a franchise's id that is none.
pub fn asked(request: &SettlementRequest, now: DateTime<Utc>) -> Result<Asked, Reason> {
    let cut_at = DateTime::from_timestamp_millis(request.cut_at).ok_or(Reason::InvalidCut)?;
    // PostgreSQL's timestamps begin in 4713 BC; nobody settles before the epoch.
    if request.cut_at < 0 {
        return Err(Reason::InvalidCut);
    }
    if cut_at > now {
        return Err(Reason::CutInTheFuture);
    }
    let franchise_id = request
        .franchise_id
        .as_deref()
        .map(|id| match Uuid::try_parse(id) {
            // Nil stands for all franchises in the table of positions.
            Ok(id) if !id.is_nil() => Ok(id),
            _ => Err(Reason::UnknownFranchise),
        })
        .transpose()?;
    Ok(Asked {
        cut_at,
        franchise_id,
    })
}

/// What a run found for a franchise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The franchise.
    pub franchise_id: Uuid,
    /// Slips up to the cut that no run has settled.
    pub slips: i64,
    /// Their sum, whole won.
    pub gross: i64,
    /// What cancels up to the cut, that no run has settled, refunded; whole won.
    pub cancelled: i64,
    /// The slips' commissions less what the cancels gave back, whole won; below
    /// zero where the cancels are of payments that were settled before.
    pub commission: i64,
    /// Owed from earlier runs (refused payouts, carried nets), whole won.
    pub owed: i64,
    /// Whether it has a registered account to pay out to.
    pub has_account: bool,
    /// Whether staff holds its payouts back.
    pub on_hold: bool,
}

/// What is done about a franchise's net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// Paid out, whole won.
    Pay(i64),
    /// Kept for the next run, whole won; may be negative.
    Carry(i64, Kept),
}

impl Net {
    /// What the franchise is owed after the run, whole won.
    pub fn owed(self) -> i64 {
        match self {
            Net::Pay(_) => 0,
            Net::Carry(amount, _) => amount,
        }
    }
}

/// Why a net is kept for the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is not above zero.
    NotPositive,
    /// Staff holds the franchise's payouts back.
    OnHold,
    /// There is no account to pay it to, or none of ours to pay it from.
    NoAccount,
}

impl Kept {
    /// The code, as it stands in `settlement.payout`.
    pub const fn code(self) -> &'static str {
        match self {
            Kept::NotPositive => "not_positive",
            Kept::OnHold => "on_hold",
            Kept::NoAccount => "no_account",
        }
    }
}

/// Sums of a run, whole won.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Franchises with a part in it.
    pub franchises: i64,
    /// Slips that it settles.
    pub slips: i64,
    /// Their sum.
    pub gross: i64,
    /// What the cancels that it settles refunded.
    #[serde(default)]
    pub cancelled: i64,
    /// The commission it takes; below zero where it gives back more.
    pub commission: i64,
    /// Franchises that are paid.
    pub payouts: i64,
    /// What they are paid.
    pub net: i64,
}

impl Totals {
    fn add(&mut self, found: &Found, net: Net) {
        self.franchises += 1;
        self.slips += found.slips;
        self.gross += found.gross;
        self.cancelled += found.cancelled;
        self.commission += found.commission;
        if let Net::Pay(amount) = net {
            self.payouts += 1;
            self.net += amount;
        }
    }
}

/// A run that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What it was asked for.
    pub asked: Asked,
    /// Each franchise's payout, by its id, and what is done: in the order of
    /// what was found.
    pub nets: Vec<(Uuid, Net)>,
    /// Its sums.
    pub totals: Totals,
}

/// Decides on a run and posts it: what each franchise is paid, what is carried.
pub fn decide<'a>(
    book: &mut Book,
    run_id: Uuid,
    request: &SettlementRequest,
    found: impl IntoIterator<Item = &'a Found>,
    now: DateTime<Utc>,
) -> Decision<Run> {
    let asked = match asked(request, now) {
        Ok(asked) => asked,
        Err(reason) => return Decision::Rejected(reason),
    };
    let mut totals = Totals::default();
    let nets = found
        .into_iter()
        .map(|found| {
            let payout_id = derive(run_id, &found.franchise_id.to_string());
            let net = post(book, payout_id, found);
            totals.add(found, net);
            (payout_id, net)
        })
        .collect();
    Decision::Completed(Run {
        asked,
        nets,
        totals,
    })
}

/// What is to be done about a franchise in a run.
///
/// A net that is not positive is not paid but carried, as is one that staff
/// holds back or that has no account to go to.
pub fn net(found: &Found) -> Net {
    let net = found.gross - found.cancelled - found.commission + found.owed;
    if net <= 0 {
        Net::Carry(net, Kept::NotPositive)
    } else if found.on_hold {
        Net::Carry(net, Kept::OnHold)
    } else if !found.has_account {
        Net::Carry(net, Kept::NoAccount)
    } else {
        Net::Pay(net)
    }
}

/// Posts a franchise's part of a run: the commission is taken, and what is
/// paid goes in transit.
pub fn post(book: &mut Book, payout_id: Uuid, found: &Found) -> Net {
    let net = net(found);
    let payable = SystemAccount::new(AccountKind::FranchisePayable, found.franchise_id, 0);
    let income = SystemAccount::new(AccountKind::Commission, Uuid::nil(), 0);
    // Below zero where cancels gave back what earlier runs took.
    let (debit, credit) = match found.commission {
        0.. => (payable, income),
        _ => (income, payable),
    };
    if found.commission != 0 {
        book.post(
            (payout_id, 0),
            EntryKind::Settlement,
            debit,
            credit,
            found.commission.abs(),
        );
    }
    if let Net::Pay(amount) = net {
        let transit = SystemAccount::new(AccountKind::InTransit, Uuid::nil(), 0);
        book.post(
            (payout_id, 1),
            EntryKind::Settlement,
            payable,
            transit,
            amount,
        );
    }
    net
}

/// The bank has confirmed a payout.
pub fn confirmed(book: &mut Book, entry_id: Uuid, amount: i64, bank_code: &str) {
    let transit = SystemAccount::new(AccountKind::InTransit, Uuid::nil(), 0);
    let cash = SystemAccount::corporate_cash(bank_code, 0);
    book.post(
        (entry_id, 0),
        EntryKind::TransitConfirmed,
        transit,
        cash,
        amount,
    );
}

/// The bank has refused a payout: the franchise is owed it again.
pub fn refused(book: &mut Book, entry_id: Uuid, franchise_id: Uuid, amount: i64) {
    let transit = SystemAccount::new(AccountKind::InTransit, Uuid::nil(), 0);
    let payable = SystemAccount::new(AccountKind::FranchisePayable, franchise_id, 0);
    book.post(
        (entry_id, 0),
        EntryKind::TransitRefused,
        Account::from(transit),
        payable,
        amount,
    );
}

/// The bank has undone a payout that it had done: the franchise is owed it again.
pub fn reversed(book: &mut Book, entry_id: Uuid, franchise_id: Uuid, amount: i64, bank_code: &str) {
    let cash = SystemAccount::corporate_cash(bank_code, 0);
    let payable = SystemAccount::new(AccountKind::FranchisePayable, franchise_id, 0);
    book.post((entry_id, 0), EntryKind::Reversal, cash, payable, amount);
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cut_is_an_instant_since_1970_that_has_come() {
        let now = DateTime::from_timestamp_millis(1_772_400_000_000).unwrap();
        for (cut_at, reason) in [
            (i64::MIN, Some(Reason::InvalidCut)),
            (-1, Some(Reason::InvalidCut)),
            (0, None),
            (now.timestamp_millis(), None),
            (now.timestamp_millis() + 1, Some(Reason::CutInTheFuture)),
            (i64::MAX, Some(Reason::InvalidCut)),
        ] {
            let request = SettlementRequest {
                message_id: String::new(),
                correlation_id: String::new(),
                requested_at: 0,
                franchise_id: None,
                cut_at,
                causation_id: None,
            };
            assert_eq!(asked(&request, now).err(), reason, "{cut_at}");
        }
    }

    proptest! {
        /// Over any runs: what is paid out and what is still owed is all that was
        /// earned, whatever was held back or carried; and the ledger's payable is
        /// what is owed.
        #[test]
        fn nothing_is_lost_from_run_to_run(
            runs in prop::collection::vec(
                (0_i64..1_000_000, 0_i64..1_000_000, -50_000_i64..50_000, any::<bool>(), any::<bool>()),
                1..20,
            ),
        ) {
            let (mut owed, mut earned, mut paid, mut payable) = (0, 0, 0, 0);
            for (number, (gross, cancelled, commission, has_account, on_hold)) in
                runs.into_iter().enumerate()
            {
                let found = Found {
                    franchise_id: Uuid::from_u128(7),
                    slips: 1,
                    gross,
                    cancelled,
                    commission,
                    owed,
                    has_account,
                    on_hold,
                };
                earned += gross - cancelled - commission;
                let mut book = Book::new(NaiveDate::default(), []);
                let net = post(&mut book, Uuid::from_u128(number as u128), &found);
                payable += gross - cancelled;
                for (_, account, change) in book.system_changes() {
                    if account.kind == AccountKind::FranchisePayable {
                        payable += change;
                    }
                }
                match net {
                    Net::Pay(amount) => {
                        prop_assert!(amount > 0 && has_account && !on_hold);
                        paid += amount;
                        owed = 0;
                    }
                    Net::Carry(amount, kept) => {
                        let expected = match amount {
                            ..=0 => Kept::NotPositive,
                            _ if on_hold => Kept::OnHold,
                            _ => Kept::NoAccount,
                        };
                        prop_assert_eq!(kept, expected);
                        owed = amount;
                    }
                }
                prop_assert_eq!(paid + owed, earned);
                prop_assert_eq!(payable, owed);
            }
        }
    }
}
