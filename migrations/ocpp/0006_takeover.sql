-- A newer connection takes over at its first frame, or after some seconds of silence; until then the older one goes on.

-- The epoch of the newest connection, whether it has taken over or not. Only the one that has is in `epoch`.
ALTER TABLE ocpp.session ADD COLUMN last_epoch bigint;
UPDATE ocpp.session SET last_epoch = epoch;
ALTER TABLE ocpp.session ALTER COLUMN last_epoch SET NOT NULL;

-- Connections that have not taken over yet, as the session will have them.
CREATE TABLE ocpp.candidate (
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    epoch           bigint NOT NULL,
    stream          bigint NOT NULL,
    resumption_hash bytea NOT NULL,
    protocol        text NOT NULL,
    peer            text,
    connected_at    timestamptz NOT NULL,
    PRIMARY KEY (charge_point_id, epoch)
);

-- What is left of those whose gateway died.
CREATE INDEX candidate_by_age ON ocpp.candidate (connected_at);
