-- Codes that are sent by mail, and requests for a new password that wait to be looked into.

-- A code is random and good once; the row goes with its use. An account has one of each purpose, the newest.
CREATE TABLE authentication.email_code (
    account_id uuid        NOT NULL REFERENCES authentication.account ON DELETE CASCADE,
    purpose    text        NOT NULL CONSTRAINT email_code_purpose_known
                           CHECK (purpose IN ('verify-email', 'change-email', 'reset-password')),
    -- SHA-256 of the code.
    code       bytea       NOT NULL CONSTRAINT email_code_unique UNIQUE,
    -- The address that it was sent to.
    email      text        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, purpose)
);

CREATE INDEX email_code_expiry ON authentication.email_code (expires_at);

-- Somebody forgot a password. Stored alike whether there is such an account or not, and looked into afterwards, so that
-- neither the answer nor its time tells which.
CREATE TABLE authentication.forgotten_password (
    id           uuid        PRIMARY KEY,
    email        text        NOT NULL,
    requested_at timestamptz NOT NULL,
    address      text        NOT NULL,
    device       text
);

-- Addresses are looked up without regard to case.
CREATE INDEX account_email ON authentication.account (lower(email)) WHERE email IS NOT NULL;

-- The list of users is in this order, and its search is a prefix.
CREATE INDEX account_list ON authentication.account (username_key COLLATE "C");
