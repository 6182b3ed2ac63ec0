-- What an account has logged in with, and from where (sign_in/device.rs). Its owner gets a mail when either is new.
CREATE TABLE authentication.known_device (
    account_id    uuid        NOT NULL REFERENCES authentication.account ON DELETE CASCADE,
    -- What the client says that it is, without versions; empty where it says nothing.
    device        text        NOT NULL,
    -- An IPv4 address, or the /64 of an IPv6 one.
    network       text        NOT NULL,
    first_used_at timestamptz NOT NULL,
    last_used_at  timestamptz NOT NULL,
    PRIMARY KEY (account_id, device, network)
);

-- What pruning looks for.
CREATE INDEX known_device_age ON authentication.known_device (last_used_at);
