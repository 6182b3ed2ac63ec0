-- The same in PL/pgSQL, which plans it once for each connection. In SQL it was planned anew for each transaction that began: most of
-- what a StartTransaction cost the database.
CREATE OR REPLACE FUNCTION ocpp.tariff_version_of(place uuid, at timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT tariff_version.id
        FROM ocpp.charge_point
        LEFT JOIN ocpp.site ON site.id = charge_point.site_id
        JOIN ocpp.tariff ON tariff.charge_point_id = charge_point.id OR tariff.site_id = site.id
            OR tariff.site_group = ANY (site.groups)
            OR num_nonnulls(tariff.charge_point_id, tariff.site_id, tariff.site_group) = 0
        JOIN ocpp.tariff_version ON tariff_version.tariff_id = tariff.id AND tariff_version.version = tariff.version
        WHERE charge_point.id = place AND tariff.valid_from <= at AND (tariff.valid_until IS NULL OR at < tariff.valid_until)
        ORDER BY CASE WHEN tariff.charge_point_id IS NOT NULL THEN 1 WHEN tariff.site_id IS NOT NULL THEN 2
                      WHEN tariff.site_group IS NOT NULL THEN 3 ELSE 4 END,
            tariff.valid_from DESC, tariff.site_group
        LIMIT 1);
END
$$;

-- Rows that change with each message find room for it on their page, where no index has to learn of it.
ALTER TABLE ocpp.session SET (fillfactor = 50);
ALTER TABLE ocpp.connector SET (fillfactor = 50);
ALTER TABLE ocpp.transaction SET (fillfactor = 70);
