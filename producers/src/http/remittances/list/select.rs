//! The SQL of the lists of remittances.

use super::RemittanceState;

/// The ids of a page, and where each remittance lies, as `page`: the SQL of a list,
/// with `$1` the place it begins below, `$2` how many, `$3` the kind of the journal
/// entries, and `$4` whatever the list is of.
macro_rules! of_page {
    ($page:expr) => {
        concat!(
            $page,
            "
            SELECT s.remittance_id, s.debit, s.state, s.amount, coalesce(fee.amount, 0),
                   s.credit, NULL::text, NULL::text, NULL::text, NULL::uuid,
                   coalesce(t.amount, 0), NULL::text, s.posted_at, NULL::timestamptz, NULL::jsonb
              FROM (SELECT p.remittance_id, m.debit, m.credit, m.amount, m.posted_at,
                           'COMPLETED' AS state
                      FROM page p
                      JOIN money.posting m
                        ON m.entry_id = p.remittance_id AND m.kind = $3 AND m.line = 0
                     WHERE p.lies = 'entry') s
              LEFT JOIN money.posting fee
                ON fee.entry_id = s.remittance_id AND fee.kind = $3 AND fee.line = 1
              LEFT JOIN remittance.top_up t
                ON t.remittance_id = s.remittance_id AND t.state = 'TOPPED_UP'
             UNION ALL
            SELECT o.remittance_id, o.sender_id, o.state, o.amount, o.fee,
                   NULL, o.to_bank, o.to_account, o.holder_name, o.firmbanking_id,
                   coalesce(t.amount, 0), q.reason, o.changed_at, o.reversed_at, NULL
              FROM page p
              JOIN remittance.payout o ON o.remittance_id = p.remittance_id
              LEFT JOIN remittance.top_up t
                ON t.remittance_id = o.remittance_id AND t.state = 'TOPPED_UP'
              LEFT JOIN queue_log q
                ON q.message_id = o.remittance_id AND q.consumer = 'remittance'
             WHERE p.lies = 'payout'
             UNION ALL
            SELECT t.remittance_id, t.member_id,
                   CASE WHEN t.rejected_for IS NULL THEN t.state ELSE 'REJECTED' END, t.needed, 0,
                   NULL, NULL, NULL, NULL, NULL,
                   CASE WHEN t.state = 'REFUSED' THEN 0 ELSE t.amount END, t.rejected_for,
                   t.changed_at, NULL, t.request
              FROM page p
              JOIN remittance.top_up t ON t.remittance_id = p.remittance_id
             WHERE p.lies = 'top_up'
             ORDER BY 1 DESC"
        )
    };
}

/// Of a member: the journal by its index over both sides of a posting, the others by
/// their indexes over the sender. It costs what the member has sent and received.
pub(super) const OF_MEMBER: &str = of_page!(
    "WITH own AS MATERIALIZED (
         SELECT entry_id, debit, kind, line FROM money.posting
          WHERE ARRAY[debit, credit] @> ARRAY[$4]
     ), page AS MATERIALIZED (
         SELECT remittance_id, lies
           FROM (SELECT entry_id AS remittance_id, 'entry' AS lies FROM own
                  WHERE debit = $4 AND kind = $3 AND line = 0 AND entry_id < $1
                  UNION ALL
                 (SELECT remittance_id, 'payout' FROM remittance.payout
                   WHERE sender_id = $4 AND remittance_id < $1
                   ORDER BY remittance_id DESC LIMIT $2)
                  UNION ALL
                 SELECT remittance_id, 'top_up' FROM remittance.top_up
                  WHERE member_id = $4 AND state = 'AWAITS_TOP_UP' AND remittance_id < $1
                  UNION ALL
                 (SELECT remittance_id, 'top_up' FROM remittance.top_up
                   WHERE member_id = $4 AND rejected_for IS NOT NULL AND remittance_id < $1
                   ORDER BY remittance_id DESC LIMIT $2)) AS all_of_it
          ORDER BY remittance_id DESC LIMIT $2
     )"
);

/// What is done: most of all that there is, so both keys are walked down, and what is
/// of another kind or state is passed over.
const COMPLETED: &str = of_page!(
    "WITH page AS MATERIALIZED (
         SELECT remittance_id, lies
           FROM ((SELECT entry_id AS remittance_id, 'entry' AS lies FROM money.posting
                   WHERE entry_id < $1 AND kind = $3 AND line = 0
                   ORDER BY entry_id DESC LIMIT $2)
                  UNION ALL
                 (SELECT remittance_id, 'payout' FROM remittance.payout
                   WHERE state = 'COMPLETED' AND remittance_id < $1
                   ORDER BY remittance_id DESC LIMIT $2)) AS all_of_it
          ORDER BY remittance_id DESC LIMIT $2
     )"
);

/// What waits for its bank: by the index of this state and of what a bank refused.
const AWAITS_BANK: &str = of_page!(
    "WITH page AS MATERIALIZED (
         SELECT remittance_id, 'payout' AS lies FROM remittance.payout
          WHERE state = 'AWAITS_BANK' AND remittance_id < $1
          ORDER BY remittance_id DESC LIMIT $2
     )"
);

/// What its bank refused, by the same index; and what was rejected because its top-up
/// was refused, or although it was topped up, by the index that has nothing else.
const REJECTED: &str = of_page!(
    "WITH page AS MATERIALIZED (
         SELECT remittance_id, lies
           FROM ((SELECT remittance_id, 'payout' AS lies FROM remittance.payout
                   WHERE state = 'REJECTED' AND remittance_id < $1
                   ORDER BY remittance_id DESC LIMIT $2)
                  UNION ALL
                 (SELECT remittance_id, 'top_up' FROM remittance.top_up
                   WHERE rejected_for IS NOT NULL AND remittance_id < $1
                   ORDER BY remittance_id DESC LIMIT $2)) AS all_of_it
          ORDER BY remittance_id DESC LIMIT $2
     )"
);

/// What is being topped up: all of it by the index that has nothing else, then sorted.
/// (Left to itself the planner might walk down the key, past all that ever was.)
const AWAITS_TOP_UP: &str = of_page!(
    "WITH waiting AS MATERIALIZED (
         SELECT remittance_id FROM remittance.top_up WHERE state = 'AWAITS_TOP_UP'
     ), page AS MATERIALIZED (
         SELECT remittance_id, 'top_up' AS lies FROM waiting
          WHERE remittance_id < $1
          ORDER BY remittance_id DESC LIMIT $2
     )"
);

impl RemittanceState {
    /// The list of all that are in this state.
    pub(super) const fn select(self) -> &'static str {
        match self {
            Self::AwaitsTopUp => AWAITS_TOP_UP,
            Self::AwaitsBank => AWAITS_BANK,
            Self::Completed => COMPLETED,
            Self::Rejected => REJECTED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_written_as_it_is_told() {
        for (written, state) in [
            ("AWAITS_TOP_UP", RemittanceState::AwaitsTopUp),
            ("AWAITS_BANK", RemittanceState::AwaitsBank),
            ("COMPLETED", RemittanceState::Completed),
            ("REJECTED", RemittanceState::Rejected),
        ] {
            let read: RemittanceState = serde_json::from_value(written.into()).unwrap();
            assert_eq!(read, state);
            let selects = format!("state = '{written}'");
            assert!(read.select().contains(&selects), "{written}");
        }
    }
}
