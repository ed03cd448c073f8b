-- What each flow owns besides the ledger.
CREATE SCHEMA recharge;
CREATE TABLE recharge.recharge (
    recharge_id    uuid PRIMARY KEY,
    member_id      uuid NOT NULL,
    amount         bigint NOT NULL,
    from_bank      text NOT NULL,
    from_account   text NOT NULL,
    firmbanking_id uuid NOT NULL UNIQUE,
    correlation_id text NOT NULL,
    state          text NOT NULL CHECK (state IN ('AWAITS_BANK', 'COMPLETED', 'REJECTED')),
    requested_at   timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX recharge_by_member ON recharge.recharge (member_id, recharge_id);

-- Remittances to bank accounts. One between members is its journal entry and
-- its queue_log row, and needs no row of its own.
CREATE SCHEMA remittance;
CREATE TABLE remittance.payout (
    remittance_id  uuid PRIMARY KEY,
    sender_id      uuid NOT NULL,
    amount         bigint NOT NULL,
    fee            bigint NOT NULL,
    from_bank      text NOT NULL,
    to_bank        text NOT NULL,
    to_account     text NOT NULL,
    holder_name    text NOT NULL,
    firmbanking_id uuid NOT NULL UNIQUE,
    correlation_id text NOT NULL,
    state          text NOT NULL CHECK (state IN ('AWAITS_BANK', 'COMPLETED', 'REJECTED')),
    requested_at   timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX payout_by_sender ON remittance.payout (sender_id, remittance_id);

CREATE SCHEMA payment;
CREATE TABLE payment.commission_rate (
    franchise_id  uuid NOT NULL,
    in_force_from timestamptz NOT NULL,
    -- Hundredths of a percent.
    bps           int NOT NULL CHECK (bps BETWEEN 0 AND 10000),
    PRIMARY KEY (franchise_id, in_force_from)
);

CREATE TABLE payment.slip (
    payment_id     uuid PRIMARY KEY,
    member_id      uuid NOT NULL,
    franchise_id   uuid NOT NULL,
    order_ref      text NOT NULL,
    gross          bigint NOT NULL CHECK (gross > 0),
    commission_bps int NOT NULL,
    commission     bigint NOT NULL CHECK (commission BETWEEN 0 AND gross),
    -- The lane and the offset that made it. A lane commits in the order of its
    -- offsets, so (lane, offset) is a position that a settlement can cut at:
    -- whatever commits later has a higher offset in its lane.
    partition      int NOT NULL,
    "offset"       bigint NOT NULL,
    paid_at        timestamptz NOT NULL
);
CREATE INDEX slip_by_position ON payment.slip (partition, "offset");

CREATE SCHEMA settlement;
CREATE TABLE settlement.run (
    run_id       uuid PRIMARY KEY,
    cut_at       timestamptz NOT NULL,
    franchise_id uuid,
    franchises   bigint NOT NULL,
    slips        bigint NOT NULL,
    gross        bigint NOT NULL,
    commission   bigint NOT NULL,
    payouts      bigint NOT NULL,
    net          bigint NOT NULL,
    made_at      timestamptz NOT NULL
);

-- Up to where each franchise's slips are settled, lane by lane. The nil
-- franchise stands for all: a run over all moves it, and what lies below it is
-- settled for everyone.
CREATE TABLE settlement.position (
    franchise_id uuid NOT NULL,
    partition    int NOT NULL,
    next_offset  bigint NOT NULL,
    PRIMARY KEY (franchise_id, partition)
) WITH (fillfactor = 50);

-- A franchise's part of a run.
CREATE TABLE settlement.payout (
    payout_id      uuid PRIMARY KEY,
    run_id         uuid NOT NULL REFERENCES settlement.run,
    franchise_id   uuid NOT NULL,
    slips          bigint NOT NULL,
    gross          bigint NOT NULL,
    commission     bigint NOT NULL,
    -- Owed from earlier runs, taken in here.
    owed           bigint NOT NULL,
    -- What is paid (AWAITS_BANK, COMPLETED, REFUSED) or carried to the next run.
    net            bigint NOT NULL,
    state          text NOT NULL
        CHECK (state IN ('CARRIED', 'AWAITS_BANK', 'COMPLETED', 'REFUSED')),
    firmbanking_id uuid UNIQUE,
    from_bank      text,
    to_bank        text,
    to_account     text,
    holder_name    text,
    changed_at     timestamptz NOT NULL,
    UNIQUE (run_id, franchise_id)
);

-- What a franchise is owed from earlier runs: nets carried, payouts refused.
CREATE TABLE settlement.owed (
    franchise_id uuid PRIMARY KEY,
    amount       bigint NOT NULL
) WITH (fillfactor = 50);
