//! The queries, each with the reason why it ought to give no row.

/// A comparison of sums.
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) look_at: &'static str,
    /// How many things are compared.
    pub(super) compared: &'static str,
    /// `id, place, expected, found` of those that differ.
    pub(super) differs: &'static str,
}

const ACCOUNTS: &str = "SELECT count(*) FROM money.account";
const LOOK_AT_ACCOUNT: &str =
    "SELECT * FROM money.posting WHERE ARRAY[debit, credit] @> ARRAY['<id>'::uuid]";

pub(super) const QUERIES: &[Query] = &[
    // An account's balance is kept beside its postings; both must tell the same.
    Query {
        name: "balances_equal_postings",
        what: "each account's balance, and its credits less its debits",
        look_at: LOOK_AT_ACCOUNT,
        compared: ACCOUNTS,
        differs: "
            SELECT coalesce(a.account_id, p.account) AS id, 'kind ' || a.kind AS place,
                   coalesce(p.moved, 0) AS expected, a.balance AS found
              FROM money.account a
              FULL JOIN (
                   SELECT account, sum(amount) AS moved
                     FROM (SELECT debit AS account, -sum(amount) AS amount FROM money.posting GROUP BY 1
                            UNION ALL
                           SELECT credit, sum(amount) FROM money.posting GROUP BY 1) AS sides
                    GROUP BY account) AS p ON p.account = a.account_id
             WHERE a.balance IS DISTINCT FROM coalesce(p.moved, 0)",
    },
    Query {
        name: "ledger_adds_up_to_zero",
        what: "the sum of all balances, and zero",
        look_at: "balances_equal_postings names the accounts",
        compared: ACCOUNTS,
        differs: "
            SELECT NULL::uuid AS id, 'all accounts'::text AS place, 0 AS expected, sum(balance) AS found
              FROM money.account HAVING sum(balance) <> 0",
    },
    Query {
        name: "no_member_is_below_zero",
        what: "each member's money and pending recharges, and zero",
        look_at: LOOK_AT_ACCOUNT,
        compared: "SELECT count(*) FROM money.account WHERE kind = 1",
        differs: "
            SELECT account_id AS id, 'money'::text AS place, 'at least 0' AS expected, balance::text AS found
              FROM money.account WHERE kind = 1 AND balance < 0
             UNION ALL
            SELECT account_id, 'pending', 'at least 0', pending::text
              FROM money.account WHERE kind = 1 AND pending < 0",
    },
    // What counts against the cap is exactly what a bank has yet to confirm.
    Query {
        name: "pending_equals_open_recharges",
        what: "each member's pending recharges, and the recharges that await their bank",
        look_at: "SELECT * FROM recharge.recharge WHERE member_id = '<id>' AND state = 'AWAITS_BANK'",
        compared: "SELECT count(*) FROM money.account WHERE kind = 1",
        differs: "
            SELECT coalesce(a.account_id, r.member_id) AS id, 'pending'::text AS place,
                   coalesce(r.amount, 0) AS expected, a.pending AS found
              FROM (SELECT account_id, pending FROM money.account WHERE kind = 1) AS a
              FULL JOIN (SELECT member_id, sum(amount) AS amount FROM recharge.recharge
                          WHERE state = 'AWAITS_BANK' GROUP BY member_id) AS r
                     ON r.member_id = a.account_id
             WHERE a.pending IS DISTINCT FROM coalesce(r.amount, 0)",
    },
    Query {
        name: "in_transit_equals_open_payouts",
        what: "the money in transit, and the payouts of remittances and settlements that await their bank",
        look_at: "SELECT * FROM remittance.payout WHERE state = 'AWAITS_BANK'",
        compared: "SELECT (SELECT count(*) FROM remittance.payout WHERE state = 'AWAITS_BANK')
                        + (SELECT count(*) FROM settlement.payout WHERE state = 'AWAITS_BANK')",
        differs: "
            SELECT NULL::uuid AS id, 'in transit'::text AS place, open.amount AS expected,
                   transit.amount AS found
              FROM (SELECT (SELECT coalesce(sum(amount), 0) FROM remittance.payout
                             WHERE state = 'AWAITS_BANK')
                         + (SELECT coalesce(sum(net), 0) FROM settlement.payout
                             WHERE state = 'AWAITS_BANK') AS amount) AS open,
                   (SELECT coalesce(sum(balance), 0) AS amount FROM money.account WHERE kind = 4) AS transit
             WHERE open.amount <> transit.amount",
    },
    // A payment credits the gross; a run takes commission and net, or leaves
    // the net owed. So what is payable is what no run has seen, and what is owed.
    Query {
        name: "payable_equals_slips_and_owed",
        what: "what each franchise is owed by the ledger, and its unsettled slips with what earlier runs left owed",
        look_at: "SELECT * FROM settlement.payout WHERE franchise_id = '<id>'",
        compared: "SELECT count(DISTINCT owner) FROM money.account WHERE kind = 3",
        differs: "
            SELECT franchise_id AS id, 'payable'::text AS place, sum(expected) AS expected,
                   sum(found) AS found
              FROM (SELECT s.franchise_id, s.gross AS expected, 0 AS found
                      FROM payment.slip s
                      LEFT JOIN settlement.position everyone
                             ON everyone.franchise_id = '00000000-0000-0000-0000-000000000000'
                            AND everyone.partition = s.partition
                      LEFT JOIN settlement.position own
                             ON own.franchise_id = s.franchise_id AND own.partition = s.partition
                     WHERE s.\"offset\" >= greatest(coalesce(everyone.next_offset, 0),
                                                  coalesce(own.next_offset, 0))
                     UNION ALL
                    SELECT franchise_id, amount, 0 FROM settlement.owed
                     UNION ALL
                    SELECT owner, 0, balance FROM money.account WHERE kind = 3) AS sides
             GROUP BY franchise_id HAVING sum(expected) <> sum(found)",
    },
    // Settled is what lies below the positions: each slip in one run, no slip in two.
    Query {
        name: "settled_slips_equal_payouts",
        what: "each franchise's slips below the settled positions, and the gross and commission of its parts of all runs",
        look_at: "SELECT * FROM settlement.payout WHERE franchise_id = '<id>'",
        compared: "SELECT count(*) FROM payment.slip",
        differs: "
            SELECT franchise_id AS id, 'slips / gross / commission'::text AS place,
                   sum(slips) || ' / ' || sum(gross) || ' / ' || sum(commission) AS expected,
                   sum(paid_slips) || ' / ' || sum(paid_gross) || ' / ' || sum(paid_commission) AS found
              FROM (SELECT s.franchise_id, 1 AS slips, s.gross, s.commission,
                           0 AS paid_slips, 0 AS paid_gross, 0 AS paid_commission
                      FROM payment.slip s
                      LEFT JOIN settlement.position everyone
                             ON everyone.franchise_id = '00000000-0000-0000-0000-000000000000'
                            AND everyone.partition = s.partition
                      LEFT JOIN settlement.position own
                             ON own.franchise_id = s.franchise_id AND own.partition = s.partition
                     WHERE s.\"offset\" < greatest(coalesce(everyone.next_offset, 0),
                                                 coalesce(own.next_offset, 0))
                     UNION ALL
                    SELECT franchise_id, 0, 0, 0, slips, gross, commission FROM settlement.payout) AS sides
             GROUP BY franchise_id
            HAVING (sum(slips), sum(gross), sum(commission))
                   <> (sum(paid_slips), sum(paid_gross), sum(paid_commission))",
    },
    Query {
        name: "runs_equal_their_payouts",
        what: "the sums of each settlement run, and those of its parts",
        look_at: "SELECT * FROM settlement.payout WHERE run_id = '<id>'",
        compared: "SELECT count(*) FROM settlement.run",
        differs: "
            SELECT r.run_id AS id, 'slips / gross / commission / net'::text AS place,
                   coalesce(p.slips, 0) || ' / ' || coalesce(p.gross, 0) || ' / '
                       || coalesce(p.commission, 0) || ' / ' || coalesce(p.net, 0) AS expected,
                   r.slips || ' / ' || r.gross || ' / ' || r.commission || ' / ' || r.net AS found
              FROM settlement.run r
              LEFT JOIN (SELECT run_id, sum(slips) AS slips, sum(gross) AS gross,
                                sum(commission) AS commission,
                                sum(net) FILTER (WHERE state <> 'CARRIED') AS net
                           FROM settlement.payout GROUP BY run_id) AS p ON p.run_id = r.run_id
             WHERE (r.slips, r.gross, r.commission, r.net)
                   <> (coalesce(p.slips, 0), coalesce(p.gross, 0), coalesce(p.commission, 0),
                       coalesce(p.net, 0))",
    },
];
