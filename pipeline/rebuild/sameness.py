"""What of a rebuild and of Kafka must be equal, and what need not: two of a thing come in, the first difference out.

Equal to the byte, in order: every output but `credit-status`, and every identity. Equal in what it says: every cell,
and the latest status of every thing. Not looked at is what depends on when a worker was started or came to rest:

- of status, when spend and balance were told, and so what was told last of them (`told_…` in the cells); clocks;
- how much of what is to be forgotten is forgotten already: members' and tiers' months that are closed, old answers;
- what no journal tells: until when an empty input was known to be empty, which is in the engine's own cell and beside
  identities; and where `seen-ids` ended.
"""

from collections.abc import Iterator, Mapping
from struct import error as StructError
from typing import Any

import msgspec

from pipeline.engine.identity import unpack
from pipeline.engine.journal import ENGINE_CELL
from pipeline.engine.transaction import Write
from pipeline.rebuild.streams import Record, Stream
from schemas.instants import MICROS_PER_DAY
from schemas.status import ClockStatus

_SHOWN = 120
_HELD_BACK = ("org_seq", "month", "spend_picousd", "balance_picousd")
_UNTOLD = ("usage_arrival_micros", "commands_arrival_micros", "seen_to")
_CALENDAR = b'["calendar"]'
_CLOCK = b'["' + ClockStatus.KIND.encode()

Cells = Mapping[bytes, bytes]
"""Key → the value that lies there last, of a compacted topic's partition."""


class OutputCheck:
    """One partition of a topic against what the transactions of a rebuild wrote there.

    What retention has deleted is not asked: the first record that is kept says where the comparison begins.

    Attributes:
        held: records of the rebuild, up to the first difference.
        compared: those among them that are still kept.
        difference: the first one.
        ends_early: what is kept is a beginning of what was rebuilt.
    """

    def __init__(self, stream: Stream, *, of_identities: bool = False) -> None:
        self.held = self.compared = 0
        self.difference: str | None = None
        self.ends_early = False
        self._stream = stream
        self._is_same = _same_identities if of_identities else _same_record
        self._begun = stream.position == 0
        self._ahead: Record | None = None

    async def hold(self, seq: int, writes: list[Write]) -> None:
        """Compare what one transaction wrote."""
        for write in writes:
            if self.difference is not None:
                return
            found = self._ahead or await self._stream.next()
            self._ahead = None
            if found is None:
                if self._begun:
                    self.ends_early = True
                    self.difference = f"{self._name} ends before what transaction {seq} wrote: {_shown(write.value)}"
                    return
            elif self._is_same(found, write):
                self._begun = True
                self.compared += 1
            elif self._begun:
                here, there = differing(found.value, write.value)
                self.difference = f"{self._name} offset {found.offset} holds {here}; transaction {seq} wrote {there}"
                return
            else:
                self._ahead = found
            self.held += 1

    async def end(self) -> None:
        """Nothing more comes."""
        if self.difference is None and (left := self._ahead or await self._stream.next()) is not None:
            self.difference = f"{self._name} offset {left.offset} was written by no transaction: {_shown(left.value)}"

    @property
    def _name(self) -> str:
        return f"{self._stream.place.topic}[{self._stream.place.partition}]"


def first_cell_amiss(found: Cells, rebuilt: Cells, horizon_days: int) -> str | None:
    """The first cell of `ledger-state` that says something else; the engine's own is among them."""
    if rebuilt and ENGINE_CELL not in found:
        return f"ledger-state holds no position of this partition, {len(rebuilt):,} cells were rebuilt"
    # Where the partition stands comes first: if it does not agree, no other cell can.
    for key in sorted(found.keys() | rebuilt.keys()):
        here, there = found.get(key), rebuilt.get(key)
        if here != there and _lasting(here, rebuilt, horizon_days) != _lasting(there, rebuilt, horizon_days):
            return f"cell {key.decode()!r} is {' in ledger-state, by the journal '.join(differing(here, there))}"
    return None


def first_status_amiss(found: Cells, rebuilt: Cells) -> str | None:
    """The first thing whose latest status decides otherwise."""
    for key in sorted(found.keys() | rebuilt.keys()):
        here, there = found.get(key), rebuilt.get(key)
        if here != there and not key.startswith(_CLOCK) and _deciding(here) != _deciding(there):
            return f"status {key.decode()} is {' in credit-status, by the journal '.join(differing(here, there))}"
    return None


def changes(found: Cells, rebuilt: Cells) -> Iterator[tuple[bytes, bytes | None]]:
    """What has to be written so that a compacted topic holds just what was rebuilt."""
    for key in found.keys() - rebuilt.keys():
        yield key, None
    for key, value in rebuilt.items():
        if found.get(key) != value:
            yield key, value


def differing(found: bytes | None, rebuilt: bytes | None) -> tuple[str, str]:
    """Both, from a little before the place where they begin to differ."""
    if found is None or rebuilt is None:
        return _shown(found), _shown(rebuilt)
    pairs = enumerate(zip(found, rebuilt, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(found), len(rebuilt)))
    begin = max(0, at - _SHOWN // 2)
    return _shown(found, begin), _shown(rebuilt, begin)


def _shown(value: bytes | None, begin: int = 0) -> str:
    if value is None:
        return "nothing"
    text = value[begin : begin + _SHOWN].decode("utf-8", "backslashreplace")
    return "…" * bool(begin) + text + "…" * (begin + _SHOWN < len(value))


def _same_record(found: Record, write: Write) -> bool:
    return (found.key, found.value, list(found.headers)) == (write.key, write.value, write.headers)


def _same_identities(found: Record, write: Write) -> bool:
    try:
        return unpack(found.value)[1] == unpack(write.value or b"")[1]
    except (ValueError, TypeError, StructError):
        return False  # what lies there is none


def _lasting(value: bytes | None, rebuilt: Cells, horizon_days: int) -> dict[str, Any] | None:
    """What a cell says for good; None where it says nothing, or nothing any more."""
    if value is None:
        return None
    fields = _decoded(value)
    match fields:
        case {"cell": "member_month" | "tier_month", "month": str(month)}:
            if month <= _decoded(rebuilt.get(_CALENDAR, b"{}")).get("closed_through", ""):
                return None
        case {"cell": "command", "arrived_at_micros": int(arrived_at_micros)}:
            now_micros: int = _decoded(rebuilt[ENGINE_CELL])["now_micros"]
            if now_micros - arrived_at_micros > horizon_days * MICROS_PER_DAY:
                return None
    return {name: said for name, said in fields.items() if name not in _UNTOLD and not name.startswith("told_")}


def _deciding(value: bytes | None) -> dict[str, Any] | None:
    """What of a status is told with the transaction that makes it so."""
    if value is None:
        return None
    return {name: said for name, said in _decoded(value).items() if name not in _HELD_BACK}


def _decoded(value: bytes) -> dict[str, Any]:
    """Fields; of something damaged, whatever it is."""
    try:
        return dict(msgspec.json.decode(value))
    except (msgspec.MsgspecError, TypeError, ValueError):
        return {"damaged": value}
