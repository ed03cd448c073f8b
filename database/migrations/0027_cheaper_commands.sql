-- The new index reads the table, for which no process that is older may work meanwhile:
-- it takes as long as that takes.
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;

-- A command's row is written three times, and each time into every index, since its state
-- is part of some: what is not needed there costs three times.

-- Commands of people stem from no request.
DROP INDEX banking.firmbanking_by_origin;
CREATE INDEX firmbanking_by_origin ON banking.firmbanking (origin_id)
    WHERE origin_id IS NOT NULL;

-- The same rule without counting: `{6,20}` costs six times as much, twice a row.
-- Not valid again, and only for what comes from now on: the old rule held until here.
DO $$
BEGIN
    EXECUTE format(
        'ALTER TABLE banking.firmbanking
             DROP CONSTRAINT firmbanking_account_numbers,
             ADD CONSTRAINT firmbanking_account_numbers CHECK (
                 created_at < %L::timestamptz
                 OR (length(from_account) BETWEEN 6 AND 20 AND from_account !~ ''[^0-9]''
                     AND length(to_account) BETWEEN 6 AND 20 AND to_account !~ ''[^0-9]''))
                 NOT VALID',
        clock_timestamp());
END
$$;
