-- Where charge points stand.
CREATE TABLE ocpp.site (
    id               uuid PRIMARY KEY,
    name             text COLLATE "C" NOT NULL,
    -- A name of the IANA time zone database.
    time_zone        text NOT NULL,
    grid_limit_watts integer,
    address          text,
    -- In alphabetical order, each once.
    groups           text[] COLLATE "C" NOT NULL DEFAULT '{}',
    created_at       timestamptz NOT NULL,
    revision         bigint NOT NULL DEFAULT nextval('ocpp.revision'),
    CONSTRAINT site_grid_limit CHECK (grid_limit_watts > 0)
);

-- Serves the list and the uniqueness.
CREATE UNIQUE INDEX site_name_unique ON ocpp.site (lower(name));
CREATE INDEX site_groups ON ocpp.site USING gin (groups);

ALTER TABLE ocpp.charge_point ADD COLUMN site_id uuid CONSTRAINT charge_point_site REFERENCES ocpp.site (id);

CREATE INDEX charge_point_by_site ON ocpp.charge_point (site_id, identity) WHERE site_id IS NOT NULL;
