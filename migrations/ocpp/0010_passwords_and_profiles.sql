-- Passwords that were sent to a charge point and of which nobody knows yet whether it uses them: an answer that never came,
-- or one that puts it off until the next boot. They let the charge point in beside its present one.
CREATE TABLE ocpp.offered_password (
    -- The ChangeConfiguration that brought it.
    command_id      uuid PRIMARY KEY,
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    -- HMAC-SHA256 under a key of the service, like `charge_point.password_hash`.
    hash            bytea NOT NULL
);

CREATE INDEX offered_password_by_charge_point ON ocpp.offered_password (charge_point_id, command_id);

-- The security profile that a charge point has agreed to move up to. Until it has come in with it, it may fall back to the
-- one before (A05.FR.08); from then on it may not (A05.FR.09).
ALTER TABLE ocpp.charge_point
    ADD COLUMN next_security_profile smallint,
    ADD CONSTRAINT charge_point_next_security_profile CHECK
        (next_security_profile > security_profile AND next_security_profile <= 3);
