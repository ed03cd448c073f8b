-- The horizon's row is there from the beginning, so that it can be locked: whoever writes
-- down that something of an old week is still to come holds it to the commit, and a purge
-- that is about to tell of that week waits, and looks again.
INSERT INTO queue_log_horizon (oldest_week, told_at) VALUES (0, '-infinity')
ON CONFLICT DO NOTHING;
