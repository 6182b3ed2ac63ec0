-- Charge points get another identity or another device, are taken out of use, and come back.
ALTER TABLE ocpp.charge_point
    -- Grows with each of these: who was let in before it grew does not get a session any more.
    ADD COLUMN installation integer NOT NULL DEFAULT 1,
    -- What it was called before, the latest first: its certificates may say so still.
    ADD COLUMN former_identities text[] COLLATE "C" NOT NULL DEFAULT '{}',
    -- Since then nobody is let in; null while it is in use.
    ADD COLUMN retired_at timestamptz,
    -- SHA-256 of the certificate that it came in with last, where it needs one.
    ADD COLUMN shown_certificate bytea;

CREATE INDEX charge_point_retired ON ocpp.charge_point (identity) WHERE retired_at IS NOT NULL;

-- The device that it was issued to has been replaced.
ALTER TABLE ocpp.issued_certificate ADD COLUMN void_since timestamptz;

-- Certificates that were issued elsewhere and shown by devices that have been replaced, by their SHA-256.
CREATE TABLE ocpp.void_certificate (
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    sha256          bytea NOT NULL,
    void_since      timestamptz NOT NULL,
    PRIMARY KEY (charge_point_id, sha256)
);

-- Nothing is known of the last session of a device that has been replaced, and nothing of what it answered.
ALTER TABLE ocpp.session ALTER COLUMN protocol DROP NOT NULL;
ALTER TABLE ocpp.availability
    ALTER COLUMN answer DROP NOT NULL,
    ALTER COLUMN answered_at DROP NOT NULL;

CREATE INDEX transfer_by_charge_point ON ocpp.transfer (charge_point_id);
