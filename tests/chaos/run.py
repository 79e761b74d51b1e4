"""One chaos run: a seed and a number of faults come in; what each fault was, how long it took to recover, and how much
was checked goes out.

The load arrives slice by slice; into each slice a fault. At the end all that was written is held against a ledger that
nobody disturbed, and ClickHouse against what was written.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import clickhouse_connect

from pipeline.demo.reading import ledger_has_read_everything
from pipeline.publisher import publish
from pipeline.settings import Settings
from pipeline.topics import PRICED_USAGE
from pipeline.topics_admin import create_topics
from tests.chaos.faults import choose, faults_of
from tests.chaos.load import Load, load_of
from tests.chaos.world import PARTITIONS, World
from tests.support import undisturbed
from tests.support.ledger_cluster import everything_at

RECORDS_PER_FAULT = 150
_PATIENCE_SECONDS = 120.0
_PLACE = ("input_partition", "input_offset", "input_index", "leg")

Say = Callable[[str], None]


class Struck(NamedTuple):
    """One occasion; seconds from its beginning until the ledger had read all that was sent by then."""

    faults: tuple[str, ...]
    recovered_seconds: float


class Outcome(NamedTuple):
    """What one seed came to, once all of it was checked.

    Attributes:
        sent: records of both inputs.
        written: records of the ledger, each the one that nobody disturbed would have written.
        rows: of ClickHouse, each there once and of the same amount.
    """

    seed: int
    brokers: int
    struck: list[Struck]
    sent: int
    written: int
    rows: int


def brokers_of(seed: int) -> int:
    """Every third seed has three."""
    return 1 if seed % 3 else 3


async def run(seed: int, faults: int, say: Say = lambda _line: None, brokers: int | None = None) -> Outcome:
    """Run, and check.

    Raises:
        AssertionError: what came out is not what nobody disturbed would have said; it names the first difference.
    """
    chance = Random(seed)
    load = load_of(seed, faults, PARTITIONS, RECORDS_PER_FAULT * faults)
    struck: list[Struck] = []
    with tempfile.TemporaryDirectory(prefix="usage-credits-chaos-") as directory:
        async with World(Path(directory), brokers or brokers_of(seed)) as world:
            await create_topics(world.settings)
            world.start_processes()
            possible, occasions = faults_of(world), choose(world, chance, faults)
            for piece, kinds in zip(load.slices, occasions, strict=False):
                await publish(world.settings, piece.records, ticks_at_micros=piece.until_micros)
                await asyncio.sleep(chance.uniform(0.0, 0.6))
                began = time.monotonic()
                await asyncio.gather(*(possible[kind](world, chance) for kind in kinds))
                await _recover(world, kinds)
                struck.append(Struck(kinds, time.monotonic() - began))
                say(f"seed {seed}: {' and '.join(kinds)}, recovered after {struck[-1].recovered_seconds:.1f} s")
            written, rows = await _check(world, load)
    sent = sum(len(piece.records) for piece in load.slices)
    say(f"seed {seed}: {sent} records, {len(struck)} occasions; all as nobody disturbed would have said")
    return Outcome(seed, len(world.brokers.nodes), struck, sent, written, rows)


async def _recover(world: World, kinds: tuple[str, ...]) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await ledger_has_read_everything(world.settings, lambda _read, _there: None, world.check)
    except TimeoutError:
        raise AssertionError(
            f"{' and '.join(kinds)}: not recovered after {_PATIENCE_SECONDS:.0f} s\n{world.last_words()}"
        ) from None


async def _check(world: World, load: Load) -> tuple[int, int]:
    """How many records of the ledger, and how many rows, were held against what they should be."""
    await publish(world.settings, [], ticks_at_micros=load.ends_micros)
    written = await everything_at(load.ends_micros, world.settings, world)
    undisturbed.compare(written, load.as_it_lies(PARTITIONS), PARTITIONS, load.ends_micros)
    rows = await _check_clickhouse(world, written[PRICED_USAGE.name])
    return sum(map(len, written.values())), rows


async def _check_clickhouse(world: World, records: Sequence[Any]) -> int:
    """Every row once, to the picodollar: per organisation and charge month, and each place in the inputs."""
    rows = [json.loads(line) for record in records for line in record.value.splitlines()]
    expected = sums_of(rows)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (found := await asyncio.to_thread(_stored, world.settings)) != expected:
        world.check()
        if time.monotonic() > deadline:
            raise AssertionError(f"ClickHouse has {found - expected} too much, {expected - found} too little")
        await asyncio.sleep(0.2)
    return len(rows)


def sums_of(rows: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, str, str]]:
    """Rows and picodollars by organisation and charge month; places, each counted once."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        sums[row["org_id"], row["charge_month"], "rows"] += 1
        sums[row["org_id"], row["charge_month"], "picousd"] += int(row["cost_picousd"])
    sums["", "", "places"] = len({tuple(row.get(name, 0) for name in _PLACE) for row in rows})
    return Counter({key: value for key, value in sums.items() if value})


def _stored(settings: Settings) -> Counter[tuple[str, str, str]]:
    client = clickhouse_connect.get_client(dsn=settings.clickhouse_url, database=settings.clickhouse_database)
    try:
        sums: Counter[tuple[str, str, str]] = Counter()
        by_month = client.query(
            "SELECT org_id, charge_month, count(), sum(cost_usd) FROM priced_usage GROUP BY org_id, charge_month"
        ).result_rows
        for org_id, month, rows, usd in by_month:
            sums[org_id, month, "rows"] = rows
            sums[org_id, month, "picousd"] = int(usd.scaleb(12))
        sums["", "", "places"] = client.query(f"SELECT uniqExact({', '.join(_PLACE)}) FROM priced_usage").result_rows[
            0
        ][0]
        return Counter({key: value for key, value in sums.items() if value})
    finally:
        client.close()
