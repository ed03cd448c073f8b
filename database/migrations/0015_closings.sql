-- Closing of memberships.

ALTER TABLE membership.member DROP CONSTRAINT member_status_check;
-- CLOSING: what was left is on its way to the bank account; nothing else may be
-- done, and the bank's answer makes it CLOSED, or OPEN again.
ALTER TABLE membership.member ADD CONSTRAINT member_status_check
    CHECK (status IN ('OPEN', 'CLOSING', 'CLOSED'));

CREATE TABLE membership.closing (
    closing_id     uuid PRIMARY KEY,
    member_id      uuid NOT NULL REFERENCES membership.member,
    reason         text NOT NULL,
    -- Whether it pays out what came back to a member who was closed before.
    unclaimed      boolean NOT NULL,
    amount         bigint NOT NULL CHECK (amount >= 0),
    -- Where something was left to pay out. An id of its own, since a client may
    -- use one id for requests of two flows.
    payout_id      uuid UNIQUE,
    firmbanking_id uuid UNIQUE,
    from_bank      text,
    to_bank        text,
    to_account     text,
    holder_name    text,
    correlation_id text NOT NULL,
    state          text NOT NULL CHECK (state IN ('AWAITS_BANK', 'COMPLETED', 'REJECTED')),
    requested_at   timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    -- Since when a payout that was done is undone by its bank.
    reversed_at    timestamptz,
    CHECK ((amount > 0) = (payout_id IS NOT NULL)
       AND (amount > 0) = (firmbanking_id IS NOT NULL)
       AND (amount > 0) = (from_bank IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX closing_by_member ON membership.closing (member_id, closing_id);
