-- The security extension has jobs too: logs (GetLog), and firmware that is signed. They have a number, by which notifications find
-- them, and a newer one may cancel those before it.
ALTER TABLE ocpp.job
    ADD COLUMN request_id integer,
    DROP CONSTRAINT job_kind,
    ADD CONSTRAINT job_kind CHECK (kind IN ('firmware', 'diagnostics', 'log')),
    DROP CONSTRAINT job_status,
    ADD CONSTRAINT job_status CHECK
        (status IN ('requested', 'accepted', 'rejected', 'running', 'completed', 'failed', 'canceled'));

CREATE INDEX job_by_request ON ocpp.job (charge_point_id, kind, request_id, id) WHERE request_id IS NOT NULL;
