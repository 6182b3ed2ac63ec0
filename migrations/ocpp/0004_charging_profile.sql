-- The charging profiles that a charge point has confirmed.
CREATE TABLE ocpp.charging_profile (
    charge_point_id     uuid NOT NULL REFERENCES ocpp.charge_point (id),
    charging_profile_id integer NOT NULL,
    -- 0 is the charge point as a whole; null where the charge point chooses, until a transaction starts.
    connector_id        integer,
    purpose             text NOT NULL,
    stack_level         integer NOT NULL,
    kind                text NOT NULL,
    -- Of a TxProfile. Null until it is known.
    transaction_id      integer,
    -- Whose remote start brought it, until the transaction starts.
    id_tag              text COLLATE "C",
    valid_from          timestamptz,
    valid_to            timestamptz,
    -- As it was sent, to the letter.
    profile             json NOT NULL,
    confirmed_at        timestamptz NOT NULL,
    -- Serves the list and the rules: a charge point has few.
    PRIMARY KEY (charge_point_id, charging_profile_id)
);

-- The last schedule that a charge point reckoned, for each of its connectors.
CREATE TABLE ocpp.composite_schedule (
    charge_point_id  uuid NOT NULL REFERENCES ocpp.charge_point (id),
    connector_id     integer NOT NULL,
    -- That was asked for.
    duration_seconds integer NOT NULL,
    starts_at        timestamptz,
    -- As it came; null where the charge point told none.
    schedule         text,
    reported_at      timestamptz NOT NULL,
    PRIMARY KEY (charge_point_id, connector_id)
);

-- Where a transaction is known by its connector and time only, and a stop by its time.
CREATE INDEX transaction_by_connector ON ocpp.transaction (charge_point_id, connector_id, started_at);
CREATE INDEX transaction_by_stop ON ocpp.transaction (charge_point_id, stopped_at) WHERE stopped_at IS NOT NULL;
