-- The ledger. Balances are credit-positive: liabilities and income above zero,
-- cash and expenses below, so that all balances add up to zero.
CREATE SCHEMA money;

CREATE TABLE money.account (
    -- A member's account has the member's id; the others' ids are hashes of
    -- (kind, owner, slot).
    account_id uuid PRIMARY KEY,
    kind       smallint NOT NULL,
    slot       smallint NOT NULL DEFAULT 0,
    owner      uuid NOT NULL,
    open       boolean NOT NULL DEFAULT true,
    balance    bigint NOT NULL DEFAULT 0,
    -- Recharges that a bank has yet to confirm: they count against the cap.
    pending    bigint NOT NULL DEFAULT 0,
    -- What was remitted on a Korean day: it counts against the daily limit.
    sent_on    date NOT NULL DEFAULT '1970-01-01',
    sent       bigint NOT NULL DEFAULT 0,
    CHECK (kind <> 1 OR (balance >= 0 AND pending >= 0))
-- Half of each page is left free, so that an update finds room beside the old
-- row and no index has to be touched (a HOT update).
) WITH (fillfactor = 50);
-- A batch looks some thousand members up, twice. By hash that costs a third of
-- what the primary key's B-tree takes, and the same at ten million members.
CREATE INDEX account_by_id ON money.account USING hash (account_id);
-- Owners with several accounts: franchises and banks. Members are found by key.
CREATE INDEX account_by_owner ON money.account (kind, owner) WHERE kind <> 1;

CREATE TABLE money.posting (
    entry_id  uuid NOT NULL,
    line      smallint NOT NULL,
    kind      smallint NOT NULL,
    debit     uuid NOT NULL,
    credit    uuid NOT NULL,
    amount    bigint NOT NULL CHECK (amount > 0),
    posted_at timestamptz NOT NULL,
    -- A second posting of the same entry is a defect, and fails. The kind is part
    -- of it: an entry has the id of its request, and a client may use one id for
    -- requests of two flows.
    PRIMARY KEY (entry_id, kind, line)
);
-- The history of an account. GIN, because it collects new rows in a list and
-- sorts them in together: half the cost of two B-trees at each insert.
CREATE INDEX posting_by_account ON money.posting USING gin ((ARRAY[debit, credit]));
