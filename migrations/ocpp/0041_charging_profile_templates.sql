-- Charging profiles that operators keep, to give them to many connectors.
CREATE TABLE ocpp.charging_profile_template (
    id         uuid PRIMARY KEY,
    -- Makes the ids that its profiles have at charge points. Free again when the template is gone.
    number     integer NOT NULL CONSTRAINT charging_profile_template_number_unique UNIQUE,
    name       text COLLATE "C" NOT NULL,
    version    integer NOT NULL,
    profile    jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    revision   bigint NOT NULL DEFAULT nextval('ocpp.revision'),
    CONSTRAINT charging_profile_template_number CHECK (number BETWEEN 0 AND 99999)
);

-- Serves the list and the uniqueness.
CREATE UNIQUE INDEX charging_profile_template_name_unique ON ocpp.charging_profile_template (lower(name));

-- Where the next number is looked for, so that one that has become free is not used again at once.
CREATE SEQUENCE ocpp.charging_profile_template_number AS integer MINVALUE 0 MAXVALUE 99999 CYCLE;

-- A request to give a template to connectors.
CREATE TABLE ocpp.charging_profile_application (
    id              uuid PRIMARY KEY,
    template_id     uuid NOT NULL REFERENCES ocpp.charging_profile_template (id) ON DELETE CASCADE,
    version         integer NOT NULL,
    requested_by    text NOT NULL,
    idempotency_key text,
    -- Tells a repeated request from another one under the same key.
    request_digest  bytea NOT NULL,
    created_at      timestamptz NOT NULL
);

CREATE INDEX charging_profile_application_of_template ON ocpp.charging_profile_application (template_id);
CREATE UNIQUE INDEX charging_profile_application_key_unique
    ON ocpp.charging_profile_application (requested_by, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- The commands that it became.
CREATE TABLE ocpp.charging_profile_application_command (
    command_id     uuid PRIMARY KEY REFERENCES ocpp.command (id),
    application_id uuid NOT NULL REFERENCES ocpp.charging_profile_application (id) ON DELETE CASCADE,
    connector_id   integer NOT NULL
);

-- Serves the answer to a repeated request: ids of commands are in the order of the request.
CREATE INDEX charging_profile_application_command_of_application
    ON ocpp.charging_profile_application_command (application_id, command_id);

-- What has become of a template at a connector.
CREATE TABLE ocpp.charging_profile_template_place (
    template_id         uuid NOT NULL REFERENCES ocpp.charging_profile_template (id) ON DELETE CASCADE,
    charge_point_id     uuid NOT NULL REFERENCES ocpp.charge_point (id),
    -- 0 is the charge point as a whole.
    connector_id        integer NOT NULL,
    charging_profile_id integer NOT NULL,
    -- The version that was sent last, and the command with it.
    version             integer NOT NULL,
    command_id          uuid NOT NULL REFERENCES ocpp.command (id),
    applied_at          timestamptz NOT NULL,
    -- `pending` while the command is under way; then whether the charge point has a version of it (`held`), and if not, why.
    state               text NOT NULL,
    -- The version that the charge point is known to have, whatever is under way.
    confirmed_version   integer,
    -- When it last confirmed one, also where it has none any more.
    confirmed_at        timestamptz,
    -- Serves the list.
    PRIMARY KEY (template_id, charge_point_id, connector_id),
    CONSTRAINT charging_profile_template_place_state
        CHECK (state IN ('pending', 'held', 'cleared', 'replaced', 'unconfirmed')),
    CONSTRAINT charging_profile_template_place_held CHECK (state = 'pending' OR (state = 'held') = (confirmed_version IS NOT NULL))
);

-- Serves the list of those in a state.
CREATE INDEX charging_profile_template_place_by_state
    ON ocpp.charging_profile_template_place (template_id, state, charge_point_id, connector_id) INCLUDE (confirmed_version);
-- Where a charge point drops a profile, or a command has its outcome.
CREATE UNIQUE INDEX charging_profile_template_place_of_profile
    ON ocpp.charging_profile_template_place (charge_point_id, charging_profile_id);
CREATE INDEX charging_profile_template_place_of_command ON ocpp.charging_profile_template_place (command_id);
