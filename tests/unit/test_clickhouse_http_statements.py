"""Where an INSERT's rows begin, and what a statement may do."""

import pytest

from pipeline.embedded.clickhouse_http.errors import ClickHouseError
from pipeline.embedded.clickhouse_http.statements import (
    Undecided,
    only_reads,
    output_format,
    refuse_unopenable_engines,
    split_insert,
    with_query_id_as,
    without_format,
)

WHOLE_INSERTS = [
    (b"INSERT INTO t FORMAT CSV\n1,2\n", b"INSERT INTO t ", "CSV", b"1,2\n"),
    (b"insert into t (a, b) format TSV\n1\t2", b"insert into t (a, b) ", "TSV", b"1\t2"),
    (b"INSERT INTO t FORMAT JSONEachRow {}", b"INSERT INTO t ", "JSONEachRow", b"{}"),
    (b"INSERT INTO t FORMAT CSV\r\n\n1", b"INSERT INTO t ", "CSV", b"\n1"),
    (b"INSERT INTO t VALUES (1), (2)", b"INSERT INTO t ", "Values", b" (1), (2)"),
    (
        b"/* FORMAT x */ INSERT INTO `FORMAT TSV` FORMAT CSV\n1",
        b"/* FORMAT x */ INSERT INTO `FORMAT TSV` ",
        "CSV",
        b"1",
    ),
    (b"INSERT INTO t -- FORMAT TSV\n FORMAT CSV\n1", b"INSERT INTO t -- FORMAT TSV\n ", "CSV", b"1"),
    (b"INSERT INTO t (format, values) FORMAT CSV\n1", b"INSERT INTO t (format, values) ", "CSV", b"1"),
    (b"INSERT INTO t SETTINGS a = 'FORMAT b' FORMAT CSV\n1", b"INSERT INTO t SETTINGS a = 'FORMAT b' ", "CSV", b"1"),
    (b"INSERT INTO t FORMAT RowBinary\n\x00'\"`/*", b"INSERT INTO t ", "RowBinary", b"\x00'\"`/*"),
    (b"INSERT INTO t FORMAT CSV", b"INSERT INTO t ", "CSV", b""),
]


@pytest.mark.parametrize(("sql", "statement", "data_format", "data"), WHOLE_INSERTS)
def test_rows_begin_after_the_format(sql: bytes, statement: bytes, data_format: str, data: bytes) -> None:
    plan = split_insert(sql, complete=True)
    assert plan is not None
    assert (plan.statement, plan.format, sql[plan.data_at :]) == (statement, data_format, data)


@pytest.mark.parametrize(("sql", "statement", "data_format", "data"), WHOLE_INSERTS)
def test_a_cut_anywhere_gives_the_same_split_or_waits(
    sql: bytes, statement: bytes, data_format: str, data: bytes
) -> None:
    for cut in range(len(sql) + 1):
        try:
            plan = split_insert(sql[:cut], complete=False)
        except Undecided:
            continue
        assert plan is not None
        assert (plan.statement, plan.format, sql[plan.data_at :]) == (statement, data_format, data)


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT 1 FORMAT CSV",
        b"INSERT INTO t SELECT 1",
        b"INSERT INTO t SELECT format FROM u",
        b"INSERT INTO t SELECT format('{}', a) FROM u",
        b"INSERT INTO t SELECT 'FORMAT CSV' FROM u",
        b"INSERT INTO t SELECT a FROM input",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"",
    ],
)
def test_a_statement_that_brings_no_rows_is_left_alone(sql: bytes) -> None:
    assert split_insert(sql, complete=True) is None


def test_input_reads_from_a_file_instead() -> None:
    sql = (
        b"INSERT INTO t SELECT a FROM input('a String, b Decimal(38, 12)') WHERE a IN ('input(') FORMAT JSONEachRow\n{}"
    )
    plan = split_insert(sql, complete=True)
    assert plan is not None
    assert plan.reading_from("/x") == (
        b"INSERT INTO t SELECT a FROM file('/x', 'JSONEachRow', 'a String, b Decimal(38, 12)') WHERE a IN ('input(') "
    )
    assert sql[plan.data_at :] == b"{}"


def test_input_inside_a_subquery_is_found_too() -> None:
    plan = split_insert(b"INSERT INTO t SELECT a FROM (SELECT a FROM input('a String')) FORMAT TSV\n1", complete=True)
    assert plan is not None
    assert plan.reading_from("/x") == b"INSERT INTO t SELECT a FROM (SELECT a FROM file('/x', 'TSV', 'a String')) "


def test_a_table_called_input_is_a_table() -> None:
    plan = split_insert(b"INSERT INTO input (a) FORMAT TSV\n1", complete=True)
    assert plan is not None
    assert plan.input_span is None


@pytest.mark.parametrize(
    ("source", "code"), [(b"input()", 42), (b"input('a String') AS x, input('a String') AS y", 81)]
)
def test_input_needs_a_structure_and_comes_once(source: bytes, code: int) -> None:
    with pytest.raises(ClickHouseError) as refused:
        split_insert(b"INSERT INTO t SELECT a FROM " + source + b" FORMAT TSV\n1", complete=True)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT 1 format Native ;\n", "Native"),
        (b"SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "CSV"),
        (b"SELECT 'FORMAT CSV'", None),
        (b"SELECT format FROM t", None),
        (b"SELECT " + b"1," * 1000 + b"1 FORMAT TSV", "TSV"),
    ],
)
def test_the_output_format_is_the_closing_one(sql: bytes, name: str | None) -> None:
    assert output_format(sql) == name


def test_a_statement_without_its_format() -> None:
    assert without_format(b"SELECT 1\n FORMAT Native") == b"SELECT 1\n "
    assert without_format(b"SELECT 1") == b"SELECT 1"


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        (b"SELECT 1", True),
        (b" -- a comment\n (SELECT 1)", True),
        (b"WITH 1 AS x SELECT x", True),
        (b"SHOW TABLES", True),
        (b"", True),
        (b"INSERT INTO t VALUES (1)", False),
        (b"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", False),
        (b"DROP TABLE t", False),
        (b"KILL QUERY WHERE 1", False),
        (b"/* SELECT */ TRUNCATE TABLE t", False),
    ],
)
def test_what_reads_and_what_does_not(sql: bytes, reads: bool) -> None:
    assert only_reads(sql) is reads


@pytest.mark.parametrize("engine", ["Kafka", "RabbitMQ", "NATS", "S3Queue", "AzureQueue", "FileLog"])
@pytest.mark.parametrize("equals", [" = ", "=", " "])
def test_engines_that_would_lock_the_folder_are_refused(engine: str, equals: str) -> None:
    with pytest.raises(ClickHouseError, match=f"(?i)table engine {engine}"):
        refuse_unopenable_engines(f"CREATE TABLE t (a Int8) ENGINE{equals}{engine}('x')".encode())


@pytest.mark.parametrize(
    "sql",
    [
        b"CREATE TABLE kafka (a Int8) ENGINE = MergeTree ORDER BY a COMMENT 'ENGINE = Kafka'",
        b"SELECT engine = kafka FROM t",
        b"INSERT INTO t VALUES ('CREATE TABLE x ENGINE = Kafka')",
    ],
)
def test_the_word_alone_is_not_refused(sql: bytes) -> None:
    refuse_unopenable_engines(sql)


def test_kill_query_finds_the_clients_own_query_id() -> None:
    assert with_query_id_as(b"KILL QUERY WHERE query_id = 'query_id' SYNC", b"(X)") == (
        b"KILL QUERY WHERE (X) = 'query_id' SYNC"
    )
    assert with_query_id_as(b"SELECT query_id", b"(X)") == b"SELECT query_id"
