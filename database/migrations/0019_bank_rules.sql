-- What the banks' rules need to be kept by row: tries, the content behind a number,
-- a counted history, and questions about holders apart from commands.
--
-- Workers of before must be stopped: they write history without a number. It rewrites
-- the history, and takes as long as that takes.
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;

ALTER TABLE banking.firmbanking
    -- How often in a row something brought nothing; the pauses grow by it. Inquiries
    -- since the command went out last; calls of which not a byte left; questions about
    -- the holder that were not answered.
    ADD COLUMN inquiry_tries int NOT NULL DEFAULT 0,
    ADD COLUMN send_tries    int NOT NULL DEFAULT 0,
    ADD COLUMN holder_tries  int NOT NULL DEFAULT 0,
    -- Of all that is sent under the number, committed with it: a row that says
    -- something else is never sent again. Null without a number, and of those that
    -- had theirs before this was kept.
    ADD COLUMN content_hash  bytea CHECK (octet_length(content_hash) = 32),
    -- How many rows of history it has: each gets the next number under the row's lock,
    -- so that two changes in one microsecond have an order.
    ADD COLUMN changes       int NOT NULL DEFAULT 0;

-- Whoever was asked about before had its chance.
UPDATE banking.firmbanking SET inquiry_tries = inquiries
 WHERE state IN ('sending', 'unknown') AND inquiries > 0;

ALTER TABLE banking.firmbanking_history ADD COLUMN seq int;
UPDATE banking.firmbanking_history h
   SET seq = n.seq
  FROM (SELECT ctid AS place,
               row_number() OVER (PARTITION BY firmbanking_id ORDER BY changed_at, ctid) AS seq
          FROM banking.firmbanking_history) n
 WHERE h.ctid = n.place;
UPDATE banking.firmbanking f
   SET changes = n.changes
  FROM (SELECT firmbanking_id, max(seq) AS changes
          FROM banking.firmbanking_history GROUP BY 1) n
 WHERE f.firmbanking_id = n.firmbanking_id;
ALTER TABLE banking.firmbanking_history ADD PRIMARY KEY (firmbanking_id, seq);
DROP INDEX banking.firmbanking_history_by_id;

-- A payout waits for the bank of its receiver first, and only then for the bank that
-- pays it: who looks for one does not go through what waits for the other.
DROP INDEX banking.firmbanking_due_by_kind;
CREATE INDEX firmbanking_due ON banking.firmbanking (from_bank, (state = 'pending'), due_at)
    WHERE state IN ('pending', 'sending', 'unknown') AND holder_checked;
CREATE INDEX firmbanking_holders ON banking.firmbanking (to_bank, due_at)
    WHERE state = 'pending' AND NOT holder_checked;
-- Open cases: few, counted every few seconds.
CREATE INDEX firmbanking_cases ON banking.firmbanking (from_bank, changed_at)
    WHERE state = 'manual';

-- Questions about holders, by the bank that was asked: its bill has every call.
CREATE TABLE banking.holder_inquiry (
    bank_code text NOT NULL,
    -- The day in Korea.
    asked_on  date NOT NULL,
    inquiries bigint NOT NULL CHECK (inquiries > 0),
    PRIMARY KEY (bank_code, asked_on)
) WITH (fillfactor = 50);

-- Account numbers are 6 to 20 digits, whichever way they come in. Not valid for what
-- is there: nothing shorter could be sent to a bank, and such a row is refused as it is.
ALTER TABLE banking.registered_account ADD CONSTRAINT registered_account_number
    CHECK (account_number ~ '^[0-9]{6,20}$') NOT VALID;
ALTER TABLE banking.contract ADD CONSTRAINT contract_corporate_account
    CHECK (corporate_account ~ '^[0-9]{6,20}$') NOT VALID;
-- A command of before that waits with a shorter one must be changed, namely to refused:
-- so it is let be.
DO $$
BEGIN
    EXECUTE format(
        'ALTER TABLE banking.firmbanking ADD CONSTRAINT firmbanking_account_numbers CHECK (
             created_at < %L::timestamptz
             OR (from_account ~ ''^[0-9]{6,20}$'' AND to_account ~ ''^[0-9]{6,20}$'')) NOT VALID',
        clock_timestamp());
END
$$;
