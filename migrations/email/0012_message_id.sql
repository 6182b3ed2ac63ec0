-- The Message-ID of the mail, with its angle brackets (RFC 5322, section 3.6.4): the message's id, and the domain of EMAIL_FROM at the first
-- attempt. It stays when the setting changes, so that a second copy is known for one. Empty until the message is tried; of messages that
-- came to their end before there was this column, for ever.
ALTER TABLE email.message ADD COLUMN mail_id text;
