"""`usage-credits import claude-code`: paths go in; events come out, on stdout or on Kafka, with progress on stderr."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.importers.claude_code import Log, find_files, read_log, usage_events
from pipeline.importers.people import Person, person_of
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import USAGE_EVENTS
from pipeline.topics_admin import check_topics
from schemas.usage import Funding, UsageEvent, cloud_event


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose usage it is; None: the rule of pipeline/importers/people.py says."""

    org_id: str | None = None
    user_id: str | None = None
    funding: Funding | None = None

    def payer(self, session_id: str) -> Person:
        """The member of a session."""
        person = person_of(session_id)
        if self.org_id is None or self.user_id is None:
            return person
        return replace(person, org_id=self.org_id, user_id=self.user_id)


def import_claude_code(paths: tuple[Path, ...], whose: Whose, out: BinaryIO | None) -> dict[str, Any]:
    """Read the logs and write their events to `out`, or to Kafka if that is None; returns what happened, for people."""
    with progress_bar() as progress:
        log = _read(paths, progress)
        events = _events(log, whose)
        sent = _print(events, out) if out else asyncio.run(_send(list(events), progress))
    return {
        "deliveries": log.deliveries,
        "requests": len(log.requests),
        "events": sent,
        "skipped": dict(log.skipped),
    }


def outgoing(event: UsageEvent) -> Outgoing:
    """The record of an event: its key places it (R43), its time is its arrival in replay mode (R44)."""
    return Outgoing(
        USAGE_EVENTS.name,
        event.org_id.encode(),
        json.dumps(cloud_event(event), separators=(",", ":")).encode(),
        event.occurred_at_micros,
    )


def progress_bar() -> Progress:
    """How far an import is, on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _read(paths: tuple[Path, ...], progress: Progress) -> Log:
    files = find_files(paths)
    task = progress.add_task("reading files", total=len(files))
    return read_log(files, on_file=lambda _path: progress.advance(task))


def _events(log: Log, whose: Whose) -> Iterator[UsageEvent]:
    for event in usage_events(log, whose.payer):
        yield event if whose.funding is None else event.model_copy(update={"funding": whose.funding})


def _print(events: Iterator[UsageEvent], out: BinaryIO) -> int:
    lines = [outgoing(event).value + b"\n" for event in events]
    out.writelines(lines)
    out.flush()
    return len(lines)


async def _send(events: list[UsageEvent], progress: Progress) -> int:
    settings = Settings()
    await check_topics(settings)
    task = progress.add_task("sending events", total=len(events))
    # In replay mode only what a later record or a tick lies behind is processed.
    ticks_at = events[-1].occurred_at_micros // 1_000 * 1_000 if events and settings.mode == "replay" else None
    return await publish(
        settings,
        map(outgoing, events),
        on_sent=lambda count: progress.advance(task, count),
        ticks_at_micros=ticks_at,
    )
