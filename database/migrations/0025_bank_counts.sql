-- What was counted and not done is taken back; and notices that a bank never gave us.

-- A question is counted before it is asked, and taken back where it is not: the last
-- one of a day, too.
ALTER TABLE banking.holder_inquiry DROP CONSTRAINT holder_inquiry_inquiries_check,
    ADD CONSTRAINT holder_inquiry_inquiries_check CHECK (inquiries >= 0);

-- Since when people, and no longer the workers, ask for what is missing of a day.
ALTER TABLE banking.notice_day ADD COLUMN given_up_at timestamptz;
-- Days with gaps: few, counted every few seconds.
CREATE INDEX notice_day_open ON banking.notice_day (bank_code, notice_date)
    WHERE complete_to < last_number AND given_up_at IS NULL;

-- What we never had says nothing of what it undoes: it is a case, and nothing else.
ALTER TABLE banking.notice
    ALTER COLUMN business_date DROP NOT NULL,
    ALTER COLUMN transaction_number DROP NOT NULL,
    ALTER COLUMN amount DROP NOT NULL,
    ALTER COLUMN reversed_at DROP NOT NULL,
    ADD CONSTRAINT notice_is_whole_or_a_case CHECK (
        state IN ('case', 'dismissed')
        OR num_nulls(business_date, transaction_number, amount, reversed_at) = 0);
