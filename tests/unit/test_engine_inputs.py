"""What is fetched waits in memory until it is consumed; where it waits for long, it is bounded."""

from dataclasses import dataclass, field

from aiokafka import TopicPartition

from pipeline.engine.inputs import Inputs
from pipeline.engine.settings import EngineSettings

MEGABYTE = 1_000_000
SETTINGS = EngineSettings(kafka={}, fetch_bytes=MEGABYTE)
USAGE = TopicPartition("usage-events", 0)


@dataclass
class Record:
    offset: int
    value: bytes
    timestamp: int = 0
    key: bytes | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


class Backlog:
    """A consumer of which each question brings one record of half a megabyte, and the next one nothing."""

    def __init__(self) -> None:
        self.given = 0
        self.is_ready = True

    async def getmany(
        self, *tps: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Record]]:
        self.is_ready = not self.is_ready
        if self.is_ready or USAGE not in tps:
            return {}
        self.given += 1
        return {USAGE: [Record(self.given - 1, bytes(MEGABYTE // 2))]}


async def no_ends(tps: object) -> dict[TopicPartition, int]:
    return {}


async def test_large_records_that_must_wait_are_not_read_without_end() -> None:
    """As while commands are read after a time away, or a change is worked through member by member."""
    backlog = Backlog()
    inputs = Inputs(SETTINGS, 0, backlog, no_ends)
    for _ in range(100):
        await inputs.fetch(0)
    assert backlog.given == 2
    inputs.usage.consume(1, 0)
    await inputs.fetch(0)
    assert backlog.given == 3
