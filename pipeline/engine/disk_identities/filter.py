"""The filter in front of the disk: keys go in; out come the few days in which a key may be. It never says no wrongly.

Nearly every event is new, and no file has to be asked about it. Each day is a Bloom filter of its own: each half of a
key sets four bits in one of the day's words. The same word of all days lies together, so one look serves them all.

One thread writes, others may look meanwhile: they see what was complete before, and perhaps more.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.engine.disk_identities.segment import Halves, Words

LEAST_WORDS = 1 << 8
IDENTITIES_PER_WORD = 4
"""At most: 16 bits an identity, of which 8 are set. Half as full, it errs a hundred times less."""

ReadWords = Callable[[int, int], Words]
"""Begin, end → those words of a filter."""

_NO_DAY = -1


def _spread() -> Words:
    """Four bits of 64 for each number of 16 bits; stored filters rest on them."""
    mixed = np.arange(1 << 16, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
    bits = np.zeros_like(mixed)
    for shift in (58, 52, 46, 40):
        bits |= np.uint64(1) << ((mixed >> np.uint64(shift)) & np.uint64(63))
    return bits


_BITS = _spread()


class DayFilter:
    """The filters of the last days, in memory: 8 bytes × `words` × columns.

    A day begins with one column, and takes another when that is full.

    Attributes:
        words: of each column; a power of two.
    """

    def __init__(self, columns: int, words: int) -> None:
        self.words = words
        self._table = np.zeros((words, columns), np.uint64)
        self._days = [_NO_DAY] * columns  # whose a column is
        self._rooms = [0] * columns  # for so many identities more

    @property
    def memory_bytes(self) -> int:
        return self._table.nbytes

    def candidates(self, keys: bytes) -> list[tuple[int, int]]:
        """(day, number of the key) of what may be there, the latest day first.

        Args:
            keys: one after the other.
        """
        places, bits = self._probes(np.frombuffer(keys, np.uint64))
        found = self._table.take(places, axis=0)
        found &= bits[:, None]
        there = found == bits[:, None]
        both = (there[0::2] & there[1::2]).reshape(-1).nonzero()[0].tolist()
        days = self._days
        return sorted([(days[at % len(days)], at // len(days)) for at in both], reverse=True)

    def add(self, day: int, halves: Halves) -> bool:
        """Add keys to a day; False where there is no room for all of them."""
        column = next((at for at, room in enumerate(self._rooms) if room and self._days[at] == day), None)
        while len(halves):
            if column is None:
                if _NO_DAY not in self._days:
                    return False
                column = self._take_column(day)
            now, halves = halves[: self._rooms[column]], halves[self._rooms[column] :]
            places, bits = self._probes(now.reshape(-1))
            np.bitwise_or.at(self._table[:, column], places, bits)  # |= would keep one of several for the same word
            self._rooms[column] -= len(now)
            column = None
        return True

    def forget(self, day: int) -> None:
        """Leave a day's columns to others."""
        self._days = [_NO_DAY if other == day else other for other in self._days]

    def columns_of(self, day: int) -> int:
        """How many columns a day has."""
        return self._days.count(day)

    def of_day(self, day: int) -> list[Words]:
        """A copy of one day's columns."""
        return [self._table[:, at].copy() for at, other in enumerate(self._days) if other == day]

    def load(self, day: int, columns: int, words: int, read: ReadWords) -> bool:
        """Take a day's columns as they were; False, and nothing is taken, where there is no room for them.

        Args:
            words: of each; as many as this has, or fewer.
            read: gives some words of the columns, one behind the other.
        """
        if self._days.count(_NO_DAY) < columns or words > self.words:
            return False
        times = self.words // words
        for number in range(columns):
            column = self._take_column(day)
            self._rooms[column] = 0
            self._table[:, column] = read(number * words, (number + 1) * words).repeat(times)
        return True

    def doubled(self) -> "DayFilter":
        """A copy with twice the words: a word's keys now belong to either of two, so both begin as it was.

        What it holds errs as often as before; its columns are full.
        """
        bigger = DayFilter(len(self._days), 0)
        bigger.words = 2 * self.words
        bigger._table = self._table.repeat(2, axis=0)
        bigger._days = list(self._days)
        return bigger

    def _take_column(self, day: int) -> int:
        column = self._days.index(_NO_DAY)
        self._table[:, column] = 0
        self._rooms[column] = self.words * IDENTITIES_PER_WORD
        self._days[column] = day
        return column

    def _probes(self, halves: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Which word each half of a key is looked for in, by its upper bits; and which bits there, by its 16 lowest."""
        places = (halves >> np.uint64(65 - self.words.bit_length())).view(np.int64)
        return places, _BITS.take(halves.view(np.uint16)[::4])
