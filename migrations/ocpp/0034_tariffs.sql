-- What charging costs. A charge goes by the version that held when it began.
CREATE TABLE ocpp.tariff (
    id              uuid PRIMARY KEY,
    name            text COLLATE "C" NOT NULL,
    -- Where it holds: one of these, or everywhere.
    charge_point_id uuid CONSTRAINT tariff_charge_point REFERENCES ocpp.charge_point (id),
    site_id         uuid CONSTRAINT tariff_site REFERENCES ocpp.site (id),
    site_group      text COLLATE "C",
    valid_from      timestamptz NOT NULL,
    valid_until     timestamptz,
    version         integer NOT NULL,
    created_at      timestamptz NOT NULL,
    revision        bigint NOT NULL DEFAULT nextval('ocpp.revision'),
    CONSTRAINT tariff_place CHECK (num_nonnulls(charge_point_id, site_id, site_group) <= 1),
    CONSTRAINT tariff_validity CHECK (valid_from < valid_until)
);

-- Serves the list and the uniqueness.
CREATE UNIQUE INDEX tariff_name_unique ON ocpp.tariff (lower(name));
-- Of two that hold in a place since the same moment nobody could tell which counts.
CREATE UNIQUE INDEX tariff_beginning_unique ON ocpp.tariff
    (coalesce(charge_point_id::text, site_id::text, site_group, ''), num_nonnulls(charge_point_id, site_id), valid_from);
CREATE INDEX tariff_of_charge_point ON ocpp.tariff (charge_point_id, valid_from) WHERE charge_point_id IS NOT NULL;
CREATE INDEX tariff_of_site ON ocpp.tariff (site_id, valid_from) WHERE site_id IS NOT NULL;
CREATE INDEX tariff_of_group ON ocpp.tariff (site_group, valid_from) WHERE site_group IS NOT NULL;

-- What a tariff said. Never changed, and kept when the tariff is withdrawn.
CREATE TABLE ocpp.tariff_version (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tariff_id  uuid NOT NULL,
    version    integer NOT NULL,
    name       text NOT NULL,
    terms      jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT tariff_version_unique UNIQUE (tariff_id, version)
);

-- The version by which a charge goes that begins at a moment, if there is one. Of the narrowest place, and there of the tariff that
-- holds since last.
CREATE FUNCTION ocpp.tariff_version_of(place uuid, at timestamptz) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT tariff_version.id
    FROM ocpp.charge_point
    LEFT JOIN ocpp.site ON site.id = charge_point.site_id
    JOIN ocpp.tariff ON tariff.charge_point_id = charge_point.id OR tariff.site_id = site.id
        OR tariff.site_group = ANY (site.groups)
        OR num_nonnulls(tariff.charge_point_id, tariff.site_id, tariff.site_group) = 0
    JOIN ocpp.tariff_version ON tariff_version.tariff_id = tariff.id AND tariff_version.version = tariff.version
    WHERE charge_point.id = place AND tariff.valid_from <= at AND (tariff.valid_until IS NULL OR at < tariff.valid_until)
    ORDER BY CASE WHEN tariff.charge_point_id IS NOT NULL THEN 1 WHEN tariff.site_id IS NOT NULL THEN 2
                  WHEN tariff.site_group IS NOT NULL THEN 3 ELSE 4 END,
        tariff.valid_from DESC, tariff.site_group
    LIMIT 1
$$;

ALTER TABLE ocpp.transaction
    -- None: it costs nothing.
    ADD COLUMN tariff_version_id bigint CONSTRAINT transaction_tariff_version REFERENCES ocpp.tariff_version (id),
    -- As in its latest record.
    ADD COLUMN total_cost numeric,
    ADD COLUMN currency text;

-- What a charge was and what it cost. The highest number of a transaction counts.
CREATE TABLE ocpp.charge_record (
    id                uuid PRIMARY KEY,
    transaction_id    integer NOT NULL,
    number            integer NOT NULL,
    charge_point_id   uuid NOT NULL,
    identity          text NOT NULL,
    connector_id      integer NOT NULL,
    started_at        timestamptz NOT NULL,
    stopped_at        timestamptz NOT NULL,
    energy_wh         numeric,
    time_zone         text NOT NULL,
    tariff_version_id bigint NOT NULL CONSTRAINT charge_record_tariff_version REFERENCES ocpp.tariff_version (id),
    -- As they were then, whatever becomes of the tables.
    tariff_id         uuid NOT NULL,
    tariff_version    integer NOT NULL,
    tariff_name       text NOT NULL,
    terms             jsonb NOT NULL,
    cost              jsonb NOT NULL,
    signed_values     text[] NOT NULL,
    created_at        timestamptz NOT NULL,
    CONSTRAINT charge_record_unique UNIQUE (transaction_id, number)
);

CREATE INDEX charge_record_newest ON ocpp.charge_record (created_at, id);
CREATE INDEX charge_record_of_charge_point ON ocpp.charge_record (charge_point_id, created_at, id);

CREATE FUNCTION ocpp.is_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER charge_record_is_never_changed BEFORE UPDATE OR TRUNCATE ON ocpp.charge_record
    FOR EACH STATEMENT EXECUTE FUNCTION ocpp.is_never_changed();
CREATE TRIGGER tariff_version_is_never_changed BEFORE UPDATE OR TRUNCATE ON ocpp.tariff_version
    FOR EACH STATEMENT EXECUTE FUNCTION ocpp.is_never_changed();

-- What a connector told in a stretch of time is looked up, as well as its whole history. Both go by when it came in.
DROP INDEX ocpp.connector_status_of_connector;
CREATE INDEX connector_status_of_connector ON ocpp.connector_status (charge_point_id, connector_id, received_at, id);
