-- queue_log: each message once for each consumer.
--
-- Partitioned by range of message_id itself (ids carry their time first), so
-- that the primary key can hold: a partitioned table's key must contain the
-- partition column, and partitioning by a timestamp would let the same id be
-- claimed once in every partition.
CREATE TYPE queue_status AS ENUM ('waiting', 'processing', 'done');
CREATE TYPE processed_status AS ENUM ('success', 'failure');

CREATE TABLE queue_log (
    consumer            text NOT NULL,
    message_id          uuid NOT NULL,
    status              queue_status NOT NULL,
    -- Put in the queue by the producer.
    created_timestamp   timestamptz NOT NULL,
    -- Handled by the consumer.
    processed_timestamp timestamptz,
    processed_status    processed_status,
    -- 128 bits of a hash over the canonical content: the same id with other
    -- content is a conflict, not a duplicate.
    content_hash        bytea NOT NULL,
    -- Where it was handled; null while it waits.
    topic               text,
    partition           int,
    "offset"            bigint,
    attempts            int NOT NULL DEFAULT 0,
    reason              text,
    -- What the result event says beyond request, status and reason.
    result              jsonb,
    -- The id comes first: the key's other half alone is no way to look anything
    -- up, and a plan that was made while a partition was new and empty would
    -- take it, and read all of a consumer's rows for each batch.
    PRIMARY KEY (message_id, consumer)
) PARTITION BY RANGE (message_id);

-- A lane is a partition of a topic as one consumer works through it.
CREATE TABLE lane (
    consumer        text NOT NULL,
    topic           text NOT NULL,
    partition       int NOT NULL,
    -- Raised at every assignment; a batch begins with an update WHERE epoch =
    -- its own, so that a process that lost the partition changes nothing.
    epoch           bigint NOT NULL,
    -- The offset after the last one handled.
    next_offset     bigint NOT NULL DEFAULT 0,
    -- Results of all offsets below this are in Kafka for certain.
    emitted_offset  bigint NOT NULL DEFAULT 0,
    -- The instant of the last batch: instants never go back within a lane.
    last_at         timestamptz NOT NULL DEFAULT '-infinity',
    handled         bigint NOT NULL DEFAULT 0,
    duplicates      bigint NOT NULL DEFAULT 0,
    dead_letters    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer, topic, partition)
) WITH (fillfactor = 50);

-- Messages that our own code could not handle. Later messages of the same key
-- go to the dead letters behind them, in order.
CREATE TABLE parked (
    consumer    text NOT NULL,
    key         text NOT NULL,
    message_id  uuid NOT NULL,
    topic       text NOT NULL,
    partition   int NOT NULL,
    "offset"    bigint NOT NULL,
    reason      text NOT NULL,
    parked_at   timestamptz NOT NULL,
    PRIMARY KEY (consumer, key, message_id)
);
