"""`python -m benchmarks identities`: the identity store on disk; so many identities in, microseconds an event out.

The store is filled from packed records of `seen-ids`, as a claim does, spread over the days it keeps. Then events come
in chunks: 97 % new, 2.5 % repeats of the last 100,000, 0.5 % of any before; what is new is added. No Kafka.
"""

import asyncio
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

from pipeline.agents.decoding import identity_key_of
from pipeline.engine.disk_identities import DiskIdentities
from pipeline.engine.identity import DAY_MICROS, KEY_BYTES, VALUE_BYTES, pack, unpack

HORIZON_DAYS = 35
CHUNKS = (50, 500, 5_000)
_RECORD_IDENTITIES = 500
_FETCH_RECORDS = 600
_RECENT = 100_000
_EVENTS = 500_000
_ENTRY_BYTES = KEY_BYTES + VALUE_BYTES


class _Measured(NamedTuple):
    """Seconds of each chunk."""

    size: int
    look_ups: list[float]
    adds: list[float]


def main(identities: int, folder: Path | None) -> None:
    """Fill a store in a folder, or in a temporary one, and print what it costs."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="identities-") as made:
        _main(identities, Path(made))


def _main(identities: int, folder: Path) -> None:
    texts = [f"org-{number % 40} claude-code req_{number:020d}" for number in range(100_000)]
    began = time.perf_counter()
    for text in texts:
        identity_key_of(text)
    print(f"hash        {(time.perf_counter() - began) / len(texts) * 1e6:.2f} µs an event")

    store = DiskIdentities(folder, HORIZON_DAYS)
    old: list[bytes] = []
    began = time.perf_counter()
    longest_ms = asyncio.run(_fill(store, identities, old))
    speed = identities / (time.perf_counter() - began)
    print(f"refill      {identities:,} identities at {speed:,.0f} a second; longest record {longest_ms:.0f} ms")
    _settle(store)
    files = list(folder.iterdir())
    print(f"on disk     {sum(f.stat().st_size for f in files) / identities:.1f} bytes an identity, {len(files)} files")

    position = store.position
    for state in ("files read before", "files not read before"):
        store.close()
        if "not" in state:
            _let_go(files)
        began = time.perf_counter()
        store = DiskIdentities(folder, HORIZON_DAYS)
        print(f"open        {time.perf_counter() - began:.2f} s, {position - store.position} records behind; {state}")
        asyncio.run(_fill(store, identities, []))
    _print(_measure(store, 500, old, _EVENTS // 10), "; files not read before")
    for file in folder.glob("*.ids"):
        file.read_bytes()
    for size in CHUNKS:
        _print(_measure(store, size, old, _EVENTS))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"memory      {pages * os.sysconf('SC_PAGE_SIZE') >> 20} MB, at most {most_mb} MB; the whole process")
    store.close()


async def _fill(store: DiskIdentities, identities: int, old: list[bytes]) -> float:
    """Milliseconds of the longest record."""
    longest = 0.0
    count = identities // _RECORD_IDENTITIES
    for number in range(store.position, count):
        record = _record(number, count)
        began = time.perf_counter()
        now_micros, remembered = unpack(record)
        store.add(remembered, now_micros, number + 1)
        longest = max(longest, time.perf_counter() - began)
        if number % 100 == 0:
            old.extend(list(remembered)[:25])
        if number % _FETCH_RECORDS == 0:
            await store.catch_up()
    return longest * 1_000


def _record(number: int, count: int) -> bytes:
    now_micros = number * (HORIZON_DAYS + 1) * DAY_MICROS // count
    (empty,) = pack({bytes(KEY_BYTES): bytes(VALUE_BYTES)}, now_micros)
    return empty[:-_ENTRY_BYTES] + random.Random(number).randbytes(_RECORD_IDENTITIES * _ENTRY_BYTES)


def _measure(store: DiskIdentities, size: int, old: list[bytes], events: int) -> _Measured:
    chance = random.Random(f"{size} {store.position}")  # other numbers than those of any record
    recent: list[bytes] = []
    measured = _Measured(size, [], [])
    now_micros = (HORIZON_DAYS + 1) * DAY_MICROS - 1
    for _ in range(events // size):
        fresh = [chance.randbytes(KEY_BYTES) for _ in range(size - size * 3 // 100)]
        again = [chance.choice(recent or old) for _ in range(size * 25 // 1_000)]
        keys = [*fresh, *again, *chance.choices(old, k=size - len(fresh) - len(again))]
        chance.shuffle(keys)
        value = chance.randbytes(VALUE_BYTES)
        began = time.perf_counter()
        known = store.look_up(keys)
        measured.look_ups.append(time.perf_counter() - began)
        added = {key: value for key, it in zip(keys, known, strict=True) if it is None}
        began = time.perf_counter()
        store.add(added, now_micros, store.position + 1)
        measured.adds.append(time.perf_counter() - began)
        assert len(added) == len(fresh), "an identity was lost, or made up"
        recent = [*recent[len(fresh) - _RECENT :], *fresh] if len(recent) >= _RECENT else [*recent, *fresh]
    return measured


def _print(measured: _Measured, remark: str = "") -> None:
    size, look_ups, adds = measured
    looked_up, added = (f"{median(s) / size * 1e6:.2f} µs (mean {mean(s) / size * 1e6:.2f})" for s in (look_ups, adds))
    longest_ms = max(max(look_ups), max(adds)) * 1_000
    print(f"chunks of {size:5,}: look-up {looked_up}, insert {added} an event; longest {longest_ms:.0f} ms{remark}")


def _settle(store: DiskIdentities) -> None:
    """Wait until nothing is left to merge."""
    while store.is_busy:
        time.sleep(0.1)


def _let_go(files: Iterable[Path]) -> None:
    """Have the kernel forget what it keeps of the files."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
