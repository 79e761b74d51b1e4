"""The sink's SQL on a real engine: money to the picodollar, marks, fence, projections, views."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from schemas.events import Crossing, LimitBreached, LimitResumed, MemberScope, OrganizationScope
from schemas.priced import PricedUsage as PricedRow
from sinks.clickhouse import ClickHouse
from sinks.errors import Broken, Fenced
from sinks.event_table import EventTable
from sinks.migrate import migrate, migrations
from sinks.priced_usage import PricedUsage
from sinks.sink import accept_log
from sinks.tables import Stored
from tests.support.sink_tables import claim_of, projections, send, store, store_events, store_rows
from tests.support.sink_world import KafkaRecord, json_lines, priced_row, until


@pytest.fixture
async def database(clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]) -> AsyncIterator[ClickHouse]:
    """A migrated database of its own."""
    store = ClickHouse(clickhouse.url, fresh_name("sink"))
    await migrate(store)
    yield store
    await store.close()


async def test_picodollars_become_the_same_number_of_dollars(database: ClickHouse) -> None:
    usd = {
        1: "0.000000000001",
        -1: "-0.000000000001",
        10**12: "1",
        2**53 + 1: "9007.199254740993",
        2**63: "9223372.036854775808",
        -(2**63) - 1: "-9223372.036854775809",
        10**38 - 1: "99999999999999999999999999.999999999999",
        -(10**38) + 1: "-99999999999999999999999999.999999999999",
    }
    rows = [priced_row(cost_picousd=n) for n in usd]
    await store_rows(database, *rows)
    stored = await database.rows(
        "SELECT toString(cost_usd), toString(input_usd), toString(output_usd) FROM priced_usage ORDER BY input_offset"
    )
    assert stored == [(text, text, "0") for text in usd.values()]


async def test_more_digits_than_the_column_holds_stop_the_sink(database: ClickHouse) -> None:
    row = json_lines([priced_row()]).replace(b'"cost_picousd":"0"', b'"cost_picousd":"1%s"' % (b"0" * 38))
    with pytest.raises(Broken):
        await store(database, await claim_of(database, 0), KafkaRecord(0, row))


async def test_omitted_fields_have_the_vocabularys_defaults(database: ClickHouse) -> None:
    row = priced_row()
    await store_rows(database, row)
    names = [name for name, field in PricedRow.model_fields.items() if field.get_default() is not None]
    names = [name for name in names if not PricedRow.model_fields[name].is_required()]
    columns = [name.replace("_picousd", "_usd") for name in names]
    (stored,) = await database.rows(f"SELECT {', '.join(columns)} FROM priced_usage")
    assert dict(zip(names, stored, strict=True)) == {name: getattr(row, name) for name in names}


async def test_instants_keep_their_microseconds(database: ClickHouse) -> None:
    texts = {
        1_769_904_000_000_000: "2026-02-01 00:00:00.000000",  # no decimals on the wire
        1_769_904_000_123_000: "2026-02-01 00:00:00.123000",  # three
        1_769_904_000_123_456: "2026-02-01 00:00:00.123456",  # six
        1_769_903_999_999_999: "2026-01-31 23:59:59.999999",
    }
    await store_rows(database, *(priced_row(occurred_at_micros=n, arrived_at_micros=n) for n in texts))
    rows = await database.rows(
        "SELECT toString(occurred_at), toString(arrived_at) FROM priced_usage ORDER BY input_offset"
    )
    assert rows == [(text, text) for text in texts.values()]


async def test_a_row_comes_out_as_it_went_in(database: ClickHouse) -> None:
    sent = {
        "source": "s",
        "after_pause": True,
        "processing": "batch",
        "speed": "fast",
        "inference_geo": "us",
        "corrects": 'a"\\b',
        "leg": 1,
        "input_index": 7,
        "origin_index": 8,
        "input_tokens": -5,
        "web_search_requests": -100_000,
    }
    await store_rows(database, priced_row(**sent))
    (stored,) = await database.rows(f"SELECT {', '.join(sent)} FROM priced_usage")
    assert dict(zip(sent, stored, strict=True)) == sent


async def test_an_event_first_lay_where_it_was_processed_unless_the_row_says_otherwise(database: ClickHouse) -> None:
    forwarded = {"origin_topic": "dead-letters", "origin_partition": 3, "origin_offset": 70, "origin_index": 0}
    rows = [priced_row(input_offset=7, input_index=2), priced_row(input_offset=8, **forwarded)]
    await store(database, await claim_of(database, 0), KafkaRecord(0, json_lines(rows)))
    stored = await database.rows(
        "SELECT origin_topic, origin_partition, origin_offset, origin_index FROM priced_usage ORDER BY input_offset"
    )
    assert stored == [("usage-events", 0, 7, 2), ("dead-letters", 3, 70, 0)]


async def test_one_insert_is_one_month_and_one_part(database: ClickHouse) -> None:
    january = [priced_row(charge_month="2026-01", input_offset=offset) for offset in range(0, 40_000, 2)]
    february = [priced_row(charge_month="2026-02", input_offset=offset) for offset in range(1, 40_000, 2)]
    mixed = [row for pair in zip(january, february, strict=True) for row in pair]
    records = [KafkaRecord(offset, json_lines(mixed[offset * 1000 : offset * 1000 + 1000])) for offset in range(40)]
    assert await store(database, await claim_of(database, 0), *records) == [20_000, 20_000]
    parts = await database.rows(
        "SELECT partition, rows, level FROM system.parts "
        f"WHERE database = '{database.database}' AND table = 'priced_usage' AND active ORDER BY partition"
    )
    assert parts == [("2026-01", 20_000, 0), ("2026-02", 20_000, 0)]


async def test_rows_stored_before_are_left_out(database: ClickHouse) -> None:
    rows = [priced_row(input_offset=offset, input_index=index) for offset in (1, 2) for index in (0, 1)]
    claim = await claim_of(database, 0)
    assert await store(database, claim, KafkaRecord(10, json_lines(rows[:3]))) == [3]
    assert await store(database, claim, KafkaRecord(10, json_lines(rows[:3]))) == [0]
    assert await store(database, claim, KafkaRecord(10, json_lines(rows))) == [1]


async def test_the_second_leg_of_a_correction_lies_beyond_the_first(database: ClickHouse) -> None:
    legs = [priced_row(corrects="e-0", leg=leg, cost_picousd=(leg or -1) * 5) for leg in (0, 1)]
    claim = await claim_of(database, 0)
    assert await store(database, claim, KafkaRecord(0, json_lines(legs[:1]))) == [1]
    assert await store(database, claim, KafkaRecord(0, json_lines(legs))) == [1]


async def test_a_month_that_was_not_stored_is_not_hidden_by_one_that_was(database: ClickHouse) -> None:
    """Killed between the inserts of two months of one block: the second month lies before the first one's mark."""
    block = [
        KafkaRecord(3, json_lines([priced_row(charge_month="2026-02", input_offset=1)])),
        KafkaRecord(4, json_lines([priced_row(charge_month="2026-01", input_offset=2)])),
    ]
    claim = await claim_of(database, 0)
    progress = await PricedUsage().progress(database, claim)
    january, _ = progress.inserts(claim, block)
    assert await send(database, claim, january) == 1
    successor = await claim_of(database, 0)
    progress = await PricedUsage().progress(database, successor)
    assert progress.stored == {0: Stored(resume=3, seen_to=5)}  # read again from where the half-stored block began
    assert [await send(database, successor, insert) for insert in progress.inserts(successor, block)] == [0, 1]


async def test_every_partition_and_every_log_has_marks_of_its_own(database: ClickHouse) -> None:
    def record(partition: int) -> KafkaRecord:
        return KafkaRecord(5, json_lines([priced_row(input_partition=partition, input_offset=5)]), partition)

    claim = await claim_of(database, 0, 1)
    assert await store(database, claim, record(0)) == [1]
    assert await store(database, claim, record(0), record(1)) == [1]
    other_log = await claim_of(database, 0, log_id="log-2")
    assert await store(database, other_log, record(0)) == [1]
    progress = await PricedUsage().progress(database, await claim_of(database, 0, 1, 2))
    assert progress.stored == {0: Stored(5, 6), 1: Stored(5, 6), 2: Stored(0, 0)}


async def test_an_older_claim_inserts_nothing(database: ClickHouse) -> None:
    record = KafkaRecord(0, json_lines([priced_row()]))
    old = await claim_of(database, 0, 1)
    progress = await PricedUsage().progress(database, old)
    (insert,) = progress.inserts(old, [record])
    new = await claim_of(database, 1)  # one of its partitions is enough
    with pytest.raises(Fenced, match="a later claim holds priced-usage"):
        await send(database, old, insert)
    assert await database.rows("SELECT count() FROM priced_usage") == [(0,)]
    assert new.epoch == old.epoch + 1


async def test_a_claim_of_other_partitions_fences_nobody(database: ClickHouse) -> None:
    record = KafkaRecord(0, json_lines([priced_row()]))
    claim = await claim_of(database, 0)
    await claim_of(database, 1)
    await claim_of(database, 0, topic="limit-breaches")
    await claim_of(database, 0, log_id="log-2")
    assert await store(database, claim, record) == [1]


async def test_taking_over_ends_inserts_that_are_under_way(database: ClickHouse) -> None:
    old = await claim_of(database, 0)
    # As slow as a big insert on a bad day: it began before the take-over, so the fence does not stop it.
    slow = asyncio.create_task(
        database.insert(
            "INSERT INTO kafka_logs (log_id) SELECT log_id FROM input('log_id String') "
            f"WHERE {old.fence()} AND sleepEachRow(3) = 0 SETTINGS max_block_size = 1 FORMAT JSONEachRow",
            [b'{"log_id":"slow"}\n' * 100],
            log_comment=old.name,
        )
    )

    async def under_way() -> bool:
        running = f"SELECT count() FROM system.processes WHERE Settings['log_comment'] = '{old.name}'"
        return (await database.rows(running))[0][0] > 0

    await until(under_way, "the slow insert runs")
    await claim_of(database, 0)
    assert not await under_way()
    with pytest.raises(Exception, match="cancel"):
        await slow
    assert await database.rows("SELECT count() FROM kafka_logs") == [(0,)]


async def test_a_row_of_another_partition_stops_the_sink(database: ClickHouse) -> None:
    claim = await claim_of(database, 0, 1)
    for own, others in ((0, 1), (1, 0)):
        with pytest.raises(Broken, match="not its own"):
            await store(database, claim, KafkaRecord(0, json_lines([priced_row(input_partition=others)]), own))


async def test_a_field_that_the_table_does_not_know_stops_the_sink(database: ClickHouse) -> None:
    line = json_lines([priced_row()]).replace(b"{", b'{"news":1,', 1)
    with pytest.raises(Broken, match="news"):
        await store(database, await claim_of(database, 0), KafkaRecord(0, line))


async def test_marks_and_month_to_date_are_read_from_projections(database: ClickHouse) -> None:
    await store_rows(database, *(priced_row(user_id=f"u-{number}") for number in range(10)))
    marks = (
        "SELECT input_partition, charge_month, max((input_offset, input_index, leg)), max(block_from), max(block_to) "
        "FROM priced_usage WHERE log_id = 'log-1' AND input_partition IN [0] "
        "GROUP BY log_id, input_partition, charge_month"
    )
    assert await projections(database, marks) == ["marks"]
    for view in ("member", "tier", "organization"):
        query = f"SELECT * FROM month_to_date_by_{view} WHERE month = '2026-02' AND org_id = 'acme'"
        assert await projections(database, query) == ["month_to_date"], view


async def month_to_date(database: ClickHouse, scope: str, *columns: str) -> list[tuple[Any, ...]]:
    return await database.rows(f"SELECT {', '.join(columns)} FROM month_to_date_by_{scope} ORDER BY ALL")


async def test_spend_is_credits_of_the_month_and_nothing_else(database: ClickHouse) -> None:
    await store_rows(
        database,
        priced_row(cost_picousd=3 * 10**12),
        priced_row(cost_picousd=4 * 10**12, after_pause=True),
        priced_row(cost_picousd=50 * 10**12, funding="included"),
        priced_row(cost_picousd=600 * 10**12, usage_month="2026-01"),  # a prior-period line (R19)
    )
    columns = ("month", "spend_usd", "after_pause_usd", "included_value_usd", "prior_period_usd")
    counts = ("credits_events", "included_events")
    expected = ("2026-02", Decimal(3 + 4), Decimal(4), Decimal(50), Decimal(600), 2, 1)
    for scope in ("member", "tier", "organization"):
        assert await month_to_date(database, scope, *columns, *counts) == [expected]


async def test_spend_stays_in_the_tier_where_it_was_spent(database: ClickHouse) -> None:
    await store_rows(
        database,
        priced_row(cost_picousd=1 * 10**12, seat_tier="standard"),
        priced_row(cost_picousd=2 * 10**12, seat_tier="premium"),  # ada changed seats (R30)
        priced_row(cost_picousd=4 * 10**12, seat_tier="premium", user_id="bob"),
    )
    by_tier = await month_to_date(database, "tier", "seat_tier", "spend_usd")
    by_member = await month_to_date(database, "member", "user_id", "spend_usd")
    assert by_tier == [("premium", Decimal(2 + 4)), ("standard", Decimal(1))]
    assert by_member == [("ada", Decimal(1 + 2)), ("bob", Decimal(4))]
    assert await month_to_date(database, "organization", "spend_usd") == [(Decimal(1 + 2 + 4),)]


async def test_a_corrected_event_is_one_event(database: ClickHouse) -> None:
    await store_rows(
        database,
        priced_row(cost_picousd=9 * 10**12),
        priced_row(event_id="e-2", corrects="e-1", cost_picousd=-9 * 10**12),
        priced_row(event_id="e-2", corrects="e-1", leg=1, cost_picousd=7 * 10**12),
    )
    assert await month_to_date(database, "member", "spend_usd", "credits_events") == [(Decimal(9 - 9 + 7), 1)]


def breach(**fields: Any) -> LimitBreached:
    usual: dict[str, Any] = {
        "org_id": "acme",
        "org_seq": 5,
        "at_micros": 1_770_000_000_000_001,
        "scope": OrganizationScope(),
        "month": "2026-02",
        "limit_version": 2,
        "episode": 1,
        "limit_picousd": 100 * 10**12,
        "spend_picousd": 100 * 10**12 + 1,
        "overshoot_picousd": 1,
        "cause": "usage",
        "crossing": Crossing(event_id="e-9", source="s", input_partition=0, input_offset=7, input_index=0),
        "paused_from_micros": 1_770_000_000_000_001,
        "paused_until_micros": 1_772_323_200_000_000,
    }
    return LimitBreached(**(usual | fields))


def resume(**fields: Any) -> LimitResumed:
    usual: dict[str, Any] = {
        "org_id": "acme",
        "org_seq": 9,
        "at_micros": 1_770_000_100_000_000,
        "scope": OrganizationScope(),
        "month": "2026-02",
        "limit_version": 3,
        "episode": 1,
        "limit_picousd": None,
        "spend_picousd": 100 * 10**12 + 1,
        "cause": "limit_changed",
    }
    return LimitResumed(**(usual | fields))


async def test_a_breach_comes_out_as_it_was_published(database: ClickHouse) -> None:
    await store_events(database, "limit_events", await claim_of(database, 0, topic="limit-breaches"), [breach()])
    (row,) = await database.rows(
        "SELECT org_id, org_seq, toString(at), scope_kind, seat_tier, user_id, month, limit_version, episode, "
        "toString(limit_usd), toString(spend_usd), toString(overshoot_usd), cause, crossing_event_id, "
        "crossing_source, toString(paused_from), toString(paused_until), resumed_at FROM breaches"
    )
    assert row == (
        *("acme", 5, "2026-02-02 02:40:00.000001", "organization", "", "", "2026-02", 2, 1),
        *("100", "100.000000000001", "0.000000000001", "usage", "e-9", "s"),
        *("2026-02-02 02:40:00.000001", "2026-03-01 00:00:00.000000", None),
    )


async def test_a_resume_ends_the_breaches_of_its_scope_and_episode(database: ClickHouse) -> None:
    ada = MemberScope(user_id="ada", seat_tier="standard")
    events = [
        breach(episode=1),
        breach(episode=1, limit_version=3, cause="limit_changed", crossing=None),
        resume(episode=1),
        breach(episode=2, limit_version=4),
        breach(episode=1, scope=ada),
    ]
    await store_events(database, "limit_events", await claim_of(database, 0, topic="limit-breaches"), events)
    rows = await database.rows(
        "SELECT scope_kind, user_id, episode, limit_version, toString(resumed_at) FROM breaches ORDER BY ALL"
    )
    resumed_at = "2026-02-02 02:41:40.000000"
    assert rows == [
        ("member", "ada", 1, 2, None),
        ("organization", "", 1, 2, resumed_at),
        ("organization", "", 1, 3, resumed_at),
        ("organization", "", 2, 4, None),
    ]
    unlimited = await database.rows("SELECT limit_usd FROM limit_events WHERE type = 'usage-credits.limit.resumed'")
    assert unlimited == [(None,)]


async def test_an_event_is_stored_once_and_an_unknown_one_is_kept(database: ClickHouse) -> None:
    claim = await claim_of(database, 0, topic="limit-breaches")
    assert await store_events(database, "limit_events", claim, [breach()]) == 1
    assert await store_events(database, "limit_events", claim, [breach(), resume()]) == 1
    news = KafkaRecord(2, b'{"type": "usage-credits.credits.paused", "data": {"org_id": "acme", "reason": "balance"}}')
    assert await store(database, claim, news, table=EventTable("limit_events")) == [1]
    kept = await database.rows("SELECT org_id, event FROM limit_events WHERE type = 'usage-credits.credits.paused'")
    assert kept == [("acme", (news.value or b"").decode())]


async def test_migrations_are_applied_once(database: ClickHouse) -> None:
    assert await migrate(database) == []
    applied = await database.rows("SELECT number, name FROM schema_migrations ORDER BY number")
    assert applied == [(migration.number, migration.name) for migration in migrations()]


async def test_a_migration_that_was_edited_after_it_was_applied_is_refused(database: ClickHouse) -> None:
    await database.run("ALTER TABLE schema_migrations UPDATE sha256 = 'x' WHERE number = 1 SETTINGS mutations_sync = 1")
    with pytest.raises(Broken, match=r"0001_priced_usage\.sql was edited"):
        await migrate(database)


async def test_every_table_view_and_column_says_what_it_holds(database: ClickHouse) -> None:
    here = f"database = '{database.database}'"
    tables = await database.rows(f"SELECT name FROM system.tables WHERE {here} AND comment = ''")
    columns = await database.rows(f"SELECT table, name FROM system.columns WHERE {here} AND comment = ''")
    assert (tables, columns) == ([], [])


async def test_views_hold_the_types_that_they_say(database: ClickHouse) -> None:
    """A view's columns are declared by hand; the engine says what they are when it reads them."""
    here = f"database = '{database.database}'"
    for (view,) in await database.rows(f"SELECT name FROM system.tables WHERE {here} AND engine = 'View'"):
        declared = await database.rows(f"SELECT name, type FROM system.columns WHERE {here} AND table = '{view}'")
        read = await database.rows(f"DESCRIBE (SELECT * FROM {view})")
        assert [row[:2] for row in read] == declared, view


async def test_money_is_held_as_decimal_dollars_alone(database: ClickHouse) -> None:
    here = f"database = '{database.database}'"
    floats = await database.rows(f"SELECT table, name FROM system.columns WHERE {here} AND type LIKE '%Float%'")
    money = await database.rows(
        f"SELECT DISTINCT replace(replace(type, 'Nullable(', ''), '))', ')') FROM system.columns "
        f"WHERE {here} AND (name LIKE '%usd' OR type LIKE '%Decimal%') AND name NOT LIKE '%percent'"
    )
    assert (floats, money) == ([], [("Decimal(38, 12)",)])


async def test_a_database_takes_one_kafka_log_unless_told_otherwise(database: ClickHouse) -> None:
    await accept_log(database, "log-1")
    await accept_log(database, "log-1")
    with pytest.raises(Broken, match=r"stores the Kafka log log-1, but this Kafka is log-2"):
        await accept_log(database, "log-2")
    await database.run("INSERT INTO kafka_logs (log_id) SELECT 'log-2'")  # what the message says
    await accept_log(database, "log-2")
