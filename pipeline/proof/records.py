"""A record in; what it holds, or where it lies, out."""

from collections.abc import Callable
from typing import Any

import msgspec

from pipeline.errors import Mendable
from pipeline.reading import Record


def read(decode: Callable[[bytes], Any], record: Record) -> Any:
    """What a record holds.

    Raises:
        Mendable: it is not what its topic promises.
    """
    try:
        return decode(record.value or b"")
    except msgspec.MsgspecError as error:
        raise Mendable(f"{at(record)} cannot be read: {error}; only the ledger may write this topic") from error


def at(record: Record) -> str:
    """Where a record lies."""
    return f"{record.topic}[{record.partition}] offset {record.offset}"
