"""Headers whose names are any bytes: what aiokafka's producers would not write, but others may."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.producer import message_accumulator, producer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class Name(str):
    """A header's name of any bytes."""

    _bytes: bytes

    def __new__(cls, raw: bytes) -> "Name":
        made = super().__new__(cls, raw.decode("latin-1"))
        made._bytes = raw
        return made

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self._bytes


@contextmanager
def written() -> Iterator[None]:
    """Producers that are started meanwhile write such names: their batches are built in Python."""
    before = producer.DefaultRecordBatchBuilder, message_accumulator.DefaultRecordBatchBuilder
    producer.DefaultRecordBatchBuilder = message_accumulator.DefaultRecordBatchBuilder = _DefaultRecordBatchBuilderPy
    try:
        yield
    finally:
        producer.DefaultRecordBatchBuilder, message_accumulator.DefaultRecordBatchBuilder = before
