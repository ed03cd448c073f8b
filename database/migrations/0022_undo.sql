-- A payout that we bring back ourselves: banks take no message that cancels one, so it
-- is a new transfer, the other way round, that one operator proposes and another approves.

CREATE TABLE banking.undo (
    -- The payout's command. The key lets it be undone once.
    firmbanking_id uuid PRIMARY KEY REFERENCES banking.firmbanking,
    -- The command that undoes it, derived from the payout's.
    undo_id        uuid NOT NULL UNIQUE,
    -- The id that whoever proposed it gave the proposal.
    proposal_id    uuid NOT NULL UNIQUE,
    reason         text NOT NULL,
    proposed_by    text NOT NULL,
    proposed_at    timestamptz NOT NULL,
    approved_by    text,
    approved_at    timestamptz,
    -- proposed: nothing has happened. approved: the workers are to ask for the command.
    -- asked: its request is written into the outbox. done: the bank did it, and the payout
    -- came back. refused: the bank did not, or it never came to the bank.
    state          text NOT NULL DEFAULT 'proposed'
        CHECK (state IN ('proposed', 'approved', 'asked', 'done', 'refused')),
    -- Why it was refused.
    refused_for    text,
    changed_at     timestamptz NOT NULL,
    CHECK ((approved_by IS NULL) = (state = 'proposed')),
    CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CHECK (approved_by <> proposed_by),
    CHECK (refused_for IS NULL OR state = 'refused')
);
-- What the workers look for; rows leave it at once.
CREATE INDEX undo_approved ON banking.undo (firmbanking_id) WHERE state = 'approved';

-- What came back by our own doing has no notice of the bank's, and came to our account at
-- the receiver's bank: `bank_code` is the bank that the money is at again.
ALTER TABLE banking.reversal
    ALTER COLUMN notice_date DROP NOT NULL,
    ALTER COLUMN notice_number DROP NOT NULL,
    ADD COLUMN undo_id uuid UNIQUE,
    ADD CHECK ((undo_id IS NULL) = (notice_date IS NOT NULL)
               AND (notice_date IS NULL) = (notice_number IS NULL));
