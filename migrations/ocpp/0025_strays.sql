-- What an operator decides about stops and meter values that fitted no transaction.
ALTER TABLE ocpp.unmatched
    ADD COLUMN state text NOT NULL DEFAULT 'open',
    -- What it was attached to or merged into.
    ADD COLUMN transaction_id integer REFERENCES ocpp.transaction (id),
    ADD COLUMN note text,
    ADD COLUMN settled_at timestamptz,
    -- The account.
    ADD COLUMN settled_by uuid,
    -- The facts of the stop in whose place its own were put.
    ADD COLUMN replaced json,
    ADD CONSTRAINT unmatched_state CHECK (state IN ('open', 'attached', 'merged', 'dismissed')),
    ADD CONSTRAINT unmatched_settled_has_time CHECK ((state = 'open') = (settled_at IS NULL)),
    ADD CONSTRAINT unmatched_applied_has_transaction CHECK ((state IN ('attached', 'merged')) = (transaction_id IS NOT NULL));

DROP INDEX ocpp.unmatched_by_charge_point;
CREATE INDEX unmatched_of_charge_point ON ocpp.unmatched (charge_point_id, id);
CREATE INDEX unmatched_of_charge_point_and_state ON ocpp.unmatched (charge_point_id, state, id);
CREATE INDEX unmatched_of_state ON ocpp.unmatched (state, id);
CREATE INDEX unmatched_of_kind ON ocpp.unmatched (kind, id);
CREATE INDEX unmatched_of_state_and_kind ON ocpp.unmatched (state, kind, id);
-- Serves the reference, where a transaction is withdrawn.
CREATE INDEX unmatched_of_transaction ON ocpp.unmatched (transaction_id) WHERE transaction_id IS NOT NULL;

-- A transaction whose stop never came, and which an operator has closed.
ALTER TABLE ocpp.transaction
    -- The account.
    ADD COLUMN closed_by uuid,
    -- In the operator's words.
    ADD COLUMN close_reason text,
    ADD CONSTRAINT transaction_closed_is_stopped CHECK (closed_by IS NULL OR stop_received_at IS NOT NULL),
    ADD CONSTRAINT transaction_closed_has_reason CHECK ((closed_by IS NULL) = (close_reason IS NULL));
