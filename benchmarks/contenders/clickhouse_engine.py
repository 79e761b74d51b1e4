"""ClickHouse's Kafka engine: materialized views take usage from one Kafka table and put rows and breaches into others.

The engine is the one in chdb. A block of usage is priced by a join, repeats are dropped by a Set, and the month to date
before the block is read from a SummingMergeTree. So a block must not be worked on beside another: one consumer.
"""

import json
import time

from chdb.session import Session

from benchmarks.contenders.world import World
from pipeline.domain.pricing import CompiledPrices

_KAFKA = (
    "ENGINE = Kafka SETTINGS kafka_broker_list = '{brokers}', kafka_topic_list = '{topic}', "
    "kafka_group_name = '{group}', kafka_format = 'JSONEachRow', {more}"
)
_TABLES = """
CREATE TABLE w.rates (model String, from_at DateTime64(3, 'UTC'), price_id String,
    input UInt64, output UInt64, cache_read UInt64, cache_write_5m UInt64, cache_write_1h UInt64, web_search UInt64)
    ENGINE = Memory;
CREATE TABLE w.members (user_id String, seat_tier String) ENGINE = Join(ANY, LEFT, user_id);
CREATE TABLE w.limits (org_id String, limit_picousd UInt64) ENGINE = Join(ANY, LEFT, org_id);
CREATE TABLE w.seen (org_id String, source String, event_id String) ENGINE = Set;
CREATE TABLE w.months (scope String, month String, spend_picousd UInt64)
    ENGINE = SummingMergeTree ORDER BY (scope, month);
CREATE TABLE w.charged (org_id String, user_id String, event_id String, source String, product String, model String,
    occurred_at String, funding String, input_tokens UInt64, output_tokens UInt64, cache_read_tokens UInt64,
    cache_write_5m_tokens UInt64, price_id String, month String, seat_tier String, cost UInt64, spend UInt64)
    ENGINE = Null;
CREATE TABLE w.usage (org_id String, user_id String, event_id String, source String, product String, model String,
    occurred_at String, funding String, input_tokens UInt64, output_tokens UInt64, cache_read_tokens UInt64,
    cache_write_5m_tokens UInt64, cache_write_1h_tokens UInt64, web_search_requests UInt64) {usage};
CREATE TABLE w.priced (org_id String, user_id String, event_id String, source String, product String, model String,
    occurred_at String, funding String, input_tokens UInt64, output_tokens UInt64, cache_read_tokens UInt64,
    cache_write_5m_tokens UInt64, price_id String, charge_month String, seat_tier String, cost_picousd String) {priced};
CREATE TABLE w.breaches (org_id String, month String, limit_picousd String, spend_picousd String,
    crossing Tuple(event_id String)) {breaches};
CREATE MATERIALIZED VIEW w.to_seen TO w.seen AS SELECT org_id, source, event_id FROM w.charged;
CREATE MATERIALIZED VIEW w.to_months TO w.months AS
    SELECT arrayJoin([org_id, concat(org_id, ' tier ', seat_tier), concat(org_id, ' member ', user_id)]) AS scope,
        month, sum(cost) AS spend_picousd
    FROM w.charged GROUP BY scope, month;
CREATE MATERIALIZED VIEW w.to_priced TO w.priced AS
    SELECT * EXCEPT (month, cost, spend), month AS charge_month, toString(cost) AS cost_picousd FROM w.charged;
CREATE MATERIALIZED VIEW w.to_breaches TO w.breaches AS
    WITH joinGet('w.limits', 'limit_picousd', org_id) AS spend_limit
    SELECT org_id, month, toString(spend_limit) AS limit_picousd, toString(spend) AS spend_picousd,
        CAST(tuple(event_id), 'Tuple(event_id String)') AS crossing
    FROM w.charged WHERE spend_limit > 0 AND spend - cost < spend_limit AND spend >= spend_limit;
CREATE MATERIALIZED VIEW w.to_charged TO w.charged AS
    WITH new AS (
        SELECT *, substring(occurred_at, 1, 7) AS month, _partition AS place, _offset AS number,
            parseDateTime64BestEffort(occurred_at, 3, 'UTC') AS at
        FROM w.usage WHERE (org_id, source, event_id) NOT IN w.seen
        ORDER BY place, number LIMIT 1 BY org_id, source, event_id),
    before AS (SELECT scope, month, sum(spend_picousd) AS spend_before FROM w.months GROUP BY scope, month),
    costs AS (
        SELECT new.*, rates.price_id AS price_id,
            input_tokens * input + output_tokens * output + cache_read_tokens * cache_read
            + cache_write_5m_tokens * cache_write_5m + cache_write_1h_tokens * cache_write_1h
            + web_search_requests * web_search AS cost
        FROM new ASOF JOIN w.rates AS rates ON new.model = rates.model AND new.at >= rates.from_at)
    SELECT org_id, user_id, event_id, source, product, model, occurred_at, funding, input_tokens, output_tokens,
        cache_read_tokens, cache_write_5m_tokens, price_id, costs.month AS month,
        joinGet('w.members', 'seat_tier', user_id) AS seat_tier, cost,
        spend_before + sum(cost) OVER (PARTITION BY org_id, costs.month ORDER BY place, number) AS spend
    FROM costs LEFT JOIN before ON costs.org_id = before.scope AND costs.month = before.month;
"""


def run(world: World) -> None:
    """Define everything; the view over usage, defined last, starts it."""
    session = Session(str(world.folder / "clickhouse"))
    session.query("CREATE DATABASE w")
    kafka = {
        name: _KAFKA.format(brokers=world.bootstrap_servers, topic=topic, group=world.group, more=more)
        for name, topic, more in (
            ("usage", world.usage_events, "kafka_num_consumers = 1, kafka_flush_interval_ms = 500"),
            ("priced", world.priced_usage, "kafka_max_rows_per_message = 1000"),
            ("breaches", world.limit_breaches, "kafka_max_rows_per_message = 1"),
        )
    }
    for statement in filter(str.strip, _TABLES.format(**kafka).split(";\n")):
        if "TO w.charged" in statement:
            _fill(session, world)
        try:
            session.query(statement)
        except Exception as error:
            # chdb says so of every Kafka table, and makes it all the same.
            if "Shutdown was called" not in str(error):
                raise
    while True:
        time.sleep(1)


def _fill(session: Session, world: World) -> None:
    """Prices, limits and seats."""
    charging = world.charging
    _insert(session, "members", [{"user_id": u, "seat_tier": t} for u, t in charging.seat_tiers.items()])
    _insert(session, "limits", [{"org_id": o, "limit_picousd": x} for o, x in charging.limits_picousd.items()])
    _insert(session, "rates", list(_rates(charging.prices)))


def _rates(prices: CompiledPrices) -> list[dict[str, object]]:
    """Standard rates of every name; long prompts and other variants are left out, since the job has none."""
    return [
        {
            "model": name,
            "from_at": block.from_micros // 1_000 / 1_000,
            "price_id": block.variants[""].price_id,
            **block.variants[""].complete._asdict(),
        }
        for name, model in prices.book.names()
        for block in prices.book.models[model].blocks
        if not block.retired and block.variants[""].complete is not None
    ]


def _insert(session: Session, table: str, rows: list[dict[str, object]]) -> None:
    if rows:
        lines = "\n".join(map(json.dumps, rows))
        session.query(f"INSERT INTO w.{table} FORMAT JSONEachRow {lines}")
