-- The registry's own database and role: it may not reach the ledger's.
-- Run once, when the data directory is new: by the postgres image, and by
-- `mypay stack` (stack/src/postgres.rs).
CREATE ROLE registry LOGIN PASSWORD 'registry';
CREATE DATABASE registry OWNER registry;
REVOKE CONNECT ON DATABASE mypay FROM PUBLIC;
