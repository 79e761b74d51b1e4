"""The identity store of one partition (R14): what committed transactions accepted, looked up by 16-byte keys.

It is an index of the topic `seen-ids` and may be lost at any time: a claim refills it from its position. The one here
lives in memory: for tests and for what is gone when it is done; the ledger's is on disk (disk_identities/).
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Protocol

from pipeline.engine.contract import Remembered
from pipeline.engine.settings import MAX_BATCH_BYTES

DAY_MICROS = 86_400_000_000
KEY_BYTES, VALUE_BYTES = 16, 12
PACK_VERSION = 1
_HEAD = struct.Struct(">Bq")
_ENTRY_BYTES = KEY_BYTES + VALUE_BYTES
_MAX_ENTRIES = (MAX_BATCH_BYTES - 1_000) // _ENTRY_BYTES


class IdentityStore(Protocol):
    """What the engine needs of a store; the machine sees `look_up` alone.

    Identities of the chunk under way are not here yet: the machine keeps those until they are committed.
    """

    position: int
    """The next offset of `seen-ids` to be added: a refill begins there."""
    position_micros: int
    """Ledger time of the record before that."""

    def look_up(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """The latest value of each key; None where it is new, or no key (16 bytes) at all."""

    def add(self, identities: Remembered, now_micros: int, position: int | None = None) -> None:
        """Remember what was committed, under the day of `now_micros`; forget what was kept `horizon_days` + 1.

        Args:
            now_micros: a day that is over does not come back: what is older counts as of the last day.
            position: the offset of `seen-ids` after these identities; None where nothing was written there.
        """

    async def catch_up(self) -> None:
        """Wait while it is too far behind with what was added."""

    def begin_anew(self) -> None:
        """Forget everything, position included: `seen-ids` is another one than it was filled from."""

    def close(self) -> None:
        """Let go of what it holds; it may take some tenths of a second."""


class MemoryIdentities:
    """An identity store that is gone with its process: about 250 bytes an identity."""

    def __init__(self, horizon_days: int) -> None:
        self._kept_days = horizon_days + 1
        self._values: dict[bytes, bytes] = {}
        self._keys_of_day: dict[int, set[bytes]] = {}
        self._today = self.position = self.position_micros = 0

    def look_up(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return list(map(self._values.get, keys))

    def add(self, identities: Remembered, now_micros: int, position: int | None = None) -> None:
        if position is not None:
            self.position = position
            self.position_micros = now_micros
        today = max(now_micros // DAY_MICROS, self._today)
        self._values.update(identities)
        self._keys_of_day.setdefault(today, set()).update(identities)
        if today > self._today:
            self._today = today
            self._forget_before(today - self._kept_days)

    async def catch_up(self) -> None:
        pass

    def begin_anew(self) -> None:
        self._today = self.position = self.position_micros = 0
        self._values.clear()
        self._keys_of_day.clear()

    def close(self) -> None:
        self.begin_anew()

    def _forget_before(self, first_kept_day: int) -> None:
        for day in [day for day in self._keys_of_day if day < first_kept_day]:
            # A key that was renewed since (an original that got corrected) lives on under its later day.
            for key in self._keys_of_day.pop(day).difference(*self._keys_of_day.values()):
                del self._values[key]


def pack(identities: Remembered, now_micros: int) -> Iterator[bytes]:
    """Records for `seen-ids`: version byte, ledger time, then 16 + 12 bytes an identity; each below 900 kB."""
    items = iter(identities.items())
    while body := b"".join(chain.from_iterable(part := list(islice(items, _MAX_ENTRIES)))):
        if len(body) != len(part) * _ENTRY_BYTES:
            raise ValueError(f"an identity is {KEY_BYTES} + {VALUE_BYTES} bytes; one of these {len(part)} is not")
        yield _HEAD.pack(PACK_VERSION, now_micros) + body


def unpack(value: bytes) -> tuple[int, Remembered]:
    """(ledger time, identities) of one record of `seen-ids`."""
    version, now_micros = _HEAD.unpack_from(value)
    if version != PACK_VERSION:
        raise ValueError(f"seen-ids: format {version}, this program knows {PACK_VERSION}; use the newer program")
    starts = range(_HEAD.size, len(value), _ENTRY_BYTES)
    return now_micros, {value[i : i + KEY_BYTES]: value[i + KEY_BYTES : i + _ENTRY_BYTES] for i in starts}
