"""A cell: one thing the ledger remembers; named fields in memory, a JSON object under its own key in `ledger-state`.

Fields that a reader does not know are kept and written back, so that two versions can run side by side.
"""

from sys import intern
from typing import Any, ClassVar

import msgspec

_encode = msgspec.json.Encoder().encode

_SHARED = {"org_id", "month", "usage_month", "seat_tier", "role", "product", "price_id"}
"""Strings that many cells have in common: a million restored cells hold each of them once."""


class Cell:
    """One thing the ledger remembers. Amounts are integers here and digits in the cell (R13)."""

    __slots__ = ("unknown",)

    KIND: ClassVar[str]
    IDENTITY: ClassVar[tuple[str, ...]]
    FIELDS: ClassVar[tuple[str, ...]] = ()
    """Everything else that is remembered; equal to its default in DEFAULTS it is left out of the cell."""
    DEFAULTS: ClassVar[dict[str, Any]] = {}

    _known: ClassVar[frozenset[str]]
    _amounts: ClassVar[tuple[str, ...]]
    _shared: ClassVar[tuple[str, ...]]

    unknown: dict[str, Any] | None

    def __init_subclass__(cls) -> None:
        names = (*cls.IDENTITY, *cls.FIELDS) if hasattr(cls, "IDENTITY") else cls.FIELDS
        cls._known = frozenset(names)
        cls._shared = tuple(name for name in names if name in _SHARED)
        cls._amounts = tuple(name for name in names if name.endswith("_picousd"))

    def __init__(self, **fields: Any) -> None:
        self.unknown = None
        for name, value in {**self.DEFAULTS, **fields}.items():
            setattr(self, name, value)

    def key(self) -> bytes:
        """The cell's key in `ledger-state`."""
        return _encode([self.KIND, *(getattr(self, name) for name in self.IDENTITY)])

    def value(self) -> bytes | None:
        """The cell as JSON; None once there is nothing left to remember of it."""
        return _encode(self.fields())

    def fields(self) -> dict[str, Any]:
        """What the cell says, as it is written."""
        fields: dict[str, Any] = {"cell": self.KIND}
        for name in (*self.IDENTITY, *self.FIELDS):
            value = getattr(self, name)
            if name in self.DEFAULTS and value == self.DEFAULTS[name]:
                continue
            fields[name] = str(value) if name.endswith("_picousd") and value is not None else value
        if self.unknown:
            fields |= self.unknown
        return fields

    @classmethod
    def restored(cls, fields: dict[str, Any]) -> "Cell":
        """The cell of its JSON fields (without `cell`)."""
        unknown = None
        if not cls._known.issuperset(fields):
            unknown = {name: fields.pop(name) for name in fields.keys() - cls._known}
        for name in cls._amounts:
            if (digits := fields.get(name)) is not None:
                fields[name] = int(digits)
        for name in cls._shared:
            if type(text := fields.get(name)) is str:
                fields[name] = intern(text)
        cell = cls(**fields)
        cell.unknown = unknown
        return cell
