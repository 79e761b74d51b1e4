"""Fuzzing a running worker: a seed and a number of records come in; what became of each of them goes out.

Kafka and `usage-credits ledger` are real. Records are sent a portion at a time; after each the journal must have come
to its end, and the worker must still run. At the end all that was read and written is added up.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from pipeline.demo.reading import ledger_has_read_everything, read_topics
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.records import is_tick
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, LEDGER_OUTPUTS, LEDGER_STATE, USAGE_EVENTS
from pipeline.topics_admin import create_topics
from schemas.dead_letters import MAX_RECORD_BYTES
from tests.chaos.world import Process
from tests.fuzz import accounting
from tests.fuzz.accounting import TOPIC_OF
from tests.fuzz.originals import accounts
from tests.fuzz.records import Fuzzed, fuzzed
from tests.support import header_names
from tests.support.builders import as_json

PARTITIONS = 4
_PORTION = 20_000
_PATIENCE_SECONDS = 120.0
_BAD_NAME = (header_names.Name(b"\xff\xfe"), b"")
_BAD_NAME_EVERY = 500
_LEDGER = ("-m", "pipeline.cli", "ledger")

Say = Callable[[str], None]


async def run(seed: int, records: int, say: Say) -> Counter[str]:
    """Outcomes by kind and reason.

    Raises:
        AssertionError: the worker ended, or did not come to the end, or something is not accounted for.
    """
    with (
        tempfile.TemporaryDirectory(prefix="usage-credits-fuzz-") as directory,
        EmbeddedKafka(Path(directory) / "kafka") as kafka,
    ):
        settings = Settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers, partitions=PARTITIONS, data_dir=Path(directory)
        )
        return await fuzz(settings, seed, records, say)


async def fuzz(settings: Settings, seed: int, records: int, say: Say = lambda _line: None) -> Counter[str]:
    """The same, on a Kafka that runs."""
    await create_topics(settings)
    worker = Process("ledger", _LEDGER, settings)
    worker.start()
    try:
        with header_names.written():
            producer = AIOKafkaProducer(**settings.kafka(), linger_ms=5, max_request_size=3 * MAX_RECORD_BYTES)
            await producer.start()
            try:
                await _send(producer, settings, _accounts())
                for first in range(0, records, _PORTION):
                    numbers = range(first, min(records, first + _PORTION))
                    portion = (fuzzed(seed, number, _clock, settings.partitions) for number in numbers)
                    await _send(producer, settings, portion)
                    await _settled(settings, worker)
                    say(f"seed {seed}: {numbers.stop:,} of {records:,} records read by the worker")
            finally:
                await producer.stop()
        outcomes = await _accounted_for(settings, worker)
        assert outcomes["records"] == records + len(accounts()), f"{records} were sent; {outcomes}"
        return +outcomes
    finally:
        worker.close()


def _clock(_number: int) -> int:
    return time.time_ns() // 1_000


def _accounts() -> Iterable[Fuzzed]:
    for number, wire in enumerate(accounts()):
        key = wire["org_id"].encode()
        yield Fuzzed(number, "commands", -1, key, as_json(wire), [])


async def _send(producer: Any, settings: Settings, records: Iterable[Fuzzed]) -> None:
    sent = [
        await producer.send(
            settings.topic_prefix + TOPIC_OF[record.input],
            record.value,
            key=record.key if record.value is not None else record.key or b"",  # nothing at all aiokafka does not send
            partition=record.partition if record.partition >= 0 else None,
            headers=record.headers if record.number % _BAD_NAME_EVERY else [*record.headers, _BAD_NAME],
        )
        for record in records
    ]
    await asyncio.gather(*sent)


async def _settled(settings: Settings, worker: Process) -> None:
    """Wait until the journal covers all that was sent."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await ledger_has_read_everything(settings, lambda _read, _there: None, worker.check)
    except TimeoutError:
        raise AssertionError(f"the worker did not come to the end:\n{worker.last_words()}") from None


async def _accounted_for(settings: Settings, worker: Process) -> Counter[str]:
    said = worker.last_words()
    assert "HALTED" not in said, said
    assert "Traceback" not in said, said
    written = await read_topics(settings, [USAGE_EVENTS, ACCOUNT_COMMANDS, LEDGER_STATE, *LEDGER_OUTPUTS])
    outcomes: Counter[str] = Counter()
    for number in range(settings.partitions):
        here = {topic: [one for one in records if one.partition == number] for topic, records in written.items()}
        read = {to: [one for one in here[topic] if not is_tick(one)] for to, topic in TOPIC_OF.items()}
        ticks = sum(map(len, (here[topic] for topic in TOPIC_OF.values()))) - sum(map(len, read.values()))
        cells = {one.key: one.value for one in here[LEDGER_STATE.name]}
        counters = accounting.counters_in(cells)
        outputs = {topic.name: [one.value for one in here[topic.name]] for topic in LEDGER_OUTPUTS}
        try:
            found = accounting.check(accounting.Partition(number, read, outputs, counters))
        except AssertionError as error:
            raise AssertionError(f"partition {number}: {error}") from error
        outcomes += found
        outcomes["ticks"] += ticks
        outcomes["records"] += sum(map(len, read.values())) + ticks
    # What was forwarded lies in an input once more.
    outcomes["records"] -= outcomes["forwarded"] + outcomes["commands_forwarded"]
    return outcomes
