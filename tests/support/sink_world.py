"""What the sink's tests stand on: made-up priced rows into a real topic, real sink processes, exact comparison."""

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.month import Month
from schemas.priced import PricedUsage
from sinks.clickhouse import ClickHouse
from sinks.sink import TABLES

PARTITIONS = 4
REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 90.0


def priced_row(**fields: Any) -> PricedUsage:
    """A row of which only the given fields matter; what it costs is one input token, or one taken back."""
    cost_picousd = fields.get("cost_picousd", 0)
    usual: dict[str, Any] = {
        "org_id": "acme",
        "org_seq": 1,
        "user_id": "ada",
        "seat_tier": "standard",
        "event_id": "e-1",
        "product": "chat",
        "model": "claude-sonnet-4-5",
        "price_id": "claude-sonnet-4-5@2025-09-29",
        "occurred_at_micros": 1_770_000_000_000_000,
        "arrived_at_micros": 1_770_000_001_000_000,
        "usage_month": "2026-02",
        "charge_month": "2026-02",
        "funding": "credits",
        "input_tokens": -1 if cost_picousd < 0 else 1,
        "rates_picousd": (abs(cost_picousd), 0, 0, 0, 0, 0),
        "cost_picousd": 0,
        "input_partition": 0,
        "input_offset": 0,
    }
    return PricedUsage(**(usual | fields))


def json_lines(rows: Iterable[PricedUsage]) -> bytes:
    """The rows as the ledger writes them: fields equal to their default are left out."""
    return b"".join(row.model_dump_json(exclude_defaults=True).encode() + b"\n" for row in rows)


@dataclass(frozen=True)
class KafkaRecord:
    """A record as the tables take it."""

    offset: int
    value: bytes | None
    partition: int = 0
    key: bytes | None = None
    timestamp: int = 0


@dataclass
class Producer:
    """The ledger's stand-in: chunks of rows, a transaction each, positions rising in every partition."""

    bootstrap_servers: str
    prefix: str
    seed: int
    rows: int = 0
    cost_picousd: int = 0
    _next_offset: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers,
            transactional_id=self.prefix + "ledger",
            max_batch_size=900_000,
            max_request_size=1_000_000,
        )

    async def __aenter__(self) -> "Producer":
        await make_topics(self.bootstrap_servers, self.prefix)
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def chunk(self, partition: int, rows: int, months: Sequence[str] = ("2026-01", "2026-02")) -> None:
        """One committed transaction of one record; its months are interleaved at random."""
        made = self._rows(partition, rows, months)
        async with self._producer.transaction():
            await self._producer.send_and_wait(self.prefix + "priced-usage", json_lines(made), partition=partition)
        self.rows += len(made)
        self.cost_picousd += sum(row.cost_picousd for row in made)
        self._next_offset[partition] = made[-1].input_offset + 1

    async def aborted_chunk(self, partition: int, rows: int) -> None:
        """The same rows as the next chunk's positions would carry, in a transaction that never was."""
        await self._producer.begin_transaction()
        made = self._rows(partition, rows, ("2026-02",))
        await self._producer.send_and_wait(self.prefix + "priced-usage", json_lines(made), partition=partition)
        await self._producer.abort_transaction()

    async def some_chunks(self, chunks: int, rows: int) -> None:
        """Chunks of up to `rows` rows in partitions chosen at random, an aborted one now and then."""
        for number in range(chunks):
            partition = self._random.randrange(PARTITIONS)
            if number % 10 == 9:
                await self.aborted_chunk(partition, 3)
            await self.chunk(partition, self._random.randint(1, rows))

    async def event(self, topic: str, partition: int, value: bytes) -> None:
        """One record on a topic of events."""
        async with self._producer.transaction():
            await self._producer.send_and_wait(self.prefix + topic, value, partition=partition)

    def _rows(self, partition: int, count: int, months: Sequence[str]) -> list[PricedUsage]:
        choose = self._random
        rows: list[PricedUsage] = []
        offset, index = self._next_offset[partition], 0
        while len(rows) < count:
            month = choose.choice(months)
            cost = choose.randrange(1, 10**13)
            occurred = Month.parse(month).start_micros + choose.randrange(27 * 86_400) * 1_000_000
            place = {"input_partition": partition, "input_offset": offset, "input_index": index}
            common = {
                "org_id": f"org-{choose.randrange(5)}-{partition}",
                "user_id": f"user-{choose.randrange(20)}",
                "seat_tier": choose.choice(("standard", "premium")),
                "event_id": f"e-{partition}-{offset}-{index}",
                "funding": choose.choice(("included", "credits")),
                "occurred_at_micros": occurred,
                "usage_month": month,
                "charge_month": month,
            } | place
            if choose.random() < 0.1:  # a correction: the reverse, then the right one (R15)
                wrong = choose.randrange(1, 10**13)
                common["corrects"] = "e-0"
                rows.append(priced_row(**common, cost_picousd=-wrong))
                rows.append(priced_row(**common, cost_picousd=cost, leg=1))
            else:
                rows.append(priced_row(**common, cost_picousd=cost))
            offset, index = (offset, index + 1) if choose.random() < 0.7 else (offset + 1, 0)
        return rows


async def make_topics(bootstrap_servers: str, prefix: str) -> None:
    """The topics that the sink reads."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        topics = [NewTopic(prefix + name, PARTITIONS, 1) for name in TABLES]
        await admin.create_topics(topics)
    finally:
        await admin.close()


@dataclass
class SinkProcess:
    """A real sink, a process of its own that can be killed, stopped and woken."""

    bootstrap_servers: str
    clickhouse_url: str
    database: str
    prefix: str
    log_file: Path
    log_id: str = "log-1"
    session_timeout_ms: int = 2_000
    group_id: str = "sink"

    def start(self) -> None:
        config = {
            "kafka": {"bootstrap_servers": self.bootstrap_servers},
            "clickhouse_url": self.clickhouse_url,
            "database": self.database,
            "topic_prefix": self.prefix,
            "log_id": self.log_id,
            "session_timeout_ms": self.session_timeout_ms,
            "group_id": self.group_id,
            "block_seconds": 0.2,
        }
        command = [sys.executable, "-m", "tests.support.sink_process", json.dumps(config)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, stopped or not; nothing if it has ended."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """Ask it to end, and wait; its exit code."""
        self._process.terminate()
        return self._process.wait(PATIENCE_SECONDS)

    def wait(self) -> int:
        """The exit code, once it ends of itself."""
        return self._process.wait(PATIENCE_SECONDS)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def said(self, text: str) -> int:
        """How often it said something."""
        return self.log_file.read_text(errors="replace").count(text)


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until the condition holds.

    Raises:
        TimeoutError: it did not; the test has failed.
    """
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not await condition():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"waited in vain until {what}")
        await asyncio.sleep(0.2)


async def rows_stored(clickhouse: ClickHouse) -> int:
    """How many there are, 0 while the table is not there yet."""
    exists = await clickhouse.rows(
        f"SELECT count() FROM system.tables WHERE database = '{clickhouse.database}' AND name = 'priced_usage'"
    )
    return int((await clickhouse.rows("SELECT count() FROM priced_usage"))[0][0]) if exists[0][0] else 0


async def stored_exactly(clickhouse: ClickHouse, producer: Producer) -> None:
    """Assert that each row produced is there, once, and that the money is the same to the picodollar."""

    async def enough() -> bool:
        return await rows_stored(clickhouse) >= producer.rows

    await until(enough, f"{producer.rows} rows are stored")
    ((rows, places, picousd),) = await clickhouse.rows(
        "SELECT count(), uniqExact(input_partition, input_offset, input_index, leg), "
        "toString(reinterpret(sum(cost_usd), 'Int128')) FROM priced_usage"
    )
    assert (rows, places, int(picousd)) == (producer.rows, producer.rows, producer.cost_picousd)
    # The projections hold the same as the table: month to date is what people look at.
    ((charged,),) = await clickhouse.rows(
        "SELECT toString(reinterpret(sum(spend_usd + included_value_usd + prior_period_usd), 'Int128')) "
        "FROM month_to_date_by_member"
    )
    assert int(charged) == producer.cost_picousd
