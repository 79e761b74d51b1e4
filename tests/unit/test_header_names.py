"""Names of headers that are no UTF-8 stop nobody from reading the records beside them, nor that record."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

import pipeline.engine.fetching  # noqa: F401  # it puts our parts in the place of aiokafka's
from tests.support.header_names import Name

PLACE = TopicPartition("usage-events", 0)
NONE, GZIP = 0, 1


GOOD, BAD = Name(b"type"), Name(b"\xff\xfe")


def batch(first: int, names: list[Name], codec: int = NONE, producer: int = -1) -> bytes:
    """Records at offsets from `first` on, each with a header of that name."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, producer >= 0, producer, 0, 0, 100_000)
    for number, name in enumerate(names):
        builder.append(number, 1_000, b"key", b"%d" % (first + number), [(name, b"said"), (Name(b"other"), None)])
    built = builder.build()
    built[:8] = first.to_bytes(8, "big")  # as the broker does; the checksum does not cover it
    return bytes(built)


def read(fetched: bytes, begin: int = 0, aborted: Any = None) -> list[Any]:
    records = fetcher.MemoryRecords(fetched)
    return list(fetcher.PartitionRecords(PLACE, records, aborted, begin, None, None, True, READ_COMMITTED))


@pytest.mark.parametrize("codec", [NONE, GZIP])
@pytest.mark.parametrize("at", range(9))
def test_every_record_is_read_wherever_the_name_is(at: int, codec: int) -> None:
    names = [BAD if number == at else GOOD for number in range(9)]
    found = read(b"".join(batch(begin, names[begin : begin + 3], codec) for begin in (0, 3, 6)))
    assert [(one.offset, one.key, one.value) for one in found] == [(n, b"key", b"%d" % n) for n in range(9)]
    for number, one in enumerate(found):
        name = "\ufffd\ufffd" if number == at else "type"
        assert list(one.headers) == [(name, b"said"), ("other", None)]


def test_reading_may_begin_in_the_middle_of_a_batch() -> None:
    assert [one.offset for one in read(batch(0, [GOOD, BAD, GOOD, BAD, GOOD]), begin=2)] == [2, 3, 4]


def test_what_was_aborted_stays_so() -> None:
    fetched = batch(0, [GOOD, GOOD], producer=7) + batch(2, [BAD, GOOD]) + batch(4, [GOOD], producer=7)
    assert [one.offset for one in read(fetched, aborted=[(7, 0)])] == [2, 3]


def test_a_batch_that_was_damaged_is_still_refused() -> None:
    damaged = bytearray(batch(0, [GOOD]) + batch(1, [BAD]))
    damaged[-1] ^= 1
    with pytest.raises(Exception, match="Invalid CRC"):
        read(bytes(damaged))
