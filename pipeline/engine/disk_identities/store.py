"""The identity store on local disk (R14): the part that the event loop runs.

What is new is kept in memory until there is enough of it, then sealed into a file by the store's one thread. So adding
and looking up touch dicts, the filter, and a page of a file for what the filter does not rule out; sorting, writing,
merging and waiting for the disk are the thread's (shelf.py). There is no log: what was not sealed is read again from
`seen-ids`, from the position that the folder's list tells.
"""

from asyncio import wrap_future
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from pipeline.engine.contract import Remembered
from pipeline.engine.disk_identities.folder import IdentitiesUnwritable
from pipeline.engine.disk_identities.shelf import Shelf
from pipeline.engine.identity import DAY_MICROS, KEY_BYTES

SEAL_IDENTITIES = 50_000
SEAL_ADDS = 20_000
"""So much is read again after a restart, at most: a second or two. The thread keeps the interpreter to itself for some
milliseconds while it packs so many."""

_KEPT_PARTS = 2
_WAIT_PARTS = 4
_MOST_PARTS = 16


class _Part(NamedTuple):
    """Identities on their way to the disk, or there since not long ago: most repeats come soon."""

    day: int
    identities: dict[bytes, bytes]
    sealed: Future[None]


class DiskIdentities:
    """An identity store in a folder of its own: 31 bytes of disk and 2 to 5 of memory an identity, and 50 MB.

    Args:
        seal_identities: kept in memory before they are written.

    Raises:
        IdentitiesBusy: another process holds the folder.
        IdentitiesDamaged: a file is not what was written; by looking up too.
        IdentitiesUnwritable: the disk takes no more; by adding too, since that is when it is noticed.
    """

    def __init__(self, folder: Path, horizon_days: int, *, seal_identities: int = SEAL_IDENTITIES) -> None:
        self._seal_identities = seal_identities
        self._kept_days = horizon_days + 1
        self._shelf = Shelf(folder, self._kept_days)
        self._worker = ThreadPoolExecutor(1, f"identities-{folder.name}")
        self._failure: BaseException | None = None
        self._closing = False
        self._begin()
        self._tidying = True
        self._tidy_later()

    def _begin(self) -> None:
        listing = self._shelf.listing
        self.position = listing.position
        self.position_micros = listing.position_micros
        self._today = listing.today
        self._tail: dict[bytes, bytes] = {}
        self._adds = 0
        self._parts: list[_Part] = []

    def look_up(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        packed = b"".join(keys)
        if len(packed) != len(keys) * KEY_BYTES:
            return self._look_up_whole(keys)
        known: Iterable[bytes | None] = repeat(None)
        for part in self._parts:
            known = map(part.identities.get, keys, known)
        values = list(map(self._tail.get, keys, known))
        view = self._shelf.view
        for day, number in view.filter.candidates(packed):
            if values[number] is None and day >= self._today - self._kept_days:
                values[number] = view.find(day, keys[number])
        return values

    def add(self, identities: Remembered, now_micros: int, position: int | None = None) -> None:
        self._check()
        today = now_micros // DAY_MICROS
        if today > self._today:
            if self._tail:
                self._seal()
            self._today = today
            self._parts = [part for part in self._parts if part.day >= today - self._kept_days]
        self._tail.update(identities)
        if position is not None:
            self.position = position
            self.position_micros = now_micros
            self._adds += 1
        if len(self._tail) >= self._seal_identities or (self._tail and self._adds >= SEAL_ADDS):
            self._seal()

    @property
    def is_busy(self) -> bool:
        """Whether its thread has something to do."""
        is_idle = all(part.sealed.done() for part in self._parts) and not self._tidying
        return self._failure is None and not is_idle

    async def catch_up(self) -> None:
        """Wait until the disk is not far behind."""
        while len(self._parts) > _WAIT_PARTS:
            await wrap_future(self._parts[0].sealed)
            self._check()

    def begin_anew(self) -> None:
        self._worker.submit(self._run, self._shelf.clear).result()
        self._check()
        self._begin()

    def close(self) -> None:
        self._closing = True
        self._worker.shutdown()
        self._shelf.close()
        self._tail.clear()
        self._parts.clear()

    def _look_up_whole(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """What is no key, the machine's mark of a bad event, is not known."""
        found = iter(self.look_up([key for key in keys if len(key) == KEY_BYTES]))
        return [next(found) if len(key) == KEY_BYTES else None for key in keys]

    def _seal(self) -> None:
        """Hand what is new to the thread; if the disk is very far behind, wait for it."""
        if len(self._parts) >= _MOST_PARTS:
            self._parts[0].sealed.result()
            self._check()
        day, tail = self._today, self._tail
        write = partial(self._write, day, tail, self.position, self.position_micros)
        self._parts.append(_Part(day, tail, self._worker.submit(self._run, write)))
        self._tail = {}
        self._adds = 0

    def _check(self) -> None:
        """Let go of what is on disk.

        Raises:
            what the thread failed with: nothing is written since then.
        """
        while len(self._parts) > _KEPT_PARTS and self._parts[0].sealed.done():
            del self._parts[0]
        if self._failure is not None:
            raise self._failure

    # In the thread.

    def _run(self, task: Callable[[], object]) -> None:
        """Nothing is done after a failure: the list must not say that what was not written is there."""
        if self._failure is not None:
            return
        try:
            task()
        except OSError as error:
            self._failure = IdentitiesUnwritable(self._shelf.path, error)
        except BaseException as error:
            self._failure = error

    def _write(self, day: int, identities: Remembered, position: int, position_micros: int) -> None:
        self._shelf.seal(day, identities, position, position_micros)
        if not self._tidying:
            self._tidying = True
            self._tidy_later()

    def _tidy(self) -> None:
        self._tidying = not self._closing and self._shelf.tidy()
        if self._tidying:
            self._tidy_later()

    def _tidy_later(self) -> None:
        """Behind what waits to be written by now."""
        with suppress(RuntimeError):  # it was closed meanwhile
            self._worker.submit(self._run, self._tidy)
