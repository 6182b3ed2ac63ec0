-- A device whose place another one has taken starts no charge any more, whatever it sends as it goes.
ALTER TABLE ocpp.charge_point
    -- Grows with each device that takes the place of another.
    ADD COLUMN device integer NOT NULL DEFAULT 1;

-- Whether a name that is shown at the door is a former one of another charge point.
CREATE INDEX charge_point_former_identities ON ocpp.charge_point USING gin (former_identities) WHERE former_identities <> '{}';
