-- What a BootNotification is answered with besides its status, and what is asked of a charge point that is kept waiting.
ALTER TABLE ocpp.charge_point
    -- Null: as the installation has it for the status.
    ADD COLUMN boot_interval_seconds integer,
    -- [{"action": …, "payload": …}], to the letter.
    ADD COLUMN pending_commands json NOT NULL DEFAULT '[]',
    -- The one version of OCPP that the charge point is to speak; null for any.
    ADD COLUMN subprotocol text;

-- TriggerMessages that were sent lately open the boot gate for what they asked for.
CREATE INDEX command_trigger ON ocpp.command (charge_point_id, sent_at)
    WHERE action IN ('TriggerMessage', 'ExtendedTriggerMessage');

-- How far the station's clock is ahead of ours. Kept here, since messages tell.
ALTER TABLE ocpp.session ADD COLUMN clock_offset_seconds double precision;
