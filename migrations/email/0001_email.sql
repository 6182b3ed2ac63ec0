-- Mail that events cause. An event is recorded first (inbox) and acknowledged; sending goes from the messages it led to.

-- Every event that was taken, by its id: the same one delivered again finds itself here and does nothing.
CREATE TABLE email.inbox (
    event_id    uuid        PRIMARY KEY,
    type        text        NOT NULL,
    source      text        NOT NULL,
    time        timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    -- What came of it: messages were queued, there was nobody to write to, or this version knows no such event.
    outcome     text        NOT NULL CHECK (outcome IN ('queued', 'no_recipient', 'unknown_type')),
    -- The event's data, kept where this version could not read it, for one that can.
    unread      bytea
);

CREATE TABLE email.message (
    -- UUIDv7, so that ids are in order of time; the local part of the mail's Message-ID.
    id                 uuid        PRIMARY KEY,
    event_id           uuid        NOT NULL REFERENCES email.inbox,
    template           text        NOT NULL,
    recipient          text        NOT NULL,
    -- What the template fills in.
    variables          jsonb       NOT NULL,
    status             text        NOT NULL DEFAULT 'queued'
                                   CHECK (status IN ('queued', 'sending', 'sent', 'failed')),
    attempts           integer     NOT NULL DEFAULT 0,
    -- queued: not before this.
    next_attempt_at    timestamptz NOT NULL,
    -- sending: the attempt that holds the message, and until when. After that it is taken for dead.
    claim              uuid,
    lease_until        timestamptz,
    last_error         text,
    possibly_duplicate boolean     NOT NULL DEFAULT false,
    created_at         timestamptz NOT NULL,
    sent_at            timestamptz,
    UNIQUE (event_id, template, recipient),
    CHECK ((status = 'sending') = (claim IS NOT NULL AND lease_until IS NOT NULL)),
    CHECK ((status = 'sent') = (sent_at IS NOT NULL))
);

-- What a sender looks for: messages that are due, and messages whose sender died.
CREATE INDEX message_due ON email.message (next_attempt_at) WHERE status = 'queued';
CREATE INDEX message_leased ON email.message (lease_until) WHERE status = 'sending';
-- A listing by status, newest first; without a status the primary key serves.
CREATE INDEX message_by_status ON email.message (status, id DESC);
