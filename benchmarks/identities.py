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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from pipeline.agents.decoding import identity_key_of
from pipeline.engine.disk_identities import DiskIdentities
from pipeline.engine.identity import DAY_MICROS, KEY_BYTES, VALUE_BYTES, pack, unpack

HORIZON_DAYS = 35
CHUNKS = (50, 500, 5_000)
_RECORD_IDENTITIES = 500
_FETCH_RECORDS = 600
_RECENT = 100_000
_EVENTS = 100_000
_ENTRY_BYTES = KEY_BYTES + VALUE_BYTES


class _Measured(NamedTuple):
    """Seconds of each chunk: on the processor, and by the clock, which counts whatever else the machine does."""

    look_ups: list[tuple[float, float]]
    adds: list[tuple[float, float]]


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
    print("                     look-up: processor, clock   insert: processor, clock   longest call")
    _print("500, files not read", _measure(store, 500, old))
    for file in files:
        if file.exists():
            file.read_bytes()
    for size in CHUNKS:
        _print(f"{size:,}", _measure(store, size, old))
    _print("500, while merging", _measure(store, 500, old, settle=False))
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


def _measure(store: DiskIdentities, size: int, old: list[bytes], *, settle: bool = True) -> _Measured:
    chance = random.Random(f"{size} {store.position}")  # other numbers than those of any record
    measured = _Measured([], [])
    now_micros = (HORIZON_DAYS + 1) * DAY_MICROS - 1
    recent = [chance.randbytes(KEY_BYTES) for _ in range(_RECENT)]  # a ring
    store.add(dict.fromkeys(recent, bytes(VALUE_BYTES)), now_micros, store.position + 1)
    for number in range(_EVENTS // size):
        fresh = [chance.randbytes(KEY_BYTES) for _ in range(size - size * 3 // 100)]
        again = [chance.choice(recent) for _ in range(size * 25 // 1_000)]
        keys = [*fresh, *again, *chance.choices(old, k=size - len(fresh) - len(again))]
        chance.shuffle(keys)
        value = chance.randbytes(VALUE_BYTES)
        if settle:
            _settle(store)  # a ledger does all the rest meanwhile
        with _timed(measured.look_ups):
            known = store.look_up(keys)
        added = {key: value for key, it in zip(keys, known, strict=True) if it is None}
        with _timed(measured.adds):
            store.add(added, now_micros, store.position + 1)
        assert len(added) == len(fresh), "an identity was lost, or made up"
        at = number * size % _RECENT
        recent[at : at + len(fresh)] = fresh
    return measured


@contextmanager
def _timed(into: list[tuple[float, float]]) -> Iterator[None]:
    clock, processor = time.perf_counter(), time.thread_time()
    yield
    into.append((time.thread_time() - processor, time.perf_counter() - clock))


def _print(what: str, measured: _Measured) -> None:
    """Medians, and the longest by the clock."""
    events = _EVENTS // len(measured.adds)
    columns = [seconds for chunks in measured for seconds in zip(*chunks, strict=True)]
    figures = [f"{median(seconds) / events * 1e6:.2f} µs" for seconds in columns]
    longest_ms = max(clock for chunks in measured for _, clock in chunks) * 1_000
    print(
        f"{what:20} {figures[0]:>18} {figures[1]:>8} {figures[2]:>17} {figures[3]:>8} {longest_ms:>11.1f} ms",
        flush=True,
    )


def _settle(store: DiskIdentities) -> None:
    """Wait until nothing is left to merge."""
    while store.is_busy:
        time.sleep(0.01)


def _let_go(files: Iterable[Path]) -> None:
    """Have the kernel forget what it keeps of the files."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
