-- Accounts that are no more, for a while: an upload may take an hour, and its entry in the audit log is written at its end.
CREATE TABLE ocpp.deleted_account (
    id         uuid        PRIMARY KEY,
    deleted_at timestamptz NOT NULL
);
