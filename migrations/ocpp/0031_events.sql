-- The live feed: what happened, written in the transaction that made it so.
--
-- Ids of a sequence become visible in another order than they are given in: who has read 7 may meet 6 later. So each row says
-- which transaction wrote it, and only those are read whose transaction comes before every one that is still open: among them
-- nothing can appear any more, and (xid, id) is an order in which nobody misses anything.
CREATE SEQUENCE ocpp.event_id;

-- No keys: it is written with every fact, by code that has just looked at the charge point.
CREATE TABLE ocpp.event (
    xid      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id       bigint NOT NULL DEFAULT nextval('ocpp.event_id'),
    at       timestamptz NOT NULL,
    type     text NOT NULL,
    -- As they were then.
    identity text COLLATE "C" NOT NULL,
    site_id  uuid,
    data     json NOT NULL
) PARTITION BY RANGE (at);

CREATE INDEX event_in_order ON ocpp.event (xid, id);

-- The last event that was deleted: whoever goes on from before it has missed something. One row.
CREATE TABLE ocpp.event_horizon (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    xid       xid8 NOT NULL,
    id        bigint NOT NULL,
    -- The server whose transactions they are.
    system    bigint NOT NULL
);

INSERT INTO ocpp.event_horizon (xid, id, system) SELECT '0', 0, system_identifier FROM pg_control_system();

-- Which server numbers the transactions, and since which of its restores: its own number, and the timeline that it writes.
CREATE FUNCTION ocpp.event_server() RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT hashtext(system_identifier::text || left(pg_walfile_name(pg_current_wal_lsn()), 8)) FROM pg_control_system()
$$;

-- Whether there were events of another server. They go at once, however many they are.
CREATE FUNCTION ocpp.forget_foreign_events() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    present bigint := (SELECT system_identifier FROM pg_control_system());
BEGIN
    IF (SELECT system FROM ocpp.event_horizon) = present THEN
        RETURN false;
    END IF;
    -- Replicas start side by side.
    LOCK TABLE ocpp.event IN ACCESS EXCLUSIVE MODE;
    IF (SELECT system FROM ocpp.event_horizon) = present THEN
        RETURN false;
    END IF;
    TRUNCATE ocpp.event;
    UPDATE ocpp.event_horizon SET xid = pg_current_xact_id(), id = 0, system = present;
    RETURN true;
END $$;

-- One partition a day, named after it. Creates those from `first_day` on that do not exist yet. One is attached, not created
-- in its place, because that keeps nobody from reading or writing, a backup included.
CREATE FUNCTION ocpp.create_event_partitions(first_day timestamptz, days integer) RETURNS integer
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    midnight timestamptz := date_trunc('day', first_day);
    created integer := 0;
    name text;
BEGIN
    -- Replicas start side by side.
    PERFORM pg_advisory_xact_lock(hashtext('ocpp.event partitions'));
    FOR day IN 0 .. days - 1 LOOP
        name := 'event_' || to_char(midnight + day * interval '1 day', 'YYYYMMDD');
        IF to_regclass('ocpp.' || name) IS NULL THEN
            EXECUTE format('CREATE TABLE ocpp.%I (LIKE ocpp.event INCLUDING DEFAULTS INCLUDING INDEXES)', name);
            EXECUTE format('ALTER TABLE ocpp.event ATTACH PARTITION ocpp.%I FOR VALUES FROM (%L) TO (%L)',
                name, midnight + day * interval '1 day', midnight + (day + 1) * interval '1 day');
            created := created + 1;
        END IF;
    END LOOP;
    RETURN created;
END $$;

-- Drops the partitions that hold nothing younger than `before`. Whoever reads the table for long, such as a backup, is not
-- waited for, since every event to be written would wait as well.
CREATE FUNCTION ocpp.drop_event_partitions(before timestamptz) RETURNS integer
LANGUAGE plpgsql SET timezone = 'UTC' SET lock_timeout = '500ms' AS $$
DECLARE
    dropped integer := 0;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ocpp.event partitions'));
    FOR name IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'ocpp.event'::regclass AND relname ~ '^event_[0-9]{8}$'
          AND to_timestamp(right(relname, 8), 'YYYYMMDD') + interval '1 day' <= before
    LOOP
        LOCK TABLE ocpp.event IN ACCESS EXCLUSIVE MODE;
        EXECUTE format(
            'UPDATE ocpp.event_horizon AS horizon SET xid = last.xid, id = last.id
             FROM (SELECT xid, id FROM ocpp.%I ORDER BY xid DESC, id DESC LIMIT 1) AS last
             WHERE (horizon.xid, horizon.id) < (last.xid, last.id)', name);
        EXECUTE format('DROP TABLE ocpp.%I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- Whether the last notification that counted said anything new.
ALTER TABLE ocpp.connector ADD COLUMN is_news boolean NOT NULL DEFAULT true;
