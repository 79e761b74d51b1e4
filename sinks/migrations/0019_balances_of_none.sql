-- A wallet that nothing was ever put into holds 0: its organisation is paused, and among those whose balance is low
-- (docs/rules.md R3, R42).
CREATE OR REPLACE VIEW balance_runway
(
    org_id           String            COMMENT 'organisation on Team',
    balance_usd      Decimal(38, 12)   COMMENT 'US dollars in the wallet; below 0: owed (R4)',
    burnt_usd        Decimal(38, 12)   COMMENT 'US dollars burnt in the seven days before ledger time',
    days_left        Nullable(Int64)   COMMENT 'whole days until the balance is 0, if it burns as in those seven; null: nothing burnt'
)
AS SELECT
    org_id, balance_usd, burnt AS burnt_usd,
    if(burnt > 0, toInt64(greatest(balance_usd, toDecimal128(0, 12)) * 7 / burnt), NULL) AS days_left
FROM (SELECT org_id FROM organizations WHERE plan = 'team' AND status != 'closed') AS owners
LEFT JOIN wallet_balances USING (org_id)
LEFT JOIN
(
    SELECT org_id, -sum(amount_usd) AS burnt
    FROM ledger_entries
    WHERE account = 'wallet' AND type = 'burn' AND at > (SELECT ledger_time.at FROM ledger_time) - INTERVAL 7 DAY
    GROUP BY org_id
) AS burns USING (org_id)
COMMENT 'How long balances last. The low ones: SELECT org_id, balance_usd, days_left FROM balance_runway WHERE days_left < 7 OR balance_usd <= 0 ORDER BY days_left';
