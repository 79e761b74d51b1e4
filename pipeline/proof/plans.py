"""Who was on Team when: records of `account-events` in, the plan of an organisation at an instant out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.proof.records import read
from pipeline.reading import Record
from schemas.instants import parse_instant


class _After(msgspec.Struct, gc=False):
    plan: str = ""


class _Applied(msgspec.Struct, gc=False):
    org_id: str
    at: str
    command: str = ""
    after: _After = msgspec.field(default_factory=_After)


class _Envelope(msgspec.Struct, gc=False):
    type: str
    data: _Applied


_decode: Any = msgspec.json.Decoder(_Envelope).decode


@dataclass(slots=True)
class Plans:
    """Who was on Team, and until when.

    Attributes:
        changes: of each organisation, in order, since when it is on Team, or is not (on Enterprise, or closed).
    """

    changes: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    _now_micros: int = 0

    def take(self, records: Sequence[Record]) -> None:
        """Records of `account-events`, in order: a command that came by a detour counts from when it was applied."""
        for record in records:
            envelope: _Envelope = read(_decode, record)
            said = envelope.data
            self._now_micros = max(self._now_micros, parse_instant(said.at))
            if envelope.type != "usage-credits.command.applied":
                continue
            if said.command in ("register_organization", "change_plan", "close_organization"):
                on_team = said.after.plan == "team" and said.command != "close_organization"
                self.changes.setdefault(said.org_id, []).append((self._now_micros, on_team))

    def on_team(self, org_id: str, at_micros: int) -> bool:
        """Whether it was, just before an instant."""
        return next((team for since, team in reversed(self.changes.get(org_id, ())) if since < at_micros), False)
