-- Remittances by state, and the limits on members' money as data.

-- What waits for its bank, and what the bank refused: few beside all that was done,
-- which is found by the key itself. A remittance between members has no row here.
CREATE INDEX payout_by_state ON remittance.payout (state, remittance_id)
    WHERE state IN ('AWAITS_BANK', 'REJECTED');

-- Why a remittance was rejected that had waited for its top-up, whether that came or
-- not: it has neither a journal entry nor a payout by which lists could find it.
ALTER TABLE remittance.top_up ADD COLUMN rejected_for text;
UPDATE remittance.top_up t
   SET rejected_for = q.reason
  FROM queue_log q
 WHERE q.consumer = 'remittance' AND q.message_id = t.remittance_id
   AND q.status = 'done' AND q.processed_status = 'failure' AND t.state <> 'AWAITS_TOP_UP'
   AND NOT EXISTS (SELECT FROM remittance.payout p WHERE p.remittance_id = t.remittance_id);
CREATE INDEX top_up_rejected ON remittance.top_up (remittance_id)
    WHERE rejected_for IS NOT NULL;
CREATE INDEX top_up_rejected_by_member ON remittance.top_up (member_id, remittance_id)
    WHERE rejected_for IS NOT NULL;

-- The limits, each row in force from its instant until the next one's: append-only.
-- All consumers read them here, so that none decides by other limits than the rest.
CREATE TABLE money.limits (
    in_force_from    timestamptz PRIMARY KEY,
    -- Whole won, all of them.
    balance_cap      bigint NOT NULL CHECK (balance_cap > 0),
    recharge_min     bigint NOT NULL CHECK (recharge_min > 0),
    remittance_max   bigint NOT NULL CHECK (remittance_max > 0),
    remittance_daily bigint NOT NULL CHECK (remittance_daily > 0),
    fee_to_member    bigint NOT NULL CHECK (fee_to_member >= 0),
    fee_to_bank      bigint NOT NULL CHECK (fee_to_bank >= 0),
    set_at           timestamptz NOT NULL,
    set_by           text NOT NULL,
    reason           text NOT NULL
);
INSERT INTO money.limits
VALUES ('epoch', 2000000, 10000, 2000000, 10000000, 0, 500, now(), 'mypay', 'the defaults');
