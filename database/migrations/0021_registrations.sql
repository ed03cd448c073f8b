-- How often a member has had a bank asked whose an account is, on the last day that
-- it had: each costs, found or not, and what was registered tells only of some. One
-- row a member, counted before the bank is asked.
CREATE TABLE banking.registration_day (
    member_id uuid PRIMARY KEY,
    -- Korean time.
    day       date NOT NULL,
    asked     int NOT NULL CHECK (asked > 0)
) WITH (fillfactor = 50);
