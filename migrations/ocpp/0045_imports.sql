-- Files of many new things at once that were taken in whole.
CREATE TABLE ocpp.import (
    -- Entries of the audit log name it.
    id              uuid PRIMARY KEY,
    -- What its rows are.
    kind            text NOT NULL,
    requested_by    text NOT NULL,
    idempotency_key text,
    -- SHA-256 of the file: tells a repeated request from another one under the same key.
    digest          bytea NOT NULL,
    rows            integer NOT NULL,
    created_at      timestamptz NOT NULL,
    CONSTRAINT import_kind CHECK (kind IN ('charge-point', 'id-token', 'site'))
);

CREATE UNIQUE INDEX import_idempotency_key_unique ON ocpp.import (requested_by, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX import_by_age ON ocpp.import (created_at);
