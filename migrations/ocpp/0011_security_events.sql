-- What threatens a charge point's security: what it reports itself (SecurityEventNotification), and what was noticed here.
CREATE TABLE ocpp.security_event (
    -- In the order in which they came in.
    id              uuid PRIMARY KEY,
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    -- `station` for what it reported, `csms` for what was noticed here.
    origin          text NOT NULL,
    type            text NOT NULL,
    critical        boolean NOT NULL,
    tech_info       text,
    -- By the station's clock where it reported it.
    occurred_at     timestamptz NOT NULL,
    received_at     timestamptz NOT NULL,
    CONSTRAINT security_event_origin CHECK (origin IN ('station', 'csms'))
);

CREATE INDEX security_event_by_type ON ocpp.security_event (type, id);
CREATE INDEX security_event_critical ON ocpp.security_event (id) WHERE critical;
CREATE INDEX security_event_by_charge_point ON ocpp.security_event (charge_point_id, id);
CREATE INDEX security_event_by_charge_point_and_type ON ocpp.security_event (charge_point_id, type, id);
CREATE INDEX security_event_by_age ON ocpp.security_event (received_at);

-- Attempts to connect that were refused, counted for as long as a window lasts: the first ones of a kind may be mistakes, and
-- the thousandth says no more than the tenth.
CREATE TABLE ocpp.refused_attempt (
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    type            text NOT NULL,
    since           timestamptz NOT NULL,
    attempts        integer NOT NULL,
    PRIMARY KEY (charge_point_id, type)
) WITH (fillfactor = 70);
