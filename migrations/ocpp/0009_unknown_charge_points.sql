-- Who knocked at the door and is not registered, for an operator to accept. The number of rows is bounded.
CREATE TABLE ocpp.unknown_charge_point (
    identity      text COLLATE "C" PRIMARY KEY,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    attempts      bigint NOT NULL DEFAULT 1,
    peer          text,
    subprotocols  text NOT NULL
);

CREATE INDEX unknown_charge_point_by_time ON ocpp.unknown_charge_point (last_seen_at, identity);

-- A stop or meter values of no transaction are kept once, though two sockets of the station say it at the same moment.
DELETE FROM ocpp.unmatched AS later USING ocpp.unmatched AS first
    WHERE later.charge_point_id = first.charge_point_id AND later.kind = first.kind AND later.payload = first.payload
      AND later.id > first.id;
CREATE UNIQUE INDEX unmatched_once ON ocpp.unmatched (charge_point_id, kind, md5(payload));
