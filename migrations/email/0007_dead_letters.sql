-- Events that could not be taken in, however often one tries: kept as they came until an operator has them tried again or lets go of
-- them, or they are older than everything else that is kept.
CREATE TABLE email.dead_letter (
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
    -- How often an operator has had it tried again.
    redrives integer     NOT NULL DEFAULT 0,
    died_at  timestamptz NOT NULL
);

CREATE INDEX dead_letter_by_age ON email.dead_letter (died_at);
CREATE INDEX dead_letter_by_type ON email.dead_letter (type, id DESC);

-- Of an event that this version does not know yet, beside its data: the language that whoever it is about reads.
ALTER TABLE email.inbox ADD COLUMN language text;
-- What a version that knows it looks for.
CREATE INDEX inbox_unread ON email.inbox (received_at) WHERE unread IS NOT NULL;
