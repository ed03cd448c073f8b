-- What has no input offset to hang on (the HTTP edge, the bank workers) writes
-- its messages here, in the transaction that makes them true. A relay sends
-- them on.
--
-- Ordered by each writer's own sequence, which its outbox_writer row gives out
-- under its lock: so the order of the sequence is the order of the commits. A
-- global sequence would be skipped by a later commit with a lower number.
CREATE TABLE outbox_writer (
    writer   text PRIMARY KEY,
    next_seq bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE outbox (
    writer      text NOT NULL,
    seq         bigint NOT NULL,
    topic       text NOT NULL,
    key         bytea NOT NULL,
    payload     bytea NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (writer, seq)
);

-- Who runs: a process takes the lowest free slot of its role, and with it a
-- stable name for its transactional ids, its static membership and its outbox.
-- A slot whose owner is gone is taken over, and what hung in Kafka with it.
CREATE TABLE slot (
    role    text NOT NULL,
    slot    int NOT NULL,
    owner   uuid NOT NULL,
    host    text NOT NULL,
    pid     int NOT NULL,
    -- The process's start as the kernel counts it, so that a recycled pid is
    -- not taken for the owner.
    started bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (role, slot)
);
