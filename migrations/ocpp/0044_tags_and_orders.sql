-- Words that operators put on charge points, to find them by. In alphabetical order, each once.
ALTER TABLE ocpp.charge_point ADD COLUMN tags text[] COLLATE "C" NOT NULL DEFAULT '{}';

CREATE INDEX charge_point_tags ON ocpp.charge_point USING gin (tags);
CREATE INDEX charge_point_of_firmware_version ON ocpp.charge_point (lower(firmware_version), identity);

-- Charge points are listed by each of these. The session's last_seen_at has no index: it changes with every frame, and each of
-- those would have to be written to it.
CREATE INDEX charge_point_by_name ON ocpp.charge_point (lower(display_name COLLATE "C"), identity);
CREATE INDEX charge_point_by_age ON ocpp.charge_point (created_at, identity);
