"""Records of credit-status come in; a copy of what the ledger holds, and admission answered from it, go out.

The copy keeps bytes and decodes what is asked for: a million members as objects would take three times the room. It
knows how old it is, and says so rather than guess. Source: docs/rules.md R32-R34.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from schemas.admission import Decision, decide
from schemas.base import SeatTier
from schemas.instants import format_instant, parse_instant
from schemas.organization import Basis, OrganizationState, Plan, RequestKind, Role


class LimitedRecord(msgspec.Struct, kw_only=True, gc=False):
    """The compiled form of schemas.status.LimitedStatus."""

    org_id: str
    org_seq: int
    month: str = ""
    spend_picousd: int = 0
    limit_picousd: int | None = None
    limit_version: int = 0
    raise_picousd: int | None = None
    raise_month: str = ""


class OrganizationRecord(LimitedRecord, kw_only=True, gc=False):
    """The compiled form of schemas.status.OrganizationStatus."""

    plan: Plan
    status: OrganizationState = "active"
    credits_enabled: bool = False
    member_default: bool = True
    requests_enabled: bool = True
    balance_picousd: int = 0


class TierRecord(LimitedRecord, kw_only=True, gc=False):
    """The compiled form of schemas.status.TierStatus."""

    seat_tier: SeatTier
    basis: Basis = "each_member"


class MemberRecord(LimitedRecord, kw_only=True, gc=False):
    """The compiled form of schemas.status.MemberStatus."""

    user_id: str
    role: Role = "member"
    seat_tier: SeatTier = "standard"
    removed: bool = False
    credits_enabled: bool | None = None
    request_id: str = ""
    request_kind: RequestKind | None = None
    asked_at: str = ""


_ASKS = b'"request_id":"'  # cannot lie inside a value: there a quote is escaped

# Lax, because money is text on the wire (R13).
_organization = msgspec.json.Decoder(OrganizationRecord, strict=False).decode
_tier = msgspec.json.Decoder(TierRecord, strict=False).decode
_member = msgspec.json.Decoder(MemberRecord, strict=False).decode
_any = msgspec.json.Decoder().decode


class CannotTell(Exception):
    """The copy is not whole yet, or too old to answer from (R33)."""


class Answer(NamedTuple):
    """A decision, and the ledger time it stands on."""

    decision: Decision
    as_of_micros: int


class StatusCopy:
    """What credit-status says, as far as it was taken in.

    Attributes:
        is_whole: set by whoever takes records in, once all that lay there at the start is taken.
        clocks: per partition, the ledger time up to which it has applied all its input (R33).
    """

    def __init__(self) -> None:
        self.is_whole = False
        self.clocks: dict[int, int] = {}
        self._partitions: dict[str, int] = {}
        self._organizations: dict[str, OrganizationRecord] = {}
        self._tiers: dict[tuple[str, str], TierRecord] = {}
        self._members: dict[str, dict[str, bytes]] = {}
        self._asking: dict[str, dict[str, None]] = {}
        self._moves: dict[str, int] = {}

    def take(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Take one record in; no value: the thing is gone."""
        kind, *identity = _any(key)
        if kind != "clock":
            self._moves[identity[0]] = self._moves.get(identity[0], 0) + 1
        if kind == "member":
            org_id, user_id = identity
            members = self._members.setdefault(org_id, {})
            asking = self._asking.setdefault(org_id, {})
            asking.pop(user_id, None)
            if value is None:
                members.pop(user_id, None)
            else:
                members[user_id] = value
                if _ASKS in value:
                    asking[user_id] = None
        elif kind == "clock":
            if value is not None:
                self.clocks[partition] = parse_instant(_any(value)["as_of"])
        elif kind == "org":
            self._partitions[identity[0]] = partition
            _put(self._organizations, identity[0], value and _organization(value))
        elif kind == "tier":
            _put(self._tiers, (identity[0], identity[1]), value and _tier(value))

    def organization(self, org_id: str) -> OrganizationRecord | None:
        """What is known of an organisation."""
        return self._organizations.get(org_id)

    def partition(self, org_id: str) -> int | None:
        """The partition of an organisation that is known."""
        return self._partitions.get(org_id)

    def tier(self, org_id: str, seat_tier: str) -> TierRecord | None:
        """What is known of a seat tier; None where nothing was ever set or spent."""
        return self._tiers.get((org_id, seat_tier))

    def member(self, org_id: str, user_id: str) -> MemberRecord | None:
        """What is known of a member, removed ones too."""
        members = self._members.get(org_id)
        value = members.get(user_id) if members is not None else None
        return _member(value) if value is not None else None

    def members(self, org_id: str) -> Iterator[MemberRecord]:
        """Every member of an organisation as of now, removed ones too; may be walked in another thread."""
        return map(_member, list(self._members.get(org_id, {}).values()))

    def moves(self, org_id: str) -> int:
        """How many records of an organisation were taken in: where it is the same, nothing moved."""
        return self._moves.get(org_id, 0)

    def count_asking(self, org_id: str) -> int:
        """How many requests are pending."""
        return len(self._asking.get(org_id, ()))

    def heard_last(self, org_id: str) -> str | None:
        """The pending request whose member's record came last."""
        user_id = next(reversed(self._asking.get(org_id, {})), None)
        member = self.member(org_id, user_id) if user_id is not None else None
        return member.request_id if member is not None else None

    def asking(self, org_id: str) -> list[MemberRecord]:
        """Those whose request is pending, the longest waiting first (R36)."""
        found = [self.member(org_id, user_id) for user_id in self._asking.get(org_id, {})]
        return sorted((member for member in found if member), key=lambda member: (member.asked_at, member.request_id))

    def memberships(self, user_id: str) -> list[MemberRecord]:
        """What somebody is in every organisation that has them; may be walked in another thread."""
        found = (self.member(org_id, user_id) for org_id, members in list(self._members.items()) if user_id in members)
        return [member for member in found if member is not None and not member.removed]

    def some_members(self, most: int) -> list[MemberRecord]:
        """The first few of all who are known, those of one organisation together."""
        every = (value for members in list(self._members.values()) for value in list(members.values())[:most])
        return [member for member in map(_member, islice(every, most)) if not member.removed]

    def size(self) -> int:
        """How many members are known, in all organisations."""
        return sum(map(len, self._members.values()))

    def as_of_micros(self, org_id: str) -> int:
        """The ledger time its organisation's partition has reached; of one that nobody knows, the oldest of all.

        Raises:
            CannotTell: no such time has been told yet.
        """
        partition = self._partitions.get(org_id)
        told = self.clocks.get(partition) if partition is not None else min(self.clocks.values(), default=None)
        if told is None:
            raise CannotTell("the ledger has not said yet how far it is")
        return told

    def admission(self, org_id: str, user_id: str, now_micros: int, bound_micros: int) -> Answer:
        """Whether a member may spend now.

        Args:
            bound_micros: how old the copy may be.

        Raises:
            CannotTell: the copy is not whole, or older than that.
        """
        as_of_micros = self.fresh_as_of_micros(org_id, now_micros, bound_micros)
        return Answer(self.decide(org_id, user_id, now_micros), as_of_micros)

    def fresh_as_of_micros(self, org_id: str, now_micros: int, bound_micros: int) -> int:
        """The ledger time that an answer stands on.

        Raises:
            CannotTell: the copy is not whole, or further from now than its bound, either way.
        """
        if not self.is_whole:
            raise CannotTell("the copy of credit-status is not whole yet")
        as_of_micros = self.as_of_micros(org_id)
        if abs(now_micros - as_of_micros) > bound_micros:  # a clock that is behind would take an old copy for a new one
            raise CannotTell(f"the ledger was last heard of at {format_instant(as_of_micros)}")
        return as_of_micros

    def decide(self, org_id: str, user_id: str, at_micros: int) -> Decision:
        """What the copy says, however old it is."""
        member = self.member(org_id, user_id)
        tier = self._tiers.get((org_id, member.seat_tier)) if member is not None else None
        return decide(self._organizations.get(org_id), tier, member, at_micros)


def _put(records: dict[Any, Any], key: Any, record: Any) -> None:
    if record is None:
        records.pop(key, None)
    else:
        records[key] = record
