"""What a transaction leaves behind for the engine itself: its own cell in `ledger-state`, its line in `ledger-journal`.

The cell says where to go on; the journal says, for ever, what was read together and at which ledger time (R44), so
that a rebuild which follows it gives the same state and the same outputs.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from pipeline.engine.contract import Input, InvariantBroken, Place
from pipeline.engine.settings import Mode

ENGINE_CELL = b"\x00engine"
"""The engine's own key in `ledger-state`; no cell of a machine may begin with a zero byte."""

CELL_FORMAT = 1

Kind = Literal["chunk", "due", "idle"]
"""What the machine was asked for: to take records (none, where ticks alone were read), to `advance`, to `idle`."""


class EngineCell(msgspec.Struct, kw_only=True):
    """Where a partition stands after a transaction; a reader ignores fields it does not know.

    Attributes:
        format: of this cell.
        mode: in which the partition was begun; it cannot change.
        partitions: N, fixed for a cluster's life (R43).
        usage, commands: the next offset to read.
        usage_arrival_micros, commands_arrival_micros: the latest arrival read of each.
        now_micros: ledger time; it never goes back.
        seq: of the last journal record.
        seen_to: `seen-ids` ends there or further on.
    """

    format: int = CELL_FORMAT
    mode: Mode
    partitions: int
    usage: int
    commands: int
    usage_arrival_micros: int = 0
    commands_arrival_micros: int = 0
    now_micros: int = 0
    seq: int = 0
    seen_to: int = 0

    @property
    def identified_micros(self) -> int:
        """From when on the transaction's identities are kept: its last arrival, since a chunk may span weeks (R14)."""
        return max(self.now_micros, self.usage_arrival_micros, self.commands_arrival_micros)


def encode_cell(cell: EngineCell) -> bytes:
    return msgspec.json.encode(cell)


def decode_cell(value: bytes) -> EngineCell:
    return msgspec.json.decode(value, type=EngineCell)


def encode_journal(
    kind: Kind, before: EngineCell, after: EngineCell, quarantined: Iterable[Place], versions: Mapping[str, str | int]
) -> bytes:
    """One line: `{seq, kind, usage [from, to), commands [from, to), now_micros, quarantined, …versions}`."""
    return msgspec.json.encode(
        {
            "seq": after.seq,
            "kind": kind,
            "usage": [before.usage, after.usage],
            "commands": [before.commands, after.commands],
            "now_micros": after.now_micros,
            "quarantined": sorted((place.input, place.offset, place.index) for place in quarantined),
            **versions,
        }
    )


Range = tuple[int, int]
"""Offsets: the first, and the one after the last."""


class JournalLine(msgspec.Struct, kw_only=True):
    """One line, read back.

    Attributes:
        usage, commands: what was read of each input; markers and ticks among it.
        versions: what the machine worked with.
    """

    seq: int
    kind: Kind
    usage: Range
    commands: Range
    now_micros: int
    quarantined: tuple[tuple[Input, int, int], ...]
    versions: dict[str, str | int] = {}

    @property
    def places(self) -> frozenset[Place]:
        """Those that were set aside."""
        return frozenset(Place(*place) for place in self.quarantined)


def decode_journal(value: bytes) -> JournalLine:
    """One line.

    Raises:
        InvariantBroken: it is none that this program knows.
    """
    try:
        fields: dict[str, Any] = msgspec.json.decode(value)
        line = msgspec.convert(fields, JournalLine)
    except (msgspec.MsgspecError, TypeError) as error:
        raise InvariantBroken(
            f"no line of a journal that this program knows ({error}); use the newer program"
        ) from error
    line.versions = {name: version for name, version in fields.items() if name not in line.__struct_fields__}
    return line
