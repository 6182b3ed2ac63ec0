-- Events that hold a secret of short life, such as a code on its way into a mail. Their data goes when it is sent, and the row
-- goes when the time is over, sent to anybody or not.
ALTER TABLE authentication.outbox
    -- From then on the event is of no use to anybody, by the database's clock.
    ADD COLUMN expires_at timestamptz,
    ADD CONSTRAINT outbox_sent_keeps_no_secret CHECK (expires_at IS NULL OR sent_at IS NULL OR data = '');

-- What is looked for to be deleted. Dead rows are among them.
CREATE INDEX outbox_expiring ON authentication.outbox (expires_at) WHERE expires_at IS NOT NULL AND sent_at IS NULL;
