-- The users of the ledger and what each may do. An administrator runs it once, before `recharge migrate`, with other passwords.
-- REQUIRE SSL refuses a connection in plaintext; REQUIRE X509 in its place asks for a client certificate as well.

CREATE DATABASE IF NOT EXISTS recharge;

-- `recharge worker`, `run`, `resolve`, `hold`, `redrive`, `accept-gap`, `redact`: rows are added and completed, and never deleted.
CREATE USER IF NOT EXISTS 'recharge_svc'@'%' IDENTIFIED BY 'PASSWORD_OF_THE_SERVICE' REQUIRE SSL;
GRANT SELECT, INSERT, UPDATE ON recharge.* TO 'recharge_svc'@'%';

-- A claim to a request is given back where its record is rejected. MySQL takes a right to a table only once the table is there.
CREATE TABLE IF NOT EXISTS recharge.request_claims (placeholder INT);
GRANT DELETE ON recharge.request_claims TO 'recharge_svc'@'%';
DROP TABLE recharge.request_claims;

-- `recharge migrate`.
CREATE USER IF NOT EXISTS 'recharge_ddl'@'%' IDENTIFIED BY 'PASSWORD_OF_THE_MIGRATIONS' REQUIRE SSL;
GRANT CREATE, ALTER, DROP, INDEX, REFERENCES, SELECT, INSERT, UPDATE, DELETE ON recharge.* TO 'recharge_ddl'@'%';

-- `recharge audit`, `status`, `show`.
CREATE USER IF NOT EXISTS 'recharge_audit'@'%' IDENTIFIED BY 'PASSWORD_OF_THE_AUDIT' REQUIRE SSL;
GRANT SELECT ON recharge.* TO 'recharge_audit'@'%';
