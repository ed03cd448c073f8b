-- What was before: earlier versions of members, bank accounts that were
-- registered, and the terms of bank contracts.

-- Raised with every change, so that a change can say which version it means.
ALTER TABLE membership.member
    ADD COLUMN version    bigint NOT NULL DEFAULT 1,
    -- Null for one that was never changed.
    ADD COLUMN changed_at timestamptz;

-- Versions that were replaced; the one that holds is the member's own row, so
-- that creating a member costs no row more.
CREATE TABLE membership.member_version (
    member_id  uuid NOT NULL REFERENCES membership.member,
    version    bigint NOT NULL,
    name       text NOT NULL,
    email      text,
    area       text NOT NULL,
    address    text NOT NULL,
    status     text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    PRIMARY KEY (member_id, version)
);

-- Bank accounts that were registered, and replaced by another.
CREATE TABLE banking.replaced_account (
    member_id      uuid NOT NULL,
    seq            int NOT NULL,
    bank_code      text NOT NULL,
    account_number text NOT NULL,
    holder_name    text NOT NULL,
    registered_at  timestamptz NOT NULL,
    replaced_at    timestamptz NOT NULL,
    PRIMARY KEY (member_id, seq)
);

-- Every state of a contract, the one that holds among them: which fee was agreed
-- when a command went out.
CREATE TABLE banking.contract_version (
    bank_code         text NOT NULL,
    version           int NOT NULL,
    bank_name         text NOT NULL,
    corporate_account text NOT NULL,
    status            text NOT NULL,
    expires_on        date NOT NULL,
    fee               bigint NOT NULL,
    valid_from        timestamptz NOT NULL,
    PRIMARY KEY (bank_code, version)
);
INSERT INTO banking.contract_version
       (bank_code, version, bank_name, corporate_account, status, expires_on, fee, valid_from)
SELECT bank_code, 1, bank_name, corporate_account, status, expires_on, fee, 'epoch'
  FROM banking.contract;
