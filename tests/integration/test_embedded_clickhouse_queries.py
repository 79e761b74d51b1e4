"""Queries over ClickHouse's HTTP interface: results, failures, cancelling, settings, sessions, rights."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.external import ExternalData

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from tests.support.raw_http import Answer, ask

pytestmark = pytest.mark.clickhouse

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7"


@pytest.fixture
async def async_client(clickhouse: EmbeddedClickHouse, database: str) -> AsyncIterator[AsyncClient]:
    connected = await clickhouse_connect.create_async_client(dsn=clickhouse.url, database=database)
    yield connected
    await connected.close()


# Results


def test_a_large_result_streams_and_is_whole(client: Client) -> None:
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(300000)") as blocks:
        counts = [len(block) for block in blocks]
    assert sum(counts) == 300_000
    assert len(counts) > 1


def test_a_result_without_rows_still_has_its_columns(client: Client) -> None:
    result = client.query("SELECT toUInt8(1) AS one, 'x' AS text WHERE 0")
    assert (result.column_names, result.result_rows) == (("one", "text"), [])
    assert [kind.name for kind in result.column_types] == ["UInt8", "String"]


def test_money_stays_exact(client: Client) -> None:
    query = "SELECT toDecimal128('12345678901234567890.123456789012', 12)"
    assert client.query(query).result_rows == [(Decimal("12345678901234567890.123456789012"),)]


def test_parameters_are_bound_on_the_server(client: Client) -> None:
    text = "it's a \\ \t 'tab'\nand %s {x}"
    result = client.query("SELECT {text:String}, {n:UInt64}", parameters={"text": text, "n": 2**63})
    assert result.result_rows == [(text, 2**63)]


def test_external_tables_come_in_a_form(client: Client) -> None:
    members = ExternalData(
        file_name="members", data=b"1\tAda\n2\tBo\n", fmt="TSV", structure=["id UInt8", "name String"]
    )
    result = client.query("SELECT name FROM members ORDER BY id DESC", external_data=members)
    assert result.result_rows == [("Bo",), ("Ada",)]


@pytest.mark.parametrize("output_format", ["JSON", "JSONEachRow", "CSVWithNames", "TSV", "Parquet", "ArrowStream"])
def test_any_format_of_the_engine_can_be_asked_for(clickhouse: EmbeddedClickHouse, output_format: str) -> None:
    answer = ask(clickhouse.url, f"SELECT number AS n FROM numbers(3) FORMAT {output_format}".encode())
    assert (answer.status, answer.headers["x-clickhouse-format"]) == (200, output_format)
    assert answer.body
    by_default = ask(clickhouse.url, b"SELECT number AS n FROM numbers(3)", default_format=output_format)
    assert by_default.headers["x-clickhouse-format"] == output_format


def test_the_headers_of_an_answer(clickhouse: EmbeddedClickHouse) -> None:
    answer = ask(clickhouse.url, b"SELECT 1", query_id="mine", headers={"Accept-Encoding": "gzip"})
    assert answer.text == "1\n"
    assert answer.headers["x-clickhouse-query-id"] == "mine"
    assert answer.headers["x-clickhouse-timezone"]
    assert "read_rows" in json.loads(answer.headers["x-clickhouse-summary"])
    assert "content-encoding" not in answer.headers
    packed = ask(clickhouse.url, b"SELECT 1", enable_http_compression="1", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"


def test_ping_needs_no_password(clickhouse: EmbeddedClickHouse) -> None:
    address = urlsplit(clickhouse.url)
    bare = f"http://{address.hostname}:{address.port}"
    assert ask(bare, method="GET", path="/ping").text == "Ok.\n"
    assert ask(bare, b"SELECT 1").status == 403


def test_another_path_is_not_there(clickhouse: EmbeddedClickHouse) -> None:
    assert ask(clickhouse.url, method="GET", path="/play").status == 404


# Failures


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT nothing", 400, "47"),
        ("SELEC 1", 400, "62"),
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELECT throwIf(1)", 500, "395"),
    ],
)
def test_an_early_failure_has_its_status_and_code(
    clickhouse: EmbeddedClickHouse, sql: str, status: int, code: str
) -> None:
    answer = ask(clickhouse.url, sql.encode())
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (status, code), answer.text
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


LATE = (
    "SELECT number, throwIf(number = 250000, 'too late') FROM numbers(300000) "
    "SETTINGS max_block_size = 1000, max_threads = 1"
)


def test_a_late_failure_ends_with_the_tag_that_the_headers_announced(clickhouse: EmbeddedClickHouse) -> None:
    answer = ask(clickhouse.url, LATE.encode())
    assert answer.status == 200
    tag = answer.headers["x-clickhouse-exception-tag"]
    assert answer.text.endswith(f" {tag}\r\n__exception__\r\n")
    assert f"__exception__\r\n{tag}\r\nCode: 395. DB::Exception: " in answer.text


@pytest.mark.parametrize("compress", [False, "lz4", "zstd"])
def test_a_late_failure_is_an_exception_of_the_client(clickhouse: EmbeddedClickHouse, compress: str | bool) -> None:
    client = clickhouse_connect.get_client(dsn=clickhouse.url, compress=compress)
    with pytest.raises(ClickHouseError, match="too late"):
        client.query(LATE)
    client.close()


def test_a_failure_comes_before_the_headers_for_who_waits_for_the_end(clickhouse: EmbeddedClickHouse) -> None:
    answer = ask(clickhouse.url, LATE.encode(), wait_end_of_query="1")
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (500, "395")


def test_an_engine_that_would_lock_the_folder_is_refused(client: Client) -> None:
    with pytest.raises(ClickHouseError, match="Table engine KAFKA does not work in the embedded engine"):
        client.command("CREATE TABLE k (a Int8) ENGINE = Kafka('localhost:1', 't', 'g', 'CSV')")


# Cancelling


def running(client: Client, comment: str) -> int:
    query = f"SELECT count() FROM system.processes WHERE Settings['log_comment'] = '{comment}'"
    return int(client.query(query).result_rows[0][0])


@pytest.mark.parametrize(
    ("parameters", "condition"),
    [
        ({"query_id": "by-id"}, "query_id = 'by-id'"),
        ({"query_id": "x", "log_comment": "by-comment"}, "Settings['log_comment'] = 'by-comment'"),
        ({"query_id": "both", "log_comment": "by-comment-too"}, "query_id IN ('both')"),
    ],
)
def test_kill_query_ends_a_query(
    clickhouse: EmbeddedClickHouse, client: Client, parameters: dict[str, str], condition: str
) -> None:
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(ask(clickhouse.url, ENDLESS.encode(), **parameters)))
    asking.start()
    while not running(client, parameters.get("log_comment", parameters["query_id"])):
        pass
    client.command(f"KILL QUERY WHERE {condition} SYNC")
    asking.join()
    assert answers[0].headers["x-clickhouse-exception-code"] == "394", answers[0].text


def test_a_client_that_goes_away_cancels_its_query(clickhouse: EmbeddedClickHouse, client: Client) -> None:
    address = urlsplit(clickhouse.url)
    parameters = urlencode({"query": ENDLESS, "query_id": "leaving"})
    head = (
        f"POST /?{parameters} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
        f"X-ClickHouse-User: {address.username}\r\nX-ClickHouse-Key: {address.password}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port or 0)) as connection:
        connection.sendall(head.encode())
        while not running(client, "leaving"):
            pass
    while running(client, "leaving"):
        pass


def test_a_query_ends_when_its_time_is_over(clickhouse: EmbeddedClickHouse) -> None:
    answer = ask(clickhouse.url, ENDLESS.encode(), max_execution_time="0.2")
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (408, "159"), answer.text


# Settings and sessions


def setting(answer: Answer) -> str:
    assert answer.status == 200, answer.text
    return answer.text.strip()


THREADS = b"SELECT getSetting('max_threads')"


def test_settings_of_the_url_hold_for_one_request_and_set_for_the_session(clickhouse: EmbeddedClickHouse) -> None:
    before = setting(ask(clickhouse.url, THREADS, session_id="settings"))
    assert setting(ask(clickhouse.url, THREADS, session_id="settings", max_threads="3")) == "3"
    assert setting(ask(clickhouse.url, THREADS, session_id="settings")) == before
    ask(clickhouse.url, b"SET max_threads = 5", session_id="settings")
    assert setting(ask(clickhouse.url, THREADS, session_id="settings", max_threads="3")) == "3"
    assert setting(ask(clickhouse.url, THREADS, session_id="settings")) == "5"
    assert setting(ask(clickhouse.url, THREADS)) == before


def test_the_database_of_a_request_is_not_the_sessions(clickhouse: EmbeddedClickHouse, database: str) -> None:
    current = b"SELECT currentDatabase()"
    assert setting(ask(clickhouse.url, current, session_id="databases", database=database)) == database
    assert setting(ask(clickhouse.url, current, session_id="databases")) == "default"
    ask(clickhouse.url, f"USE {database}".encode(), session_id="databases")
    assert setting(ask(clickhouse.url, current, session_id="databases")) == database


def test_a_temporary_table_lives_as_long_as_its_session(clickhouse: EmbeddedClickHouse) -> None:
    ask(clickhouse.url, b"CREATE TEMPORARY TABLE mine (n UInt8)", session_id="tables")
    ask(clickhouse.url, b"INSERT INTO mine VALUES (1), (2)", session_id="tables")
    assert setting(ask(clickhouse.url, b"SELECT count() FROM mine", session_id="tables")) == "2"
    assert ask(clickhouse.url, b"SELECT count() FROM mine", session_id="others").status == 404
    ask(clickhouse.url, b"SELECT 1", session_id="tables", close_session="1")
    assert ask(clickhouse.url, b"SELECT count() FROM mine", session_id="tables").status == 404


def test_a_session_serves_one_request_at_a_time(clickhouse: EmbeddedClickHouse, client: Client) -> None:
    first = threading.Thread(
        target=ask, args=(clickhouse.url, ENDLESS.encode()), kwargs={"session_id": "one", "query_id": "first"}
    )
    first.start()
    while not running(client, "first"):
        pass
    second = ask(clickhouse.url, b"SELECT 1", session_id="one")
    assert second.headers["x-clickhouse-exception-code"] == "373", second.text
    client.command("KILL QUERY WHERE query_id = 'first' SYNC")
    first.join()
    assert setting(ask(clickhouse.url, b"SELECT 1", session_id="one")) == "1"


def test_a_session_that_must_exist_and_does_not(clickhouse: EmbeddedClickHouse) -> None:
    answer = ask(clickhouse.url, b"SELECT 1", session_id="never", session_check="1")
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (404, "372")


def test_an_unknown_setting_is_an_error(clickhouse: EmbeddedClickHouse) -> None:
    assert ask(clickhouse.url, b"SELECT 1", no_such_setting="1").status == 404


# Rights


def test_get_only_reads(clickhouse: EmbeddedClickHouse, database: str) -> None:
    for session in ({}, {"session_id": "getting"}):
        assert setting(ask(clickhouse.url, method="GET", query="SELECT 1", **session)) == "1"
        refused = ask(
            clickhouse.url, method="GET", query=f"CREATE TABLE {database}.t (a Int8) ENGINE = Memory", **session
        )
        assert (refused.status, refused.headers["x-clickhouse-exception-code"]) == (403, "164"), refused.text
        assert (
            ask(clickhouse.url, f"CREATE TABLE {database}.t (a Int8) ENGINE = Memory".encode(), **session).status == 200
        )
        ask(clickhouse.url, f"DROP TABLE {database}.t".encode())


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (a Int8) ENGINE = Memory",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t SELECT a FROM input('a Int8') FORMAT TSV\n1",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1', 'LineAsString')",
        "SET readonly = 0",
        "SET max_threads = 1",
        "KILL QUERY WHERE 1",
    ],
)
def test_who_only_reads_changes_nothing_and_reads_no_files(
    clickhouse: EmbeddedClickHouse, client: Client, database: str, sql: str
) -> None:
    client.command("CREATE TABLE t (a Int8) ENGINE = Memory")
    for settings in ({}, {"readonly": "0"}, {"session_id": "reader"}):
        answer = ask(clickhouse.reader_url, sql.encode(), database=database, **settings)
        assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (403, "164"), answer.text
    assert client.query("SELECT count() FROM t").result_rows == [(0,)]


def test_who_only_reads_reads_with_the_usual_client(
    clickhouse: EmbeddedClickHouse, client: Client, database: str
) -> None:
    client.command("CREATE TABLE t (a Int8) ENGINE = Memory")
    client.command("INSERT INTO t VALUES (1), (2)")
    reader = clickhouse_connect.get_client(dsn=clickhouse.reader_url, database=database)
    assert reader.query("SELECT sum(a) FROM t").result_rows == [(3,)]
    reader.close()


# What the sink and the analysts lean on


def test_the_last_version_of_a_row_is_what_final_shows(client: Client) -> None:
    client.command("CREATE TABLE t (k UInt8, v UInt8, version UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY k")
    for version in (1, 3, 2):
        client.command(f"INSERT INTO t VALUES (1, {version * 10}, {version})")
    assert client.query("SELECT k, v FROM t FINAL").result_rows == [(1, 30)]


def test_sums_come_from_a_projection(client: Client) -> None:
    client.command(
        "CREATE TABLE t (org String, at UInt64, usd Decimal(38, 12), "
        "PROJECTION by_org (SELECT org, sum(usd) GROUP BY org)) ENGINE = MergeTree ORDER BY (org, at)"
    )
    client.command("INSERT INTO t SELECT toString(number % 3), number, toDecimal128(1, 12) / 1000 FROM numbers(30000)")
    query = "SELECT org, sum(usd) FROM t GROUP BY org ORDER BY org"
    assert client.query(query).result_rows == [(org, Decimal("10.000000000000")) for org in "012"]
    plan = client.query(f"EXPLAIN {query}").result_rows
    assert any("by_org" in line for (line,) in plan), plan


async def test_the_async_client_reads_and_writes_side_by_side(async_client: AsyncClient) -> None:
    await async_client.command("CREATE TABLE t (n UInt64, who UInt8) ENGINE = MergeTree ORDER BY n")

    async def write(who: int) -> None:
        for block in range(5):
            rows = [[block * 1000 + n, who] for n in range(1000)]
            await async_client.insert("t", rows, column_names=["n", "who"])

    await asyncio.gather(*(write(who) for who in range(4)))
    result = await async_client.query("SELECT who, count() FROM t GROUP BY who ORDER BY who")
    assert result.result_rows == [(who, 5000) for who in range(4)]


async def test_the_async_client_hears_of_failures(async_client: AsyncClient) -> None:
    with pytest.raises(ClickHouseError, match="too late"):
        await async_client.query(LATE)
    with pytest.raises(ClickHouseError, match="UNKNOWN_TABLE"):
        await async_client.query("SELECT * FROM nowhere")
