-- Bank contracts, registered accounts, and commands to banks.
CREATE SCHEMA banking;

CREATE TABLE banking.contract (
    bank_code         text PRIMARY KEY,
    bank_name         text NOT NULL,
    corporate_account text NOT NULL,
    status            text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'SUSPENDED')),
    expires_on        date NOT NULL,
    -- Whole won a command.
    fee               bigint NOT NULL CHECK (fee >= 0)
);

CREATE TABLE banking.registered_account (
    member_id      uuid PRIMARY KEY,
    bank_code      text NOT NULL,
    account_number text NOT NULL,
    holder_name    text NOT NULL,
    registered_at  timestamptz NOT NULL
);

-- Our numbers of commands: one row a bank and business date, begun anew each day.
CREATE TABLE banking.transaction_number (
    bank_code     text NOT NULL,
    business_date date NOT NULL,
    last_number   int NOT NULL CHECK (last_number BETWEEN 0 AND 950000),
    PRIMARY KEY (bank_code, business_date)
) WITH (fillfactor = 50);

CREATE TABLE banking.firmbanking (
    firmbanking_id     uuid PRIMARY KEY,
    origin_id          uuid,
    correlation_id     text NOT NULL,
    purpose            text NOT NULL,
    from_bank          text NOT NULL,
    from_account       text NOT NULL,
    to_bank            text NOT NULL,
    to_account         text NOT NULL,
    to_holder_name     text,
    amount             bigint NOT NULL CHECK (amount > 0),
    -- Whether the holder of to_account was found to be the one named.
    holder_checked     boolean NOT NULL,
    -- pending: no byte has left. sending: a byte may have left. unknown: the
    -- answer did not come or says nothing. done, refused: the bank said so.
    -- manual: an operator must find out.
    state              text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'sending', 'unknown', 'done', 'refused', 'manual')),
    -- Given before the first byte goes out, and kept for ever: the same
    -- command can never get a second number.
    business_date      date,
    transaction_number int,
    -- Raised with every lease; an answer is written only under its own.
    fence              bigint NOT NULL DEFAULT 0,
    leased_until       timestamptz,
    due_at             timestamptz NOT NULL,
    sent_at            timestamptz,
    calls              int NOT NULL DEFAULT 0,
    inquiries          int NOT NULL DEFAULT 0,
    fee                bigint NOT NULL DEFAULT 0,
    reason             text,
    bank_reference     text,
    traceparent        text,
    created_at         timestamptz NOT NULL,
    changed_at         timestamptz NOT NULL,
    CHECK ((business_date IS NULL) = (transaction_number IS NULL)),
    CHECK (state IN ('pending', 'refused') OR transaction_number IS NOT NULL)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX firmbanking_by_number
    ON banking.firmbanking (from_bank, business_date, transaction_number)
    WHERE transaction_number IS NOT NULL;
-- What the workers look for; rows leave it when they are settled.
CREATE INDEX firmbanking_due ON banking.firmbanking (from_bank, due_at)
    WHERE state IN ('pending', 'sending', 'unknown');
CREATE INDEX firmbanking_by_origin ON banking.firmbanking (origin_id);

-- Every change of a command's state, and why.
CREATE TABLE banking.firmbanking_history (
    firmbanking_id uuid NOT NULL,
    changed_at     timestamptz NOT NULL,
    state          text NOT NULL,
    detail         text
);
CREATE INDEX firmbanking_history_by_id ON banking.firmbanking_history (firmbanking_id);
