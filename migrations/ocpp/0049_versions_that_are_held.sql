-- Serves the lists of those that have the present version of a template, and of those that have an older one: however many there are
-- of either.
CREATE INDEX charging_profile_template_place_held
    ON ocpp.charging_profile_template_place (template_id, confirmed_version, charge_point_id, connector_id) WHERE state = 'held';
