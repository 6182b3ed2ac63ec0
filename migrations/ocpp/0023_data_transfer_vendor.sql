-- Vendors to which what charge points say to them in a DataTransfer is forwarded. Their names are compared without case.
CREATE TABLE ocpp.data_transfer_vendor (
    id              uuid PRIMARY KEY,
    vendor_id       text COLLATE "C" NOT NULL,
    url             text NOT NULL,
    -- The only messages that are forwarded, as they were given; all where there are none.
    message_ids     text[] NOT NULL,
    timeout_seconds integer NOT NULL,
    -- Sealed under a key of the service.
    signing_secret  bytea NOT NULL,
    -- When it was made here; null where it was given.
    secret_made_at  timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    revision        bigint NOT NULL DEFAULT nextval('ocpp.revision'),
    CONSTRAINT data_transfer_vendor_id_length CHECK (length(vendor_id) BETWEEN 1 AND 255),
    CONSTRAINT data_transfer_vendor_timeout CHECK (timeout_seconds BETWEEN 1 AND 30)
);

-- Serves the look-up, the list and the uniqueness.
CREATE UNIQUE INDEX data_transfer_vendor_unique ON ocpp.data_transfer_vendor (lower(vendor_id));
