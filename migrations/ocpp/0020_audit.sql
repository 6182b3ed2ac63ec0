-- Who did what to which charge point or id token, when, and from where. Rows are never changed.
CREATE TABLE ocpp.audit (
    id           uuid        PRIMARY KEY,
    at           timestamptz NOT NULL,
    -- The account that did it; none for one of Voltgate's own processes.
    actor_id     uuid,
    action       text        NOT NULL,
    -- The identity and the value, not references: what is deleted stays to be seen.
    charge_point text,
    id_token     text,
    address      text,
    device       text,
    details      jsonb       NOT NULL DEFAULT '{}'
);

CREATE INDEX audit_newest ON ocpp.audit (at DESC, id DESC);
CREATE INDEX audit_of_charge_point ON ocpp.audit (charge_point, at DESC, id DESC);
CREATE INDEX audit_of_id_token ON ocpp.audit (lower(id_token COLLATE "C"), at DESC, id DESC) WHERE id_token IS NOT NULL;
CREATE INDEX audit_of_actor ON ocpp.audit (actor_id, at DESC, id DESC);
CREATE INDEX audit_of_action ON ocpp.audit (action, at DESC, id DESC);
CREATE INDEX audit_of_charge_point_and_action ON ocpp.audit (charge_point, action, at DESC, id DESC);
CREATE INDEX audit_of_actor_and_action ON ocpp.audit (actor_id, action, at DESC, id DESC);
