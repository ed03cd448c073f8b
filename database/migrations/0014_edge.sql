-- Who put a request in the queue over HTTP, as "member <id>" or "staff <name>":
-- a member is told of its own requests only, and a command of our own people
-- tells whose it was. Null for what came by a topic, and in a consumer's own claims.
ALTER TABLE queue_log ADD COLUMN requested_by text;
