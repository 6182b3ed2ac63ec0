-- Who has set the commands that a charge point is sent while it is pending, as the ledger of commands keeps it.
ALTER TABLE ocpp.charge_point ADD COLUMN pending_commands_by text;

-- Transactions are listed by when their start came in, by each of the filters.
DROP INDEX ocpp.transaction_by_charge_point, ocpp.transaction_by_status, ocpp.transaction_by_charge_point_and_status;
CREATE INDEX transaction_newest ON ocpp.transaction (start_received_at, id);
CREATE INDEX transaction_of_charge_point ON ocpp.transaction (charge_point_id, start_received_at, id);
CREATE INDEX transaction_of_connector ON ocpp.transaction (charge_point_id, connector_id, start_received_at, id);
CREATE INDEX transaction_of_status ON ocpp.transaction (status, start_received_at, id);
CREATE INDEX transaction_of_charge_point_and_status ON ocpp.transaction (charge_point_id, status, start_received_at, id);
-- Tags of any length are stored, but an index has a limit.
CREATE INDEX transaction_of_id_token ON ocpp.transaction (left(lower(id_token), 255), start_received_at, id);

-- Charge points are listed by identity, by each of the filters.
CREATE INDEX charge_point_of_registration_status ON ocpp.charge_point (registration_status, identity);
CREATE INDEX charge_point_of_vendor ON ocpp.charge_point (lower(vendor), identity);
CREATE INDEX charge_point_of_model ON ocpp.charge_point (lower(model), identity);
CREATE INDEX charge_point_by_beginning_of_identity ON ocpp.charge_point (lower(identity) text_pattern_ops);
CREATE INDEX charge_point_by_beginning_of_name ON ocpp.charge_point (lower(display_name) text_pattern_ops);
