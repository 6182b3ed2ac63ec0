-- Events that could not be taken in, however often one tries: kept until an administrator has them tried again or lets go of them, for
-- an account that was deleted may stand behind one. See migrations/email/0007_dead_letters.sql: the columns are the same, and
-- service-kit's statements are for both.
CREATE TABLE ocpp.dead_letter (
    id       uuid        PRIMARY KEY,
    -- What could be read of the envelope.
    event_id uuid,
    type     text,
    source   text,
    -- The envelope, encoded, or whatever came in its place.
    body     bytea       NOT NULL,
    -- The same one may be set aside twice, by the queue and here.
    digest   bytea       NOT NULL GENERATED ALWAYS AS (sha256(body)) STORED UNIQUE,
    reason   text        NOT NULL,
    -- How often an administrator has had it tried again, in vain.
    redrives integer     NOT NULL DEFAULT 0,
    died_at  timestamptz NOT NULL
);

CREATE INDEX dead_letter_by_type ON ocpp.dead_letter (type, id DESC);
