-- Whether a command goes to an account of ours, as the contracts were when it was
-- taken in: a contract's account may be another by the time the bank answers, and
-- what was booked between two banks must be undone between the same two.
ALTER TABLE banking.firmbanking ADD COLUMN to_ours boolean NOT NULL DEFAULT false;
UPDATE banking.firmbanking f SET to_ours = true
  FROM banking.contract c
 WHERE c.bank_code = f.to_bank AND c.corporate_account = f.to_account;
ALTER TABLE banking.firmbanking ALTER COLUMN to_ours DROP DEFAULT;
-- What goes from one bank of ours to another: few.
CREATE INDEX firmbanking_between ON banking.firmbanking (to_bank)
    WHERE to_ours AND from_bank <> to_bank;
