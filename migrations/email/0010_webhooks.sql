-- Whoever subscribes to events, at a URL.
CREATE TABLE email.webhook (
    id             uuid        PRIMARY KEY,
    name           text        NOT NULL,
    url            text        NOT NULL,
    -- Full names of the events that are wanted; none stands for all.
    types          text[]      NOT NULL,
    -- Sealed.
    signing_secret bytea       NOT NULL,
    -- When it was made here, and not told; for as long as its first answer may get lost.
    secret_made_at timestamptz,
    -- Why nothing is sent there any more; none while it is.
    disabled       text,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    revision       bigint      NOT NULL DEFAULT 1,
    -- It is there for nobody any more, and goes when what it was told has gone: that may be millions of rows, too many for one statement.
    deleted_at     timestamptz
);

CREATE UNIQUE INDEX webhook_unique ON email.webhook (name) WHERE deleted_at IS NULL;

-- One event for one of them.
CREATE TABLE email.webhook_delivery (
    id              uuid        PRIMARY KEY,
    webhook_id      uuid        NOT NULL REFERENCES email.webhook ON DELETE CASCADE,
    event_id        uuid        NOT NULL,
    type            text        NOT NULL,
    -- The account that the event is about, where it is about one.
    account_id      uuid,
    -- What is sent. It goes once it has been taken, or with its account.
    body            text,
    status          text        NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'sending', 'delivered', 'failed')),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    claim           uuid,
    lease_until     timestamptz,
    last_error      text,
    created_at      timestamptz NOT NULL,
    -- Since when the attempts count, which begin anew where somebody asks for that.
    first_due_at    timestamptz NOT NULL,
    delivered_at    timestamptz,
    UNIQUE (webhook_id, event_id),
    CHECK ((status = 'sending') = (claim IS NOT NULL AND lease_until IS NOT NULL)),
    CHECK ((status = 'delivered') = (delivered_at IS NOT NULL))
);

CREATE INDEX webhook_delivery_due ON email.webhook_delivery (webhook_id, next_attempt_at) WHERE status = 'queued';
CREATE INDEX webhook_delivery_waiting ON email.webhook_delivery (first_due_at) WHERE status = 'queued';
CREATE INDEX webhook_delivery_leased ON email.webhook_delivery (lease_until) WHERE status = 'sending';
CREATE INDEX webhook_delivery_log ON email.webhook_delivery (webhook_id, id DESC);
CREATE INDEX webhook_delivery_by_status ON email.webhook_delivery (webhook_id, status, id DESC);
CREATE INDEX webhook_delivery_of_account ON email.webhook_delivery (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX webhook_delivery_by_age ON email.webhook_delivery (created_at);
