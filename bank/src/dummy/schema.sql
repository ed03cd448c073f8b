-- The dummy bank's own truth. Idempotent, and run under a lock by the first bank
-- that finds no `schema_version` of its own. Raise the version with each change.
-- Nobody else reads or writes this schema; whoever wants to know asks over HTTP.

CREATE SCHEMA IF NOT EXISTS dummy_bank;

CREATE TABLE IF NOT EXISTS dummy_bank.account (
    bank_code      text   NOT NULL,
    account_number text   NOT NULL,
    holder_name    text   NOT NULL,
    kind           text   NOT NULL CHECK (kind IN ('personal', 'corporate')),
    status         text   NOT NULL CHECK (status IN ('open', 'closed')),
    balance        bigint NOT NULL CHECK (balance >= 0),
    -- The number of the last statement line; the lines have no gaps.
    lines          bigint NOT NULL CHECK (lines >= 0),
    PRIMARY KEY (bank_code, account_number)
-- Room in each page, so that a new balance needs no new index entry.
) WITH (fillfactor = 70);

CREATE INDEX IF NOT EXISTS account_corporate ON dummy_bank.account (bank_code, account_number)
    WHERE kind = 'corporate';

CREATE TABLE IF NOT EXISTS dummy_bank.transfer (
    bank_code     text        NOT NULL,
    business_date date        NOT NULL,
    number        integer     NOT NULL CHECK (number BETWEEN 1 AND 999999),
    content_hash  bytea       NOT NULL CHECK (length(content_hash) = 32),
    from_bank     text        NOT NULL,
    from_account  text        NOT NULL,
    to_bank       text        NOT NULL,
    to_account    text        NOT NULL,
    amount        bigint      NOT NULL CHECK (amount > 0),
    status        text        NOT NULL CHECK (status IN ('in_progress', 'done', 'refused')),
    -- Our own word for a refusal; the code of the answer is looked up from it.
    refusal       text        CHECK ((refusal IS NOT NULL) = (status = 'refused')),
    fee           bigint      NOT NULL CHECK (fee >= 0),
    executed_at   timestamptz CHECK ((executed_at IS NOT NULL) = (status = 'done')),
    -- In progress: when it will be decided, and whether it will be refused then.
    due_at        timestamptz CHECK ((due_at IS NOT NULL) = (status = 'in_progress')),
    planned       text,
    -- Until then an inquiry is told "no such transaction".
    hidden_until  timestamptz,
    -- When it will come back; emptied when it has, or cannot.
    reverse_at    timestamptz,
    notice_lost   boolean     NOT NULL,
    PRIMARY KEY (bank_code, business_date, number)
);

CREATE INDEX IF NOT EXISTS transfer_due ON dummy_bank.transfer (due_at)
    WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS transfer_reverse ON dummy_bank.transfer (reverse_at)
    WHERE reverse_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS dummy_bank.statement_line (
    bank_code       text        NOT NULL,
    account_number  text        NOT NULL,
    line_number     bigint      NOT NULL CHECK (line_number > 0),
    kind            text        NOT NULL
        CHECK (kind IN ('opening', 'transfer', 'fee', 'reversal')),
    business_date   date        NOT NULL,
    transfer_bank   text,
    transfer_date   date,
    number          integer,
    counter_bank    text,
    counter_account text,
    amount          bigint      NOT NULL,
    fee             bigint      NOT NULL CHECK (fee >= 0),
    balance_after   bigint      NOT NULL CHECK (balance_after >= 0),
    executed_at     timestamptz NOT NULL,
    PRIMARY KEY (bank_code, account_number, line_number)
);

CREATE TABLE IF NOT EXISTS dummy_bank.notice (
    bank_code     text        NOT NULL,
    notice_date   date        NOT NULL,
    notice_number bigint      NOT NULL CHECK (notice_number > 0),
    business_date date        NOT NULL,
    number        integer     NOT NULL,
    amount        bigint      NOT NULL CHECK (amount > 0),
    reversed_at   timestamptz NOT NULL,
    -- Not in the listing until somebody asks for it by its number.
    lost          boolean     NOT NULL,
    PRIMARY KEY (bank_code, notice_date, notice_number),
    -- A transfer comes back once.
    UNIQUE (bank_code, business_date, number)
);

CREATE TABLE IF NOT EXISTS dummy_bank.schema_version (
    version integer PRIMARY KEY
);
INSERT INTO dummy_bank.schema_version (version) VALUES (1) ON CONFLICT DO NOTHING;
