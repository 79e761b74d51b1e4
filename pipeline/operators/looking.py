"""How things stand, by what Kafka, ClickHouse and the gate say of themselves: settings in, a Status out."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from pipeline.engine.restore import last_line
from pipeline.errors import sentence_for
from pipeline.proof.command import last_proof
from pipeline.reading import Reader, consumer, open_reader, places
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, CREDIT_STATUS, LEDGER_JOURNAL, LOG_ID, TOPICS, USAGE_EVENTS
from pipeline.topics_admin import check_topics, open_admin
from schemas.instants import format_instant
from schemas.status_copy import StatusCopy
from sinks.clickhouse import ClickHouse
from sinks.errors import SinkError

_GATE_SECONDS = 3.0
_SINK_TOPICS = tuple(topic.name for topic in TOPICS if "sink" in topic.readers.split(", ") and topic is not LOG_ID)

# Longer than any transaction of ours is open, unless its process died.
_HANGS_SECONDS = 10.0
_ANSWER_MILLIS = 3_000


@dataclass(slots=True)
class PartitionStatus:
    """One partition; lags in records, those of the ledger as of a few seconds ago.

    Attributes:
        as_of_micros: ledger time up to which all its input is applied; 0 before the first transaction.
    """

    partition: int
    usage_lag: int
    commands_lag: int
    sink_lag: int
    transaction: int
    as_of_micros: int


@dataclass(frozen=True, slots=True)
class Hanging:
    """A transaction that has been open for long in an input: the ledger reads nothing behind its first record.

    Attributes:
        offset: of its first record.
        records: how many lie from there on, whosever they are.
        since_micros: when that first record arrived.
    """

    topic: str
    partition: int
    offset: int
    records: int
    since_micros: int

    def __str__(self) -> str:
        return (
            f"{self.topic}[{self.partition}] from offset {self.offset}: {self.records:,} records wait behind a "
            f"transaction that is open since {format_instant(self.since_micros)}; see docs/operations.md, Hanging "
            "transactions"
        )


@dataclass(slots=True)
class Status:
    """How things stand.

    Attributes:
        at_micros: when it was looked.
        workers: members of a group, by the group's name without the prefix.
        gate, clickhouse: "ready", or what it says.
        members: how many there are, removed ones left out.
        paused: members that may not spend, by the reason shown first (R32); None where it was not asked.
        proof: what the last proof of this machine said; None: none was made.
    """

    at_micros: int
    brokers: int
    workers: dict[str, int]
    gate: str
    clickhouse: str
    partitions: list[PartitionStatus]
    hanging: list[Hanging] = field(default_factory=list)
    members: int | None = None
    paused: dict[str, int] | None = None
    proof: dict[str, Any] | None = None
    version: str = field(default="")

    @property
    def staleness_seconds(self) -> float:
        """Of the oldest partition."""
        return max((self.at_micros - one.as_of_micros) / 1_000_000 for one in self.partitions)

    @property
    def is_well(self) -> bool:
        """Whether all that should run does, and is up to date."""
        return (
            all(self.workers.values())
            and self.gate == self.clickhouse == "ready"
            and self.staleness_seconds < 30
            and (self.proof is None or bool(self.proof["agree"]))
        )

    def json(self) -> dict[str, Any]:
        """For programs."""
        document = asdict(self)
        document["at"] = format_instant(document.pop("at_micros"))
        for one in document["partitions"]:
            as_of_micros = one.pop("as_of_micros")
            one["as_of"] = format_instant(as_of_micros) if as_of_micros else None
        for one in document["hanging"]:
            one["since"] = format_instant(one.pop("since_micros"))
        return document | {"staleness_seconds": round(self.staleness_seconds, 3), "is_well": self.is_well}


async def look(settings: Settings, *, with_members: bool) -> Status:
    """Ask all of them.

    Raises:
        KafkaError, Mendable: without Kafka or its topics nothing can be told.
    """
    await check_topics(settings)
    async with open_admin(settings) as admin, open_reader(settings) as reader:
        numbers = range(settings.partitions)
        ledger = await _left_of(admin, settings.topic_prefix + "ledger")
        sink = await _left_of(admin, settings.topic_prefix + "sink")
        inputs = places(settings, (USAGE_EVENTS.name, ACCOUNT_COMMANDS.name), numbers)
        stored = places(settings, _SINK_TOPICS, numbers)
        ends = await reader.stable_ends([*inputs, *stored])
        beginnings = await reader.beginnings([*inputs, *stored])

        def lag(left: Mapping[TopicPartition, int], of: Sequence[TopicPartition], number: int, marker: int = 0) -> int:
            mine = [place for place in of if place.partition == number]
            return sum(max(0, ends[place] - marker - max(left.get(place, 0), beginnings[place])) for place in mine)

        commands = [place for place in inputs if place.topic.endswith(ACCOUNT_COMMANDS.name)]
        usage = [place for place in inputs if place not in commands]
        told = await _last_transactions(settings)
        status = Status(
            at_micros=time.time_ns() // 1_000,
            brokers=len(admin._client.cluster.brokers()),
            workers={name: await _members_of(admin, settings.topic_prefix + name) for name in ("ledger", "sink")},
            gate=await _gate(settings),
            clickhouse=await _clickhouse(settings),
            partitions=[
                PartitionStatus(
                    number,
                    lag(ledger, usage, number),
                    lag(ledger, commands, number),
                    # Behind the last record of each lies the marker that ended its transaction.
                    lag(sink, stored, number, marker=1),
                    *told[number],
                )
                for number in numbers
            ],
            hanging=await _hanging(settings, ends, await reader.written_ends(inputs)),
            proof=last_proof(settings),
        )
        if with_members:
            status.members, status.paused = await _members(settings, reader, status.at_micros)
    return status


async def _left_of(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """What a group says it has read; none reads that back but who looks on."""
    try:
        offsets = await admin.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:  # a Kafka that never had a group
        return {}
    return {place: left.offset for place, left in offsets.items() if left.offset >= 0}


async def _members_of(admin: AIOKafkaAdminClient, group: str) -> int:
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    except GroupCoordinatorNotAvailableError:
        return 0
    return len(answer.to_object()["groups"][0]["members"])


async def _last_transactions(settings: Settings) -> list[tuple[int, int]]:
    """Number and ledger time of each partition's last one."""
    found = []
    async with consumer(settings, "read_committed") as started:
        for place in places(settings, (LEDGER_JOURNAL.name,), range(settings.partitions)):
            line = await last_line(started, place)
            found.append((line.seq, line.now_micros) if line else (0, 0))
    return found


async def _hanging(
    settings: Settings, stable: Mapping[TopicPartition, int], written: Mapping[TopicPartition, int]
) -> list[Hanging]:
    """Of the inputs: where what is written ends behind what is decided. In replay mode no time tells how long."""
    is_open = [place for place, end in written.items() if stable[place] < end]
    if not is_open or settings.mode != "live":
        return []
    found = []
    async with consumer(settings, "read_uncommitted") as started:
        for place in is_open:
            started.assign([place])
            started.seek(place, stable[place])
            for first in (await started.getmany(place, timeout_ms=_ANSWER_MILLIS, max_records=1)).get(place, ()):
                if time.time() - first.timestamp / 1_000 >= _HANGS_SECONDS:
                    records = written[place] - first.offset
                    found.append(Hanging(place.topic, place.partition, first.offset, records, first.timestamp * 1_000))
    return found


async def _gate(settings: Settings) -> str:
    address = f"http://{settings.gate_host}:{settings.gate_port}"
    try:
        async with httpx.AsyncClient(timeout=_GATE_SECONDS) as http:
            answer = await http.get(f"{address}/readyz")
            return "ready" if answer.status_code == 200 else str(answer.json().get("detail", answer.status_code))
    except (httpx.HTTPError, ValueError):
        return f"no answer from {address} (GATE_HOST, GATE_PORT)"


async def _clickhouse(settings: Settings) -> str:
    clickhouse = ClickHouse(settings.clickhouse_url, settings.clickhouse_database, answer_seconds=_GATE_SECONDS)
    try:
        await clickhouse.rows("SELECT count() FROM schema_migrations")
    except SinkError as error:
        return sentence_for(error) or str(error)
    finally:
        await clickhouse.close()
    return "ready"


async def _members(settings: Settings, reader: Reader, now_micros: int) -> tuple[int, dict[str, int]]:
    copy = StatusCopy()
    org_ids = set()
    ends = await reader.stable_ends(places(settings, (CREDIT_STATUS.name,), range(settings.partitions)))
    async for records in reader.from_beginning(ends):
        for record in records:
            copy.take(record.partition, record.key, record.value)
            if record.key.startswith(b'["org"'):
                org_ids.add(json.loads(record.key)[1])
    members, paused = 0, Counter[str]()
    for org_id in sorted(org_ids):
        for member in copy.members(org_id):
            if not member.removed:
                members += 1
                decision = copy.decide(org_id, member.user_id, now_micros)
                paused.update(decision.reasons[:1])
    return members, dict(paused)
