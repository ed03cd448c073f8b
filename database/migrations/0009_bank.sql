-- What a bank says after it has answered: notices of reversals, and what people
-- decide where no bank can say anything any more.

-- What is worked on now: sends apart from inquiries, so that a bank whose
-- commands are held back is still asked, and thousands of inquiries do not
-- stand before the next command.
CREATE INDEX firmbanking_due_by_kind
    ON banking.firmbanking (from_bank, (state = 'pending'), due_at)
    WHERE state IN ('pending', 'sending', 'unknown');
DROP INDEX banking.firmbanking_due;
-- The cases that wait for people: few, and looked at often.
CREATE INDEX firmbanking_manual ON banking.firmbanking (firmbanking_id) WHERE state = 'manual';

-- Which day's notices of a bank are complete up to which number. Whoever moves
-- due_at on asks the bank; the others leave it alone.
CREATE TABLE banking.notice_day (
    bank_code   text NOT NULL,
    notice_date date NOT NULL,
    -- All numbers up to this one are here.
    complete_to bigint NOT NULL DEFAULT 0,
    -- The highest number that the bank said it had given.
    last_number bigint NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL,
    PRIMARY KEY (bank_code, notice_date)
) WITH (fillfactor = 50);

-- Every notice, as the bank wrote it. Its number is the bank's, by day.
CREATE TABLE banking.notice (
    bank_code          text NOT NULL,
    notice_date        date NOT NULL,
    notice_number      bigint NOT NULL,
    business_date      date NOT NULL,
    transaction_number int NOT NULL,
    amount             bigint NOT NULL,
    reversed_at        timestamptz NOT NULL,
    -- waits: our command of that number is not settled yet. reversed: it was
    -- done, and is undone. case: it fits no command of ours, or not this one;
    -- people look at it. dismissed: they have.
    state              text NOT NULL CHECK (state IN ('waits', 'reversed', 'case', 'dismissed')),
    detail             text,
    -- For people who look at a case: made of bank, day and number.
    case_id            uuid NOT NULL UNIQUE,
    received_at        timestamptz NOT NULL,
    changed_at         timestamptz NOT NULL,
    PRIMARY KEY (bank_code, notice_date, notice_number)
) WITH (fillfactor = 70);
CREATE INDEX notice_open ON banking.notice (bank_code, state) WHERE state IN ('waits', 'case');

-- A command that was done and has come back. The key lets it come back once.
-- The command stays `done`: it was, and it cost its fee.
CREATE TABLE banking.reversal (
    firmbanking_id uuid PRIMARY KEY REFERENCES banking.firmbanking,
    bank_code      text NOT NULL,
    notice_date    date NOT NULL,
    notice_number  bigint NOT NULL,
    amount         bigint NOT NULL CHECK (amount > 0),
    -- By the bank's clock.
    reversed_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    UNIQUE (bank_code, notice_date, notice_number)
);

-- What an operator decided about a case, and why. Applied once, by the workers.
CREATE TABLE banking.decision (
    decision_id uuid PRIMARY KEY,
    case_id     uuid NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('done', 'refused', 'resend', 'dismiss')),
    -- What the bank took, whole won, as the operator was told.
    fee         bigint NOT NULL CHECK (fee >= 0),
    operator    text NOT NULL,
    reason      text NOT NULL,
    decided_at  timestamptz NOT NULL,
    applied_at  timestamptz,
    -- Why it was not applied: the bank's own answer was there first.
    overtaken   text
);
-- One undecided thing at a time: a second decision waits for the first.
CREATE UNIQUE INDEX decision_open ON banking.decision (case_id)
    WHERE applied_at IS NULL AND overtaken IS NULL;
CREATE INDEX decision_by_case ON banking.decision (case_id, decided_at);

-- A payout that came back after it was done keeps its state, and says since when
-- its money is back. The confirmation and the reversal are entries of their own
-- and commute: whichever is heard of first is posted first.
ALTER TABLE remittance.payout ADD COLUMN reversed_at timestamptz;
ALTER TABLE settlement.payout ADD COLUMN reversed_at timestamptz;
