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
        what: "the money in transit, and the payouts of remittances, settlements and closings that await their bank",
        look_at: "SELECT * FROM remittance.payout WHERE state = 'AWAITS_BANK'",
        compared: "SELECT (SELECT count(*) FROM remittance.payout WHERE state = 'AWAITS_BANK')
                        + (SELECT count(*) FROM settlement.payout WHERE state = 'AWAITS_BANK')
                        + (SELECT count(*) FROM membership.closing WHERE state = 'AWAITS_BANK')",
        differs: "
            SELECT NULL::uuid AS id, 'in transit'::text AS place, open.amount AS expected,
                   transit.amount AS found
              FROM (SELECT (SELECT coalesce(sum(amount), 0) FROM remittance.payout
                             WHERE state = 'AWAITS_BANK')
                         + (SELECT coalesce(sum(net), 0) FROM settlement.payout
                             WHERE state = 'AWAITS_BANK')
                         + (SELECT coalesce(sum(amount), 0) FROM membership.closing
                             WHERE state = 'AWAITS_BANK') AS amount) AS open,
                   (SELECT coalesce(sum(balance), 0) AS amount FROM money.account WHERE kind = 4) AS transit
             WHERE open.amount <> transit.amount",
    },
    // What comes back to a closed member is kept apart: so it has no money, and its
    // account takes nothing.
    Query {
        name: "closed_members_have_no_money",
        what: "each member's status, its account, and its money and pending recharges; an account of what is kept only for who is closed",
        look_at: "GET /members/<id>; GET /members/<id>/money",
        compared: "SELECT count(*) FROM membership.member",
        differs: "
            SELECT m.member_id AS id, 'status ' || m.status AS place,
                   CASE WHEN m.status = 'OPEN' THEN 'open' ELSE 'closed, 0 / 0' END AS expected,
                   CASE WHEN a.open THEN 'open, ' ELSE 'closed, ' END
                       || a.balance || ' / ' || a.pending AS found
              FROM membership.member m
              JOIN money.account a ON a.account_id = m.member_id
             WHERE a.open <> (m.status = 'OPEN')
                OR (NOT a.open AND (a.balance, a.pending) <> (0, 0))
             UNION ALL
            SELECT a.owner, 'kept for a member', 'at least 0; 0 where it is open', a.balance::text
              FROM money.account a
              LEFT JOIN membership.member m ON m.member_id = a.owner
             WHERE a.kind = 10 AND (a.balance < 0 OR (a.balance > 0 AND m.status = 'OPEN'))",
    },
    // A member is being closed while one closing of its money waits for a bank, and
    // closed after one that is completed.
    Query {
        name: "closings_agree_with_members",
        what: "each member's status, and its closings of what it had: how many wait for their bank, how many are completed",
        look_at: "SELECT * FROM membership.closing WHERE member_id = '<id>'",
        compared: "SELECT count(*) FROM membership.closing",
        differs: "
            SELECT * FROM (
                SELECT m.member_id AS id, 'status ' || m.status AS place,
                       CASE m.status WHEN 'OPEN' THEN '0 / 0' WHEN 'CLOSING' THEN '1 / 0'
                                     ELSE '0 / 1' END AS expected,
                       coalesce(c.waiting, 0) || ' / ' || coalesce(c.completed, 0) AS found
                  FROM membership.member m
                  LEFT JOIN (SELECT member_id, count(*) FILTER (WHERE state = 'AWAITS_BANK') AS waiting,
                                    count(*) FILTER (WHERE state = 'COMPLETED') AS completed
                               FROM membership.closing WHERE NOT unclaimed GROUP BY 1) AS c
                         ON c.member_id = m.member_id) AS sides
             WHERE expected <> found",
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
              FROM (SELECT line.franchise_id, line.won AS expected, 0 AS found
                      FROM (SELECT franchise_id, partition, \"offset\", gross AS won
                              FROM payment.slip
                             UNION ALL
                            SELECT franchise_id, partition, \"offset\", -amount
                              FROM payment.cancel) AS line
                      LEFT JOIN settlement.position everyone
                             ON everyone.franchise_id = '00000000-0000-0000-0000-000000000000'
                            AND everyone.partition = line.partition
                      LEFT JOIN settlement.position own
                             ON own.franchise_id = line.franchise_id
                            AND own.partition = line.partition
                     WHERE line.\"offset\" >= greatest(coalesce(everyone.next_offset, 0),
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
        what: "each franchise's slips and cancels below the settled positions, and the gross, cancels and commission of its parts of all runs",
        look_at: "SELECT * FROM settlement.payout WHERE franchise_id = '<id>'",
        compared: "SELECT (SELECT count(*) FROM payment.slip) + (SELECT count(*) FROM payment.cancel)",
        differs: "
            SELECT franchise_id AS id, 'slips / gross / cancelled / commission'::text AS place,
                   sum(slips) || ' / ' || sum(gross) || ' / ' || sum(cancelled) || ' / '
                       || sum(commission) AS expected,
                   sum(paid_slips) || ' / ' || sum(paid_gross) || ' / ' || sum(paid_cancelled) || ' / '
                       || sum(paid_commission) AS found
              FROM (SELECT line.franchise_id, line.slips, line.gross, line.cancelled, line.commission,
                           0 AS paid_slips, 0 AS paid_gross, 0 AS paid_cancelled, 0 AS paid_commission
                      FROM (SELECT franchise_id, partition, \"offset\", 1 AS slips, gross,
                                   0 AS cancelled, commission
                              FROM payment.slip
                             UNION ALL
                            SELECT franchise_id, partition, \"offset\", 0, 0, amount, -commission_back
                              FROM payment.cancel) AS line
                      LEFT JOIN settlement.position everyone
                             ON everyone.franchise_id = '00000000-0000-0000-0000-000000000000'
                            AND everyone.partition = line.partition
                      LEFT JOIN settlement.position own
                             ON own.franchise_id = line.franchise_id
                            AND own.partition = line.partition
                     WHERE line.\"offset\" < greatest(coalesce(everyone.next_offset, 0),
                                                    coalesce(own.next_offset, 0))
                     UNION ALL
                    SELECT franchise_id, 0, 0, 0, 0, slips, gross, cancelled, commission
                      FROM settlement.payout) AS sides
             GROUP BY franchise_id
            HAVING (sum(slips), sum(gross), sum(cancelled), sum(commission))
                   <> (sum(paid_slips), sum(paid_gross), sum(paid_cancelled), sum(paid_commission))",
    },
    // The lines of a statement are the slips and cancels in the run's lanes: each
    // part of a run must be the sum of its own.
    Query {
        name: "statements_add_up_to_payouts",
        what: "the lines of each franchise's statement of each run, and its gross, cancels, commission and net",
        look_at: "GET /settlements/<run>/franchises/<id>/statement",
        compared: "SELECT count(*) FROM settlement.payout",
        differs: "
            WITH lanes AS (
                SELECT l.run_id, l.partition, l.from_offset, l.to_offset, r.franchise_id AS only_one
                  FROM settlement.run_lane l
                  JOIN settlement.run r ON r.run_id = l.run_id
                 WHERE l.franchise_id = '00000000-0000-0000-0000-000000000000'
            ), lines AS (
                SELECT l.run_id, s.franchise_id, s.partition, s.\"offset\", s.gross, 0 AS cancelled,
                       s.commission
                  FROM lanes l
                  JOIN payment.slip s ON s.partition = l.partition
                   AND s.\"offset\" >= l.from_offset AND s.\"offset\" < l.to_offset
                   AND s.franchise_id = coalesce(l.only_one, s.franchise_id)
                 UNION ALL
                SELECT l.run_id, c.franchise_id, c.partition, c.\"offset\", 0, c.amount,
                       -c.commission_back
                  FROM lanes l
                  JOIN payment.cancel c ON c.partition = l.partition
                   AND c.\"offset\" >= l.from_offset AND c.\"offset\" < l.to_offset
                   AND c.franchise_id = coalesce(l.only_one, c.franchise_id)
            ), sums AS (
                SELECT n.run_id, n.franchise_id, sum(n.gross) AS gross, sum(n.cancelled) AS cancelled,
                       sum(n.commission) AS commission
                  FROM lines n
                  LEFT JOIN settlement.run_lane own
                         ON own.run_id = n.run_id AND own.franchise_id = n.franchise_id
                        AND own.partition = n.partition
                 WHERE n.\"offset\" >= coalesce(own.from_offset, 0)
                 GROUP BY n.run_id, n.franchise_id
            )
            SELECT coalesce(p.franchise_id, s.franchise_id) AS id,
                   'run ' || coalesce(p.run_id, s.run_id) AS place,
                   coalesce(s.gross, 0) || ' / ' || coalesce(s.cancelled, 0) || ' / '
                       || coalesce(s.commission, 0) AS expected,
                   p.gross || ' / ' || p.cancelled || ' / ' || p.commission AS found
              FROM settlement.payout p
              FULL JOIN sums s ON s.run_id = p.run_id AND s.franchise_id = p.franchise_id
             -- Runs of before lanes were kept have no statements.
             WHERE EXISTS (SELECT FROM settlement.run_lane l
                            WHERE l.run_id = coalesce(p.run_id, s.run_id))
               AND ((p.gross, p.cancelled, p.commission)
                   IS DISTINCT FROM (coalesce(s.gross, 0), coalesce(s.cancelled, 0),
                                     coalesce(s.commission, 0))
                OR p.net IS DISTINCT FROM p.gross - p.cancelled - p.commission + p.owed)",
    },
    // By the rate of the slip, over what is left of it.
    Query {
        name: "cancels_are_chains",
        what: "each cancel, the one before it in its payment's chain, and the commission on what is left",
        look_at: "SELECT * FROM payment.cancel WHERE cancel_id = '<id>'",
        compared: "SELECT count(*) FROM payment.cancel",
        differs: "
            SELECT cancel_id AS id, 'payment ' || payment_id AS place,
                   place || ' / ' || total || ' / ' || trunc(numeric_rest) || ' / '
                       || before - trunc(numeric_rest) AS expected,
                   seq || ' / ' || refunded || ' / ' || commission_after || ' / '
                       || commission_back AS found
              FROM (SELECT c.*, s.member_id AS payer, s.franchise_id AS payee, s.gross AS paid,
                           row_number() OVER chain AS place, sum(c.amount) OVER chain AS total,
                           (s.gross - c.refunded)::numeric * s.commission_bps / 10000 AS numeric_rest,
                           coalesce(lag(c.commission_after) OVER chain, s.commission) AS before
                      FROM payment.cancel c
                      LEFT JOIN payment.slip s ON s.payment_id = c.payment_id
                    WINDOW chain AS (PARTITION BY c.payment_id ORDER BY c.seq)) AS links
             WHERE (seq, refunded, commission_after::numeric, commission_back::numeric)
                   IS DISTINCT FROM (place, total, trunc(numeric_rest), before - trunc(numeric_rest))
                OR (member_id, franchise_id, gross) IS DISTINCT FROM (payer, payee, paid)
                OR refunded > gross",
    },
    Query {
        name: "slips_have_the_rate_of_their_instant",
        what: "each slip's rate, and the rate of its franchise that was in force at its instant; its commission",
        look_at: "GET /franchises/<id>/commission-rates",
        compared: "SELECT count(*) FROM payment.slip",
        differs: "
            WITH rates AS (
                SELECT franchise_id, bps, in_force_from,
                       coalesce(lead(in_force_from) OVER (PARTITION BY franchise_id
                                                          ORDER BY in_force_from), 'infinity') AS until
                  FROM payment.commission_rate
            )
            SELECT s.payment_id AS id, 'slip'::text AS place,
                   coalesce(r.bps, 0) || ' / ' || trunc(s.gross::numeric * s.commission_bps / 10000)
                       AS expected,
                   s.commission_bps || ' / ' || s.commission AS found
              FROM payment.slip s
              LEFT JOIN rates r ON r.franchise_id = s.franchise_id
                   AND s.paid_at >= r.in_force_from AND s.paid_at < r.until
             WHERE s.commission_bps <> coalesce(r.bps, 0)
                OR s.commission <> trunc(s.gross::numeric * s.commission_bps / 10000)",
    },
    Query {
        name: "runs_equal_their_payouts",
        what: "the sums of each settlement run, and those of its parts",
        look_at: "SELECT * FROM settlement.payout WHERE run_id = '<id>'",
        compared: "SELECT count(*) FROM settlement.run",
        differs: "
            SELECT r.run_id AS id, 'slips / gross / cancelled / commission / net'::text AS place,
                   coalesce(p.slips, 0) || ' / ' || coalesce(p.gross, 0) || ' / '
                       || coalesce(p.cancelled, 0) || ' / ' || coalesce(p.commission, 0) || ' / ' || coalesce(p.net, 0) AS expected,
                   r.slips || ' / ' || r.gross || ' / ' || r.cancelled || ' / ' || r.commission || ' / ' || r.net AS found
              FROM settlement.run r
              LEFT JOIN (SELECT run_id, sum(slips) AS slips, sum(gross) AS gross,
                                sum(cancelled) AS cancelled, sum(commission) AS commission,
                                sum(net) FILTER (WHERE state <> 'CARRIED') AS net
                           FROM settlement.payout GROUP BY run_id) AS p ON p.run_id = r.run_id
             WHERE (r.slips, r.gross, r.cancelled, r.commission, r.net)
                   <> (coalesce(p.slips, 0), coalesce(p.gross, 0), coalesce(p.cancelled, 0),
                       coalesce(p.commission, 0), coalesce(p.net, 0))",
    },
];
