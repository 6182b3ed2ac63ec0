-- What comes in again is recognised by what it is known by, not by its text.

-- The number that a charge point's CALL has in its session. When a stream breaks, the gateway sends again under their numbers the
-- frames of which it does not know that they arrived.
ALTER TABLE ocpp.message
    ADD COLUMN session_epoch bigint,
    ADD COLUMN frame_number  bigint;

-- Values outside a transaction, as `meter_value_by_transaction` has those of one: a value that is there already is found by
-- its time.
CREATE INDEX meter_value_outside_transactions ON ocpp.meter_value (charge_point_id, sampled_at)
    WHERE transaction_id IS NULL;
