"""Consumers that hand records over as aiokafka's parser made them: settings in, a consumer out.

aiokafka copies every parsed record into one of eleven fields with its topic and sizes; that is a third of what a fetch
costs us, and nothing of it is read here: the parser's own record has offset, timestamp, key, value and headers. It is
done at the one place where aiokafka makes that copy, and for our consumers alone.
"""

from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher

from pipeline.engine import header_names


def as_parsed(_key: Any) -> Any:
    """Never called: a consumer with this key deserializer gets records as they were parsed."""
    raise AssertionError("aiokafka makes its records elsewhere now: see pipeline/engine/fetching.py")


class _PartitionRecords(header_names.PartitionRecords):
    """aiokafka's own, but for that."""

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        return record if self._key_deserializer is as_parsed else super()._consumer_record(tp, record)


fetcher.PartitionRecords = _PartitionRecords


def reader(**settings: Any) -> AIOKafkaConsumer:
    """A consumer whose records are the parser's own."""
    return AIOKafkaConsumer(key_deserializer=as_parsed, **settings)
