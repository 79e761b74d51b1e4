-- Overshoot, requests, seats, balances, unbilled usage (docs/rules.md R4, R16, R25, R35, R36, R42; docs/analysts.md).

-- A row used after a pause belongs to the last breach or resume before it of each scope that covers it.
CREATE OR REPLACE VIEW overshoots
(
    org_id               String                          COMMENT 'organisation',
    month                LowCardinality(String)          COMMENT 'like 2026-02',
    scope_kind           LowCardinality(String)          COMMENT 'organization | tier | member',
    seat_tier            LowCardinality(String)          COMMENT 'the tier, or the tier whose each_member limit it is; else empty',
    user_id              String                          COMMENT 'the member, else empty',
    breached_at          DateTime64(6, 'UTC')            COMMENT 'when the limit was reached',
    resumed_at           Nullable(DateTime64(6, 'UTC'))  COMMENT 'when it passed again before the month ended; null: it did not',
    limit_usd            Decimal(38, 12)                 COMMENT 'US dollars',
    overshoot_usd        Decimal(38, 12)                 COMMENT 'US dollars over the limit at the crossing (R25)',
    overshoot_final_usd  Decimal(38, 12)                 COMMENT 'US dollars: with what was used after the pause, until the next breach or resume of the same limit (R25)',
    after_pause_events   Int64                           COMMENT 'usage events after the pause',
    breach_id            String                          COMMENT 'id of the CloudEvent'
)
AS SELECT
    org_id, month, scope_kind, seat_tier, user_id, at AS breached_at, resumed_at, assumeNotNull(breaches.limit_usd) AS limit_usd,
    breaches.overshoot_usd AS overshoot_usd, breaches.overshoot_usd + used AS overshoot_final_usd,
    n AS after_pause_events, id AS breach_id
FROM
(
    -- By organisation and month all the way down, so that a question of one of them reads nothing of the others.
    SELECT org_id, month, id, sum(cost) AS used, sum(count) AS n
    FROM
    (
        SELECT org_id, month, id, toDecimal128(0, 12) AS cost, toInt64(0) AS count FROM breaches
        UNION ALL
        SELECT consumed.org_id, toLowCardinality(consumed.month), happened.id, consumed.cost_usd, toInt64(consumed.events)
        FROM
        (
            SELECT
                org_id, month, scope.1 AS scope_kind, scope.2 AS seat_tier, scope.3 AS user_id, org_seq, cost_usd, events
            FROM
            (
                SELECT
                    org_id, toString(charge_month) AS month, toString(priced_usage.seat_tier) AS tier,
                    priced_usage.user_id AS person, org_seq, cost_usd, events
                FROM priced_usage
                WHERE funding = 'credits' AND after_pause AND usage_month = charge_month
                    AND (org_id, priced_usage.user_id) IN (SELECT org_id, usage_after_pause.user_id FROM usage_after_pause)
            )
            ARRAY JOIN [('organization', '', ''), ('tier', tier, ''), ('member', '', person), ('member', tier, person)] AS scope
        ) AS consumed
        ASOF INNER JOIN
        (
            SELECT
                id, org_id, toString(limit_events.month) AS month, toString(limit_events.scope_kind) AS scope_kind,
                toString(limit_events.seat_tier) AS seat_tier, user_id, org_seq
            FROM limit_events
            WHERE type IN ('usage-credits.limit.breached', 'usage-credits.limit.resumed')
        ) AS happened
            ON consumed.org_id = happened.org_id AND consumed.month = happened.month
            AND consumed.scope_kind = happened.scope_kind AND consumed.seat_tier = happened.seat_tier
            AND consumed.user_id = happened.user_id AND consumed.org_seq > happened.org_seq
    )
    GROUP BY org_id, month, id
) AS sums
INNER JOIN breaches USING (org_id, month, id)
COMMENT 'How far each breach went over its limit, at the crossing and in the end (R25). SELECT breached_at, scope_kind, overshoot_usd, overshoot_final_usd FROM overshoots WHERE org_id = ''acme'' ORDER BY breached_at';

-- That a request was closed is not published: the first command after it that closes one of the member did it (R31, R35).
CREATE OR REPLACE VIEW requests
(
    org_id       String                          COMMENT 'organisation',
    request_id   String                          COMMENT 'what approve and deny name',
    user_id      String                          COMMENT 'who asked',
    kind         String                          COMMENT 'credits | premium_seat',
    asked_at     DateTime64(6, 'UTC')            COMMENT 'when, the first time (R35)',
    state        String                          COMMENT 'pending | approved | denied | closed',
    ended_at     Nullable(DateTime64(6, 'UTC'))  COMMENT 'when it was approved, denied or closed; null: pending',
    ended_by     String                          COMMENT 'who approved or denied it, or the command that closed it; empty: pending',
    waited_hours Nullable(Int64)                 COMMENT 'whole hours from asking to the end, or to ledger time'
)
AS SELECT
    org_id, request_id, user_id, kind, asked_at,
    multiIf(decided_at IS NOT NULL, if(decision = 'approve_request', 'approved', 'denied'), closed_at IS NOT NULL, 'closed', 'pending') AS state,
    coalesce(decided_at, closed_at)                                                     AS ended_at,
    multiIf(state = 'pending', '', state = 'closed', toString(closed_by), decided_by)   AS ended_by,
    age('hour', asked_at, coalesce(ended_at, (SELECT ledger_time.at FROM ledger_time)))             AS waited_hours
FROM
(
    SELECT
        asked.org_id AS org_id, asked.request_id AS request_id, asked.user_id AS user_id, asked.kind AS kind,
        asked.first_at AS asked_at, asked.decided_at AS decided_at, asked.decision AS decision,
        asked.decided_by AS decided_by, closed.closed_at AS closed_at, closed.closed_by AS closed_by
    FROM
    (
        SELECT
            org_id, JSONExtractString(event, 'data', 'after', 'request_id')             AS request_id,
            anyIf(actor_id, command = 'request_credits')                                AS user_id,
            anyIf(JSONExtractString(event, 'data', 'after', 'kind'), command = 'request_credits') AS kind,
            minIf(at, command = 'request_credits')                                      AS first_at,
            minIf(org_seq, command = 'request_credits')                                 AS seq,
            minOrNullIf(at, command != 'request_credits')                               AS decided_at,
            anyIf(command, command != 'request_credits')                                AS decision,
            anyIf(actor_id, command != 'request_credits')                               AS decided_by
        FROM account_events
        WHERE type = 'usage-credits.command.applied' AND command IN ('request_credits', 'approve_request', 'deny_request')
        GROUP BY org_id, request_id
    ) AS asked
    ASOF LEFT JOIN
    (
        SELECT org_id, user_id, toNullable(at) AS closed_at, command AS closed_by, org_seq AS closed_seq
        FROM
        (
            SELECT
                org_id, at, command, org_seq, JSONExtractString(event, 'data', 'before', 'user_id') AS whose,
                multiIf(
                    command = 'assign_seat', JSONExtractString(event, 'data', 'before', 'seat_tier') != JSONExtractString(event, 'data', 'after', 'seat_tier'),
                    command = 'set_user_limit', JSONExtractUInt(event, 'data', 'before', 'limit_version') != JSONExtractUInt(event, 'data', 'after', 'limit_version'),
                    command = 'change_plan', JSONExtractString(event, 'data', 'after', 'plan') = 'team',
                    true) AS closes
            FROM account_events
            WHERE type = 'usage-credits.command.applied' AND command IN ('remove_member', 'assign_seat', 'set_user_limit', 'change_plan', 'close_organization')
        ) AS changes
        LEFT JOIN (SELECT org_id, groupUniqArray(actor_id) AS askers FROM account_events WHERE command = 'request_credits' GROUP BY org_id) AS people USING (org_id)
        -- What reaches everybody reaches each member who ever asked.
        ARRAY JOIN if(whose = '', askers, [whose]) AS user_id
        WHERE closes
    ) AS closed ON asked.org_id = closed.org_id AND asked.user_id = closed.user_id AND asked.seq < closed.closed_seq
)
COMMENT 'Requests for credits or a Premium seat, and what became of them (R35, R36)';

CREATE OR REPLACE VIEW request_turnaround
(
    month             String            COMMENT 'month in which they were made, like 2026-02',
    org_id            String            COMMENT 'organisation',
    requests          UInt64            COMMENT 'how many',
    approved          UInt64            COMMENT 'of them approved',
    denied            UInt64            COMMENT 'of them denied',
    closed            UInt64            COMMENT 'of them closed, since they had become pointless',
    pending           UInt64            COMMENT 'of them still waiting',
    median_hours      Nullable(Int64)   COMMENT 'whole hours that half of those approved or denied waited at most',
    longest_hours     Nullable(Int64)   COMMENT 'whole hours that the slowest of them waited'
)
AS SELECT
    formatDateTime(asked_at, '%Y-%m') AS month, org_id,
    count()                                     AS requests,
    countIf(state = 'approved')                 AS approved,
    countIf(state = 'denied')                   AS denied,
    countIf(state = 'closed')                   AS closed,
    countIf(state = 'pending')                  AS pending,
    quantileExactLowOrNullIf(0.5)(assumeNotNull(waited_hours), state IN ('approved', 'denied')) AS median_hours,
    maxOrNullIf(assumeNotNull(waited_hours), state IN ('approved', 'denied'))                   AS longest_hours
FROM requests
GROUP BY month, org_id
COMMENT 'How long requests wait (R35, R36)';

CREATE OR REPLACE VIEW seat_upgrade_candidates
(
    month         LowCardinality(String)      COMMENT 'like 2026-02',
    org_id        String                      COMMENT 'organisation',
    user_id       String                      COMMENT 'member who has a Standard seat now',
    plan          LowCardinality(String)      COMMENT 'team | enterprise, now',
    spend_usd     Decimal(38, 12)             COMMENT 'US dollars: credits the member used in the month',
    standard_usd  Nullable(Decimal(38, 12))   COMMENT 'US dollars a month: list price of a Standard seat on the month''s first day; null: not known',
    premium_usd   Nullable(Decimal(38, 12))   COMMENT 'US dollars a month: list price of a Premium seat; null: not known',
    more_usd      Nullable(Decimal(38, 12))   COMMENT 'US dollars: spend less what Premium costs more than Standard; above 0 the credits cost more than the better seat',
    worth_it      Nullable(Bool)              COMMENT 'whether more_usd is above 0; null: not known. A Premium seat includes more usage, not all of it'
)
AS SELECT
    month, org_id, user_id, plan, spent AS spend_usd, standard_usd, premium_usd,
    spend_usd - (premium_usd - standard_usd) AS more_usd, toBool(more_usd > 0) AS worth_it
FROM
(
    SELECT month, org_id, user_id, spent, toDate(concat(month, '-01')) AS first_day, plan
    FROM (SELECT month, org_id, user_id, spend_usd AS spent FROM month_to_date_by_member WHERE spend_usd > 0) AS used
    INNER JOIN (SELECT org_id, user_id FROM members WHERE seat_tier = 'standard' AND NOT removed) AS people USING (org_id, user_id)
    INNER JOIN (SELECT org_id, plan FROM organizations) AS owners USING (org_id)
) AS spending
ASOF LEFT JOIN (SELECT plan, first_day, usd_per_month AS standard_usd FROM seat_prices FINAL WHERE seat_tier = 'standard') AS standard USING (plan, first_day)
ASOF LEFT JOIN (SELECT plan, first_day, usd_per_month AS premium_usd FROM seat_prices FINAL WHERE seat_tier = 'premium') AS premium USING (plan, first_day)
COMMENT 'Credits of members with a Standard seat against what a Premium one costs more. SELECT user_id, spend_usd, more_usd FROM seat_upgrade_candidates WHERE org_id = ''acme'' AND month = ''2026-02'' AND worth_it ORDER BY more_usd DESC';

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
INNER JOIN wallet_balances USING (org_id)
LEFT JOIN
(
    SELECT org_id, -sum(amount_usd) AS burnt
    FROM ledger_entries
    WHERE account = 'wallet' AND type = 'burn' AND at > (SELECT ledger_time.at FROM ledger_time) - INTERVAL 7 DAY
    GROUP BY org_id
) AS burns USING (org_id)
COMMENT 'How long balances last. The low ones: SELECT org_id, balance_usd, days_left FROM balance_runway WHERE days_left < 7 OR balance_usd <= 0 ORDER BY days_left';

CREATE OR REPLACE VIEW open_dead_letters
(
    dead_letter_id  String                  COMMENT 'what redrive and discard name',
    reason          LowCardinality(String)  COMMENT 'why (R16, R17)',
    detail          String                  COMMENT 'which value, in words',
    org_id          String                  COMMENT 'organisation; empty where the record does not say',
    user_id         String                  COMMENT 'member; empty where the record does not say',
    event_id        String                  COMMENT 'of the usage event; empty where the record does not say',
    model           LowCardinality(String)  COMMENT 'as the product sent it; empty where the record does not say',
    tokens          UInt64                  COMMENT 'tokens of all kinds together',
    arrived_at      DateTime64(6, 'UTC')    COMMENT 'when it first arrived'
)
AS SELECT dead_letter_id, reason, detail, org_id, user_id, event_id, model, tokens, arrived_at
FROM dead_letters
WHERE dead_letter_id NOT IN (SELECT dead_letter_decisions.dead_letter_id FROM dead_letter_decisions)
COMMENT 'Dead letters that nobody redrove or discarded yet (R16)';

CREATE OR REPLACE VIEW unbilled_usage
(
    org_id        String                  COMMENT 'organisation, as the event names it',
    reason        LowCardinality(String)  COMMENT 'unknown_organization | unknown_member | unknown_model | unpriced',
    model         LowCardinality(String)  COMMENT 'as the product sent it',
    events        UInt64                  COMMENT 'usage events',
    tokens        UInt64                  COMMENT 'tokens of all kinds together',
    oldest        DateTime64(6, 'UTC')    COMMENT 'arrival of the first',
    waiting_hours Int64                   COMMENT 'whole hours since then, until ledger time'
)
AS SELECT
    org_id, reason, model, count() AS events, sum(open_dead_letters.tokens) AS tokens, min(arrived_at) AS oldest,
    assumeNotNull(age('hour', oldest, (SELECT ledger_time.at FROM ledger_time))) AS waiting_hours
FROM open_dead_letters
WHERE reason IN ('unknown_organization', 'unknown_member', 'unknown_model', 'unpriced')
GROUP BY org_id, reason, model
COMMENT 'Usage that has no price yet and so is on no bill: it counts toward no limit until it is redriven (R16)';
