-- What takes a charge point longer than an answer: new firmware, and files with diagnostics.
CREATE TABLE ocpp.job (
    id              uuid PRIMARY KEY,
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    kind            text NOT NULL,
    -- Null where it began at the charge point.
    command_id      uuid REFERENCES ocpp.command (id),
    -- Without the credentials that may stand in it.
    location        text,
    file_name       text,
    status          text NOT NULL,
    -- What the charge point said last, such as `Downloading`.
    progress        text,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT job_kind CHECK (kind IN ('firmware', 'diagnostics')),
    CONSTRAINT job_status CHECK (status IN ('requested', 'accepted', 'rejected', 'running', 'completed', 'failed'))
);

CREATE INDEX job_by_charge_point ON ocpp.job (charge_point_id, id);
CREATE INDEX job_by_charge_point_and_kind ON ocpp.job (charge_point_id, kind, id);
CREATE UNIQUE INDEX job_command_unique ON ocpp.job (command_id);

-- Everything that a charge point said of a job.
CREATE TABLE ocpp.job_notification (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id      uuid NOT NULL REFERENCES ocpp.job (id),
    status      text NOT NULL,
    received_at timestamptz NOT NULL
);

CREATE INDEX job_notification_by_job ON ocpp.job_notification (job_id, id);
