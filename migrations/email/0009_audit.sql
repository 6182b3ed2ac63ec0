-- Who did what to mail, when, and from where. Rows are changed only where the account that did it is deleted: they lose address and
-- device.
CREATE TABLE email.audit (
    id       uuid        PRIMARY KEY,
    at       timestamptz NOT NULL,
    actor_id uuid,
    action   text        NOT NULL,
    -- What it was done to: the id of a message, an address of a suppression, and so on.
    subject  text,
    address  text,
    device   text,
    details  jsonb       NOT NULL DEFAULT '{}'
);

CREATE INDEX audit_newest ON email.audit (at DESC, id DESC);
CREATE INDEX audit_of_subject ON email.audit (subject, at DESC, id DESC);
CREATE INDEX audit_of_actor ON email.audit (actor_id, at DESC, id DESC);
CREATE INDEX audit_of_action ON email.audit (action, at DESC, id DESC);
