-- Challenges of one account are bounded by the network that asks, so that nobody takes away those of another.

ALTER TABLE authentication.login_challenge
    -- An IPv4 address, or the /64 of an IPv6 one.
    ADD COLUMN network text NOT NULL DEFAULT '';
