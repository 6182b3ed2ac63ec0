-- What operators declare of connectors. What charge points tell of theirs is in ocpp.connector; either may be there without the
-- other.
CREATE TABLE ocpp.connector_declaration (
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    connector_id    integer NOT NULL,
    -- The EVSE that it belongs to; null for one of its own, as in OCPP 1.6, which has the connector's number.
    evse_id         integer,
    -- What is printed on it.
    code            text COLLATE "C",
    -- As OCPI spells ConnectorType and PowerType.
    standard        text,
    power_type      text,
    max_power_watts integer,
    revision        bigint NOT NULL DEFAULT nextval('ocpp.revision'),
    PRIMARY KEY (charge_point_id, connector_id),
    CONSTRAINT connector_declaration_connector_id CHECK (connector_id > 0),
    CONSTRAINT connector_declaration_evse_id CHECK (evse_id > 0),
    CONSTRAINT connector_declaration_max_power CHECK (max_power_watts > 0)
);

-- Serves the look-up by a driver and the uniqueness.
CREATE UNIQUE INDEX connector_declaration_code_unique ON ocpp.connector_declaration (lower(code)) WHERE code IS NOT NULL;
