-- Cancels of payments, holds on franchises' payouts, and what a settlement run
-- leaves behind so that its statements can be made at any later time.

-- The chain of a payment's cancels: append-only. Its key is the place in the
-- chain, so that two cancels that both saw the same state cannot both be kept.
CREATE TABLE payment.cancel (
    payment_id       uuid NOT NULL REFERENCES payment.slip,
    seq              int NOT NULL CHECK (seq > 0),
    cancel_id        uuid NOT NULL UNIQUE,
    member_id        uuid NOT NULL,
    franchise_id     uuid NOT NULL,
    reason           text NOT NULL,
    gross            bigint NOT NULL,
    amount           bigint NOT NULL CHECK (amount > 0),
    -- Of all cancels up to this one: what is left never goes below zero.
    refunded         bigint NOT NULL CHECK (refunded BETWEEN amount AND gross),
    commission_back  bigint NOT NULL CHECK (commission_back >= 0),
    commission_after bigint NOT NULL CHECK (commission_after >= 0),
    -- A position as a slip's, which a settlement cuts at.
    partition        int NOT NULL,
    "offset"         bigint NOT NULL,
    cancelled_at     timestamptz NOT NULL,
    PRIMARY KEY (payment_id, seq)
);
CREATE INDEX cancel_by_position ON payment.cancel (partition, "offset");
CREATE INDEX cancel_by_franchise ON payment.cancel (franchise_id, partition, "offset");

-- A franchise's slips in the order of the lanes: for its statements, and to page
-- through. A member's slips are found through the journal, which has an index
-- over both sides already.
CREATE INDEX slip_by_franchise ON payment.slip (franchise_id, partition, "offset");

-- Who set a rate, for whoever asks later; null for those of before.
ALTER TABLE payment.commission_rate
    ADD COLUMN set_by text,
    ADD COLUMN set_at timestamptz;

-- Staff holds a franchise's payouts back; a row each time. One without a release
-- is in force.
CREATE TABLE settlement.hold (
    hold_id        uuid PRIMARY KEY,
    franchise_id   uuid NOT NULL,
    placed_at      timestamptz NOT NULL,
    placed_by      text NOT NULL,
    reason         text NOT NULL,
    released_at    timestamptz,
    released_by    text,
    release_reason text,
    CHECK ((released_at IS NULL) = (released_by IS NULL)
       AND (released_at IS NULL) = (release_reason IS NULL))
);
CREATE UNIQUE INDEX hold_in_force ON settlement.hold (franchise_id) WHERE released_at IS NULL;
CREATE INDEX hold_by_franchise ON settlement.hold (franchise_id, placed_at);

ALTER TABLE settlement.run ADD COLUMN cancelled bigint NOT NULL DEFAULT 0;

ALTER TABLE settlement.payout
    -- Cancels up to the cut, taken off the gross; the commission is less what
    -- they gave back.
    ADD COLUMN cancels bigint NOT NULL DEFAULT 0,
    ADD COLUMN cancelled bigint NOT NULL DEFAULT 0,
    -- Why a net is carried: not_positive, on_hold, no_account.
    ADD COLUMN carried_for text;
CREATE INDEX payout_by_franchise ON settlement.payout (franchise_id, payout_id);

-- What a run settled, lane by lane: offsets from .. to. Rows of the nil franchise
-- hold for all; a franchise that was settled further by a run of its own has its
-- own rows beside them, and the later beginning counts.
CREATE TABLE settlement.run_lane (
    run_id       uuid NOT NULL REFERENCES settlement.run,
    franchise_id uuid NOT NULL,
    partition    int NOT NULL,
    from_offset  bigint NOT NULL,
    to_offset    bigint NOT NULL,
    PRIMARY KEY (run_id, franchise_id, partition)
);
