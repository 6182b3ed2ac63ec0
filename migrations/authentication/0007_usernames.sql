-- Names that look the same are one name.

ALTER TABLE authentication.account
    -- What the username looks like (username.rs). Computed by the service: for a new account when it is made, for one from
    -- before when a service starts.
    ADD COLUMN skeletons text[];

CREATE INDEX account_skeletons ON authentication.account USING gin (skeletons);
-- What the start looks for.
CREATE INDEX account_without_skeletons ON authentication.account (id) WHERE skeletons IS NULL;
