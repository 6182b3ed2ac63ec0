-- Messages with a code in them, which is of use for a while and of none to anybody once the mail is out.
ALTER TABLE email.message
    -- When the code expires. From then on the message is not sent any more.
    ADD COLUMN expires_at timestamptz,
    DROP CONSTRAINT message_status_check,
    ADD CONSTRAINT message_status_check CHECK (status IN ('queued', 'sending', 'sent', 'failed', 'expired')),
    -- The code is among the variables. It stays while there is a mail to be made with it.
    ADD CONSTRAINT message_keeps_no_code CHECK
        (expires_at IS NULL OR status IN ('queued', 'sending') OR variables = '{}');

-- What is looked for to be ended.
CREATE INDEX message_expiring ON email.message (expires_at)
    WHERE expires_at IS NOT NULL AND status IN ('queued', 'sending');

-- An event may expire before it gets here.
ALTER TABLE email.inbox
    DROP CONSTRAINT inbox_outcome_check,
    ADD CONSTRAINT inbox_outcome_check CHECK (outcome IN ('queued', 'no_recipient', 'unknown_type', 'expired'));
