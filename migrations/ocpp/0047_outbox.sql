-- Events for other services. See migrations/authentication/0002_outbox.sql, 0004_expiring_events.sql and 0018_languages.sql.
CREATE TABLE ocpp.outbox (
    position        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid        NOT NULL UNIQUE,
    type            text        NOT NULL,
    source          text        NOT NULL,
    time            timestamptz NOT NULL,
    data            bytea       NOT NULL,
    language        text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    claim           uuid,
    last_error      text,
    sent_at         timestamptz,
    dead_at         timestamptz,
    expires_at      timestamptz,
    CONSTRAINT outbox_sent_keeps_no_secret CHECK (expires_at IS NULL OR sent_at IS NULL OR data = '')
);

CREATE INDEX outbox_open ON ocpp.outbox (position) WHERE sent_at IS NULL AND dead_at IS NULL;
CREATE INDEX outbox_dead ON ocpp.outbox (position) WHERE dead_at IS NOT NULL;
CREATE INDEX outbox_sent ON ocpp.outbox (sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX outbox_expiring ON ocpp.outbox (expires_at) WHERE expires_at IS NOT NULL AND sent_at IS NULL;
