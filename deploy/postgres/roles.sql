-- One role and one schema a service. Each role owns its schema and reaches no other. Safe to run again.
-- The roles cannot log in until they are given a password:
--   ALTER ROLE voltgate_auth LOGIN PASSWORD '…';
DO $$
DECLARE
    service record;
BEGIN
    FOR service IN
        SELECT * FROM (VALUES
            ('voltgate_auth', 'authentication'),
            ('voltgate_charger', 'ocpp'),
            ('voltgate_email', 'email')
        ) AS services (role, schema)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = service.role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', service.role);
        END IF;
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service.schema, service.role);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO voltgate_auth, voltgate_charger, voltgate_email', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
END
$$;
