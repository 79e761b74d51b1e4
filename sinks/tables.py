"""What the sink asks of a table that a topic flows into: records in, inserts out, and how far it is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sinks.claims import Claim
from sinks.clickhouse import ClickHouse


class Record(Protocol):
    """One Kafka record, as aiokafka's ConsumerRecord has it."""

    partition: int
    offset: int
    timestamp: int  # milliseconds
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What a table holds of one partition of its topic.

    Attributes:
        resume: offset to read on from; every record before it is stored.
        seen_to: offset from which on nothing has been stored yet; between the two some rows may be.
    """

    resume: int = 0
    seen_to: int = 0


@dataclass(frozen=True, slots=True)
class Insert:
    """One INSERT, one part: its statement, its rows as JSON lines in pieces, and how many they are."""

    statement: str
    body: Sequence[bytes]
    rows: int


class Progress(Protocol):
    """How far a table is stored, read when a claim was made; good until the claim ends."""

    @property
    def stored(self) -> Mapping[int, Stored]:
        """Per partition of the claim."""

    def inserts(self, claim: Claim, records: Sequence[Record]) -> list[Insert]:
        """The inserts that store the records, to be done in this order; rows stored before are left out by them.

        Raises:
            Broken: a record that is not what its topic promises.
        """


class Table(Protocol):
    """A table and how to see how far it is stored."""

    @property
    def name(self) -> str:
        """As in SQL."""

    async def progress(self, clickhouse: ClickHouse, claim: Claim) -> Progress:
        """Read the marks; only with a claim in hand do they stay true."""


def count_lines(value: bytes) -> int:
    """Lines of JSON lines, whether or not the last one ends with a line feed."""
    return value.count(b"\n") + (not value.endswith(b"\n") and value != b"")
