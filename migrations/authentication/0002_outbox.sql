-- The outbox: events written in the transaction of the change they tell of, and carried to the bus afterwards.
--
-- Every schema that publishes has this same table; the code that writes, claims and prunes it is service-kit/src/outbox,
-- which names it without a schema and reaches the right one by the search_path of the service's connections.
-- A row is open (sent_at and dead_at both empty), sent, or dead: given up with its reason in last_error.
CREATE TABLE authentication.outbox (
    -- The order in which rows were written, and roughly that in which they are published.
    position        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid        NOT NULL UNIQUE,
    type            text        NOT NULL,
    source          text        NOT NULL,
    time            timestamptz NOT NULL,
    data            bytea       NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    -- Failures of this row itself. A bus that is down counts against no row.
    attempts        integer     NOT NULL DEFAULT 0,
    -- Not to be touched before: the end of a relay's lease, or of a pause after a failure.
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    -- The batch that holds the lease.
    claim           uuid,
    last_error      text,
    sent_at         timestamptz,
    dead_at         timestamptz
);

-- What a relay looks for. Small whatever the table's size, because sent rows leave it.
CREATE INDEX outbox_open ON authentication.outbox (position) WHERE sent_at IS NULL AND dead_at IS NULL;
-- What was given up, for whoever looks into it and for the count of it.
CREATE INDEX outbox_dead ON authentication.outbox (position) WHERE dead_at IS NOT NULL;
-- What pruning looks for.
CREATE INDEX outbox_sent ON authentication.outbox (sent_at) WHERE sent_at IS NOT NULL;
