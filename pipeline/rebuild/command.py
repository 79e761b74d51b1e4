"""`usage-credits rebuild`: settings and options in; what differs, and exit code 0 or 1, out."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from pipeline.app import engine_settings
from pipeline.engine.settings import EngineSettings
from pipeline.errors import Mendable
from pipeline.price_book import load_price_book
from pipeline.rebuild.rebuilding import Rebuilder, Rebuilt
from pipeline.rebuild.versions import machines_of
from pipeline.rebuild.writer import Writer, claimed
from pipeline.screen import apart, console, table
from pipeline.settings import Settings
from pipeline.topics_admin import check_topics, create_topics


def run_rebuild(price_books: Sequence[Path], *, to_prefix: str | None, mend: bool, as_json: bool) -> bool:
    """Rebuild all partitions and tell what came of it.

    Args:
        price_books: earlier ones, beside the one of the package.
        to_prefix: where everything rebuilt is written; None: nowhere.
        mend: make the state in Kafka what it should be.

    Returns:
        Whether all is the same, or was mended.

    Raises:
        Mendable, KafkaError: it cannot be rebuilt.
    """
    settings = Settings()
    with console(stderr=True).status("rebuilding") as status:
        rebuilt = asyncio.run(rebuild_all(settings, price_books, to_prefix, mend=mend, say=status.update))
    if as_json:
        print(json.dumps([asdict(one) | {"same": one.is_same} for one in rebuilt], indent=2))
    else:
        console().print(_report(rebuilt))
    return all(one.is_same or (mend and not one.outputs_amiss) for one in rebuilt)


async def rebuild_all(
    settings: Settings,
    price_books: Sequence[Path] = (),
    to_prefix: str | None = None,
    *,
    mend: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[Rebuilt]:
    """Partition by partition, so that the memory of one is all that is needed."""
    await check_topics(settings)
    if to_prefix is not None:
        await _make_topics(settings, to_prefix)
    books = [load_price_book(), *map(load_price_book, price_books)]
    engine = engine_settings(settings)
    rebuilder = Rebuilder(settings, engine, machines_of(settings, books), say)
    rebuilt = []
    for number in range(settings.partitions):
        async with (
            _writer(None if to_prefix is None else replace(engine, prefix=to_prefix), number) as copy,
            _writer(engine if mend else None, number) as mending,
        ):
            rebuilt.append(await rebuilder.rebuild(number, copy=copy, mend=mending))
    return rebuilt


@asynccontextmanager
async def _writer(engine: EngineSettings | None, number: int) -> AsyncIterator[Writer | None]:
    if engine is None:
        yield None
        return
    async with claimed(engine, number) as writer:
        yield writer


async def _make_topics(settings: Settings, prefix: str) -> None:
    made = await create_topics(settings.model_copy(update={"topic_prefix": prefix}))
    if made.existing:
        raise Mendable(f"topics of the prefix {prefix!r} exist already; name one of which there are none")


def _report(rebuilt: Sequence[Rebuilt]) -> RenderableType:
    lines = table("partition", "transactions", "records the same", "cells", "written", right=(1, 2, 3, 4))
    for one in rebuilt:
        counts = (one.transactions, one.compared, one.cells, one.written)
        lines.add_row(str(one.partition), *(f"{count:,}" for count in counts))
    differences = [amiss for one in rebuilt for amiss in (*one.outputs_amiss, *one.memory_amiss)]
    verdict = Text("The same.", "bold green")
    if differences:
        verdict = Text("\n").join(Text(f"✗ {amiss}", "bold red") for amiss in differences)
    return Group(apart(lines), apart(verdict))
