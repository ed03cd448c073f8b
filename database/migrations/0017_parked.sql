-- Parked messages are a queue by key: each message that waits behind a defect has a
-- row, not only the one that it waits for, and is handled when it comes again as the
-- head of its queue.
--
-- What is the first is told by (parked_at, topic, partition, "offset"): the instants
-- of a lane never go back, and within one the offsets tell.
ALTER TABLE parked
    -- The same id with other content is another message. Null of what was parked
    -- before this was kept.
    ADD COLUMN content_hash bytea;
CREATE INDEX parked_in_order ON parked (consumer, key, parked_at, topic, partition, "offset");
-- Of which key a message is: for people, who know its id.
CREATE INDEX parked_by_message ON parked (message_id);

-- What was given up: parked messages that can never be handled and were taken out of
-- their queue, by whom and why. Append-only.
CREATE TABLE parked_release (
    consumer       text NOT NULL,
    message_id     uuid NOT NULL,
    key            text NOT NULL,
    topic          text NOT NULL,
    partition      int NOT NULL,
    "offset"       bigint NOT NULL,
    reason         text NOT NULL,
    parked_at      timestamptz NOT NULL,
    content_hash   bytea,
    released_at    timestamptz NOT NULL,
    released_by    text NOT NULL,
    release_reason text NOT NULL,
    PRIMARY KEY (message_id, consumer, key, released_at)
);
