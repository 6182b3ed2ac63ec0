-- Who may charge without being asked for, and for whom a connector is kept free.

CREATE TABLE ocpp.local_list (
    charge_point_id  uuid PRIMARY KEY REFERENCES ocpp.charge_point (id),
    -- Of the last SendLocalList, and what it was answered with.
    desired_version  integer,
    desired_status   text,
    desired_at       timestamptz,
    -- What the charge point has, as it told last: 0 is an empty list, -1 none at all.
    reported_version integer,
    reported_at      timestamptz,
    -- The version that the entries are of.
    entries_version  integer
);

-- The entries that the charge point confirmed.
CREATE TABLE ocpp.local_list_entry (
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    id_tag          text COLLATE "C" NOT NULL,
    status          text NOT NULL,
    expires_at      timestamptz,
    parent_id_tag   text COLLATE "C"
);

-- Serves the list and the uniqueness: tags are compared without case.
CREATE UNIQUE INDEX local_list_entry_unique ON ocpp.local_list_entry (charge_point_id, lower(id_tag));

CREATE TABLE ocpp.reservation (
    id              uuid PRIMARY KEY,
    charge_point_id uuid NOT NULL REFERENCES ocpp.charge_point (id),
    -- OCPP's number, which may be used again.
    reservation_id  integer NOT NULL,
    -- 0 is any connector.
    connector_id    integer NOT NULL,
    id_tag          text COLLATE "C" NOT NULL,
    parent_id_tag   text COLLATE "C",
    expires_at      timestamptz NOT NULL,
    -- An accepted one whose time is over stays `accepted` here until its number is used again: what it is follows from
    -- the time.
    status          text NOT NULL,
    -- What ReserveNow was answered with, such as `Occupied`.
    answer          text NOT NULL,
    transaction_id  integer REFERENCES ocpp.transaction (id),
    answered_at     timestamptz NOT NULL,
    ended_at        timestamptz,
    CONSTRAINT reservation_status CHECK (status IN ('accepted', 'rejected', 'cancelled', 'used', 'replaced', 'expired'))
);

CREATE INDEX reservation_by_charge_point ON ocpp.reservation (charge_point_id, id);
-- Serves the rules: of one number, one reservation holds at a time.
CREATE UNIQUE INDEX reservation_accepted_unique ON ocpp.reservation (charge_point_id, reservation_id)
    WHERE status = 'accepted';
