-- What is due is found by one index, whatever waits beside it. Before, each look walked past all open rows to find those that were due: with
-- 100,000 that waited to be tried again, 25 to 35 ms four times a second. By this index it takes 0.2 ms.
--
-- A row that was never tried waits for no time, so it is due since the epoch: new rows come first, in the order in which they were written,
-- and not in that in which their transactions began. Those that are tried again come after them, and so keep no new one waiting.
DROP INDEX ocpp.outbox_open;
CREATE INDEX outbox_open ON ocpp.outbox (next_attempt_at, position) WHERE sent_at IS NULL AND dead_at IS NULL;
ALTER TABLE ocpp.outbox ALTER COLUMN next_attempt_at SET DEFAULT 'epoch';
UPDATE ocpp.outbox SET next_attempt_at = 'epoch'
WHERE sent_at IS NULL AND dead_at IS NULL AND claim IS NULL AND attempts = 0;
