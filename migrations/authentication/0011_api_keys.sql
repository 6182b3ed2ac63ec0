-- Keys by which programs act for an account.
CREATE TABLE authentication.api_key (
    id           uuid        PRIMARY KEY,
    account_id   uuid        NOT NULL REFERENCES authentication.account ON DELETE CASCADE,
    name         text        NOT NULL,
    -- SHA-256 of 256 random bits.
    secret_hash  bytea       NOT NULL,
    scopes       text[]      NOT NULL,
    -- At most these of the account's roles; what the account has lost, its key has not either.
    roles        text[]      NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    -- When it was last exchanged for an access token, which is good for minutes.
    last_used_at timestamptz,
    -- As with sessions: access tokens say that they were issued no earlier.
    tokens_from  timestamptz
);

CREATE INDEX api_key_of_account ON authentication.api_key (account_id, created_at DESC, id DESC);
CREATE INDEX api_key_expiry ON authentication.api_key (expires_at);
