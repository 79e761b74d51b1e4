"""What a transaction leaves behind for the engine itself: its own cell in `ledger-state`, its line in `ledger-journal`.

The cell says where to go on; the journal says, for ever, what was read together and at which ledger time (R44), so
that a rebuild which follows it gives the same state and the same outputs.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from pipeline.engine.contract import Place
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
