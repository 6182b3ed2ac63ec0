-- The serial number in the certificate that a connection has shown, where there is one: a charge point that then boots as another
-- one is cut off.
ALTER TABLE ocpp.session ADD COLUMN certified_serial_number text;
ALTER TABLE ocpp.candidate ADD COLUMN certified_serial_number text;

-- The security profile that a charge point was sent, as long as nobody knows whether it has taken it: an answer that never came.
-- Until it comes in with it, everything stays as it was.
ALTER TABLE ocpp.charge_point
    ADD COLUMN offered_security_profile smallint,
    ADD CONSTRAINT charge_point_offered_security_profile CHECK
        (offered_security_profile > security_profile AND offered_security_profile <= 3);

-- Security events are counted for each charge point and origin: what a charge point reports takes nothing away from what was
-- noticed about it.
CREATE INDEX security_event_by_charge_point_and_origin ON ocpp.security_event (charge_point_id, origin, id);
