-- An index for each way in which the message log is looked at. All but one are small: few messages are of these kinds.
CREATE INDEX message_by_message_id ON ocpp.message (charge_point_id, message_id, requested_at, id)
    WHERE message_id IS NOT NULL;
CREATE INDEX message_from_csms ON ocpp.message (charge_point_id, requested_at, id) WHERE origin = 'csms';
CREATE INDEX message_with_violations ON ocpp.message (charge_point_id, requested_at, id) WHERE violations <> '{}';
CREATE INDEX message_with_error ON ocpp.message (charge_point_id, requested_at, id) WHERE error_code IS NOT NULL;
