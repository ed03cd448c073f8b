-- Members: customers and franchises.
CREATE SCHEMA membership;

CREATE TABLE membership.member (
    member_id    uuid PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('CUSTOMER', 'FRANCHISE')),
    name         text NOT NULL,
    email        text,
    -- The area of the address: "everyone in Gangnam-gu".
    area         text NOT NULL,
    address      text NOT NULL DEFAULT '',
    status       text NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'CLOSED')),
    content_hash bytea NOT NULL,
    created_at   timestamptz NOT NULL
);
CREATE INDEX member_by_area ON membership.member (area, member_id);
