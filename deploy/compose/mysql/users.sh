# shellcheck shell=bash
# The ledger's two users, made when the mysql image initialises its empty data folder. The image's entry point reads
# this file into its own shell (which it does only while the file is not executable) and offers docker_process_sql.
# The database itself is made by the entry point, named by MYSQL_DATABASE.

_recharge_users() {
    local secrets=${SECRETS_FOLDER:-/run/secrets} service migrate
    service=$(cat "$secrets/mysql_service_password")
    migrate=$(cat "$secrets/mysql_migrate_password")
    # As in deploy/mysql/grants.sql, which says why.
    docker_process_sql <<SQL
CREATE USER '${MYSQL_DATABASE}_svc'@'%' IDENTIFIED BY '$service' REQUIRE SSL;
GRANT SELECT, INSERT, UPDATE ON ${MYSQL_DATABASE}.* TO '${MYSQL_DATABASE}_svc'@'%';
CREATE USER '${MYSQL_DATABASE}_ddl'@'%' IDENTIFIED BY '$migrate' REQUIRE SSL;
GRANT CREATE, ALTER, DROP, INDEX, REFERENCES, SELECT, INSERT, UPDATE, DELETE ON ${MYSQL_DATABASE}.* TO '${MYSQL_DATABASE}_ddl'@'%';
GRANT CREATE, DELETE ON ${MYSQL_DATABASE}.request_claims TO '${MYSQL_DATABASE}_svc'@'%';
REVOKE CREATE ON ${MYSQL_DATABASE}.request_claims FROM '${MYSQL_DATABASE}_svc'@'%';
SQL
}

_recharge_users
