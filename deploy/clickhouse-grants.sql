-- Users of ClickHouse with their least rights, for a current server; run it as an administrator, for example
--   clickhouse-client --secure --multiquery < deploy/clickhouse-grants.sql
-- The database is CLICKHOUSE_DATABASE; put your own passwords here first. Analysts: see docs/analysts.md.

-- The sink makes and migrates the tables, inserts, and reads how far it got; its own inserts it may kill, and no other.
CREATE USER IF NOT EXISTS sink IDENTIFIED WITH sha256_password BY 'change-me';
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER TABLE, SELECT, INSERT ON usage_credits.* TO sink;
-- What the table function input() asks for.
GRANT CREATE TEMPORARY TABLE ON *.* TO sink;
GRANT SELECT ON system.processes TO sink;

-- The gate answers from history; nothing that is asked there writes.
CREATE USER IF NOT EXISTS gate IDENTIFIED WITH sha256_password BY 'change-me' SETTINGS readonly = 2;
GRANT SELECT ON usage_credits.* TO gate;

-- An operator proves, invoices, queries, and runs `usage-credits migrate`.
CREATE USER IF NOT EXISTS operator IDENTIFIED WITH sha256_password BY 'change-me';
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER TABLE, SELECT, INSERT ON usage_credits.* TO operator;
GRANT SELECT ON system.tables TO operator;
