-- Most meters count for ever, and a charge is the difference of two readings. Some begin anew with each session: then what they
-- read is what was charged, while meterStart and meterStop are of the other kind all the same.
ALTER TABLE ocpp.transaction
    DROP COLUMN energy_wh,
    -- Whether the samples of the register count from the transaction's start, as its first one showed. Null until then, and where
    -- there is no meterStart to compare it with.
    ADD COLUMN register_is_of_session boolean;

ALTER TABLE ocpp.transaction
    -- Where a stop says how much it was, nothing else counts.
    ADD COLUMN energy_wh numeric GENERATED ALWAYS AS (
        CASE WHEN meter_stop_wh IS NULL AND register_is_of_session THEN register_wh
             WHEN coalesce(meter_stop_wh, register_wh) >= meter_start_wh
             THEN coalesce(meter_stop_wh, register_wh) - meter_start_wh END) STORED;

COMMENT ON COLUMN ocpp.transaction.register_at IS
    'By the station''s clock, or when it came in where that clock cannot be right: what later samples are compared with.';

-- Registers that a sample from the future has frozen go on.
UPDATE ocpp.transaction SET register_at = now()
WHERE stop_received_at IS NULL AND register_at > now() + interval '1 minute';
