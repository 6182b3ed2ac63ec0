-- What charge points are told to be, and what they say that they are.

-- Key names are compared without case, as charge points do.
CREATE TABLE ocpp.configuration_key (
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    key             text COLLATE "C" NOT NULL,
    -- False once the charge point said that it has no such key.
    known           boolean NOT NULL,
    readonly        boolean,
    -- As the charge point told. Null where it tells none; a secret is never stored.
    reported_value  text,
    reported_at     timestamptz,
    -- As it was last told, where it agreed.
    desired_value   text,
    -- `Accepted`, or `RebootRequired`: then the value counts from the next boot on.
    desired_status  text,
    desired_at      timestamptz
);

-- Serves the look-up, the list and the uniqueness.
CREATE UNIQUE INDEX configuration_key_unique ON ocpp.configuration_key (charge_point_id, lower(key));

-- By the configuration key NumberOfConnectors.
ALTER TABLE ocpp.charge_point ADD COLUMN number_of_connectors integer;

-- What ChangeAvailability asked for. Connector 0 is the charge point with all its connectors.
CREATE TABLE ocpp.availability (
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    connector_id    integer NOT NULL,
    -- `Operative` or `Inoperative`.
    desired         text NOT NULL,
    -- What the charge point answered, such as `Scheduled`.
    answer          text NOT NULL,
    answered_at     timestamptz NOT NULL,
    PRIMARY KEY (charge_point_id, connector_id)
);
