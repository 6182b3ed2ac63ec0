-- Whoever verifies tokens hears of the signing keys from one replica or another, which may not have heard of the newest change
-- itself. It counts the changes, so that of two sets of keys the newer one is known.
CREATE TABLE authentication.signing_key_revision (
    -- There is one row.
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    -- Raised in the transaction of each change of the keys.
    revision bigint  NOT NULL
);

INSERT INTO authentication.signing_key_revision (revision) VALUES (1);
