"""`usage-credits demo`: the example logs go in; tables and the proof come out, and whether all sums agree.

1. Kafka and ClickHouse start on an empty directory of their own, in replay mode (R44).
2. Topics and tables are made; the ledger and the sink start as processes of their own.
3. The feed is sent whole: what comes out does not depend on when.
4. When the ledger's journal covers all of it and ClickHouse has every row, the figures are collected from both.
"""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import clickhouse_connect
from rich.console import Console
from rich.status import Status

from pipeline.demo.feed import ENDS, events_in, feed
from pipeline.demo.figures import TOPICS_READ, Figures, collect
from pipeline.demo.reading import ledger_has_read_everything, read_topics
from pipeline.demo.report import report
from pipeline.demo.system import System, command_line, local_system, stop_in_order_on_signals
from pipeline.embedded.process import LOCK_NAME
from pipeline.embedded.watchdog import is_held
from pipeline.errors import Mendable
from pipeline.importers.claude_code import CLAUDE_CODE
from pipeline.importers.importing import find
from pipeline.importers.readings import Told
from pipeline.proof.equation import Equation
from pipeline.proof.prove import Prover
from pipeline.publisher import publish
from pipeline.screen import console
from pipeline.settings import Settings
from pipeline.topics import USAGE_EVENTS
from pipeline.topics_admin import create_topics

EXAMPLES = Path(__file__).parents[2] / "examples" / "claude_code"

_STALL_SECONDS = 45.0

Query = Callable[[str], list[tuple[object, ...]]]


def run_demo(data_dir: Path, *, as_json: bool) -> bool:
    """Run it and print what came of it; True if all sums agree.

    Raises:
        EmbeddedError, Mendable: a part did not start, ended, or stood still.
    """
    stop_in_order_on_signals()
    begun = time.monotonic()
    screen = console(stderr=as_json)
    screen.print("[bold]usage-credits demo[/]: real Claude Code usage, priced, bounded, paused, proved\n")
    _empty(data_dir)
    with local_system(data_dir, "replay", lambda line: screen.print(f"  {line}", style="dim")) as system:
        figures = asyncio.run(_main_job(system, screen))
        screen.print("  stopping", style="dim")
    if as_json:
        print(json.dumps(figures.json(), indent=2))
    else:
        screen.print(report(figures))
        # A command must not be cut where the screen ends, or nobody could copy it.
        screen.print(_what_next(data_dir), soft_wrap=True)
    screen.print(f"{time.monotonic() - begun:.0f} s", style="dim")
    return figures.agree


async def _main_job(system: System, screen: Console) -> Figures:
    settings = system.settings
    with _step(screen, "topics"):
        await create_topics(settings)
    system.start_worker("ledger")
    system.start_worker("sink")
    with find(CLAUDE_CODE, [EXAMPLES], Told()) as found:
        events = [event for _, event in found.events()]
    records = feed(events, settings.partitions)
    with _step(screen, f"{found.records:,} deliveries of {len(events):,} requests read, sent to Kafka"):
        await publish(settings, records, ticks_at_micros=ENDS)
    watch = _Watch(system)
    with _step(screen, "ledger: priced, bounded, paused") as status:

        def saw(done: int, total: int) -> None:
            watch.saw(done)
            status.update(f"ledger: {done:,} of {total:,} records")

        await ledger_has_read_everything(settings, saw, watch.check)
    equations: list[Equation] = []
    with _step(screen, "stored in ClickHouse, and everything added up again") as status:

        def waits(what: str) -> None:
            system.check()
            status.update(what)

        proof = await Prover(settings, _STALL_SECONDS, say=waits, look=equations.append).prove()
    outputs = await read_topics(settings, TOPICS_READ)
    sent = sum(events_in(record) for record in records if record.topic == USAGE_EVENTS.name)
    return collect(outputs, _query(settings), proof, equations, sent)


class _Watch:
    """Sees that something still moves."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._last: int | None = None
        self._moved_at = time.monotonic()

    def saw(self, progress: int) -> None:
        if progress != self._last:
            self._last, self._moved_at = progress, time.monotonic()

    def check(self) -> None:
        self._system.check()
        if time.monotonic() - self._moved_at > _STALL_SECONDS:
            files = ", ".join(str(worker.log_file) for worker in self._system.workers)
            raise Mendable(f"nothing has moved for {_STALL_SECONDS:.0f} s; see {files}")


def _query(settings: Settings) -> Query:
    client = clickhouse_connect.get_client(dsn=settings.clickhouse_url, database=settings.clickhouse_database)

    def query(sql: str) -> list[tuple[object, ...]]:
        return list(client.query(sql).result_rows)

    return query


def _empty(data_dir: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    if not data_dir.exists() or not any(data_dir.iterdir()):
        return
    if not _is_a_demos(data_dir):
        raise Mendable(f"{data_dir} holds something that is no demo's; name another --data-dir")
    for lock in data_dir.glob(f"*/{LOCK_NAME}"):
        if is_held(str(lock)):
            raise Mendable(
                f"{lock.parent.name} of another demo still runs on {data_dir}; wait, or name another --data-dir"
            )
    shutil.rmtree(data_dir)


def _is_a_demos(data_dir: Path) -> bool:
    try:
        identity = json.loads((data_dir / "cluster.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(identity.get("mode") == "replay")


@contextmanager
def _step(screen: Console, what: str) -> Iterator[Status]:
    begun = time.monotonic()
    with screen.status(what) as status:
        yield status
    screen.print(f"  {what}, {time.monotonic() - begun:.1f} s", style="dim")


def _what_next(data_dir: Path) -> str:
    query = command_line("usage-credits", "query", "--data-dir", str(data_dir))
    up = command_line("usage-credits", "up", "--demo")
    return (
        "\n[bold]What next[/]\n\n"
        f"  {query} 'SELECT * FROM month_to_date_by_member'\n"
        f"  {up}     [dim]# the same system, live, until Ctrl-C[/]\n\n"
        "  examples/README.md   where this usage comes from, and whose it is\n"
        "  docs/rules.md        every rule, with its number\n"
    )
