-- The language that an account's owner reads, as a BCP 47 tag; none where they have not said. Mail to them is written in it, so it
-- goes along with each event about the account.
ALTER TABLE authentication.account ADD COLUMN language text;
ALTER TABLE authentication.outbox ADD COLUMN language text;
