-- Signing keys are replaced from time to time, and by command.

ALTER TABLE authentication.signing_key
    -- Signs from then on, until a newer one does. It is published before, so that whoever verifies tokens knows it by then.
    ADD COLUMN signs_from     timestamptz NOT NULL DEFAULT now(),
    -- Its last token has expired by then; none while it signs, or is still to sign.
    ADD COLUMN verifies_until timestamptz;

UPDATE authentication.signing_key SET signs_from = created_at;
