-- What is looked for to be deleted when it has been kept for long enough.
CREATE INDEX inbox_by_age ON email.inbox (received_at);
