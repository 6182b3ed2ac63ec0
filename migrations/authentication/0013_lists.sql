-- The list of users by what few of them are, in the order of the list (docs/performance.md).
CREATE INDEX account_operators ON authentication.account (username_key COLLATE "C") WHERE 'operator' = ANY (roles);
CREATE INDEX account_disabled ON authentication.account (username_key COLLATE "C") WHERE disabled_at IS NOT NULL;
-- Answers, at every start, whether there is an administrator yet, as the one that it takes the place of.
DROP INDEX authentication.account_administrators;
CREATE INDEX account_administrators ON authentication.account (username_key COLLATE "C") WHERE 'admin' = ANY (roles);
-- Of all rows, for the planner takes no statistics from an index of some: it believed that thousands have the same address.
DROP INDEX authentication.account_email;
CREATE INDEX account_email ON authentication.account (lower(email));

-- What one account did, or had done to it, of one kind: among very many entries there may be few such.
CREATE INDEX audit_of_account_and_action ON authentication.audit (account_id, action, at DESC, id DESC);
CREATE INDEX audit_of_actor_and_action ON authentication.audit (actor_id, action, at DESC, id DESC);
