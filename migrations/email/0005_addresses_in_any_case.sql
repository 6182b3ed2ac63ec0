-- What was written to an address is found by it however it is written.
DROP INDEX email.message_of_address;
CREATE INDEX message_of_address ON email.message (lower(recipient)) WHERE account_id IS NULL;
