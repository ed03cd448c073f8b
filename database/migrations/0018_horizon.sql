-- From which week on ids are remembered, once partitions of queue_log were purged.
--
-- Told before a partition is dropped: consumers read it every minute, and claim
-- nothing in it any more. (A week is counted since the epoch, by the time in an id.)
CREATE TABLE queue_log_horizon (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    oldest_week bigint NOT NULL,
    told_at     timestamptz NOT NULL
);
