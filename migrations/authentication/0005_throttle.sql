-- How often somebody failed of late, and whom that does not concern.

-- A bucket for each key of an attempt (throttle.rs): an attempt that fails fills it a little, and it leaks. Not logged: an
-- attempt then costs no flush to disk, and all that a crash of the database brings is that everybody starts afresh.
CREATE UNLOGGED TABLE authentication.throttle (
    -- SHA-256 of what is counted, so that the table tells nobody's name or address.
    key           bytea       PRIMARY KEY,
    -- When it has leaked empty. How full it is follows from that.
    empty_at      timestamptz NOT NULL,
    -- Nothing is let in before.
    blocked_until timestamptz NOT NULL
);

-- What pruning looks for.
CREATE INDEX throttle_empty ON authentication.throttle (empty_at);

-- Where an account has logged in from before. What strangers do elsewhere does not make it wait there.
CREATE TABLE authentication.familiar_address (
    account_id   uuid        NOT NULL REFERENCES authentication.account ON DELETE CASCADE,
    -- An IPv4 address, or the /64 of an IPv6 one.
    network      text        NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, network)
);

CREATE INDEX familiar_address_network ON authentication.familiar_address (network);
-- What pruning looks for.
CREATE INDEX familiar_address_age ON authentication.familiar_address (last_used_at);
