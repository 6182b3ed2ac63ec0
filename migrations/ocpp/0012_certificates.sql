-- The authority that issues charge points' certificates, where none is set by files. There is one.
CREATE TABLE ocpp.certificate_authority (
    singleton   boolean PRIMARY KEY DEFAULT true,
    id          uuid NOT NULL,
    -- PEM.
    certificate text NOT NULL,
    -- PKCS #8, sealed under a key of the service.
    sealed_key  bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT certificate_authority_is_one CHECK (singleton)
);

-- Certificates that charge points asked for (SignCertificate) or were sent by hand.
CREATE TABLE ocpp.issued_certificate (
    id              uuid PRIMARY KEY,
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    -- The signing request in PEM; null where a certificate was sent by hand.
    request         text,
    -- PEM; null while nobody has signed the request. The rest is what its first certificate says.
    chain           text,
    -- Hexadecimal, as OCPP writes it.
    serial_number   text,
    common_name     text,
    not_before      timestamptz,
    not_after       timestamptz,
    -- The CertificateSigned that takes it to the charge point; its answer is there.
    command_id      uuid,
    created_at      timestamptz NOT NULL
);

CREATE INDEX issued_certificate_by_charge_point ON ocpp.issued_certificate (charge_point_id, id);
CREATE INDEX issued_certificate_by_expiry ON ocpp.issued_certificate (not_after);
CREATE INDEX issued_certificate_by_command ON ocpp.issued_certificate (command_id);

-- Roots that charge points have said, by their answers, to trust.
CREATE TABLE ocpp.installed_certificate (
    charge_point_id  uuid NOT NULL REFERENCES ocpp.charge_point (id),
    certificate_type text NOT NULL,
    hash_algorithm   text NOT NULL,
    -- Lower case.
    issuer_name_hash text NOT NULL,
    issuer_key_hash  text NOT NULL,
    -- Upper case, no leading zeroes.
    serial_number    text NOT NULL,
    -- Known where the certificate was sent from here.
    common_name      text,
    not_after        timestamptz,
    learnt_at        timestamptz NOT NULL,
    PRIMARY KEY (charge_point_id, certificate_type, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number)
);
