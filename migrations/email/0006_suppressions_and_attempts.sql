-- Addresses that no mail goes to: a mail server said that there is no such mailbox, or an operator decided so.
CREATE TABLE email.suppression (
    -- In lower case, in which addresses are compared here.
    address    text        PRIMARY KEY CHECK (address = lower(address)),
    reason     text        NOT NULL CHECK (reason IN ('refused', 'added')),
    -- What the server said, or the operator.
    details    text,
    -- The message that was refused. No reference: messages go earlier.
    message_id uuid,
    created_at timestamptz NOT NULL
);

-- Each mail that ends looks for what it led to.
CREATE INDEX suppression_of_message ON email.suppression (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX suppression_newest ON email.suppression (created_at DESC, address DESC);

ALTER TABLE email.message
    DROP CONSTRAINT message_status_check,
    -- suppressed: not sent, because its address was suppressed when its turn came.
    ADD CONSTRAINT message_status_check CHECK (status IN ('queued', 'sending', 'sent', 'failed', 'expired', 'suppressed')),
    -- What the recipient reads, as a BCP 47 tag; where there is no template in it, another takes its place.
    ADD COLUMN language text,
    -- A message has no event where somebody wrote it, or had it sent again.
    ALTER COLUMN event_id DROP NOT NULL,
    -- The message that this one repeats. No reference: either may go first.
    ADD COLUMN resend_of uuid,
    -- The account that wrote it or had it sent again, and the key by which it knows a repeated request.
    ADD COLUMN written_by uuid,
    ADD COLUMN idempotency_key text,
    -- Of the request, to tell a repetition from another one under the same key.
    ADD COLUMN request_digest bytea;

-- A message is held by a lease that may run out while its sender lives. Just before a mail server is told the mail itself, the sender makes
-- sure that the lease is still its own, and says so here: from then on nobody knows whether the mail is out until the server has answered.
ALTER TABLE email.message
    ADD COLUMN handing_over boolean NOT NULL DEFAULT false,
    -- How often nobody came to know it.
    ADD COLUMN unclear integer NOT NULL DEFAULT 0;

-- What expires is taken first.
CREATE INDEX message_due_expiring ON email.message (next_attempt_at) WHERE status = 'queued' AND expires_at IS NOT NULL;

CREATE UNIQUE INDEX message_idempotency ON email.message (written_by, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- Listings, newest first, by what they are filtered by.
CREATE INDEX message_by_recipient ON email.message (lower(recipient), id DESC);
DROP INDEX email.message_of_address;
CREATE INDEX message_by_template ON email.message (template, id DESC);
-- What pruning looks for among messages without an event.
CREATE INDEX message_without_event ON email.message (created_at) WHERE event_id IS NULL;
-- What pruning goes by among those with one.
CREATE INDEX message_of_event ON email.message (event_id) WHERE event_id IS NOT NULL;

-- What became of each attempt to hand a message over.
CREATE TABLE email.attempt (
    message_id uuid        NOT NULL REFERENCES email.message ON DELETE CASCADE,
    -- From 1 on.
    number     integer     NOT NULL,
    -- When it ended.
    at         timestamptz NOT NULL,
    -- unclear: the mail may be out. lost: whoever made it died before that could be.
    outcome    text        NOT NULL CHECK (outcome IN ('sent', 'postponed', 'unclear', 'failed', 'lost')),
    error      text,
    PRIMARY KEY (message_id, number)
);
