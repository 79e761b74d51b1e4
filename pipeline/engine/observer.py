"""What happens in the engine, told to whoever counts it; this one writes what an operator should read to the log."""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pipeline.engine.contract import Input, Place, Rejections

log = logging.getLogger("pipeline.engine")


class Waiting(NamedTuple):
    """What of an input was not processed yet when it was last fetched."""

    records: int
    since_micros: int | None  # when the first of them arrived; None: none is here, or it is on its way


class Committed(NamedTuple):
    """One transaction of a partition."""

    partition: int
    seq: int
    usage_position: int
    commands_position: int
    now_micros: int
    records: int  # consumed
    seconds: float  # of the transaction alone
    counts: Mapping[str, int]  # the machine's
    rejected: Mapping[str, Rejections]  # its usage events, by reason
    published: Mapping[str, int] = MappingProxyType({})  # events by type
    stages: Mapping[str, float] = MappingProxyType({})  # seconds
    waiting: Mapping[Input, Waiting] = MappingProxyType({})


class Observer:
    """Subclass it for metrics, and call these too."""

    def claimed(self, partition: int, cells: int, seconds: float) -> None:
        log.info("partition %d: claimed, %d cells restored in %.2f s", partition, cells, seconds)

    def committed(self, committed: Committed) -> None: ...

    def failed(self, partition: int, error: BaseException, in_a_row: int) -> None:
        log.warning("partition %d: transaction failed (%d in a row): %s", partition, in_a_row, describe(error))

    def quarantined(self, partition: int, place: Place, error: BaseException) -> None:
        log.error("partition %d: an event is set aside as internal_error: %s", partition, error, exc_info=error)

    def halted(self, partition: int, reason: BaseException) -> None:
        log.critical("partition %d HALTED, nothing of it is processed: %s", partition, describe(reason))

    def released(self, partition: int) -> None:
        log.info("partition %d: released", partition)


def describe(error: BaseException) -> str:
    name, text = type(error).__name__, str(error)
    return text if text.startswith(name) else f"{name}: {text}".rstrip(": ")
