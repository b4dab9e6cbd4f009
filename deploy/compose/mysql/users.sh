# shellcheck shell=bash
# The ledger's two users, made when the mysql image initialises its empty data folder. The image's entry point reads
# this file into its own shell (which it does only while the file is not executable) and offers docker_process_sql.
# The database itself is made by the entry point, named by MYSQL_DATABASE.

_recharge_users() {
    local secrets=${SECRETS_FOLDER:-/run/secrets} service migrate
    service=$(cat "$secrets/mysql_service_password")
    migrate=$(cat "$secrets/mysql_migrate_password")
    # MySQL refuses a right on a table that is not there, but keeps the rights of one that was dropped: so the service
    # may delete claims, and nothing else, before the migration has made their table.
    docker_process_sql <<SQL
CREATE USER '${MYSQL_DATABASE}_svc'@'%' IDENTIFIED BY '$service' REQUIRE SSL;
GRANT SELECT, INSERT, UPDATE ON ${MYSQL_DATABASE}.* TO '${MYSQL_DATABASE}_svc'@'%';
CREATE USER '${MYSQL_DATABASE}_ddl'@'%' IDENTIFIED BY '$migrate' REQUIRE SSL;
GRANT CREATE, ALTER, DROP, INDEX, REFERENCES, SELECT, INSERT, UPDATE, DELETE ON ${MYSQL_DATABASE}.* TO '${MYSQL_DATABASE}_ddl'@'%';
CREATE TABLE ${MYSQL_DATABASE}.request_claims (placeholder INT);
GRANT DELETE ON ${MYSQL_DATABASE}.request_claims TO '${MYSQL_DATABASE}_svc'@'%';
DROP TABLE ${MYSQL_DATABASE}.request_claims;
SQL
}

_recharge_users
