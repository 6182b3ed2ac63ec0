-- Accounts, their sessions, and the keys that sign their tokens.

CREATE TABLE authentication.account (
    id            uuid        PRIMARY KEY,
    -- As its owner wrote it.
    username      text        NOT NULL,
    -- The username without regard to case (username.rs).
    username_key  text        NOT NULL CONSTRAINT account_username_unique UNIQUE,
    -- Unverified, and so not unique: whoever claims somebody else's address must not learn that it is in use.
    email         text,
    password_hash text        NOT NULL,
    roles         text[]      NOT NULL CONSTRAINT account_roles_known
                              CHECK (cardinality(roles) > 0 AND roles <@ ARRAY['admin', 'operator', 'driver']),
    created_at    timestamptz NOT NULL
);

-- Answers, at every start, whether there is an administrator yet.
CREATE INDEX account_administrators ON authentication.account (id) WHERE 'admin' = ANY (roles);

-- One login. It ends with the access token that it was given.
CREATE TABLE authentication.session (
    id         uuid        PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES authentication.account ON DELETE CASCADE,
    started_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX session_of_account ON authentication.session (account_id, expires_at);

-- Keys that sign access tokens. Each row is sealed under AUTH_SECRET (sealing.rs); the newest one signs.
CREATE TABLE authentication.signing_key (
    kid         text        PRIMARY KEY,
    sealed_seed bytea       NOT NULL,
    created_at  timestamptz NOT NULL
);
