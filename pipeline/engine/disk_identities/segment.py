"""A segment file: identities of one day, sorted by the first half of their keys, written once and never changed.

    pages of 4,096 bytes: 146 keys | their 146 values | checksum
    the first half of each page's first key
    a filter of the day (filter.py), or nothing
    trailer

All numbers are little-endian. A key's halves are two numbers of 64 bits. Every page is checked when it is read, the
rest when the file is opened. Pages are read, not mapped: a disk that fails is then an error and no signal.
"""

import os
import struct
from array import array
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from pipeline.engine.disk_identities.folder import IdentitiesDamaged
from pipeline.engine.identity import KEY_BYTES, VALUE_BYTES

Halves = npt.NDArray[np.uint64]
"""Of n keys: n rows of two."""

Values = npt.NDArray[np.void]
Words = npt.NDArray[np.uint64]

VALUE = np.dtype(f"V{VALUE_BYTES}")
PAGE_BYTES = 4_096
_CHECKSUM_BYTES = 8
PAGE_ENTRIES = (PAGE_BYTES - _CHECKSUM_BYTES) // (KEY_BYTES + VALUE_BYTES)
_KEYS_END = PAGE_ENTRIES * KEY_BYTES
_VALUES_END = _KEYS_END + PAGE_ENTRIES * VALUE_BYTES
_MAGIC = b"seen-id1"
_TRAILER = struct.Struct("<8s3Q8s")  # magic, day, entries, words of the filter, checksum of all after the pages


class Segment:
    """A segment that is open for reading; closed when nobody refers to it any more, even if the file is gone by then.

    Attributes:
        day: of its identities.
        entries: how many it holds.
        filter_words: so many has the filter of its day, if it is kept here; else 0.
        level: how many times they were merged.

    Raises:
        IdentitiesDamaged: by whatever reads.
    """

    _file = -1

    def __init__(self, path: Path, level: int) -> None:
        self.path = path
        self.level = level
        try:
            self._file = os.open(path, os.O_RDONLY)
            size = os.fstat(self._file).st_size
        except OSError as error:
            raise IdentitiesDamaged(path, f"it cannot be opened ({error.strerror})") from error
        tail = self._read(_TRAILER.size, max(size - _TRAILER.size, 0))
        magic, self.day, self.entries, self.filter_words, checksum = _TRAILER.unpack(tail)
        pages = -(-self.entries // PAGE_ENTRIES)
        self._pages_end = pages * PAGE_BYTES
        rest_bytes = (pages + self.filter_words) * 8
        if magic != _MAGIC or self._pages_end + rest_bytes + _TRAILER.size != size:
            raise IdentitiesDamaged(path, f"{size} bytes are not what was written")
        rest = self._read(rest_bytes, self._pages_end)
        if _checksum(rest + tail[: -len(checksum)], 0) != checksum:
            raise IdentitiesDamaged(path, "its end is not what was written")
        self._first_halves = array("Q", rest[: pages * 8])

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

    def read_filter(self, begin: int, end: int) -> Words:
        """Some words of the filter of its day."""
        at = self._pages_end + (len(self._first_halves) + begin) * 8
        return np.frombuffer(self._read((end - begin) * 8, at), np.uint64)

    def find(self, key: bytes) -> bytes | None:
        """The value of a key."""
        first_half = int.from_bytes(key[:8], "little")
        for number in range(bisect_right(self._first_halves, first_half) - 1, -1, -1):
            page = self._page(number)
            end = min(PAGE_ENTRIES, self.entries - number * PAGE_ENTRIES) * KEY_BYTES
            at = page.find(key, 0, end)
            while at > 0 and at % KEY_BYTES:  # the end of one key and the beginning of the next
                at = page.find(key, at + 1, end)
            if at >= 0:
                value = _KEYS_END + at // KEY_BYTES * VALUE_BYTES
                return page[value : value + VALUE_BYTES]
            if self._first_halves[number] != first_half:
                break  # else keys with this first half may have begun on the page before
        return None

    def read(self, low: int, high: int) -> tuple[Halves, Values]:
        """Its identities whose first half is neither below `low` nor above `high`, sorted by that."""
        begin = max(bisect_left(self._first_halves, low) - 1, 0)
        end = bisect_right(self._first_halves, high)
        pages = self._read((end - begin) * PAGE_BYTES, begin * PAGE_BYTES)
        for number in range(begin, end):
            at = (number - begin) * PAGE_BYTES
            self._check(pages[at : at + PAGE_BYTES], number)
        table = np.frombuffer(pages, np.uint8).reshape(-1, PAGE_BYTES)
        count = min(end * PAGE_ENTRIES, self.entries) - begin * PAGE_ENTRIES
        halves = np.ascontiguousarray(table[:, :_KEYS_END]).view(np.uint64).reshape(-1, 2)[:count]
        values = np.ascontiguousarray(table[:, _KEYS_END:_VALUES_END]).view(VALUE).reshape(-1)[:count]
        first = int(halves[:, 0].searchsorted(np.uint64(low), "left"))
        last = int(halves[:, 0].searchsorted(np.uint64(high), "right"))
        return halves[first:last], values[first:last]

    def _page(self, number: int) -> bytes:
        page = self._read(PAGE_BYTES, number * PAGE_BYTES)
        self._check(page, number)
        return page

    def _check(self, page: bytes, number: int) -> None:
        if _checksum(page[:_VALUES_END], number) != page[_VALUES_END:]:
            raise IdentitiesDamaged(self.path, f"page {number} is not what was written")

    def _read(self, size: int, at: int) -> bytes:
        """So many bytes; the kernel gives at most 2 GB at a time."""
        parts = []
        try:
            while size > 0 and (part := os.pread(self._file, size, at)):
                parts.append(part)
                size -= len(part)
                at += len(part)
        except OSError as error:
            raise IdentitiesDamaged(self.path, f"it cannot be read ({error.strerror})") from error
        if size:
            raise IdentitiesDamaged(self.path, f"{size} bytes are missing")
        return parts[0] if len(parts) == 1 else b"".join(parts)


class SegmentWriter:
    """Writes a segment from identities sorted by the first half of their keys."""

    def __init__(self, path: Path, day: int) -> None:
        self._file = path.open("xb")
        self._day = day
        self._entries = 0
        self._first_halves: list[bytes] = []
        self._halves: Halves = np.empty((0, 2), np.uint64)
        self._values: Values = np.empty(0, VALUE)

    @property
    def entries(self) -> int:
        """How many it has been given."""
        return self._entries + len(self._halves)

    def append(self, halves: Halves, values: Values) -> None:
        """Write what makes full pages."""
        self._halves = np.concatenate((self._halves, halves))
        self._values = np.concatenate((self._values, values))
        self._write(len(self._halves) // PAGE_ENTRIES * PAGE_ENTRIES)

    def finish(self, filter_words: Words | None = None) -> None:
        """Write the rest; it is on the disk, whatever happens, when this returns."""
        entries = self.entries
        self._write(len(self._halves))
        rest = b"".join(self._first_halves)
        words = 0
        if filter_words is not None:
            rest += filter_words.tobytes()
            words = len(filter_words)
        head = _TRAILER.pack(_MAGIC, self._day, entries, words, b"")[:-_CHECKSUM_BYTES]
        self._file.write(rest + head + _checksum(rest + head, 0))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _write(self, count: int) -> None:
        if not count:
            return
        pages = -(-count // PAGE_ENTRIES)
        table = np.zeros((pages, PAGE_BYTES), np.uint8)
        table[:, :_KEYS_END] = _rows(self._halves[:count], pages)
        table[:, _KEYS_END:_VALUES_END] = _rows(self._values[:count], pages)
        first = self._entries // PAGE_ENTRIES
        checksums = b"".join([_checksum(page, first + at) for at, page in enumerate(table[:, :_VALUES_END])])
        table[:, _VALUES_END:] = np.frombuffer(checksums, np.uint8).reshape(pages, -1)
        self._file.write(table.data)
        self._first_halves.append(self._halves[:count:PAGE_ENTRIES, 0].tobytes())
        self._entries += count
        self._halves, self._values = self._halves[count:], self._values[count:]


def _rows(items: npt.NDArray[Any], pages: int) -> npt.NDArray[np.uint8]:
    """As bytes, a row for each page, the last one filled up with zeros."""
    raw = np.ascontiguousarray(items).view(np.uint8).reshape(-1)
    whole = np.zeros(pages * PAGE_ENTRIES * (items.nbytes // len(items)), np.uint8)
    whole[: len(raw)] = raw
    return whole.reshape(pages, -1)


def _checksum(data: Any, number: int) -> bytes:
    return bytes(xxhash.xxh3_64_digest(data, seed=number))
