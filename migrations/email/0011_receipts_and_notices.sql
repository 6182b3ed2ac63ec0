-- A message may name an account instead of an address. Who that is, auth-service says when its turn comes.
ALTER TABLE email.message
    DROP CONSTRAINT message_status_check,
    -- unaddressed: there is nobody to write to, because the account has no verified address.
    ADD CONSTRAINT message_status_check
        CHECK (status IN ('queued', 'sending', 'sent', 'failed', 'expired', 'suppressed', 'unaddressed'));

-- What an account wants to be told of.
CREATE TABLE email.notice_subscription (
    id             uuid        PRIMARY KEY,
    account_id     uuid        NOT NULL,
    -- As its owner calls it.
    name           text        NOT NULL,
    kinds          text[]      NOT NULL,
    -- Of these charge points, and of those at sites in these groups; of all where there are neither.
    charge_points  text[]      NOT NULL,
    groups         text[]      NOT NULL,
    -- What happens within so many seconds is told by one mail.
    digest_seconds integer     NOT NULL CHECK (digest_seconds BETWEEN 0 AND 86400),
    -- By which a mail program ends it at one click. It stands in each mail of it.
    token          uuid        NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    revision       bigint      NOT NULL DEFAULT 1,
    CONSTRAINT notice_subscription_unique UNIQUE (account_id, name)
);

-- What waits to be told.
CREATE TABLE email.notice (
    id              uuid        PRIMARY KEY,
    subscription_id uuid        NOT NULL REFERENCES email.notice_subscription ON DELETE CASCADE,
    event_id        uuid        NOT NULL,
    kind            text        NOT NULL,
    identity        text        NOT NULL,
    site_name       text        NOT NULL,
    -- Where it is of one.
    connector_id    integer,
    -- What there is to say beyond its kind, such as a fault's name.
    details         text,
    at              timestamptz NOT NULL,
    noted_at        timestamptz NOT NULL,
    UNIQUE (subscription_id, event_id)
);

CREATE INDEX notice_waiting ON email.notice (subscription_id, noted_at);

-- noted: it led to no message by itself.
ALTER TABLE email.inbox
    DROP CONSTRAINT inbox_outcome_check,
    ADD CONSTRAINT inbox_outcome_check CHECK (outcome IN ('queued', 'no_recipient', 'unknown_type', 'expired', 'noted'));
