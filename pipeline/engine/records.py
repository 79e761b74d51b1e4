"""Reading a record of an input: when it first arrived, where it first lay, whether it is a tick (R43, R44)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.engine.contract import Forward, InputRecord

Headers = Sequence[tuple[str, bytes]]

ARRIVAL_HEADER = "usage-credits.first-arrival"
ORIGIN_HEADER = "usage-credits.origin"
TYPE_HEADER = "type"
TICK_TYPE = b"usage-credits.tick.v1"

# Headers are written by whoever may write the topic: what they say is bounded, so that none stops a partition.
_MOST_DIGITS = 18
_LARGEST_NUMBER = 2**31 - 1  # of a partition, to Kafka; in ClickHouse a larger one would become another
# Before the numbers, what Kafka takes for a topic's name.
_ORIGIN = re.compile(r"([A-Za-z0-9._-]{1,249})/(\d{1,18})/(\d{1,18})/(\d{1,18})", re.ASCII)

FORWARD_MAX_BYTES = 1_000_000
"""One event a record, at most what a record may have (R17); the input topics themselves take 2 MB."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event first lay."""

    topic: str
    partition: int
    offset: int
    index: int


def arrival_micros(record: InputRecord) -> int:
    """When the record arrived; of a forwarded or redriven one, when it first did (R44): never later than it did now."""
    arrived = record.timestamp * 1_000
    if record.headers:
        first = _header(record.headers, ARRIVAL_HEADER)
        if first is not None and first.isdigit() and len(first) <= _MOST_DIGITS:
            return min(int(first), arrived)
    return arrived


def origin(record: InputRecord, topic: str, partition: int, index: int) -> Origin:
    """Where the event at `index` of this record first lay: here, unless headers say otherwise (R43).

    A header that names another input is not believed: nothing moves from one to the other. That of an array names the
    first of its events.
    """
    if record.headers:
        first = _header(record.headers, ORIGIN_HEADER)
        if first is not None and (parsed := _parsed_origin(first)) is not None and parsed.topic == topic:
            return replace(parsed, index=parsed.index + index) if index else parsed
    return Origin(topic, partition, record.offset, index)


def forward_fits(value: bytes) -> bool:
    """Whether one event can be forwarded; one that cannot is dead letter `too_large`."""
    return len(value) <= FORWARD_MAX_BYTES


def forward_headers(forward: Forward, topic: str, partition: int) -> list[tuple[str, bytes]]:
    """The headers under which an event goes on to its right partition."""
    first = origin(forward.source, topic, partition, forward.index)
    return detour_headers(first, arrival_micros(forward.source))


def detour_headers(first: Origin, arrived_at_micros: int) -> list[tuple[str, bytes]]:
    """The headers of an event that is forwarded or redriven: where it first lay, and when it first arrived."""
    return [
        (ARRIVAL_HEADER, b"%d" % arrived_at_micros),
        (ORIGIN_HEADER, f"{first.topic}/{first.partition}/{first.offset}/{first.index}".encode()),
    ]


def is_tick(record: InputRecord) -> bool:
    """A tick carries no event: it says that nothing earlier will come (R44)."""
    return record.key is None and bool(record.headers) and _header(record.headers, TYPE_HEADER) == TICK_TYPE


def _header(headers: Headers, name: str) -> bytes | None:
    return next((value for key, value in headers if key == name), None)


def _parsed_origin(text: bytes) -> Origin | None:
    match = _ORIGIN.fullmatch(text.decode("utf-8", "replace"))
    if match is None:
        return None
    topic, partition, offset, index = match.groups()
    if int(partition) > _LARGEST_NUMBER or int(index) > _LARGEST_NUMBER:
        return None
    return Origin(topic, int(partition), int(offset), int(index))
