-- Charge points, what they say, and what is said to them.
--
-- Identities and tokens are compared byte by byte (collation "C"), so that the order of a list and the case folding of
-- a token do not depend on the machine's locale: OCPP knows ASCII case only.

-- Versions of what operators change, one after the other whatever they are of: what was deleted and made anew is not taken
-- for what it was.
CREATE SEQUENCE ocpp.revision;

CREATE TABLE ocpp.charge_point (
    id                  uuid PRIMARY KEY,
    -- May change when a station is renamed or replaced; everything else refers to the id.
    identity            text COLLATE "C" NOT NULL,
    display_name        text NOT NULL,
    -- What the next BootNotification is answered with.
    registration_status text NOT NULL DEFAULT 'Accepted',
    -- What the last BootNotification was answered with; null until the first. The boot gate follows this one.
    boot_answer         text,
    security_profile    smallint NOT NULL,
    -- HMAC-SHA256 under a key of the service; null where the profile knows no password.
    password_hash       bytea,
    -- Common name of the certificate with security profile 3, where it is neither the serial number nor the identity.
    certificate_name    text,
    vendor              text,
    model               text,
    serial_number       text,
    charge_box_serial   text,
    firmware_version    text,
    iccid               text,
    imsi                text,
    meter_type          text,
    meter_serial        text,
    last_boot_at        timestamptz,
    created_at          timestamptz NOT NULL,
    -- Changes with what operators decide, not with what the station says.
    revision            bigint NOT NULL DEFAULT nextval('ocpp.revision'),
    CONSTRAINT charge_point_identity_unique UNIQUE (identity),
    CONSTRAINT charge_point_identity_length CHECK (length(identity) BETWEEN 1 AND 48),
    CONSTRAINT charge_point_registration_status CHECK (registration_status IN ('Accepted', 'Pending', 'Rejected')),
    CONSTRAINT charge_point_boot_answer CHECK (boot_answer IN ('Accepted', 'Pending', 'Rejected')),
    CONSTRAINT charge_point_security_profile CHECK (security_profile BETWEEN 0 AND 3)
);

-- A running charger-service. It renews its lease; sessions of one whose lease ran out are over, whatever they say.
-- Leases are measured by the database's clock, the only one that all replicas share.
CREATE TABLE ocpp.instance (
    id          uuid PRIMARY KEY,
    lease_until timestamptz NOT NULL
);

-- The last connection of a charge point. The epoch grows with each, and fences an older one off. The connection outlives the
-- stream that carries it from the gateway, and the process at the end of it: `stream` grows with each of those.
CREATE TABLE ocpp.session (
    charge_point_id uuid PRIMARY KEY REFERENCES ocpp.charge_point (id),
    epoch           bigint NOT NULL,
    stream          bigint NOT NULL,
    -- SHA-256 of the token by which the gateway resumes the session.
    resumption_hash bytea NOT NULL,
    instance_id     uuid NOT NULL,
    protocol        text NOT NULL,
    peer            text,
    connected_at    timestamptz NOT NULL,
    disconnected_at timestamptz,
    -- When a frame last came in; kept here and not with the charge point, since it changes with every frame.
    last_seen_at    timestamptz
) WITH (fillfactor = 70);

CREATE INDEX session_open_by_instance ON ocpp.session (instance_id) WHERE disconnected_at IS NULL;

-- The state of each connector by its last StatusNotification. Connector 0 is the charge point as a whole.
CREATE TABLE ocpp.connector (
    charge_point_id   uuid NOT NULL REFERENCES ocpp.charge_point (id),
    connector_id      integer NOT NULL,
    status            text NOT NULL,
    error_code        text NOT NULL,
    info              text,
    vendor_id         text,
    vendor_error_code text,
    -- As the station told it, or when it came in where it did not.
    status_at         timestamptz NOT NULL,
    -- The same, unless the station's clock is plainly wrong: what later notifications are compared with.
    ordered_at        timestamptz NOT NULL,
    received_at       timestamptz NOT NULL,
    PRIMARY KEY (charge_point_id, connector_id)
) WITH (fillfactor = 70);

CREATE TABLE ocpp.id_token (
    id         uuid PRIMARY KEY,
    value      text COLLATE "C" NOT NULL,
    type       text NOT NULL,
    group_id   text COLLATE "C",
    expires_at timestamptz,
    blocked    boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    revision   bigint NOT NULL DEFAULT nextval('ocpp.revision'),
    CONSTRAINT id_token_value_length CHECK (length(value) BETWEEN 1 AND 36),
    CONSTRAINT id_token_type CHECK
        (type IN ('ISO14443', 'ISO15693', 'eMAID', 'KeyCode', 'Local', 'MacAddress', 'Central'))
);

-- Serves the look-up, the list and the uniqueness.
CREATE UNIQUE INDEX id_token_value_unique ON ocpp.id_token (lower(value));

-- OCPP 1.6 knows a transaction by a number that the central system chooses.
CREATE SEQUENCE ocpp.transaction_id AS integer MINVALUE 1 START 1 NO CYCLE;

CREATE TABLE ocpp.transaction (
    id                 integer PRIMARY KEY DEFAULT nextval('ocpp.transaction_id'),
    charge_point_id    uuid NOT NULL REFERENCES ocpp.charge_point (id),
    connector_id       integer NOT NULL,
    -- As the station presented it; it need not be registered.
    id_token           text COLLATE "C" NOT NULL,
    -- A refused start stays `refused` when its stop comes in.
    status             text NOT NULL,
    -- What the start was answered with, for a repeated start to be answered alike.
    authorization_status text NOT NULL,
    reservation_id     integer,
    -- Null where the station sent something that is no number, which is not the same as 0.
    meter_start_wh     bigint,
    meter_stop_wh      bigint,
    -- The latest sample of the energy register, by the station's clock.
    register_wh        numeric,
    register_at        timestamptz,
    energy_wh          numeric GENERATED ALWAYS AS (
        CASE WHEN coalesce(meter_stop_wh, register_wh) >= meter_start_wh
             THEN coalesce(meter_stop_wh, register_wh) - meter_start_wh END) STORED,
    -- By the station's clock (null where it cannot be read), and by ours when the message came in.
    started_at         timestamptz,
    stopped_at         timestamptz,
    start_received_at  timestamptz NOT NULL,
    stop_received_at   timestamptz,
    stop_reason        text,
    stop_id_token      text,
    CONSTRAINT transaction_status CHECK (status IN ('active', 'completed', 'refused')),
    CONSTRAINT transaction_completed_is_stopped CHECK (
        CASE status WHEN 'active' THEN stop_received_at IS NULL
                    WHEN 'completed' THEN stop_received_at IS NOT NULL
                    ELSE true END)
);

-- What a start is recognised by when the station repeats it because our answer got lost. Two sockets of one station may
-- say it at the same moment, hence a constraint. Tags of any length are stored, but an index has a limit.
CREATE UNIQUE INDEX transaction_start_unique ON ocpp.transaction
    (charge_point_id, connector_id, left(lower(id_token), 255), coalesce(started_at, '-infinity'::timestamptz),
     coalesce(meter_start_wh, -9223372036854775808))
    WHERE stop_received_at IS NULL;

CREATE INDEX transaction_by_charge_point ON ocpp.transaction (charge_point_id, id);
CREATE INDEX transaction_by_status ON ocpp.transaction (status, id);
CREATE INDEX transaction_by_charge_point_and_status ON ocpp.transaction (charge_point_id, status, id);

-- One row a sampled value. No foreign keys: it is written most of all, by the code that has just looked both up.
CREATE TABLE ocpp.meter_value (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    charge_point_id  uuid NOT NULL,
    -- Null where the station does not tell and no transaction does.
    connector_id     integer,
    -- Null for values outside a transaction.
    transaction_id   integer,
    -- By the station's clock, or when it came in where that cannot be read.
    sampled_at       timestamptz NOT NULL,
    received_at      timestamptz NOT NULL,
    -- As it came, with OCPP's defaults written out.
    value            text NOT NULL,
    measurand        text NOT NULL,
    unit             text,
    context          text NOT NULL,
    format           text NOT NULL,
    location         text NOT NULL,
    phase            text,
    -- In the base unit; null where the value is signed or not a number, or the unit is unknown.
    normalized_value numeric,
    normalized_unit  text
);

-- One measurand is picked out of a transaction's values by reading them, since a transaction has few.
CREATE INDEX meter_value_by_transaction ON ocpp.meter_value (transaction_id, sampled_at, id)
    WHERE transaction_id IS NOT NULL;

-- Stops and meter values that matched no transaction, or contradicted one, kept for an operator to reconcile.
CREATE TABLE ocpp.unmatched (
    id                      uuid PRIMARY KEY,
    charge_point_id         uuid NOT NULL REFERENCES ocpp.charge_point (id),
    kind                    text NOT NULL,
    -- What the station said; null where it is no number.
    reported_transaction_id integer,
    reason                  text NOT NULL,
    -- The CALL's payload as it came.
    payload                 text NOT NULL,
    received_at             timestamptz NOT NULL,
    CONSTRAINT unmatched_kind CHECK (kind IN ('stop', 'meter_values')),
    CONSTRAINT unmatched_reason CHECK (reason IN ('unknown_transaction', 'other_charge_point', 'already_stopped'))
);

CREATE INDEX unmatched_by_charge_point ON ocpp.unmatched (charge_point_id, reported_transaction_id, id);

-- CALLs to charge points: a durable ledger.
CREATE TABLE ocpp.command (
    -- Also the CALL's message id.
    id                uuid PRIMARY KEY,
    charge_point_id   uuid NOT NULL REFERENCES ocpp.charge_point (id),
    action            text NOT NULL,
    -- As it was asked for, to the letter (jsonb would sort it). Secrets in it are redacted once it was sent.
    payload           json NOT NULL,
    status            text NOT NULL DEFAULT 'queued',
    response          text,
    error_code        text,
    error_description text,
    requested_by      text NOT NULL,
    idempotency_key   text,
    -- Tells a repeated request from another one under the same key.
    request_digest    bytea NOT NULL,
    -- The session that sent it, and the number of its frame there.
    session_epoch     bigint,
    frame_number      bigint,
    created_at        timestamptz NOT NULL,
    sent_at           timestamptz,
    completed_at      timestamptz,
    expires_at        timestamptz NOT NULL,
    CONSTRAINT command_status CHECK
        (status IN ('queued', 'sent', 'accepted', 'rejected', 'error', 'timeout', 'expired')),
    CONSTRAINT command_sent_has_session CHECK
        (status <> 'sent' OR (sent_at IS NOT NULL AND session_epoch IS NOT NULL AND frame_number IS NOT NULL)),
    CONSTRAINT command_completed_has_time CHECK ((status IN ('queued', 'sent')) = (completed_at IS NULL))
);

CREATE INDEX command_by_charge_point ON ocpp.command (charge_point_id, id);
CREATE INDEX command_queued ON ocpp.command (charge_point_id, id) WHERE status = 'queued';
CREATE INDEX command_queued_by_expiry ON ocpp.command (expires_at) WHERE status = 'queued';
CREATE INDEX command_sent ON ocpp.command (charge_point_id, session_epoch) WHERE status = 'sent';
CREATE UNIQUE INDEX command_idempotency_key_unique ON ocpp.command (requested_by, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Every exchange: a CALL and its answer. A frame that was neither is kept without an action. The primary key is the
-- order of the list; no foreign key, since every frame writes here.
CREATE TABLE ocpp.message (
    charge_point_id uuid NOT NULL,
    requested_at    timestamptz NOT NULL,
    id              uuid NOT NULL,
    origin          text NOT NULL,
    message_id      text,
    action          text,
    -- Frames as they were sent, secrets redacted.
    request         text NOT NULL,
    response        text,
    error_code      text,
    violations      text[] NOT NULL DEFAULT '{}',
    responded_at    timestamptz,
    PRIMARY KEY (charge_point_id, requested_at, id),
    CONSTRAINT message_origin CHECK (origin IN ('station', 'csms'))
) PARTITION BY RANGE (requested_at);

CREATE INDEX message_by_action ON ocpp.message (charge_point_id, action, requested_at, id) WHERE action IS NOT NULL;

-- One partition a week, named after its Monday. Creates those from the week of `first_day` on that do not exist yet.
CREATE FUNCTION ocpp.create_message_partitions(first_day timestamptz, weeks integer) RETURNS integer
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    monday timestamptz := date_trunc('week', first_day);
    created integer := 0;
    name text;
BEGIN
    -- Replicas start side by side.
    PERFORM pg_advisory_xact_lock(hashtext('ocpp.message partitions'));
    FOR week IN 0 .. weeks - 1 LOOP
        name := 'message_' || to_char(monday + week * interval '7 days', 'YYYYMMDD');
        IF to_regclass('ocpp.' || name) IS NULL THEN
            EXECUTE format('CREATE TABLE ocpp.%I PARTITION OF ocpp.message FOR VALUES FROM (%L) TO (%L)',
                name, monday + week * interval '7 days', monday + (week + 1) * interval '7 days');
            created := created + 1;
        END IF;
    END LOOP;
    RETURN created;
END $$;

-- Drops the partitions that hold nothing younger than `before`.
CREATE FUNCTION ocpp.drop_message_partitions(before timestamptz) RETURNS integer
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    dropped integer := 0;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ocpp.message partitions'));
    FOR name IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'ocpp.message'::regclass AND relname ~ '^message_[0-9]{8}$'
    LOOP
        IF to_timestamp(right(name, 8), 'YYYYMMDD') + interval '7 days' <= before THEN
            EXECUTE format('DROP TABLE ocpp.%I', name);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$;
