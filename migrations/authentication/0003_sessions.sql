-- Sessions that outlive their access tokens, revocations that every verifier follows, and the audit log.

ALTER TABLE authentication.account
    -- Whoever reads the mailbox has shown so. Cleared when the address changes.
    ADD COLUMN email_verified_at       timestamptz,
    -- Cannot log in, and has no sessions.
    ADD COLUMN disabled_at             timestamptz,
    -- Cannot log in before the password has been reset by mail.
    ADD COLUMN password_reset_required boolean NOT NULL DEFAULT false,
    -- Counts changes of what the profile and an administrator see, for ETags.
    ADD COLUMN revision                bigint  NOT NULL DEFAULT 1;

-- A session so far ended with its one access token, so none is worth keeping.
DROP TABLE authentication.session;

-- One login, and the family of refresh tokens that follows from it. A session that is over has no row.
CREATE TABLE authentication.session (
    id                uuid        PRIMARY KEY,
    account_id        uuid        NOT NULL REFERENCES authentication.account ON DELETE CASCADE,
    started_at        timestamptz NOT NULL,
    last_used_at      timestamptz NOT NULL,
    -- When it ends without being used again, and in any case at the end of its absolute life.
    expires_at        timestamptz NOT NULL,
    -- The end of its absolute life.
    ends_at           timestamptz NOT NULL,
    -- What and where the client was when last heard of.
    device            text,
    address           text        NOT NULL,
    -- From it and the refresh token presented follows the next one (session/refresh_token.rs). Sealed under AUTH_SECRET.
    sealed_family_key bytea       NOT NULL,
    -- SHA-256 of the refresh token that has not been used yet.
    refresh_token     bytea       NOT NULL,
    -- Access tokens say that they were issued no earlier, so that those from before are told apart (revocation.rs).
    tokens_from       timestamptz
);

CREATE INDEX session_of_account ON authentication.session (account_id, last_used_at);
CREATE INDEX session_expiry ON authentication.session (expires_at);

-- Refresh tokens of a session that were used so recently that they get the same successor again.
CREATE TABLE authentication.used_refresh_token (
    session_id    uuid        NOT NULL REFERENCES authentication.session ON DELETE CASCADE,
    refresh_token bytea       NOT NULL,
    used_at       timestamptz NOT NULL,
    PRIMARY KEY (session_id, refresh_token)
);

-- Access tokens that are void before they expire. Committed together with what voids them; every replica hears of it at
-- once (NOTIFY) and tells whoever verifies tokens.
CREATE TABLE authentication.revocation (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id    uuid        NOT NULL,
    -- Only tokens issued before; all of them where there is none.
    issued_before timestamptz,
    -- By then they have all expired by themselves.
    expires_at    timestamptz NOT NULL
);

CREATE INDEX revocation_expiry ON authentication.revocation (expires_at);

-- Who did what to whose account, when, and from where. Rows are never changed but by the erasure of an account, which
-- takes away what tells of a person and leaves that something happened.
CREATE TABLE authentication.audit (
    id         uuid        PRIMARY KEY,
    at         timestamptz NOT NULL,
    -- The account that did it; none for somebody who was not logged in.
    actor_id   uuid,
    action     text        NOT NULL,
    -- The account that it was done to.
    account_id uuid,
    address    text,
    device     text,
    details    jsonb       NOT NULL DEFAULT '{}'
);

CREATE INDEX audit_newest ON authentication.audit (at DESC, id DESC);
CREATE INDEX audit_of_account ON authentication.audit (account_id, at DESC, id DESC);
CREATE INDEX audit_of_actor ON authentication.audit (actor_id, at DESC, id DESC);
CREATE INDEX audit_of_action ON authentication.audit (action, at DESC, id DESC);
