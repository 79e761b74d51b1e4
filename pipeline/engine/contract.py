"""What the engine asks of the machine it runs: records of one partition go in, effects come out.

The engine moves records and makes each chunk one Kafka transaction; the machine decides what a record means.
The engine knows no money, the machine no Kafka, and this file is all they share. Source: DESIGN of chunks in
docs/decisions/0001-chunks-and-transactions.md; docs/rules.md R43, R44.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Input = Literal["usage", "commands"]
"""The two inputs of a partition: topics `usage-events` and `account-commands`."""


class InputRecord(Protocol):
    """One record of an input, as aiokafka's ConsumerRecord has it (no copy is made on the hot path)."""

    offset: int
    timestamp: int  # milliseconds; LogAppendTime when live, the producer's in replay mode (R44)
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event lay in this partition: which input, the record's offset, the event's index in the record."""

    input: Input
    offset: int
    index: int


class Run(NamedTuple):
    """Consecutive records of one input, in the order of their offsets."""

    input: Input
    records: Sequence[InputRecord]


@dataclass(frozen=True, slots=True)
class Forward:
    """One event found in the wrong partition, to be written to the right one in the same transaction (R43)."""

    input: Input
    key: bytes  # the organisation's; decides the partition
    value: bytes  # one event
    source: InputRecord  # the record it was found in: first arrival and origin travel in headers
    index: int  # of the event in that record


Remembered = Mapping[bytes, bytes]
"""What is remembered of accepted events (R14): 16-byte key → 12 opaque bytes."""


class Identities(Protocol):
    """The machine's view of the identity store of its partition."""

    def look_up(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """The remembered value of each key, or None where the key is new.

        Raises:
            InvariantBroken: what is remembered cannot be read; no event is to blame, and none may be judged.
        """


class Output(NamedTuple):
    """One record to be written to an output topic, in this partition's number; value at most 900 kB."""

    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Rejections(NamedTuple):
    """Usage events of one chunk that were rejected for one reason: how many, and where the first of them lay."""

    events: int
    first: Place


@dataclass(slots=True)
class Effects:
    """Everything one transaction writes, and how far it read.

    Attributes:
        taken: records consumed, counted through the chunk's runs in order; the rest is offered again.
        outputs: topic → its records, in order.
        cells: key → new value of a state cell, or None to remove it.
        identities: accepted events of this chunk.
        forwards: events of other partitions.
        counts: what happened, for metrics: name → count.
        rejected: usage events that could not be processed, by reason.
        published: events among the outputs, for metrics: type → count.
        seconds: how long the machine took, for metrics: stage → seconds.
    """

    taken: int = 0
    outputs: dict[str, list[Output]] = field(default_factory=dict)
    cells: dict[bytes, bytes | None] = field(default_factory=dict)
    identities: Remembered = field(default_factory=dict)
    forwards: list[Forward] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, Rejections] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.taken or self.outputs or self.cells or self.identities or self.forwards)


class Machine(Protocol):
    """The rules of one partition: pure, deterministic, single-threaded; its memory is restored from its cells.

    Outputs may depend on the order of records and on their arrivals, and on `now` only through what fell due
    before: the same records give the same outputs however they were cut into chunks (R44). What `idle` publishes is the
    exception: it tells where things stand at a moment, and nothing that comes later depends on it.
    """

    versions: dict[str, str | int]
    """Written to the journal with every transaction: what a rebuild must use (price book, rules version).

    Numbers among them never go back: a machine that has a smaller one does not take over.
    """

    def restore(self, cells: Iterable[tuple[bytes, bytes]]) -> Iterator[None]:
        """Take over the live cells of `ledger-state`; called once, before anything else.

        It pauses every few milliseconds of work, so that other partitions and heartbeats are not held up.
        """

    def next_due_micros(self) -> int | None:
        """The next instant at which something falls due; a chunk ends before the first record at or after it."""

    def advance(self, now_micros: int, budget: int) -> Effects:
        """Do what is due at or before now, at most `budget` things; next_due_micros() tells whether more is."""

    @property
    def is_behind(self) -> bool:
        """Something due was begun that records need not wait for: some of it is done with every chunk.

        Where no records come `advance` does the rest.
        """

    def begin(self, now_micros: int, quarantined: frozenset[Place]) -> None:
        """Start a chunk; events at quarantined places become dead letters or refusals, `internal_error`."""

    def take(self, run: Run) -> bool:
        """Process a slice of records; False when the chunk is full (nothing after what was taken is consumed).

        Raises:
            EventFailed: a bug; the machine's memory is to be dropped.
            InvariantBroken: the partition must stop.
        """

    def finish(self) -> Effects:
        """End the chunk: everything it wants written."""

    def idle(self, now_micros: int) -> Effects:
        """Both inputs are drained for now: what may wait for a quiet moment (a clock, held-back status). Often nothing.

        Where it has nothing to say nothing is written, also not to the journal: so it must have changed nothing.
        """


MachineFactory = Callable[[int, Identities], Machine]
"""(partition number, identity view) → a machine with empty memory."""


@dataclass(slots=True)
class Chunk:
    """What arrived while the last chunk committed; an agent works it through and sets `result`."""

    machine: Machine
    now_micros: int
    runs: Sequence[Run]
    quarantined: frozenset[Place]
    result: asyncio.Future[Effects]


class EventFailed(Exception):
    """The machine raised while it processed the event at `place`; the cause is chained."""

    def __init__(self, place: Place, cause: BaseException) -> None:
        super().__init__(f"{place.input} offset {place.offset}, event {place.index}: {type(cause).__name__}: {cause}")
        self.place = place


class InvariantBroken(Exception):
    """Something that cannot be true is: the partition halts, loudly, and nothing of the chunk is committed."""
