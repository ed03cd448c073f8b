//! The ledger's tables, and the conditions under which it writes them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Shortfall, World};
use crate::book::{MemberChange, Standing};
use crate::limits::korean_day;
use crate::{Book, MemberMoney};

impl World {
    /// A book over what is known of these members.
    pub(in crate::sequences) fn book(&self, members: impl IntoIterator<Item = Uuid>) -> Book {
        let loaded: BTreeMap<Uuid, MemberMoney> = members
            .into_iter()
            .filter_map(|id| Some((id, *self.members.get(&id)?)))
            .collect();
        Book::new(korean_day(self.now), loaded)
    }

    /// Writes a book under the conditions that `mypay_ledger::write` has.
    pub(in crate::sequences) fn write(&mut self, book: &Book) -> Result<(), Shortfall> {
        let today = book.today();
        let holds = |change: &MemberChange| {
            let money = &self.members[&change.member_id];
            let sent_today = if money.sent_on >= today {
                money.sent
            } else {
                0
            };
            let stands = match change.standing {
                Standing::MustBeOpen => money.open,
                Standing::Closes => {
                    money.open
                        && money.balance + change.balance == 0
                        && money.pending + change.pending == 0
                }
                Standing::MustBeClosed | Standing::Reopens => !money.open,
                Standing::Either => true,
            };
            stands
                && money.balance + change.dip >= 0
                && (change.peak == 0
                    || money.balance + money.pending + change.peak <= self.limits.balance_cap)
                && (change.sent == 0 || sent_today + change.sent <= self.limits.remittance_daily)
        };
        let changes = book.member_changes();
        if !changes.iter().all(holds) {
            return Err(Shortfall);
        }
        for change in changes {
            if let Some(money) = self.members.get_mut(&change.member_id) {
                money.balance += change.balance;
                money.pending += change.pending;
                match change.standing {
                    Standing::Closes => money.open = false,
                    Standing::Reopens => money.open = true,
                    _ => {}
                }
                if change.sent != 0 {
                    let sent_today = if money.sent_on >= today {
                        money.sent
                    } else {
                        0
                    };
                    money.sent = sent_today + change.sent;
                    money.sent_on = money.sent_on.max(today);
                }
            }
        }
        for (id, account, amount) in book.system_changes() {
            self.others.entry(id).or_insert((account, 0)).1 += amount;
        }
        for posting in book.postings() {
            // The table's key and its check.
            let new = self
                .keys
                .insert((posting.entry_id, posting.kind as i16, posting.line));
            if !new || posting.amount <= 0 {
                self.wrong = Some(format!("the table refuses {posting:?}"));
            }
            self.postings.push(*posting);
        }
        Ok(())
    }

    /// What no other lane can get in the way of.
    pub(in crate::sequences) fn must_write(&mut self, book: &Book) {
        if self.write(book).is_err() {
            self.wrong = Some(format!("cannot be written: {:?}", book.member_changes()));
        }
    }
}
