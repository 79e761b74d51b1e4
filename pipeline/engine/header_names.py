"""Names of headers that are no UTF-8: aiokafka's parser stumbles over them for good; here they are read with U+FFFD.

Anybody who may write an input can write such a name, and a record that cannot be read would stop its partition. What
the usual parser refuses for this alone is parsed once more, by aiokafka's own parser in Python, told not to mind. So it
is for every consumer of a process that imports this, as Settings.kafka() does.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's own, which goes on where a header's name stopped it."""

    _records: Any

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            self._records = _Tolerant(self._records.fetched, self.next_fetch_offset)
            yield from super()._unpack_records()


class _Fetched(fetcher.MemoryRecords):  # type: ignore[misc]
    """The batches of a fetch, and its bytes, lest they have to be read once more."""

    def __init__(self, fetched: bytes) -> None:
        super().__init__(fetched)
        self.fetched = fetched


class _Tolerant(_MemoryRecordsPy):  # type: ignore[misc]
    """The batches of a fetch from the one that holds this offset on: what the earlier ones said has been heard."""

    def __init__(self, fetched: bytes, offset: int) -> None:
        super().__init__(fetched)
        while self.has_next() and _DefaultRecordBatchPy(self._next_slice).next_offset <= offset:
            self._cache_next()

    def next_batch(self) -> "_Batch":
        batch = _Batch(self._next_slice)
        self._cache_next()
        return batch


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)


class _Buffer(bytearray):
    """Only names of headers are decoded, straight from a slice."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Bytes(found) if isinstance(at, slice) else found


class _Bytes(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


fetcher.MemoryRecords = _Fetched
fetcher.PartitionRecords = PartitionRecords
