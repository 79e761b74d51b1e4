"""What one partition remembers, one cell per thing: cells of `ledger-state` in at a restore, changed cells out.

A cell is a JSON object of named fields under the key [kind, identity…]; fields a reader does not know are kept and
written back, so that two versions can run side by side. No cell grows with the number of members. Memory is nested
by organisation: Organization → Member → months, Organization → months → tiers.
"""

from collections.abc import Iterable
from functools import lru_cache
from json import dumps
from operator import attrgetter
from typing import Any, ClassVar

import msgspec

from schemas.base import SeatTier
from schemas.organization import Plan, Role

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_quoted = lru_cache(maxsize=65_536)(dumps)


class Cell:
    """One thing the ledger remembers. Amounts are integers here and digits in the cell (R13)."""

    __slots__ = ("unknown",)

    KIND: ClassVar[str]
    IDENTITY: ClassVar[tuple[str, ...]]
    FIELDS: ClassVar[tuple[str, ...]] = ()
    """Everything else that is remembered; equal to its default in DEFAULTS it is left out of the cell."""
    DEFAULTS: ClassVar[dict[str, Any]] = {}

    unknown: dict[str, Any] | None

    def __init__(self, **fields: Any) -> None:
        self.unknown = None
        for name, value in {**self.DEFAULTS, **fields}.items():
            setattr(self, name, value)

    def key(self) -> bytes:
        """The cell's key in `ledger-state`."""
        return _encode([self.KIND, *(getattr(self, name) for name in self.IDENTITY)])

    def value(self) -> bytes | None:
        """The cell as JSON; None once there is nothing left to remember of it."""
        fields = {"cell": self.KIND}
        for name in (*self.IDENTITY, *self.FIELDS):
            value = getattr(self, name)
            if name in self.DEFAULTS and value == self.DEFAULTS[name]:
                continue
            fields[name] = str(value) if name.endswith("_picousd") and value is not None else value
        if self.unknown:
            fields |= self.unknown
        return _encode(fields)

    @classmethod
    def restored(cls, fields: dict[str, Any]) -> "Cell":
        """The cell of its JSON fields (without `cell`)."""
        known = {name: fields.pop(name) for name in (*cls.IDENTITY, *cls.FIELDS) if name in fields}
        for name, value in known.items():
            if name.endswith("_picousd") and value is not None:
                known[name] = int(value)
        cell = cls(**known)
        cell.unknown = fields or None
        return cell


class ScopeMonth(Cell):
    """Spend of one scope in one month, and how its limit stands (R24, R29).

    `breached_version` is the version of the limit that is breached, 0 when none is; `episode` grows with each resume.
    """

    __slots__ = ("breached_version", "episode", "month", "org_id", "spend_picousd")

    FIELDS: ClassVar[tuple[str, ...]] = ("spend_picousd", "breached_version", "episode")
    DEFAULTS: ClassVar[dict[str, Any]] = {"spend_picousd": 0, "breached_version": 0, "episode": 1}

    org_id: str
    month: str
    spend_picousd: int
    breached_version: int
    episode: int


class MemberMonth(ScopeMonth):
    """A member's month to date.

    `of_organization` and `tier` are the months it is part of: their organisation's, and that of the seat they hold.
    """

    __slots__ = ("of_organization", "tier", "user_id")
    KIND = "member_month"
    IDENTITY = ("org_id", "user_id", "month")

    user_id: str
    of_organization: "OrganizationMonth"
    tier: "TierMonth"

    # Most cells of most chunks are these: written by hand, where nothing unusual is in them.

    def key(self) -> bytes:
        """As Cell.key."""
        return f'["member_month",{_quoted(self.org_id)},{_quoted(self.user_id)},"{self.month}"]'.encode()

    def value(self) -> bytes | None:
        """As Cell.value."""
        if self.unknown or self.breached_version or self.episode != 1 or not self.spend_picousd:
            return super().value()
        return (
            f'{{"cell":"member_month","org_id":{_quoted(self.org_id)},"user_id":{_quoted(self.user_id)}'
            f',"month":"{self.month}","spend_picousd":"{self.spend_picousd}"}}'
        ).encode()


class TierMonth(ScopeMonth):
    """What was spent in one seat tier; a seat change moves nothing (R30)."""

    __slots__ = ("seat_tier",)
    KIND = "tier_month"
    IDENTITY = ("org_id", "month", "seat_tier")

    seat_tier: SeatTier


class OrganizationMonth(ScopeMonth):
    """The organisation's month: spend, what prior months were charged in it, the value of included usage, rows."""

    __slots__ = ("included_picousd", "prior_period_picousd", "rows", "tiers")
    KIND = "organization_month"
    IDENTITY = ("org_id", "month")
    FIELDS: ClassVar[tuple[str, ...]] = (*ScopeMonth.FIELDS, "prior_period_picousd", "included_picousd", "rows")
    DEFAULTS: ClassVar[dict[str, Any]] = {
        **ScopeMonth.DEFAULTS,
        "prior_period_picousd": 0,
        "included_picousd": 0,
        "rows": 0,
    }

    prior_period_picousd: int
    included_picousd: int
    rows: int
    tiers: dict[str, TierMonth]

    def __init__(self, **fields: Any) -> None:
        self.tiers = {}
        super().__init__(**fields)


class Member(Cell):
    """A member: role and seat live here alone."""

    __slots__ = ("months", "org_id", "role", "seat_tier", "user_id")
    KIND = "member"
    IDENTITY = ("org_id", "user_id")
    FIELDS = ("role", "seat_tier")

    org_id: str
    user_id: str
    role: Role
    seat_tier: SeatTier
    months: dict[str, MemberMonth]

    def __init__(self, **fields: Any) -> None:
        self.months = {}
        super().__init__(**fields)


class Organization(Cell):
    """An organisation's profile, its limit and the last `org_seq` it gave out."""

    __slots__ = (
        "credits_enabled",
        "limit_picousd",
        "limit_version",
        "members",
        "months",
        "org_id",
        "org_seq",
        "plan",
    )
    KIND = "organization"
    IDENTITY = ("org_id",)
    FIELDS = ("plan", "credits_enabled", "limit_picousd", "limit_version", "org_seq")
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "credits_enabled": False,
        "limit_picousd": None,
        "limit_version": 0,
        "org_seq": 0,
    }

    org_id: str
    plan: Plan
    credits_enabled: bool
    limit_picousd: int | None
    limit_version: int
    org_seq: int
    members: dict[str, Member]
    months: dict[str, OrganizationMonth]

    def __init__(self, **fields: Any) -> None:
        self.members = {}
        self.months = {}
        super().__init__(**fields)

    def next_seq(self) -> int:
        """The next number of an output of this organisation (R29)."""
        self.org_seq += 1
        return self.org_seq


class AnsweredCommand(Cell):
    """A command's answer, so that repeating it is harmless; `digest` is of its body."""

    __slots__ = ("answer", "arrived_at_micros", "command_id", "digest", "org_id")
    KIND = "command"
    IDENTITY = ("org_id", "command_id")
    FIELDS = ("digest", "arrived_at_micros", "answer")

    org_id: str
    command_id: str
    digest: str
    arrived_at_micros: int
    answer: dict[str, Any]


class Calendar(Cell):
    """Which month it is, and through which month the books are closed; both move only when something falls due."""

    __slots__ = ("closed_through", "month")
    KIND = "calendar"
    IDENTITY = ()
    FIELDS = ("month", "closed_through")
    DEFAULTS: ClassVar[dict[str, Any]] = {"month": "", "closed_through": ""}

    month: str
    closed_through: str


class Counters(Cell):
    """What became of every event read, for the proof that nothing is lost (R41)."""

    NAMES = (
        "usage_records",
        "usage_events",
        "accepted",
        "duplicates",
        "dead_letters",
        "forwarded",
        "rows",
        "commands",
        "commands_applied",
        "commands_refused",
        "commands_repeated",
        "commands_forwarded",
        "commands_unreadable",
    )
    __slots__ = NAMES
    KIND = "counters"
    IDENTITY = ()
    FIELDS = NAMES
    DEFAULTS: ClassVar[dict[str, Any]] = dict.fromkeys(NAMES, 0)

    usage_records: int
    usage_events: int
    accepted: int
    duplicates: int
    dead_letters: int
    forwarded: int
    rows: int
    commands: int
    commands_applied: int
    commands_refused: int
    commands_repeated: int
    commands_forwarded: int
    commands_unreadable: int

    def snapshot(self) -> tuple[int, ...]:
        """All counts, in the order of NAMES."""
        counts: tuple[int, ...] = _all_counts(self)
        return counts


_all_counts = attrgetter(*Counters.NAMES)

CELLS: dict[str, type[Cell]] = {
    cell.KIND: cell
    for cell in (Organization, Member, OrganizationMonth, TierMonth, MemberMonth, AnsweredCommand, Calendar, Counters)
}


class State:
    """The memory of one partition: organisations, the calendar, the counters, and which cells have changed."""

    def __init__(self) -> None:
        self.organizations: dict[str, Organization] = {}
        self.answers: dict[tuple[str, str], AnsweredCommand] = {}
        self.calendar = Calendar()
        self.counters = Counters()
        self.changed: dict[Cell, None] = {}

    def touch(self, cell: Cell) -> None:
        """Have the cell written with the chunk under way."""
        self.changed[cell] = None

    def take_changes(self) -> dict[bytes, bytes | None]:
        """Key and value of every cell touched since the last call."""
        changes: dict[bytes, bytes | None] = {cell.key(): cell.value() for cell in self.changed}
        self.changed.clear()
        return changes

    def month_of(self, organization: Organization, month: str) -> OrganizationMonth:
        """The organisation's month, made if it is new."""
        found = organization.months.get(month)
        if found is None:
            found = organization.months[month] = OrganizationMonth(org_id=organization.org_id, month=month)
        return found

    def month_of_member(self, organization: Organization, member: Member, month: str) -> MemberMonth:
        """The member's month, made if it is new."""
        found = member.months.get(month)
        if found is None:
            found = MemberMonth(org_id=organization.org_id, user_id=member.user_id, month=month)
            member.months[month] = found
            self.join(organization, member, found)
        return found

    def join(self, organization: Organization, member: Member, own: MemberMonth) -> None:
        """Make a member's month part of the organisation's, and of the tier of the seat they hold."""
        month = own.of_organization = self.month_of(organization, own.month)
        tier = month.tiers.get(member.seat_tier)
        if tier is None:
            tier = TierMonth(org_id=month.org_id, month=month.month, seat_tier=member.seat_tier)
            month.tiers[member.seat_tier] = tier
        own.tier = tier

    def restore(self, cells: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over the cells of an earlier life; kinds nobody knows are left alone in the topic."""
        owned: dict[str, list[Any]] = {kind: [] for kind in CELLS}
        for _, value in cells:
            fields = _decode(value)
            kind = CELLS.get(fields.pop("cell", ""))
            if kind is not None:
                owned[kind.KIND].append(kind.restored(fields))
        for organization in owned[Organization.KIND]:
            self.organizations[organization.org_id] = organization
        for member in owned[Member.KIND]:
            self.organizations[member.org_id].members[member.user_id] = member
        for month in owned[OrganizationMonth.KIND]:
            self.organizations[month.org_id].months[month.month] = month
        for tier in owned[TierMonth.KIND]:
            self.organizations[tier.org_id].months[tier.month].tiers[tier.seat_tier] = tier
        for month in owned[MemberMonth.KIND]:
            organization = self.organizations[month.org_id]
            member = organization.members[month.user_id]
            member.months[month.month] = month
            self.join(organization, member, month)
        for answer in owned[AnsweredCommand.KIND]:
            self.answers[answer.org_id, answer.command_id] = answer
        for calendar in owned[Calendar.KIND]:
            self.calendar = calendar
        for counters in owned[Counters.KIND]:
            self.counters = counters
