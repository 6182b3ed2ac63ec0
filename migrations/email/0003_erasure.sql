-- What email-service knows of an account goes with the account. That there was a message stays; to whom, and with what in it, does
-- not.
ALTER TABLE email.message
    -- The account that the message is about, where its event names one.
    ADD COLUMN account_id uuid;

CREATE INDEX message_of_account ON email.message (account_id) WHERE account_id IS NOT NULL;
-- The owner of an address hears of some things that are no account's.
CREATE INDEX message_of_address ON email.message (recipient) WHERE account_id IS NULL;

-- Accounts that are no more. Events come in any order, so a message may still be under way when its account is deleted, or be
-- queued afterwards: it goes out, and is erased when it has come to its end.
CREATE TABLE email.deleted_account (
    id         uuid        PRIMARY KEY,
    deleted_at timestamptz NOT NULL
);
