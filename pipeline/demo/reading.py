"""Kafka as the demo reads it: topics in, what was committed to them out; and when the ledger has read everything."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.reading import Ends, Record, consumer, open_reader, places
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, LEDGER_JOURNAL, USAGE_EVENTS, Topic

_POLL_MILLIS = 200


async def read_topics(settings: Settings, topics: Iterable[Topic]) -> dict[str, list[Record]]:
    """Every committed record of each topic (by its name without the prefix), partition by partition, in order."""
    found: dict[str, list[Record]] = {}
    async with open_reader(settings) as reader:
        for topic in topics:
            ends = await reader.stable_ends(places(settings, [topic.name], range(settings.partitions)))
            records = [record async for batch in reader.from_beginning(ends) for record in batch]
            found[topic.name] = sorted(records, key=lambda record: (record.partition, record.offset))
    return found


async def ledger_has_read_everything(
    settings: Settings, on_progress: Callable[[int, int], None], check: Callable[[], None]
) -> None:
    """Wait until the journal covers every record of both inputs, forwarded ones included.

    Args:
        on_progress: hears (records read by the ledger, records there).
        check: called twice a second or more often; raises if it makes no sense to wait on.
    """
    inputs = {"usage": USAGE_EVENTS, "commands": ACCOUNT_COMMANDS}
    input_of = {settings.topic_prefix + topic.name: name for name, topic in inputs.items()}
    numbers = range(settings.partitions)
    usage_and_commands = places(settings, [topic.name for topic in inputs.values()], numbers)
    behind: dict[tuple[str, int], int] = {}  # one past the last record of an input's partition
    read_to: dict[tuple[str, int], int] = {}  # how far the journal says the ledger has read it
    async with consumer(settings, "read_committed") as committed, consumer(settings, "read_uncommitted") as raw:
        committed.assign([*usage_and_commands, *places(settings, [LEDGER_JOURNAL.name], numbers)])
        raw.assign(usage_and_commands)
        await committed.seek_to_beginning()
        while True:
            batches = await committed.getmany(timeout_ms=_POLL_MILLIS)
            for place, records in batches.items():
                if name := input_of.get(place.topic):
                    behind[name, place.partition] = records[-1].offset + 1
                else:
                    line = json.loads(records[-1].value)
                    read_to |= {(name, place.partition): line[name][1] for name in inputs}
            on_progress(sum(min(read_to.get(key, 0), end) for key, end in behind.items()), sum(behind.values()))
            check()
            is_read = all(read_to.get(key, 0) >= end for key, end in behind.items())
            # A forward becomes readable a moment after the journal line of its transaction, but it lies there before:
            # so the end to reach is that of everything written, committed or not.
            seems_read = behind and is_read and not batches
            if seems_read and await _has_reached(committed, await raw.end_offsets(usage_and_commands)):
                return


async def _has_reached(committed: Any, ends: Ends) -> bool:
    for place, end in ends.items():
        if await committed.position(place) < end:
            return False
    return True
