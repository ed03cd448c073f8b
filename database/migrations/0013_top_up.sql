-- Remittances and payments that recharge first what they lack. A row is the
-- origin behind a recharge request of ours: who has none there cannot have one
-- made in somebody's name; and it ends once, so that a recharge pays for one
-- request only.
CREATE TABLE remittance.top_up (
    remittance_id uuid PRIMARY KEY,
    recharge_id   uuid NOT NULL UNIQUE,
    member_id     uuid NOT NULL,
    -- What the remittance takes of the balance, its fee counted in.
    needed        bigint NOT NULL CHECK (needed > 0),
    -- What is recharged.
    amount        bigint NOT NULL CHECK (amount > 0),
    -- The request, which is decided on again when the money is there.
    request       jsonb NOT NULL,
    state         text NOT NULL CHECK (state IN ('AWAITS_TOP_UP', 'TOPPED_UP', 'REFUSED')),
    requested_at  timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX top_up_open ON remittance.top_up (member_id) WHERE state = 'AWAITS_TOP_UP';

CREATE TABLE payment.top_up (
    payment_id    uuid PRIMARY KEY,
    recharge_id   uuid NOT NULL UNIQUE,
    member_id     uuid NOT NULL,
    needed        bigint NOT NULL CHECK (needed > 0),
    amount        bigint NOT NULL CHECK (amount > 0),
    request       jsonb NOT NULL,
    state         text NOT NULL CHECK (state IN ('AWAITS_TOP_UP', 'TOPPED_UP', 'REFUSED')),
    requested_at  timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX top_up_open ON payment.top_up (member_id) WHERE state = 'AWAITS_TOP_UP';
