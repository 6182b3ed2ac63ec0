-- The history of connectors: what each StatusNotification told, in the order in which they came. No foreign key, since it
-- is written often, by code that has just looked the charge point up.
CREATE TABLE ocpp.connector_status (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    charge_point_id   uuid NOT NULL,
    connector_id      integer NOT NULL,
    status            text NOT NULL,
    error_code        text NOT NULL,
    info              text,
    vendor_id         text,
    vendor_error_code text,
    -- As the station told it, or when it came in where it did not.
    status_at         timestamptz NOT NULL,
    received_at       timestamptz NOT NULL
);

CREATE INDEX connector_status_of_connector ON ocpp.connector_status (charge_point_id, connector_id, id);
CREATE INDEX connector_status_by_age ON ocpp.connector_status (received_at);
