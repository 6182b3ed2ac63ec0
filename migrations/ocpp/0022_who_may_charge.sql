-- How many transactions a token may have at once, its own and those of the tokens whose group it is; null for any number.
ALTER TABLE ocpp.id_token
    ADD COLUMN max_concurrent_transactions integer,
    ADD CONSTRAINT id_token_max_concurrent_transactions CHECK (max_concurrent_transactions > 0);

-- The tokens of a group.
CREATE INDEX id_token_by_group ON ocpp.id_token (lower(group_id)) WHERE group_id IS NOT NULL;

-- Where a token may charge; everywhere where it has no row here. A charge point that some token is restricted to cannot be
-- deleted: with its last row gone, the token could charge everywhere.
CREATE TABLE ocpp.id_token_location (
    id_token_id     uuid NOT NULL REFERENCES ocpp.id_token (id) ON DELETE CASCADE,
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    -- Null for every connector.
    connector_id    integer,
    CONSTRAINT id_token_location_connector_id CHECK (connector_id > 0)
);

CREATE UNIQUE INDEX id_token_location_unique ON ocpp.id_token_location
    (id_token_id, charge_point_id, coalesce(connector_id, 0));
CREATE INDEX id_token_location_by_charge_point ON ocpp.id_token_location (charge_point_id);

-- What runs now, by its token; a token is registered with far fewer characters than 255.
CREATE INDEX transaction_active_by_token ON ocpp.transaction (left(lower(id_token), 255)) WHERE status = 'active';
