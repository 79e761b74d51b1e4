-- A read-only analyst on a ClickHouse server, who sees the organisations given to them and no others.
--
-- For a server of 25.3 or later, once `usage-credits migrate` has made the database usage_credits. Whoever runs it needs
-- the right to manage access (users.xml: <access_management>1</access_management>). It may be run again. Before that,
-- change the password and the last two statements.
--
--     clickhouse-client --queries-file deploy/clickhouse-analyst.sql
--
-- What an embedded ClickHouse cannot do of this, and what was tried: docs/analysts.md, "Who may look".

-- Whom each analyst may look at; '*' is everybody. Row policies below ask it, so it takes effect at once.
CREATE TABLE IF NOT EXISTS usage_credits.analyst_organizations
(
    analyst  String  COMMENT 'name of the ClickHouse user',
    org_id   String  COMMENT 'an organisation that the user may look at, or * for all of them'
)
ENGINE = ReplacingMergeTree
ORDER BY (analyst, org_id)
COMMENT 'Which organisations each analyst may look at (deploy/clickhouse-analyst.sql)';

CREATE ROLE IF NOT EXISTS analyst;

-- Views run with the rights of who asks them, so their tables are granted too. Nothing else is: no other database, no
-- INSERT, no table function such as file() or url().
GRANT SELECT ON usage_credits.* TO analyst;

REVOKE SELECT ON usage_credits.sink_epochs FROM analyst;

-- One policy a table with an org_id, for the role: rows of other organisations are not there.
CREATE ROW POLICY OR REPLACE own_organizations
    ON
        usage_credits.priced_usage, usage_credits.limit_events, usage_credits.ledger_entries, usage_credits.billing_events,
        usage_credits.account_events, usage_credits.dead_letters
    FOR SELECT
    USING org_id IN (SELECT org_id FROM usage_credits.analyst_organizations WHERE analyst = currentUser())
        OR '*' IN (SELECT org_id FROM usage_credits.analyst_organizations WHERE analyst = currentUser())
    TO analyst;

-- The clock has no organisation, and every view asks it what time it is.
CREATE ROW POLICY OR REPLACE own_organizations
    ON usage_credits.credit_status
    FOR SELECT
    USING kind = 'clock' OR org_id IN (SELECT org_id FROM usage_credits.analyst_organizations WHERE analyst = currentUser())
        OR '*' IN (SELECT org_id FROM usage_credits.analyst_organizations WHERE analyst = currentUser())
    TO analyst;

CREATE ROW POLICY OR REPLACE own_organizations
    ON usage_credits.analyst_organizations
    FOR SELECT
    USING analyst = currentUser()
    TO analyst;

-- Where a table has a policy, users without one see nothing; these go on seeing everything: sink, gate, billing.
CREATE ROW POLICY OR REPLACE everybody_else
    ON
        usage_credits.priced_usage, usage_credits.limit_events, usage_credits.ledger_entries, usage_credits.billing_events,
        usage_credits.account_events, usage_credits.dead_letters, usage_credits.credit_status,
        usage_credits.analyst_organizations
    FOR SELECT
    USING 1
    TO ALL EXCEPT analyst;

-- readonly = 2: nothing is written, and tools may set what they need, such as a format; what is CONST stays as it is.
CREATE SETTINGS PROFILE OR REPLACE analyst
    SETTINGS
        readonly = 2 CONST,
        max_execution_time = 30 CONST,
        max_memory_usage = 8000000000 CONST,
        max_rows_to_read = 2000000000 CONST,
        max_result_rows = 5000000 CONST,
        max_concurrent_queries_for_user = 8 CONST,
        max_threads = 4 CONST
    TO analyst;

CREATE QUOTA OR REPLACE analyst
    KEYED BY user_name
    FOR INTERVAL 1 minute MAX queries = 300,
    FOR INTERVAL 1 hour MAX queries = 6000, execution_time = 1800, read_rows = 100000000000
    TO analyst;

-- A user for each person or dashboard, and what they may look at.
CREATE USER IF NOT EXISTS analyst_acme IDENTIFIED WITH sha256_password BY 'change me' DEFAULT ROLE analyst;

GRANT analyst TO analyst_acme;

INSERT INTO usage_credits.analyst_organizations (analyst, org_id) VALUES ('analyst_acme', 'acme');
