"""INSERTs over ClickHouse's HTTP interface: every row that was sent is stored once, or none is."""

import json
import socket
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from clickhouse_connect.driver.client import Client

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.clickhouse_http.compression import zstd
from tests.support.raw_http import ask

pytestmark = pytest.mark.clickhouse

ROWS = 50_000


@pytest.fixture
def table(client: Client) -> str:
    client.command("CREATE TABLE numbers (n UInt64, name String) ENGINE = MergeTree ORDER BY n")
    return "numbers"


def count(client: Client) -> int:
    return int(client.query("SELECT count() FROM numbers").result_rows[0][0])


def parts(client: Client) -> list[int]:
    query = "SELECT rows FROM system.parts WHERE database = currentDatabase() AND table = 'numbers' AND active"
    return [rows for (rows,) in client.query(query).result_rows]


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_every_row_of_a_body_of_many_frames_is_stored(
    clickhouse: EmbeddedClickHouse, client: Client, table: str, compress: str | bool
) -> None:
    # The client packs every block of 16,384 rows into a frame of its own: four of them here.
    client.compression = compress or None
    client.write_compression = compress or None
    summary = client.insert(table, [[n, f"name-{n}"] for n in range(ROWS)], column_names=["n", "name"])
    assert summary.written_rows == ROWS
    assert client.query("SELECT count(), sum(n), uniqExact(name) FROM numbers").result_rows == [
        (ROWS, ROWS * (ROWS - 1) // 2, ROWS)
    ]
    assert parts(client) == [ROWS]


def test_a_body_that_ends_inside_a_frame_stores_nothing(
    clickhouse: EmbeddedClickHouse, client: Client, table: str, database: str
) -> None:
    packed = zstd.compress(b"1\tone\n") + zstd.compress(b"2\ttwo\n")
    query = "INSERT INTO numbers FORMAT TSV"
    headers = {"Content-Encoding": "zstd"}
    cut = ask(clickhouse.url, packed[:-1], headers=headers, query=query, database=database)
    assert (cut.status, cut.headers["x-clickhouse-exception-code"]) == (500, "271")
    assert count(client) == 0
    whole = ask(clickhouse.url, packed, headers=headers, query=query, database=database)
    assert json.loads(whole.headers["x-clickhouse-summary"])["written_rows"] == "2"
    assert count(client) == 2


def test_a_statement_cut_across_chunks_is_put_together(
    clickhouse: EmbeddedClickHouse, client: Client, table: str, database: str
) -> None:
    body = b'INSERT INTO numbers (n, name) FORMAT CSV\n1,one\n2,"FORMAT TSV"\n'
    answer = ask(clickhouse.url, (body[at : at + 1] for at in range(len(body))), database=database)
    assert answer.status == 200, answer.text
    assert client.query("SELECT * FROM numbers ORDER BY n").result_rows == [(1, "one"), (2, "FORMAT TSV")]


def test_values_may_follow_in_the_statement_itself(client: Client, table: str) -> None:
    client.command("INSERT INTO numbers VALUES (1, 'one'), (1 + 1, concat('t', 'wo'))")
    assert client.query("SELECT * FROM numbers ORDER BY n").result_rows == [(1, "one"), (2, "two")]


def test_a_malformed_last_row_stores_nothing(
    clickhouse: EmbeddedClickHouse, client: Client, table: str, database: str
) -> None:
    rows = b"".join(b"%d\tname\n" % n for n in range(ROWS)) + b"not a number\tname\n"
    answer = ask(clickhouse.url, rows, query="INSERT INTO numbers FORMAT TSV", database=database)
    assert answer.status == 400, answer.text
    assert answer.headers["x-clickhouse-exception-code"] == "27"
    assert count(client) == 0


def test_a_client_that_dies_in_mid_body_stores_nothing(
    clickhouse: EmbeddedClickHouse, client: Client, table: str, database: str
) -> None:
    for source in ("numbers FORMAT TSV", "numbers SELECT * FROM input('n UInt64, name String') FORMAT TSV"):
        parts_of_url = urlsplit(clickhouse.url)
        parameters = urlencode({"query": f"INSERT INTO {source}", "database": database, "query_id": "dying"})
        head = (
            f"POST /?{parameters} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            f"X-ClickHouse-User: {parts_of_url.username}\r\nX-ClickHouse-Key: {parts_of_url.password}\r\n\r\n"
        )
        with socket.create_connection((parts_of_url.hostname, parts_of_url.port or 0)) as connection:
            connection.sendall(head.encode() + b"1\tone\n" * 50)
        # Shut down in order: whatever the dying request was going to do, it has done.
        while client.query("SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'dying'").result_rows[
            0
        ][0]:
            pass
        assert count(client) == 0


def test_an_insert_select_runs_as_it_stands(client: Client, table: str) -> None:
    client.command("INSERT INTO numbers SELECT number, toString(number) FROM numbers(5)", use_database=True)
    assert count(client) == 5


class TestInput:
    """INSERT … SELECT … FROM input(…), which the engine itself would take for no rows."""

    STATEMENT = (
        "INSERT INTO money SELECT at, toDecimal128(picousd, 12) / 1000000000000 "
        "FROM input('at UInt64, picousd String') "
    )

    @pytest.fixture(autouse=True)
    def money(self, client: Client) -> None:
        client.command("CREATE TABLE money (at UInt64, usd Decimal(38, 12)) ENGINE = MergeTree ORDER BY at")
        client.command("CREATE TABLE epoch (epoch UInt64) ENGINE = MergeTree ORDER BY epoch")
        client.command("INSERT INTO epoch VALUES (7)")

    @staticmethod
    def lines(first: int, last: int) -> bytes:
        """One row a number, worth as many picodollars."""
        return b"".join(json.dumps({"at": n, "picousd": str(n)}).encode() + b"\n" for n in range(first, last + 1))

    @staticmethod
    def stored(client: Client) -> tuple[int, Decimal]:
        ((rows, usd),) = client.query("SELECT count(), sum(usd) FROM money").result_rows
        return rows, usd

    def test_all_rows_are_stored_exactly_and_as_one_part(self, client: Client) -> None:
        summary = client.raw_insert(
            insert_block=self.STATEMENT.encode() + b"FORMAT JSONEachRow\n" + self.lines(1, 100_000)
        )
        assert summary.written_rows == 100_000
        # 1 + 2 + … + 100,000 picodollars = 100,000 × 100,001 / 2 = 5,000,050,000 picodollars
        assert self.stored(client) == (100_000, Decimal("0.005000050000"))
        assert client.query(
            "SELECT count() FROM system.parts WHERE table = 'money' AND active AND database = currentDatabase()"
        ).result_rows == [(1,)]

    def test_more_rows_than_a_block_of_the_engine_are_one_part_too(self, client: Client) -> None:
        rows = b"1\t1\n" * 1_200_000
        summary = client.raw_insert(insert_block=self.STATEMENT.encode() + b"FORMAT TSV\n" + rows)
        assert summary.written_rows == 1_200_000
        assert client.query(
            "SELECT count() FROM system.parts WHERE table = 'money' AND active AND database = currentDatabase()"
        ).result_rows == [(1,)]

    def test_the_statement_may_come_in_the_url(
        self, clickhouse: EmbeddedClickHouse, client: Client, database: str
    ) -> None:
        answer = ask(clickhouse.url, self.lines(1, 10), query=self.STATEMENT + "FORMAT JSONEachRow", database=database)
        assert answer.status == 200, answer.text
        assert self.stored(client)[0] == 10

    def test_rows_up_to_the_mark_are_left_out(self, client: Client) -> None:
        beyond = self.STATEMENT + "WHERE at > (SELECT max(at) FROM money) FORMAT JSONEachRow\n"
        for first, last, stored in ((1, 10, 10), (1, 10, 10), (5, 12, 12), (13, 13, 13)):
            client.raw_insert(insert_block=beyond.encode() + self.lines(first, last))
            assert self.stored(client)[0] == stored

    @pytest.mark.parametrize(("mine", "stored"), [(7, 10), (6, 0)])
    def test_a_fence_is_looked_at_once_for_all_rows(self, client: Client, mine: int, stored: int) -> None:
        fenced = self.STATEMENT + f"WHERE (SELECT max(epoch) FROM epoch) = {mine} FORMAT JSONEachRow\n"
        client.raw_insert(insert_block=fenced.encode() + self.lines(1, 10))
        assert self.stored(client)[0] == stored

    def test_a_row_that_throws_stores_nothing(
        self, clickhouse: EmbeddedClickHouse, client: Client, database: str
    ) -> None:
        throwing = self.STATEMENT + "WHERE throwIf(at = 99999) = 0 FORMAT JSONEachRow"
        answer = ask(clickhouse.url, self.lines(1, 100_000), query=throwing, database=database)
        assert answer.headers["x-clickhouse-exception-code"] == "395", answer.text
        assert self.stored(client)[0] == 0

    def test_a_malformed_last_row_stores_nothing(
        self, clickhouse: EmbeddedClickHouse, client: Client, database: str
    ) -> None:
        rows = self.lines(1, 100_000) + b'{"at": 1, "picou'
        answer = ask(clickhouse.url, rows, query=self.STATEMENT + "FORMAT JSONEachRow", database=database)
        assert answer.status >= 400
        assert self.stored(client)[0] == 0

    def test_a_body_cut_off_inside_a_frame_stores_nothing(
        self, clickhouse: EmbeddedClickHouse, client: Client, database: str
    ) -> None:
        packed = zstd.compress(self.lines(1, 10)) + zstd.compress(self.lines(11, 20))
        answer = ask(
            clickhouse.url,
            packed[:-1],
            headers={"Content-Encoding": "zstd"},
            query=self.STATEMENT + "FORMAT JSONEachRow",
            database=database,
        )
        assert answer.headers["x-clickhouse-exception-code"] == "271"
        assert self.stored(client)[0] == 0

    def test_no_rows_at_all_are_no_rows(self, clickhouse: EmbeddedClickHouse, client: Client, database: str) -> None:
        answer = ask(clickhouse.url, b"", query=self.STATEMENT + "FORMAT JSONEachRow", database=database)
        assert answer.status == 200, answer.text
        assert self.stored(client)[0] == 0


def test_an_acknowledged_insert_survives_a_kill(tmp_path: Path) -> None:
    with EmbeddedClickHouse(tmp_path / "clickhouse") as engine:
        ask(engine.url, query="CREATE DATABASE d ENGINE = Atomic")
        ask(engine.url, query="CREATE TABLE d.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        acknowledged = 0
        for _ in range(3):
            for _ in range(5):
                answer = ask(
                    engine.url, b"1\n" * 1000, query="INSERT INTO d.t SELECT n FROM input('n UInt64') FORMAT TSV"
                )
                assert answer.status == 200, answer.text
                acknowledged += 1000
            engine.kill()
            engine.start()
            assert int(ask(engine.url, query="SELECT count() FROM d.t").text) == acknowledged
