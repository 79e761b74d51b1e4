"""The records of a run: a seed and a number come in, one record goes out: where to, its key, its headers, its bytes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pipeline.engine.contract import Input
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import ARRIVAL_HEADER, ORIGIN_HEADER, TICK_TYPE, TYPE_HEADER
from schemas.dead_letters import MAX_RECORD_BYTES
from tests.fuzz import mangling, structure
from tests.fuzz.originals import Original, original

Header = tuple[str, bytes]
Clock = Callable[[int], int]
"""Number of a record → when it arrives, in UTC microseconds."""

_ARRIVALS = (
    b"",
    b"0",
    b"1",
    b"-1",
    b"+5",
    b"1e9",
    b" 7",
    b"NaN",
    b"\xd9\xa3",
    b"9" * 18,
    b"9" * 19,
    b"0" * 18,
    b"\xff",
)
_ORIGINS = (
    *(
        b"",
        b"/",
        b"///",
        b"usage-events/0/0/0",
        b"account-commands/0/0/0",
        b"usage-events/0/-1/0",
        b"usage-events/a/b/c",
    ),
    *(b"usage-events/999999999999999999/999999999999999999/999999999999999999", b"usage-events/0/0", b"\xff\xff/1/2/3"),
    *(
        b"usage-events/\xd9\xa3/1/2",
        b"usage-events/\xc2\xb2/1/2",
        b"../../0/0/0",
        b"x" * 250 + b"/0/0/0",
        b"usage-events/0/0/0/0",
    ),
    *(b"usage-events/1/4294967296/0", b"usage-events/4294967296/1/4294967296"),
)
_TYPES = (TICK_TYPE, TICK_TYPE + b" ", b"", b"usage-credits.usage.v1", b"\xff")
_KEYS = (None, b"", b"acme", b"cinder", b"nobody", b"\x00", b"\xff\xfe", "ü".encode(), b"k" * 5_000)


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """One record; `partition` is where it is put, right or wrong."""

    number: int
    input: Input
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]


def fuzzed(seed: int, number: int, clock: Clock, partitions: int) -> Fuzzed:
    """The record of that number."""
    chance = Random(f"{seed} record {number}")
    whole = original(seed, number, clock(number))
    value = _value(chance, whole, lambda: original(seed, number + 1, clock(number)).raw)
    key: bytes | None = whole.org_id.encode()
    partition = partition_of(whole.org_id.encode(), partitions)
    if chance.random() < 0.1:
        key = chance.choice(_KEYS)
    if chance.random() < 0.1:
        partition = chance.randrange(partitions)
    to = whole.input
    if chance.random() < 0.01:
        to = "commands" if to == "usage" else "usage"
    return Fuzzed(number, to, partition, key, value, _headers(chance, clock(number)))


def _value(chance: Random, whole: Original, another: Callable[[], bytes]) -> bytes | None:
    value = whole.raw
    how = chance.random()
    if how < 0.15:
        return value
    if how < 0.65 and whole.wire is not None:
        said = structure.mutate(chance, whole.wire)
        indent = chance.choice((None, None, None, 1))
        text = json.dumps(said, ensure_ascii=chance.random() < 0.7, indent=indent)
        value = text.encode("utf-8", "surrogatepass")
    if how > 0.55:
        value = mangling.mangle(chance, value, another)
    rare = chance.random()
    if rare < 0.0002:
        return value.ljust(MAX_RECORD_BYTES + chance.choice((0, 1, 500_000)))
    if rare < 0.0004:
        return b"[" + b",".join([b"{}"] * chance.choice((3_000, 10_000, 10_001))) + b"]"
    return None if rare < 0.002 else value


def _headers(chance: Random, arrived_at_micros: int) -> list[Header]:
    if chance.random() < 0.9:
        return []
    earlier = arrived_at_micros - chance.choice((0, 1, 10**6, 10**9, 40 * 86_400 * 10**6))
    choices: list[Header] = [
        (ARRIVAL_HEADER, b"%d" % earlier),
        (ARRIVAL_HEADER, chance.choice(_ARRIVALS)),
        (ORIGIN_HEADER, chance.choice(_ORIGINS)),
        (TYPE_HEADER, chance.choice(_TYPES)),
        ("", b""),
        ("ü" * 100, b"\xff"),
    ]
    return chance.choices(choices, k=chance.choice((1, 1, 2, 3)))
