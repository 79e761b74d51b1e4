"""Plain Faust: usage comes to an agent, totals and identities live in Tables, rows and breaches go to topics."""

import sys
from collections.abc import Callable
from typing import Any

import faust

from benchmarks.contenders.charging import in_lines
from benchmarks.contenders.world import World


def events(world: World) -> None:
    """One event at a time, a record for each row."""

    def define(app: faust.App, usage: Any, priced: Any, breaches: Any, seen: Any, months: Any) -> None:
        @app.agent(usage)
        async def charge(stream: Any) -> None:
            async for value in stream:
                charged = world.charging.charge(value, seen, months)
                if charged is not None:
                    await priced.send(key=charged.org_id, value=charged.row)
                    if charged.breach is not None:
                        await breaches.send(key=charged.org_id, value=charged.breach)

    _run(world, define)


def taken(world: World) -> None:
    """`take` hands over lists; a list's rows go as lines."""

    def define(app: faust.App, usage: Any, priced: Any, breaches: Any, seen: Any, months: Any) -> None:
        @app.agent(usage)
        async def charge(stream: Any) -> None:
            async for values in stream.take(1_000, within=0.1):
                charged = [c for value in values if (c := world.charging.charge(value, seen, months))]
                for lines in in_lines(charged):
                    await priced.send(value=lines)
                for one in charged:
                    if one.breach is not None:
                        await breaches.send(key=one.org_id, value=one.breach)

    _run(world, define, by_own_key=True)


def _run(world: World, define: Callable[..., None], *, by_own_key: bool = False) -> None:
    app = faust.App(
        world.group,
        broker=f"kafka://{world.bootstrap_servers}",
        datadir=world.folder,
        topic_partitions=world.partitions,
        web_enabled=False,
        producer_linger_ms=5,
        producer_max_batch_size=256 << 10,
    )
    usage = app.topic(world.usage_events, value_serializer="raw", value_type=bytes)
    priced = app.topic(world.priced_usage, value_serializer="raw", value_type=bytes)
    breaches = app.topic(world.limit_breaches, value_serializer="raw", value_type=bytes)
    # Past `take` there is no current event whose partition a Table could use: its own keys choose.
    own = {"use_partitioner": True} if by_own_key else {}
    seen = app.Table("seen", default=int, partitions=world.partitions, **own)
    months = app.Table("months", default=int, partitions=world.partitions, **own)
    define(app, usage, priced, breaches, seen, months)
    sys.argv[1:] = ["worker", "--without-web", "--loglevel=error"]
    app.main()
