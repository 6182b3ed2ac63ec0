-- Up to where the events of the live feed have been looked through for what other services are told of.
CREATE TABLE ocpp.announced (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    -- The server whose transactions they are; none before the first look.
    server    integer,
    xid       xid8 NOT NULL,
    id        bigint NOT NULL
);

INSERT INTO ocpp.announced (xid, id) VALUES ('0', 0);

-- When other services were told that the certificate ends soon.
ALTER TABLE ocpp.issued_certificate ADD COLUMN expiry_told_at timestamptz;
