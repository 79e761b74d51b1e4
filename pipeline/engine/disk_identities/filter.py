"""The filter in front of the disk: keys go in; out come the few days in which a key may be. It never says no wrongly.

Nearly every event is new, and no file has to be asked about it. Each day is a Bloom filter of its own: each half of a
key sets four bits in one of the day's words. The same word of all days lies together, so one look serves them all.

One thread writes, others may look meanwhile: they see what was complete before, and perhaps more.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from pipeline.engine.disk_identities.segment import Halves, Words

LEAST_WORDS = 1 << 8
IDENTITIES_PER_WORD = 4
"""At most: 16 bits an identity, of which 8 are set. Half as full, it errs a hundred times less."""

ReadWords = Callable[[int, int], Words]
"""Begin, end → those words of a filter."""

_BLOCK_WORDS = 16_384


def _spread() -> Words:
    """Four bits of 64 for each number of 16 bits; stored filters rest on them."""
    mixed = np.arange(1 << 16, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
    bits = np.zeros_like(mixed)
    for shift in (58, 52, 46, 40):
        bits |= np.uint64(1) << ((mixed >> np.uint64(shift)) & np.uint64(63))
    return bits


_BITS = _spread()


class DayFilter:
    """The filters of the last days, in memory: 8 bytes × `words` × `columns`.

    Attributes:
        columns: one a day; a day has that of its number modulo so many.
        words: of each day; a power of two.
    """

    def __init__(self, columns: int, words: int) -> None:
        self.columns = columns
        self.words = words
        self._table = np.zeros((words, columns), np.uint64)
        self._days = [-1] * columns  # whose filter a column is

    @staticmethod
    def words_for(identities: int) -> int:
        """How many words a day with so many identities wants."""
        return max(LEAST_WORDS, 1 << (-(-identities // IDENTITIES_PER_WORD) - 1).bit_length())

    @staticmethod
    def columns_for(days: int, most_days: int) -> int:
        """How many columns so many days in a row want; it doubles, so that it seldom grows."""
        return min(1 << (days - 1).bit_length(), most_days)

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
        days, columns = self._days, self.columns
        return sorted([(days[at % columns], at // columns) for at in both], reverse=True)

    def add(self, day: int, halves: Halves) -> None:
        """Add keys to a day; if it is a new one, it takes the place of whichever had its column."""
        column = day % self.columns
        if self._days[column] != day:
            self.clear(day)
        places, bits = self._probes(halves.reshape(-1))
        np.bitwise_or.at(self._table[:, column], places, bits)  # |= would keep one of several for the same word

    def clear(self, day: int) -> None:
        """Begin a day's filter."""
        column = day % self.columns
        self._table[:, column] = 0
        self._days[column] = day

    def of_day(self, day: int) -> Words:
        """A copy of one day's filter."""
        return self._table[:, day % self.columns].copy()

    def load(self, filters: Mapping[int, tuple[int, ReadWords]]) -> None:
        """Take days' filters as they were: (how many words, as many as this has or fewer; what reads some of them)."""
        for day in filters:
            self._days[day % self.columns] = day
        # In blocks that stay in the processor's cache: a column at a time would walk through all memory for each.
        block = min(_BLOCK_WORDS, self.words)
        for begin in range(0, self.words, block):
            for day, (words, read) in filters.items():
                times = self.words // words
                part = read(begin // times, -(-(begin + block) // times)).repeat(times)
                self._table[begin : begin + block, day % self.columns] = part[begin % times :][:block]

    def grown(self, columns: int, words: int) -> "DayFilter":
        """A copy with more columns or words, never fewer.

        Days too long ago to have a column beside the latest are left out. A word's keys then belong to one of several,
        so all of those begin as it was: it errs as often as before about what it holds.
        """
        bigger = DayFilter(columns, words)
        latest = max(self._days)
        before = [column for column, day in enumerate(self._days) if day >= 0 and day > latest - columns]
        after = [self._days[column] % columns for column in before]
        for old, new in zip(before, after, strict=True):
            bigger._days[new] = self._days[old]
        each_word = bigger._table.reshape(self.words, -1, columns)
        block = min(_BLOCK_WORDS, self.words)
        for begin in range(0, self.words, block):
            each_word[begin : begin + block, :, after] = self._table[begin : begin + block, None, before]
        return bigger

    def _probes(self, halves: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Which word each half of a key is looked for in, by its upper bits; and which bits there, by its 16 lowest."""
        places = (halves >> np.uint64(65 - self.words.bit_length())).view(np.int64)
        return places, _BITS.take(halves.view(np.uint16)[::4])
