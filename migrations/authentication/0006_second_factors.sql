-- What an account proves itself by beside its password: an authenticator app with recovery codes, and passkeys.

-- The authenticator app of an account (TOTP, RFC 6238).
CREATE TABLE authentication.totp (
    account_id    uuid        PRIMARY KEY REFERENCES authentication.account ON DELETE CASCADE,
    -- Sealed under AUTH_SECRET (sealing.rs).
    sealed_secret bytea       NOT NULL,
    created_at    timestamptz NOT NULL,
    -- Not in force before the app's first code has confirmed it.
    confirmed_at  timestamptz,
    -- The time step of the last code that was accepted: neither that code nor an older one works again.
    last_step     bigint,
    -- Wrong codes since the last right one, and the time before which no further code is looked at.
    wrong_codes   integer     NOT NULL DEFAULT 0,
    wait_until    timestamptz
);

-- The recovery codes that have not been used. They have 80 random bits, so that a plain hash keeps them secret.
CREATE TABLE authentication.recovery_code (
    account_id uuid  NOT NULL REFERENCES authentication.totp ON DELETE CASCADE,
    -- SHA-256 of the code and its account.
    hash       bytea NOT NULL,
    PRIMARY KEY (account_id, hash)
);

-- A login whose password was right, waiting for the second factor.
CREATE TABLE authentication.login_challenge (
    -- SHA-256 of the token that the client holds.
    token         bytea       PRIMARY KEY,
    account_id    uuid        NOT NULL REFERENCES authentication.account ON DELETE CASCADE,
    -- SHA-256 of the hash of the password that was right. With another password the challenge is void.
    password_mark bytea       NOT NULL,
    -- Codes that were tried.
    attempts      integer     NOT NULL DEFAULT 0,
    expires_at    timestamptz NOT NULL
);

CREATE INDEX login_challenge_of_account ON authentication.login_challenge (account_id);
CREATE INDEX login_challenge_expiry ON authentication.login_challenge (expires_at);

-- A passkey (WebAuthn) and what is known of it.
CREATE TABLE authentication.passkey (
    id            uuid        PRIMARY KEY,
    account_id    uuid        NOT NULL REFERENCES authentication.account ON DELETE CASCADE,
    -- By which authenticators and browsers name it.
    credential_id bytea       NOT NULL CONSTRAINT passkey_credential_unique UNIQUE,
    -- Its public key, its counter and its kind, in the form of the library that verifies it (passkey/).
    credential    jsonb       NOT NULL,
    name          text        NOT NULL,
    created_at    timestamptz NOT NULL,
    last_used_at  timestamptz
);

CREATE INDEX passkey_of_account ON authentication.passkey (account_id, created_at);

-- What a device was asked to sign and has not signed yet. A row is taken away by whatever comes back first.
CREATE TABLE authentication.passkey_challenge (
    -- SHA-256 of the token that the client holds.
    token      bytea       PRIMARY KEY,
    -- Whose new passkey it is; none for a login.
    account_id uuid        REFERENCES authentication.account ON DELETE CASCADE,
    state      jsonb       NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX passkey_challenge_of_account ON authentication.passkey_challenge (account_id);
CREATE INDEX passkey_challenge_expiry ON authentication.passkey_challenge (expires_at);
