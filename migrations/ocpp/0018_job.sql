-- Jobs that began at the charge point. Nobody asked for them, so only so many are kept.
CREATE INDEX job_begun_by_station ON ocpp.job (charge_point_id, id) WHERE command_id IS NULL;
