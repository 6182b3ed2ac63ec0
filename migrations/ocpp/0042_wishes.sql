-- What operators want charge points to have: their local lists, and their configuration.

-- What the local list of a charge point should hold: every token that may charge there, or those of `desired_local_list_token`.
CREATE TABLE ocpp.desired_local_list (
    charge_point_id uuid PRIMARY KEY REFERENCES ocpp.charge_point (id),
    all_tokens      boolean NOT NULL,
    -- It is brought there whenever it differs, without anybody asking.
    automatic       boolean NOT NULL,
    set_at          timestamptz NOT NULL,
    revision        bigint NOT NULL DEFAULT nextval('ocpp.revision'),
    -- What has become of the last attempt to bring it there.
    state           text NOT NULL DEFAULT 'idle',
    -- Why it failed: the charge point's answer, or what has become of the command.
    problem         text,
    -- The SendLocalList that is under way, and how many have been since the attempt began.
    command_id      uuid REFERENCES ocpp.command (id),
    steps           integer NOT NULL DEFAULT 0,
    -- A change was refused in this attempt, and the whole list followed.
    is_retried      boolean NOT NULL DEFAULT false,
    -- What the charge point has is not known for sure, so that the next is the whole list.
    full_next       boolean NOT NULL DEFAULT false,
    -- Of the last list that was sent, answered or not.
    sent_version    integer,
    synchronized_at timestamptz,
    -- When an automatic one is looked at next.
    due_at          timestamptz NOT NULL,
    CONSTRAINT desired_local_list_state
        CHECK (state IN ('idle', 'pending', 'synchronized', 'failed', 'notSupported', 'tooLong')),
    CONSTRAINT desired_local_list_pending CHECK ((state = 'pending') = (command_id IS NOT NULL))
);

-- Serves the look for those that are due, and what follows from the outcome of a command.
CREATE INDEX desired_local_list_due ON ocpp.desired_local_list (due_at)
    WHERE automatic AND command_id IS NULL AND state <> 'notSupported';
-- Whether anybody wants to hear of changed tokens, and who of all of them.
CREATE INDEX desired_local_list_of_all ON ocpp.desired_local_list (all_tokens, charge_point_id) WHERE automatic;
CREATE INDEX desired_local_list_of_command ON ocpp.desired_local_list (command_id) WHERE command_id IS NOT NULL;

CREATE TABLE ocpp.desired_local_list_token (
    charge_point_id uuid NOT NULL REFERENCES ocpp.desired_local_list (charge_point_id) ON DELETE CASCADE,
    -- As it was registered; it may be deleted from the register since.
    id_token        text COLLATE "C" NOT NULL,
    -- It was a code that people type in. What was one stays one.
    is_code         boolean NOT NULL
);

-- Serves the list and the uniqueness.
CREATE UNIQUE INDEX desired_local_list_token_unique ON ocpp.desired_local_list_token (charge_point_id, lower(id_token));
-- The lists that a token is on.
CREATE INDEX desired_local_list_token_by_token ON ocpp.desired_local_list_token (lower(id_token));

ALTER TABLE ocpp.local_list_entry ADD COLUMN is_code boolean NOT NULL DEFAULT false;

-- Tokens that were registered, changed or deleted, until it has been seen to the lists that they may be on.
CREATE TABLE ocpp.id_token_change (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    value text COLLATE "C" NOT NULL
);

-- What stays of a command's payload when it has its outcome, where codes are in it that people type in.
CREATE TABLE ocpp.masked_payload (
    command_id uuid PRIMARY KEY REFERENCES ocpp.command (id),
    payload    json NOT NULL
);

-- A configuration key that is a number of 0 or more, as a charge point has reported it; null where it has not.
CREATE FUNCTION ocpp.reported_number(station uuid, wanted text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN reported_value ~ '^\s*[0-9]{1,9}\s*$' THEN reported_value::integer END
    FROM ocpp.configuration_key WHERE charge_point_id = station AND lower(key) = lower(wanted COLLATE "C")
$$;

-- The entries that the local list of a charge point should have at a moment, by tag: the first `most` after `beyond` (in
-- lower case). Tags of more than `longest` characters it cannot have.
CREATE FUNCTION ocpp.wanted_local_list(station uuid, longest integer, moment timestamptz, beyond text, most integer)
RETURNS TABLE (id_tag text, status text, expires_at timestamptz, parent_id_tag text, is_code boolean)
LANGUAGE sql STABLE AS $$
    WITH named AS (
        SELECT coalesce(token.value, wish.id_token) AS id_tag,
            CASE WHEN token.id IS NULL THEN 'Invalid'
                 WHEN token.blocked THEN 'Blocked'
                 WHEN token.expires_at <= moment THEN 'Expired'
                 WHEN EXISTS (SELECT FROM ocpp.id_token_location AS place WHERE place.id_token_id = token.id)
                      AND NOT EXISTS (SELECT FROM ocpp.id_token_location AS place
                                      WHERE place.id_token_id = token.id AND place.charge_point_id = station)
                     THEN 'Invalid'
                 ELSE 'Accepted' END AS status,
            token.expires_at, token.group_id, wish.is_code OR coalesce(token.type = 'KeyCode', false) AS is_code
        FROM ocpp.desired_local_list_token AS wish
        LEFT JOIN ocpp.id_token AS token ON lower(token.value) = lower(wish.id_token)
        WHERE wish.charge_point_id = station AND lower(wish.id_token) > beyond COLLATE "C"
        ORDER BY lower(wish.id_token) LIMIT most),
    everybody AS (
        SELECT token.value AS id_tag, 'Accepted' AS status, token.expires_at, token.group_id, token.type = 'KeyCode' AS is_code
        FROM ocpp.id_token AS token
        WHERE (SELECT all_tokens FROM ocpp.desired_local_list WHERE charge_point_id = station)
          AND lower(token.value) > beyond COLLATE "C" AND length(token.value) <= longest
          AND NOT token.blocked AND (token.expires_at IS NULL OR token.expires_at > moment)
          AND (NOT EXISTS (SELECT FROM ocpp.id_token_location AS place WHERE place.id_token_id = token.id)
               OR EXISTS (SELECT FROM ocpp.id_token_location AS place
                          WHERE place.id_token_id = token.id AND place.charge_point_id = station))
        ORDER BY lower(token.value) LIMIT most)
    SELECT id_tag, status, date_trunc('milliseconds', expires_at), CASE WHEN length(group_id) <= longest THEN group_id END, is_code
    FROM (SELECT * FROM named UNION ALL SELECT * FROM everybody) AS wanted
$$;

-- What differs between the list that a charge point should have and the one that it has confirmed: first what has to go,
-- which has no status, so that there is room for what has to come.
CREATE FUNCTION ocpp.local_list_difference(station uuid, longest integer, moment timestamptz, most integer)
RETURNS TABLE (id_tag text, status text, expires_at timestamptz, parent_id_tag text, is_code boolean)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(wanted.id_tag, entry.id_tag), wanted.status, wanted.expires_at, wanted.parent_id_tag,
        coalesce(wanted.is_code, false) OR coalesce(entry.is_code, false)
    FROM ocpp.wanted_local_list(station, longest, moment, '', most) AS wanted
    FULL JOIN (SELECT * FROM ocpp.local_list_entry WHERE charge_point_id = station) AS entry
        ON lower(entry.id_tag) = lower(wanted.id_tag COLLATE "C")
    WHERE wanted.id_tag IS NULL OR entry.id_tag IS NULL
       OR (wanted.status, wanted.expires_at, wanted.parent_id_tag COLLATE "C")
          IS DISTINCT FROM (entry.status, entry.expires_at, entry.parent_id_tag)
    ORDER BY wanted.status IS NOT NULL, lower(coalesce(wanted.id_tag, entry.id_tag) COLLATE "C")
$$;

-- An operator's wish that was stated, not only agreed to by a charge point that was told by a command.
ALTER TABLE ocpp.configuration_key
    -- `pending`, `accepted`, `rebootRequired`, `rejected`, `notSupported` or `failed`; null where nobody has stated a wish.
    ADD COLUMN desired_state text,
    -- The ChangeConfiguration by which the charge point was told last.
    ADD COLUMN desired_command_id uuid REFERENCES ocpp.command (id),
    ADD CONSTRAINT configuration_key_desired_state CHECK
        (desired_state IN ('pending', 'accepted', 'rebootRequired', 'rejected', 'notSupported', 'failed')),
    ADD CONSTRAINT configuration_key_stated CHECK ((desired_state IS NULL) = (desired_command_id IS NULL));

CREATE INDEX configuration_key_of_command ON ocpp.configuration_key (desired_command_id) WHERE desired_command_id IS NOT NULL;
