-- Whose token it is: an account of authentication, which is no table here.
ALTER TABLE ocpp.id_token ADD COLUMN account_id uuid;

CREATE INDEX id_token_of_account ON ocpp.id_token (account_id, lower(value)) WHERE account_id IS NOT NULL;

-- A number as the API shows it: whole, rounded down. Null where that does not fit, or is below zero.
CREATE FUNCTION ocpp.whole(number numeric) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN number >= 0 AND number < 2147483648 THEN floor(number)::integer END
$$;

-- Whose a token was when: a charge that began while its charge point was offline is told of later.
CREATE TABLE ocpp.id_token_owner (
    -- In lower case.
    value      text COLLATE "C" NOT NULL,
    account_id uuid NOT NULL,
    since      timestamptz NOT NULL,
    until      timestamptz
);

CREATE INDEX id_token_owner_of_value ON ocpp.id_token_owner (value, since);
CREATE INDEX id_token_owner_of_account ON ocpp.id_token_owner (account_id);

-- What drivers have under way is counted.
CREATE INDEX command_of_driver ON ocpp.command (requested_by, created_at) WHERE left(requested_by, 7) = 'driver ';

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
