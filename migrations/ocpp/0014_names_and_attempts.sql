-- A serial number is told by the charge point itself, so it is a name only where it is nobody else's.
CREATE INDEX charge_point_by_serial_number ON ocpp.charge_point (serial_number);
CREATE INDEX charge_point_by_certificate_name ON ocpp.charge_point (certificate_name);

-- For whom a certificate was issued is asked whenever a charge point shows one. Nothing looks for those that end.
CREATE INDEX issued_certificate_by_serial_number ON ocpp.issued_certificate (serial_number);
DROP INDEX ocpp.issued_certificate_by_expiry;
