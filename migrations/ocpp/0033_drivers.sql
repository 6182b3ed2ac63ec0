-- Whose token it is: an account of authentication, which is no table here.
ALTER TABLE ocpp.id_token ADD COLUMN account_id uuid;

CREATE INDEX id_token_of_account ON ocpp.id_token (account_id, lower(value)) WHERE account_id IS NOT NULL;

ALTER TABLE ocpp.transaction
    -- Whose token it was when the transaction began. It stays when the token goes to somebody else.
    ADD COLUMN account_id  uuid,
    -- The latest samples of power and of the vehicle's battery, each by the station's clock as register_at is.
    ADD COLUMN power_w     numeric,
    ADD COLUMN power_at    timestamptz,
    ADD COLUMN soc_percent numeric,
    ADD COLUMN soc_at      timestamptz;

CREATE INDEX transaction_of_account ON ocpp.transaction (account_id, start_received_at, id) WHERE account_id IS NOT NULL;
CREATE INDEX transaction_of_account_and_status ON ocpp.transaction (account_id, status, start_received_at, id)
    WHERE account_id IS NOT NULL;
