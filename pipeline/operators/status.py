"""`usage-credits status`: settings in; what runs, how far it is and who is paused out, for people or programs."""

import asyncio
import json
from importlib.metadata import version

from rich.console import RenderableType
from rich.text import Text

from pipeline.operators.looking import Status, look
from pipeline.screen import apart, console, table, title
from pipeline.settings import Settings
from schemas.admission import LIMITS
from schemas.instants import format_instant

_STALE_SECONDS = 30


def run_status(*, with_members: bool, as_json: bool) -> bool:
    """Look, and print it; True if all is well.

    Raises:
        KafkaError, Mendable: without Kafka or its topics nothing can be told.
    """
    status = asyncio.run(look(Settings(), with_members=with_members))
    status.version = version("usage-credits")
    if as_json:
        print(json.dumps(status.json(), indent=2))
    else:
        screen = console(markup=False)
        for part in _parts(status):
            screen.print(part)
    return status.is_well


def _parts(status: Status) -> list[RenderableType]:
    parts: list[RenderableType] = [title("Running", f"usage-credits {status.version}")]
    running = table("part", "how it is")
    running.add_row("Kafka", _good(f"{status.brokers} broker{'s' * (status.brokers != 1)}"))
    for name, count in status.workers.items():
        running.add_row(
            name, _mark(f"{count} in the group" if count else f"none runs: `usage-credits {name}`", count > 0)
        )
    running.add_row("gate", _mark(status.gate, status.gate == "ready"))
    running.add_row("ClickHouse", _mark(status.clickhouse, status.clickhouse == "ready"))
    running.add_row("last proof", _proof(status))
    parts += [running, title("Partitions", "records that wait, and how far behind now each is")]
    lags = table("partition", "usage", "commands", "to be stored", "transaction", "behind", right=range(6))
    for one in status.partitions:
        behind = (status.at_micros - one.as_of_micros) / 1_000_000
        lags.add_row(
            str(one.partition),
            f"{one.usage_lag:,}",
            f"{one.commands_lag:,}",
            f"{one.sink_lag:,}",
            f"{one.transaction:,}",
            _mark(_age(behind), behind < _STALE_SECONDS) if one.as_of_micros else _bad("never ran"),
        )
    parts.append(lags)
    parts += [_bad(str(one)) for one in status.hanging]
    if status.paused is not None and status.members is not None:
        paused = sum(count for reason, count in status.paused.items() if reason in LIMITS or reason == "balance")
        parts.append(title("Members", f"{status.members:,}, {paused:,} of them paused"))
        reasons = table("may not spend, because of", "members", right=[1])
        for reason, count in sorted(status.paused.items(), key=lambda item: -item[1]):
            reasons.add_row(reason, f"{count:,}")
        parts.append(reasons if status.paused else apart(_good("everybody may spend")))
    return parts


def _proof(status: Status) -> Text:
    proof = status.proof
    if proof is None:
        return Text("none on this machine: `usage-credits prove`", "yellow")
    when = format_instant(proof["at_micros"])[:19].replace("T", " ")
    if proof["agree"]:
        return _good(f"{when}, all {proof['compared']:,} sums agree")
    return _bad(f"{when}, {proof['differing']:,} of {proof['compared']:,} sums differ: `usage-credits prove`")


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{max(0.0, seconds):.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.0f} h"


def _mark(text: str, is_good: bool) -> Text:
    return _good(text) if is_good else _bad(text)


def _good(text: str) -> Text:
    return Text.assemble(("✓ ", "green"), text)


def _bad(text: str) -> Text:
    return Text.assemble(("✗ ", "bold red"), (text, "red"))
