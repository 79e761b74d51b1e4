"""Lines into months, statements of migrations, positions to go on from: what the sink decides without a server."""

import re

import pytest
from aiokafka import TopicPartition

from schemas.priced import PricedUsage
from sinks.clickhouse import literal, without_password
from sinks.errors import Broken
from sinks.migrate import Migration, migrations
from sinks.priced_usage import LINE_COLUMNS, split_by_month
from sinks.sink import resume_offset
from sinks.tables import Stored, count_lines
from tests.support.sink_world import KafkaRecord, json_lines, priced_row

PARTITION = TopicPartition("priced-usage", 3)


def test_every_field_of_a_priced_row_is_a_column_of_the_line_and_no_other() -> None:
    names = {field.alias or name for name, field in PricedUsage.model_fields.items()}
    assert set(LINE_COLUMNS) == names


def test_a_record_of_one_month_is_handed_on_as_it_came() -> None:
    value = json_lines([priced_row(input_offset=1), priced_row(input_offset=2)])
    split = split_by_month(KafkaRecord(7, value))
    assert split == {"2026-02": (value, 2)}
    assert split["2026-02"][0] is value


def test_the_lines_of_a_mixed_record_keep_their_order_within_each_month() -> None:
    january = [priced_row(charge_month="2026-01", input_offset=offset) for offset in (1, 3)]
    february = [priced_row(charge_month="2026-02", input_offset=offset) for offset in (2, 4)]
    value = json_lines([january[0], february[0], january[1], february[1]])
    assert split_by_month(KafkaRecord(7, value)) == {
        "2026-01": (json_lines(january), 2),
        "2026-02": (json_lines(february), 2),
    }


def test_a_last_line_without_a_line_feed_is_a_line() -> None:
    value = json_lines([priced_row(), priced_row()])[:-1]
    assert count_lines(value) == 2
    assert split_by_month(KafkaRecord(7, value)) == {"2026-02": (value + b"\n", 2)}


def test_an_empty_record_holds_no_lines() -> None:
    assert count_lines(b"") == 0
    assert split_by_month(KafkaRecord(7, b"")) == {}
    assert split_by_month(KafkaRecord(7, None)) == {}


def test_a_charge_month_inside_an_identifier_is_not_the_rows_charge_month() -> None:
    value = json_lines([priced_row(event_id='"charge_month":"2026-01"')])
    assert split_by_month(KafkaRecord(7, value)) == {"2026-02": (value, 1)}


def test_a_usage_month_is_not_mistaken_for_the_charge_month() -> None:
    value = json_lines([priced_row(usage_month="2026-01", charge_month="2026-02")])
    assert list(split_by_month(KafkaRecord(7, value))) == ["2026-02"]


def test_a_line_without_a_charge_month_is_said_with_its_place() -> None:
    with pytest.raises(Broken, match=r"priced-usage\[0\] offset 7"):
        split_by_month(KafkaRecord(7, json_lines([priced_row()]) + b"{}\n"))


@pytest.mark.parametrize(
    ("stored", "beginning", "end", "committed", "offset"),
    [
        (Stored(), 0, 0, None, 0),  # nothing anywhere
        (Stored(), 0, 9, None, 0),
        (Stored(5, 8), 0, 9, None, 5),
        (Stored(5, 9), 0, 9, 7, 5),  # the group's offset is never ahead of what ClickHouse says
        (Stored(5, 8), 5, 9, None, 5),
        (Stored(5, 8), 6, 9, 6, 6),  # deleted, but known to be stored
        (Stored(5, 8), 6, 9, 8, 6),
        (Stored(), 6, 9, None, 6),  # a new database over an old topic: the rest, with a warning
    ],
)
def test_the_sink_goes_on_from_what_is_stored(
    stored: Stored, beginning: int, end: int, committed: int | None, offset: int
) -> None:
    assert resume_offset(PARTITION, stored, beginning, end, committed) == offset


def test_a_database_built_anew_says_what_kafka_does_not_keep_any_more(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the group's offset says that it was stored once."""
    assert resume_offset(PARTITION, Stored(), 6, 9, 9) == 6
    assert "priced-usage[3] begins at offset 6: what was before is in Kafka no more, nor in ClickHouse" in caplog.text


def test_a_clickhouse_ahead_of_kafka_is_refused() -> None:
    with pytest.raises(
        Broken, match=r"ahead of Kafka: it stores priced-usage\[3\] up to offset 10, but Kafka ends at 9"
    ):
        resume_offset(PARTITION, Stored(5, 10), 0, 9, None)


@pytest.mark.parametrize("committed", [None, 5])
def test_records_deleted_by_kafka_that_may_not_be_stored_are_said(committed: int | None) -> None:
    with pytest.raises(Broken, match=r"deleted priced-usage\[3\] offsets 5-5"):
        resume_offset(PARTITION, Stored(5, 8), 6, 9, committed)


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in migrations()] == list(range(1, len(migrations()) + 1))


_REPEATABLE = re.compile(
    r"CREATE TABLE IF NOT EXISTS|CREATE OR REPLACE VIEW|"
    r"ALTER TABLE \w+\s+(COMMENT COLUMN|MODIFY COMMENT|ADD \w+ IF NOT EXISTS|DROP \w+ IF EXISTS|MATERIALIZE)"
)


def test_every_table_column_and_view_of_the_migrations_can_be_made_twice() -> None:
    for migration in migrations():
        for statement in migration.statements:
            code = "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip()
            assert _REPEATABLE.match(code), code


def test_a_statement_ends_with_a_semicolon_at_the_end_of_a_line() -> None:
    migration = Migration(1, "x", "-- first; really\nSELECT ';' ;\nSELECT 2;\n-- the end\n")
    assert migration.statements == ["-- first; really\nSELECT ';'", "SELECT 2"]


def test_quotes_and_backslashes_stay_inside_a_string_of_sql() -> None:
    assert literal("o'hara\\") == "'o\\'hara\\\\'"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://default:secret@127.0.0.1:8123", "http://127.0.0.1:8123"),
        ("https://u:p@ss@host:8443/db", "https://host:8443/db"),
        ("http://127.0.0.1:8123", "http://127.0.0.1:8123"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
