-- The users of the ledger and what each may do. An administrator runs it before `recharge migrate`, with
-- other passwords; to run it again changes nothing.
-- REQUIRE SSL refuses a connection in plaintext; REQUIRE X509 in its place asks for a client certificate as well.

CREATE DATABASE IF NOT EXISTS recharge;

-- `recharge worker`, `run`, `resolve`, `hold`, `redrive`, `accept-gap`, `redact`: rows are added and completed, and never deleted.
CREATE USER IF NOT EXISTS 'recharge_svc'@'%' IDENTIFIED BY 'PASSWORD_OF_THE_SERVICE' REQUIRE SSL;
GRANT SELECT, INSERT, UPDATE ON recharge.* TO 'recharge_svc'@'%';

-- A claim to a request is given back where its record is rejected. MySQL takes a right to a table that the migration has yet to make only
-- together with the right to make it, which is taken back.
GRANT CREATE, DELETE ON recharge.request_claims TO 'recharge_svc'@'%';
REVOKE CREATE ON recharge.request_claims FROM 'recharge_svc'@'%';

-- `recharge migrate`.
CREATE USER IF NOT EXISTS 'recharge_ddl'@'%' IDENTIFIED BY 'PASSWORD_OF_THE_MIGRATIONS' REQUIRE SSL;
GRANT CREATE, ALTER, DROP, INDEX, REFERENCES, SELECT, INSERT, UPDATE, DELETE ON recharge.* TO 'recharge_ddl'@'%';

-- `recharge status`, `show`, `audit`, `resolve --list`.
CREATE USER IF NOT EXISTS 'recharge_ro'@'%' IDENTIFIED BY 'PASSWORD_OF_THE_READER' REQUIRE SSL;
GRANT SELECT ON recharge.* TO 'recharge_ro'@'%';
