"""`usage-credits import`: files come in; events go to Kafka or stdout, or a summary of them does.

1. All files are read, record by record, into a spool on disk, which gives them back in the order of time.
2. In that order they become events, and are summed up, printed or sent; memory stays flat, whatever the files' size.
3. A run that was cut is taken up again: how many readings Kafka has is noted in DATA_DIR, under what was read and the
   log it went to. A note may be behind, never ahead; what is sent again has the same identity, so it is charged once
   (R14).
"""

import asyncio
import json
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.errors import Mendable
from pipeline.importers.readings import Format, NoUsage, Reading, Told
from pipeline.importers.spool import Spool
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import USAGE_EVENTS
from pipeline.topics_admin import check_topics
from schemas.usage import UsageEvent, cloud_event

_TELL_EVERY = 1_000
"""After so many records how far it is is told again."""

_MOST_REASONS = 100
_BYTES_PER_MB = 1_000_000
_HINTS = {
    "org_id": "; say --org-id",
    "user_id": "; say --user-id",
    "product": "; say --product",
}


class Found:
    """What files hold.

    Attributes:
        skipped: why records are no events, and how many; those that were read well once `events` has come to its end.
    """

    def __init__(self, kind: Format, told: Told, progress: Progress | None = None) -> None:
        self.skipped: Counter[str] = Counter()
        self._progress = progress
        self._kind = kind
        self._told = told
        self._spool = Spool(latest_only=kind.comes_again)

    @property
    def records(self) -> int:
        """How many readings there are, those that came again included."""
        return self._spool.added

    def __len__(self) -> int:
        """How many readings become events, or are skipped."""
        return len(self._spool)

    def digest(self, log_id: str) -> str:
        """Of all that decides what is sent to a log."""
        return sha256(repr((self._spool.digest, astuple(self._told), log_id)).encode()).hexdigest()

    def read(self, number: int, file: BinaryIO) -> Iterator[None]:
        """Take in the file of this number, one record a step."""
        for reading in self._kind.read(file):
            if isinstance(reading, NoUsage):
                self._skip(reading)
            else:
                self._spool.add(number, reading)
            yield

    def events(self, after: int = 0) -> Iterator[tuple[int, UsageEvent]]:
        """Events in the order of time, each with its place among the readings from 1 on; none up to `after`."""
        complete = self._kind.complete(self._told)
        for place, reading in enumerate(map(complete, self._spool), start=1):
            if place <= after:
                continue
            try:
                yield place, _event(reading, self._told)
            except NoUsage as none:
                self._skip(none)

    def _skip(self, none: NoUsage) -> None:
        why = str(none)
        # Texts may name values, which may all differ.
        self.skipped[why if why in self.skipped or len(self.skipped) < _MOST_REASONS else "for other reasons"] += 1

    def watched_events(self, doing: str) -> Iterator[UsageEvent]:
        """All events, and how many of them are done is shown."""
        tell = self.teller(doing, len(self))
        for place, event in self.events():
            yield event
            if place % _TELL_EVERY == 0:
                tell(place)
        tell(len(self))

    def teller(self, doing: str, total: int) -> Callable[[int], None]:
        """What hears how much is done, and shows it if there is a progress bar."""
        if self._progress is None:
            return lambda done: None
        progress, task = self._progress, self._progress.add_task(doing, total=total)
        return lambda done: progress.update(task, completed=done)

    def close(self) -> None:
        """Give the disk back."""
        self._spool.close()


@contextmanager
def find(kind: Format, paths: Iterable[Path], told: Told, progress: Progress | None = None) -> Iterator[Found]:
    """What all files hold, a folder's files included.

    Raises:
        Mendable: a file cannot be read as one of this kind, and which; or there is no room for what was read.
        FileNotFoundError: a path is not there, or its folder holds no such file.
    """
    files = find_files(kind, paths)
    found = Found(kind, told, progress)
    sizes = [path.stat().st_size for path in files]
    whole_mb = -(-sum(sizes) // _BYTES_PER_MB)
    tell = found.teller("reading, MB", whole_mb)
    try:
        for number, path in enumerate(files):
            with path.open("rb") as file:
                try:
                    for step, _ in enumerate(found.read(number, file)):
                        if step % _TELL_EVERY == 0:
                            tell((sum(sizes[:number]) + file.tell()) // _BYTES_PER_MB)
                except ValueError as error:
                    raise Mendable(f"{path}: {error}") from None
        tell(whole_mb)
        yield found
    except sqlite3.OperationalError as error:
        raise Mendable(f"no temporary file for what was read: {error}; TMPDIR names another folder for it") from None
    finally:
        found.close()


def find_files(kind: Format, paths: Iterable[Path]) -> list[Path]:
    """The files under `paths`: a file is itself, a folder all of its kind below it; sorted, each once.

    Raises:
        FileNotFoundError: a path is not there, or a folder holds no such file.
    """
    files: set[Path] = set()
    for path in paths:
        below = [path] if path.is_file() else [one for one in path.rglob(kind.pattern) if one.is_file()]
        if not below:
            raise FileNotFoundError(f"{path}: no such file, and no folder with {kind.pattern} files in it")
        files.update(below)
    return sorted(files)


def outgoing(event: UsageEvent) -> Outgoing:
    """The record of an event: its key places it (R43), its time is its arrival in replay mode (R44)."""
    return Outgoing(
        USAGE_EVENTS.name,
        event.org_id.encode(),
        json.dumps(cloud_event(event), separators=(",", ":")).encode(),
        event.occurred_at_micros,
    )


def send(found: Found, *, again: bool) -> dict[str, Any]:
    """Everything that Kafka does not have yet; returns what happened, for people."""
    sent, before = asyncio.run(_send(found, again))
    return {
        "records": found.records,
        "sent": sent,
        "sent_before": before,
        "skipped": dict(found.skipped),
    }


async def _send(found: Found, again: bool) -> tuple[int, int]:
    settings = Settings()
    note = settings.data_dir / "imports" / found.digest(await check_topics(settings))
    before = 0 if again else _noted(note)
    tell = found.teller("sending, records", len(found))
    tell(before)
    places: deque[int] = deque()
    last_micros = 0

    def records() -> Iterator[Outgoing]:
        nonlocal last_micros
        for place, event in found.events(after=before):
            places.append(place)
            last_micros = event.occurred_at_micros
            yield outgoing(event)

    def on_sent(count: int) -> None:
        for place in [places.popleft() for _ in range(count)][-1:]:
            # The last one is sent again, unless all of it came to its end: so a tick that was missed is made up for.
            _take_note(note, place - 1)
            tell(place)

    sent = await publish(settings, records(), on_sent)
    if sent and settings.mode == "replay":
        # There a record is processed once a later one, or a tick, lies in both inputs; Kafka's times are milliseconds.
        await publish(settings, [], ticks_at_micros=(last_micros // 1_000 + 1) * 1_000)
    if sent or before:  # what became no event is told again by the next run
        _take_note(note, len(found))
    tell(len(found))
    return sent, before


def _noted(note: Path) -> int:
    try:
        return int(note.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _take_note(note: Path, place: int) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    unfinished = note.with_suffix(".new")
    unfinished.write_text(str(place))
    unfinished.replace(note)


def write(found: Found, out: BinaryIO) -> int:
    """The events as NDJSON; returns how many."""
    count = 0
    for event in found.watched_events("printing, records"):
        out.write(outgoing(event).value + b"\n")
        count += 1
    out.flush()
    return count


def progress_bar() -> Progress:
    """How far an import is, on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _event(reading: Reading, told: Told) -> UsageEvent:
    """The event of a reading, and of what was told beside it.

    Raises:
        NoUsage: it is none.
    """
    said = {name: value for name, value in reading.items() if value is not None}
    given = {"org_id": told.org_id} if told.org_id else {}
    otherwise = {"user_id": told.user_id, "product": told.product, "funding": told.funding or "credits"}
    fields = {name: value for name, value in otherwise.items() if value is not None} | said | given
    try:
        return UsageEvent.model_validate(fields)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        hint = _HINTS.get(str(problem["loc"][0]), "")
        raise NoUsage(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}{hint}") from None
