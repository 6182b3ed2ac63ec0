-- Files that charge points fetch, and those that they have sent. They are here and in no folder, so that every replica can serve them
-- and backups have them.
CREATE TABLE ocpp.file (
    id              uuid        PRIMARY KEY,
    kind            text        NOT NULL,
    -- What it is called. Never a path.
    name            text        NOT NULL,
    -- The charge point that sent it, and the command that asked it to.
    charge_point_id uuid        REFERENCES ocpp.charge_point (id) ON DELETE CASCADE,
    command_id      uuid,
    -- In bytes: so far, while it comes in.
    size            integer     NOT NULL DEFAULT 0,
    sha256          bytea,
    -- When bytes last came in.
    touched_at      timestamptz NOT NULL,
    -- Null while it comes in. Until then it is nobody's to see.
    completed_at    timestamptz,
    CONSTRAINT file_kind CHECK (kind IN ('firmware', 'diagnostics', 'log')),
    CONSTRAINT file_sender CHECK ((kind = 'firmware') = (charge_point_id IS NULL)),
    CONSTRAINT file_digest CHECK ((sha256 IS NULL) = (completed_at IS NULL))
);

-- A name stands for one firmware.
CREATE UNIQUE INDEX file_firmware_unique ON ocpp.file (name) WHERE kind = 'firmware' AND completed_at IS NOT NULL;
CREATE INDEX file_by_kind ON ocpp.file (kind, id);
CREATE INDEX file_by_charge_point ON ocpp.file (charge_point_id, id);
CREATE INDEX file_by_command ON ocpp.file (command_id);
CREATE INDEX file_incoming ON ocpp.file (touched_at) WHERE completed_at IS NULL;
CREATE INDEX file_received ON ocpp.file (completed_at) WHERE kind <> 'firmware';

-- The bytes, in pieces of the same size but for the last.
CREATE TABLE ocpp.file_chunk (
    file_id uuid    NOT NULL REFERENCES ocpp.file (id) ON DELETE CASCADE,
    number  integer NOT NULL,
    data    bytea   NOT NULL,
    PRIMARY KEY (file_id, number)
);

-- Firmware and logs are compressed already.
ALTER TABLE ocpp.file_chunk ALTER COLUMN data SET STORAGE EXTERNAL;

-- A charge point's leave to fetch one file, or to send one. The token is in a URL that the charge point was told, and kept nowhere.
CREATE TABLE ocpp.transfer (
    id              uuid        PRIMARY KEY,
    token_hash      bytea       NOT NULL,
    kind            text        NOT NULL,
    charge_point_id uuid        NOT NULL REFERENCES ocpp.charge_point (id) ON DELETE CASCADE,
    command_id      uuid        NOT NULL,
    -- What it may fetch.
    file_id         uuid        REFERENCES ocpp.file (id) ON DELETE CASCADE,
    expires_at      timestamptz NOT NULL,
    -- When all of the file had gone over.
    used_at         timestamptz,
    CONSTRAINT transfer_kind CHECK (kind IN ('firmware', 'diagnostics', 'log')),
    CONSTRAINT transfer_direction CHECK ((kind = 'firmware') = (file_id IS NOT NULL))
);

CREATE UNIQUE INDEX transfer_token_unique ON ocpp.transfer (token_hash);
CREATE INDEX transfer_by_file ON ocpp.transfer (file_id);
CREATE INDEX transfer_by_expiry ON ocpp.transfer (expires_at);
