-- One command over many charge points, wave after wave.
CREATE TABLE ocpp.campaign (
    id                   uuid PRIMARY KEY,
    name                 text NOT NULL,
    action               text NOT NULL,
    -- As it was asked for, to the letter. Null where each charge point is told to fetch firmware by a URL of its own.
    payload              json,
    -- What is said of firmware but for the URL, and its file. No key: whoever deletes the file halts the campaign.
    firmware             jsonb,
    file_id              uuid,
    -- How charge points were chosen, for people. Null where they were named.
    selection            jsonb,
    canary_size          integer NOT NULL,
    pause_after_canary   boolean NOT NULL,
    -- Somebody has looked at the canary and resumed.
    canary_confirmed     boolean NOT NULL DEFAULT false,
    wave_size            integer NOT NULL,
    max_failures         integer,
    max_failure_percent  integer,
    failures_of          text NOT NULL,
    -- Those that somebody has resumed in spite of.
    failures_forgiven    bigint NOT NULL DEFAULT 0,
    expires_in_seconds   integer NOT NULL,
    -- How long charge points have to install firmware, and the earliest from which on. Null where it is not waited for.
    installation_seconds integer,
    installation_from    timestamptz,
    state                text NOT NULL,
    pause_reason         text,
    pause_note           text,
    -- The present one, counted from 1, and how many there are.
    wave                 integer NOT NULL DEFAULT 1,
    waves                integer NOT NULL,
    targets              integer NOT NULL,
    -- As commands keep it, and the account, if it was one.
    created_by           text NOT NULL,
    actor_id             uuid,
    idempotency_key      text,
    -- Tells a repeated request from another one under the same key.
    request_digest       bytea NOT NULL,
    created_at           timestamptz NOT NULL,
    -- When its state or its wave last changed.
    changed_at           timestamptz NOT NULL,
    finished_at          timestamptz,
    -- Changes with its state.
    revision             bigint NOT NULL DEFAULT nextval('ocpp.revision'),
    CONSTRAINT campaign_state CHECK (state IN ('running', 'paused', 'completed', 'canceled')),
    CONSTRAINT campaign_paused_for_a_reason CHECK ((state = 'paused') = (pause_reason IS NOT NULL)),
    CONSTRAINT campaign_finished_has_time CHECK ((state IN ('completed', 'canceled')) = (finished_at IS NOT NULL)),
    CONSTRAINT campaign_what CHECK (num_nonnulls(payload, firmware) = 1 AND (firmware IS NULL) = (file_id IS NULL)),
    CONSTRAINT campaign_failures_of CHECK (failures_of IN ('wave', 'campaign')),
    CONSTRAINT campaign_wave CHECK (wave BETWEEN 1 AND waves)
);

CREATE INDEX campaign_of_state ON ocpp.campaign (state, id);
CREATE UNIQUE INDEX campaign_idempotency_key_unique ON ocpp.campaign (created_by, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Commands that a campaign has sent.
ALTER TABLE ocpp.command ADD COLUMN campaign_id uuid CONSTRAINT command_campaign REFERENCES ocpp.campaign (id);

-- The charge points that a campaign is for, settled when it was created.
CREATE TABLE ocpp.campaign_target (
    campaign_id     uuid NOT NULL REFERENCES ocpp.campaign (id),
    -- Their order; from 1.
    position        integer NOT NULL,
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    wave            integer NOT NULL,
    -- That of its command, once there is one, as the trigger below has it; or one that only campaigns know.
    state           text NOT NULL DEFAULT 'waiting',
    command_id      uuid CONSTRAINT campaign_target_command REFERENCES ocpp.command (id),
    changed_at      timestamptz,
    -- Until when it has to be installed.
    due_at          timestamptz,
    PRIMARY KEY (campaign_id, position),
    CONSTRAINT campaign_target_once UNIQUE (campaign_id, charge_point_id),
    CONSTRAINT campaign_target_state CHECK (state IN ('waiting', 'queued', 'sent', 'installing', 'accepted', 'rejected',
        'error', 'timeout', 'failed', 'expired', 'skipped')),
    CONSTRAINT campaign_target_has_command CHECK (
        CASE state WHEN 'waiting' THEN command_id IS NULL WHEN 'skipped' THEN true ELSE command_id IS NOT NULL END),
    CONSTRAINT campaign_target_installing_ends CHECK (state <> 'installing' OR due_at IS NOT NULL)
);

-- What comes next in a wave, and whether it is over.
CREATE INDEX campaign_target_of_wave ON ocpp.campaign_target (campaign_id, wave, state, position);
-- The report, and the list by state.
CREATE INDEX campaign_target_of_state ON ocpp.campaign_target (campaign_id, state, position);
CREATE UNIQUE INDEX campaign_target_of_command ON ocpp.campaign_target (command_id) WHERE command_id IS NOT NULL;
CREATE INDEX campaign_target_installing ON ocpp.campaign_target (due_at) WHERE state = 'installing';

-- Whatever becomes of a command, wherever that is decided, its target has it by the same transaction. Whoever changes both has the
-- command first, so that nobody waits in a circle.
CREATE FUNCTION ocpp.campaign_target_follows_command() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ocpp.campaign_target AS target
    SET state = CASE WHEN is_to_install THEN 'installing' ELSE NEW.status END,
        due_at = CASE WHEN is_to_install
                      THEN greatest(NEW.completed_at, installation_from) + make_interval(secs => installation_seconds) END,
        changed_at = coalesce(NEW.completed_at, NEW.sent_at)
    FROM ocpp.campaign, LATERAL (
        SELECT NEW.status = 'accepted' AND installation_seconds IS NOT NULL AS is_to_install) AS next
    WHERE target.command_id = NEW.id AND campaign.id = target.campaign_id;
    RETURN NULL;
END $$;

CREATE TRIGGER campaign_target_follows_command AFTER UPDATE OF status ON ocpp.command
    FOR EACH ROW WHEN (NEW.campaign_id IS NOT NULL AND NEW.status IS DISTINCT FROM OLD.status)
    EXECUTE FUNCTION ocpp.campaign_target_follows_command();

-- Events of campaigns are no charge point's.
ALTER TABLE ocpp.event ALTER COLUMN identity DROP NOT NULL;
