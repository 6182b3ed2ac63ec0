-- Operators may be limited to groups of sites.
ALTER TABLE authentication.account
    -- Null for one who is not.
    ADD COLUMN site_groups text[],
    ADD CONSTRAINT account_site_groups CHECK (cardinality(site_groups) BETWEEN 1 AND 32);
