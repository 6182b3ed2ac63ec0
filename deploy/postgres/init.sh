#!/bin/sh
# Runs once, when the database of docker-compose.yml is made: a role and a schema for each service, and a password for
# each role.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --file /roles.sql
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set auth="$AUTH_DB_PASSWORD" --set charger="$CHARGER_DB_PASSWORD" --set email="$EMAIL_DB_PASSWORD" <<'SQL'
ALTER ROLE voltgate_auth LOGIN PASSWORD :'auth';
ALTER ROLE voltgate_charger LOGIN PASSWORD :'charger';
ALTER ROLE voltgate_email LOGIN PASSWORD :'email';
SQL
