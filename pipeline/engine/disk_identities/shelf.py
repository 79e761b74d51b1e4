"""What of a partition's identities is on disk: parts of days go in; sorted files, their filter and their list come out.

All of it happens in the store's one thread, but for look-ups, which read `view`: that is never changed, only replaced.

A sealed part becomes a segment. Of the current day, eight segments of a level are merged into one of the next; of a day
that is over, all are merged into one. A merge goes on in slices, and parts are sealed in between.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from pipeline.engine.contract import Remembered
from pipeline.engine.disk_identities.filter import DayFilter
from pipeline.engine.disk_identities.folder import Folder, Listed, Listing
from pipeline.engine.disk_identities.segment import VALUE, Halves, Segment, SegmentWriter, Values
from pipeline.engine.identity import KEY_BYTES

MERGED_AT_ONCE = 8
SLICE_IDENTITIES = 200_000
"""Some 50 ms of the thread, and 20 MB."""


@dataclass(frozen=True, slots=True)
class View:
    """What a look-up sees: the segments of each day, the latest first."""

    filter: DayFilter
    days: Mapping[int, tuple[Segment, ...]]

    def find(self, day: int, key: bytes) -> bytes | None:
        """The latest value of a key among those of a day."""
        for segment in self.days.get(day, ()):
            if value := segment.find(key):
                return value
        return None


class Shelf:
    """The segments in a folder.

    Args:
        kept_days: before the current one.

    Raises:
        IdentitiesBusy, IdentitiesDamaged, IdentitiesUnwritable: by opening.
        IdentitiesDamaged, OSError: by whatever writes; then nothing more may be sealed.
    """

    view: View
    _filter: DayFilter
    _days: dict[int, list[Segment]]  # the latest first

    def __init__(self, path: Path, kept_days: int) -> None:
        self._kept_days = kept_days
        self._merge: Iterator[None] | None = None
        self._merged_into: str = ""
        self._folder = Folder(path)
        try:
            self._open()
        except BaseException:
            self._folder.close()
            raise

    @property
    def path(self) -> Path:
        return self._folder.path

    @property
    def listing(self) -> Listing:
        """What the folder holds."""
        return self._folder.listing

    def seal(self, day: int, identities: Remembered, position: int, position_micros: int) -> None:
        """Put a part on disk.

        Args:
            day: at least that of the part before.
            position: the offset of `seen-ids` up to which all is on disk with this part.
            position_micros: ledger time of the record before it.
        """
        halves = np.frombuffer(b"".join(identities), np.uint64).reshape(-1, 2)
        values = np.frombuffer(b"".join(identities.values()), VALUE)
        order = halves[:, 0].argsort()
        path = self._next_path()
        with closing(SegmentWriter(path, day)) as writer:
            writer.append(halves.take(order, axis=0), values.take(order))
            writer.finish()
        self._days = {other: of_day for other, of_day in self._days.items() if other >= day - self._kept_days}
        of_day = self._days.setdefault(day, [])
        of_day.insert(0, Segment(path, 0))
        columns = max(self._columns(), self._filter.columns)
        words = DayFilter.words_for(sum(segment.entries for segment in of_day))
        if words > self._filter.words:
            self._filter = self._filter.grown(columns, words)
            self._filter.clear(day)  # too full for what it was; the days before were not
            for segment in of_day:
                self._filter_again(segment)
        else:
            if columns > self._filter.columns:
                self._filter = self._filter.grown(columns, self._filter.words)
            self._filter.add(day, halves)
        self._publish(position, position_micros, day)

    def tidy(self) -> bool:
        """Merge a slice of what there is to merge; whether there may be more to do."""
        self._merge = self._merge or self._next_merge()
        if self._merge is None:
            return False
        if next(self._merge, "done") == "done":
            self._merge = None
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._merge = None
        self._days = {}
        self._filter = DayFilter(self._columns(), DayFilter.words_for(0))
        self._publish(0, 0, 0)

    def close(self) -> None:
        """Let others have the folder."""
        self._merge = None
        self._folder.close()

    def _open(self) -> None:
        segments = [Segment(self.path / listed.file, listed.level) for listed in self.listing.segments]
        self._last_number = max((int(segment.path.stem) for segment in segments), default=0)
        self._days = {}
        for segment in segments:
            self._days.setdefault(segment.day, []).insert(0, segment)
        filters = {segment.day: segment for segment in segments if segment.filter_words}
        most = max((sum(segment.entries for segment in of_day) for of_day in self._days.values()), default=0)
        most_words = max((segment.filter_words for segment in filters.values()), default=0)
        self._filter = DayFilter(self._columns(), max(DayFilter.words_for(most), most_words))
        self._filter.load({day: (segment.filter_words, segment.read_filter) for day, segment in filters.items()})
        for segment in segments:
            if segment.day not in filters:
                self._filter_again(segment)
        self._show()

    def _columns(self) -> int:
        """How many the filter needs for the days there are."""
        days = max(self._days) - min(self._days) + 1 if self._days else 1
        return DayFilter.columns_for(days, self._kept_days + 1)

    def _filter_again(self, segment: Segment) -> None:
        for halves, _ in _slices([segment]):
            self._filter.add(segment.day, halves)

    def _publish(self, position: int, position_micros: int, today: int) -> None:
        """Make what we have the truth: on disk, then for look-ups; then remove what it replaces."""
        older_first = [segment for of_day in self._days.values() for segment in reversed(of_day)]
        self._folder.write_list(
            Listing(
                position=position,
                position_micros=position_micros,
                today=today,
                segments=tuple(Listed(segment.path.name, segment.level) for segment in older_first),
            )
        )
        self._show()
        self._folder.remove_strangers([self._merged_into])

    def _show(self) -> None:
        self.view = View(self._filter, {day: tuple(of_day) for day, of_day in self._days.items()})

    def _next_path(self) -> Path:
        self._last_number += 1
        return self.path / f"{self._last_number:08d}.ids"

    def _next_merge(self) -> Iterator[None] | None:
        for day, of_day in self._days.items():
            if day < self.listing.today:
                if len(of_day) > 1 or self._wants_filter(of_day[0]):
                    return self._merged(day, of_day)
                continue
            for _, group in groupby(of_day, key=lambda segment: segment.level):
                if len(segments := list(group)) >= MERGED_AT_ONCE:
                    return self._merged(day, segments[-MERGED_AT_ONCE:])
        return None

    def _wants_filter(self, segment: Segment) -> bool:
        """It is read faster than made; for a few identities it would be too much to keep."""
        return not segment.filter_words and segment.entries >= self._filter.words

    def _merged(self, day: int, segments: Sequence[Segment]) -> Iterator[None]:
        """Replace some segments, one behind the other, by one."""
        segments = list(segments)
        path = self._next_path()
        self._merged_into = path.name
        try:
            with closing(SegmentWriter(path, day)) as writer:
                for halves, values in _slices(segments):
                    writer.append(halves, values)
                    yield
                keeps_filter = day < self.listing.today and writer.entries >= self._filter.words
                writer.finish(self._filter.of_day(day) if keeps_filter else None)
        finally:
            self._merged_into = ""
        if of_day := self._days.get(day):  # else its time is over
            at = of_day.index(segments[0])
            of_day[at : at + len(segments)] = [Segment(path, segments[-1].level + 1)]
        self._publish(self.listing.position, self.listing.position_micros, self.listing.today)


def _slices(segments: Sequence[Segment]) -> Iterator[tuple[Halves, Values]]:
    """All identities of these segments, sorted, each with its value in the first segment that has it."""
    count = max(1, -(-sum(segment.entries for segment in segments) // SLICE_IDENTITIES))
    for number in range(count):
        low, high = number * 2**64 // count, (number + 1) * 2**64 // count - 1
        yield _united([segment.read(low, high) for segment in segments])


def _united(parts: Sequence[tuple[Halves, Values]]) -> tuple[Halves, Values]:
    halves = np.concatenate([halves for halves, _ in parts])
    values = np.concatenate([values for _, values in parts])
    order = halves[:, 0].argsort(kind="stable")  # merges what is sorted; of equal ones the first part's come first
    halves, values = halves.take(order, axis=0), values.take(order)
    same = halves[1:, 0] == halves[:-1, 0]
    if same.any():
        # Mostly an original that was corrected. Two keys may also have their first halves in common.
        tied = (np.append(same, False) | np.append(False, same)).nonzero()[0]
        keys = halves[tied].tobytes()
        seen: set[bytes] = set()
        keep = np.ones(len(halves), bool)
        for begin, number in zip(range(0, len(keys), KEY_BYTES), tied.tolist(), strict=True):
            key = keys[begin : begin + KEY_BYTES]
            keep[number] = key not in seen
            seen.add(key)
        halves, values = halves[keep], values[keep]
    return halves, values
