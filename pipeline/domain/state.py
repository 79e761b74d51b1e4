"""What one partition remembers, one cell per thing: cells of `ledger-state` in at a restore, changed cells out.

No cell grows with the number of members. Memory is nested by organisation: Organization → Member → months,
Organization → months → tiers. Derived attributes (not in FIELDS) follow from the rest and are made again at a restore.
"""

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar

import msgspec

from pipeline.domain.cell import Cell
from pipeline.domain.invoice_state import DraftLine, Invoice
from pipeline.domain.request_state import Request, Requests
from pipeline.domain.wallet_state import Lot, Payment, Reload, Wallet, WalletMonth
from schemas.base import SeatTier, quoted
from schemas.organization import SEAT_TIERS, Basis, OrganizationState, Plan, Role

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_AT_A_TIME = 250

UNWATCHED_PICOUSD = 10**39
"""A watch no spend reaches: nothing needs to be looked at."""

OWN = "own"
"""The key of a scope's only limit, and of a member's own: see ScopeMonth.standings."""


class Standing(msgspec.Struct, array_like=True):
    """How one limit stands in one month (R29, R29a).

    Attributes:
        breached_version: the version of the limit that is breached, 0 while none is.
        episode: of the breach that stands or comes next; grows with each resume.
        passed_version, passed_percent: the highest threshold passed, in this version of the limit.
    """

    breached_version: int = 0
    episode: int = 1
    passed_version: int = 0
    passed_percent: int = 0


class ScopeMonth(Cell):
    """Spend of one scope in one month, and how the limits on it stand.

    Attributes:
        standings: by limit; an organisation and a tier have one (OWN), a member has their own and, of each seat they
            held, that tier's `each_member` limit. None while nothing ever happened.
        watch_picousd: spend below this needs no look; derived.
        is_breached: some limit on it is; derived.
        told_picousd: the spend that was published last as credit status.
        told_at_micros: when, in ledger time; derived.
        is_forgotten: the month is closed, its cell goes; derived.
    """

    __slots__ = (
        "is_breached",
        "is_forgotten",
        "month",
        "org_id",
        "spend_picousd",
        "standings",
        "told_at_micros",
        "told_picousd",
        "watch_picousd",
    )
    FIELDS: ClassVar[tuple[str, ...]] = ("spend_picousd", "told_picousd", "standings")
    DEFAULTS: ClassVar[dict[str, Any]] = {"spend_picousd": 0, "told_picousd": 0, "standings": None}

    org_id: str
    month: str
    spend_picousd: int
    standings: dict[str, Standing] | None
    watch_picousd: int
    is_breached: bool
    told_picousd: int
    told_at_micros: int
    is_forgotten: bool

    def __init__(self, **fields: Any) -> None:
        self.watch_picousd = 0
        self.told_at_micros = 0
        self.is_forgotten = False
        super().__init__(**fields)
        if self.standings is not None:
            self.standings = msgspec.convert(self.standings, dict[str, Standing])
        self.note_breaches()

    def value(self) -> bytes | None:
        """As Cell.value."""
        return None if self.is_forgotten else super().value()

    def standing(self, key: str) -> Standing:
        """How a limit stands, made if nothing ever happened."""
        if self.standings is None:
            self.standings = {}
        return self.standings.setdefault(key, Standing())

    def note_breaches(self) -> None:
        """Bring `is_breached` up to the standings."""
        self.is_breached = self.standings is not None and any(s.breached_version for s in self.standings.values())


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
        return f'["member_month",{quoted(self.org_id)},{quoted(self.user_id)},"{self.month}"]'.encode()

    def value(self) -> bytes | None:
        """As Cell.value."""
        if self.unknown or self.standings or not self.spend_picousd or self.is_forgotten:
            return super().value()
        told = f',"told_picousd":"{self.told_picousd}"' if self.told_picousd else ""
        return (
            f'{{"cell":"member_month","org_id":{quoted(self.org_id)},"user_id":{quoted(self.user_id)}'
            f',"month":"{self.month}","spend_picousd":"{self.spend_picousd}"{told}}}'
        ).encode()


class TierMonth(ScopeMonth):
    """What was spent in one seat tier; a seat change moves nothing (R30)."""

    __slots__ = ("seat_tier",)
    KIND = "tier_month"
    IDENTITY = ("org_id", "month", "seat_tier")

    seat_tier: SeatTier


class OrganizationMonth(ScopeMonth):
    """The organisation's month: spend, what prior months were charged in it, the value of included usage, rows.

    Attributes:
        unsettled_picousd: charged and not yet in an entry; 0 between chunks.
        invoices: finalised for it so far.
        is_drafted: its draft was published, or opened too late for that.
        lines: of the draft, if one is open, by usage month, product and price id.
    """

    __slots__ = (
        "included_picousd",
        "invoices",
        "is_drafted",
        "lines",
        "prior_period_picousd",
        "rows",
        "tiers",
        "unsettled_picousd",
    )
    KIND = "organization_month"
    IDENTITY = ("org_id", "month")
    FIELDS: ClassVar[tuple[str, ...]] = (
        *ScopeMonth.FIELDS,
        "prior_period_picousd",
        "included_picousd",
        "rows",
        "invoices",
        "is_drafted",
    )
    DEFAULTS: ClassVar[dict[str, Any]] = {
        **ScopeMonth.DEFAULTS,
        "prior_period_picousd": 0,
        "included_picousd": 0,
        "rows": 0,
        "invoices": 0,
        "is_drafted": False,
    }

    prior_period_picousd: int
    included_picousd: int
    rows: int
    tiers: dict[str, TierMonth]
    unsettled_picousd: int
    invoices: int
    is_drafted: bool
    lines: dict[tuple[str, str, str], DraftLine]

    def __init__(self, **fields: Any) -> None:
        self.tiers = {}
        self.lines = {}
        self.unsettled_picousd = 0
        super().__init__(**fields)


class Limited(Cell):
    """Something with a monthly spend limit; in `raise_month` alone `raise_picousd` stands in for it (R23).

    `limit_version` grows with every command that changes amount or basis (R29). None is unlimited, for both amounts.
    """

    __slots__ = ("limit_picousd", "limit_version", "org_id", "raise_month", "raise_picousd")
    FIELDS: ClassVar[tuple[str, ...]] = ("limit_picousd", "limit_version", "raise_picousd", "raise_month")
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "limit_picousd": None,
        "limit_version": 0,
        "raise_picousd": None,
        "raise_month": "",
    }

    org_id: str
    limit_picousd: int | None
    limit_version: int
    raise_picousd: int | None
    raise_month: str

    def limit_in(self, month: str) -> int | None:
        """The amount that holds in a month."""
        return self.raise_picousd if self.raise_month == month else self.limit_picousd


class TierLimit(Limited):
    """A seat tier's limit: every member's own, or the tier's together (R22)."""

    __slots__ = ("basis", "seat_tier")
    KIND = "tier_limit"
    IDENTITY = ("org_id", "seat_tier")
    FIELDS: ClassVar[tuple[str, ...]] = ("basis", *Limited.FIELDS)
    DEFAULTS: ClassVar[dict[str, Any]] = {"basis": "each_member", **Limited.DEFAULTS}

    seat_tier: SeatTier
    basis: Basis


class Member(Limited):
    """A member: role and seat live here alone. Once removed they stay known (R31).

    `credits_enabled` is their own switch; None: the organisation's default decides (R9a).
    """

    __slots__ = ("credits_enabled", "months", "removed", "role", "seat_tier", "user_id")
    KIND = "member"
    IDENTITY = ("org_id", "user_id")
    FIELDS: ClassVar[tuple[str, ...]] = ("role", "seat_tier", "removed", "credits_enabled", *Limited.FIELDS)
    DEFAULTS: ClassVar[dict[str, Any]] = {"removed": False, "credits_enabled": None, **Limited.DEFAULTS}

    user_id: str
    role: Role
    seat_tier: SeatTier
    removed: bool
    credits_enabled: bool | None
    months: dict[str, MemberMonth]

    def __init__(self, **fields: Any) -> None:
        self.months = {}
        super().__init__(**fields)


class Organization(Limited):
    """An organisation's profile, its limit and the last `org_seq` it gave out.

    Attributes:
        percents: of a limit, at which a notice goes out (R29a).
        unbilled_picousd, receivable_picousd: the balances of these accounts (R38a).
        carried_picousd: what the last invoice was below zero; a line of the next one (R39).
        invoice_number, credit_note_number: the last ones given.
        review: a change that reaches its members one by one: why, when it arrived, and the last member reached; None
            between changes.
        is_stopped: suspended, switched off, or paused by its balance; derived.
        user_ids: of all members ever, sorted; derived.
    """

    __slots__ = (
        "carried_picousd",
        "credit_note_number",
        "credits_enabled",
        "invoice_number",
        "invoices",
        "is_stopped",
        "member_default",
        "members",
        "months",
        "org_seq",
        "percents",
        "plan",
        "receivable_picousd",
        "requests",
        "requests_enabled",
        "review",
        "status",
        "tier_limits",
        "unbilled_picousd",
        "user_ids",
        "wallet",
    )
    KIND = "organization"
    IDENTITY = ("org_id",)
    FIELDS: ClassVar[tuple[str, ...]] = (
        "plan",
        "status",
        "credits_enabled",
        "member_default",
        "requests_enabled",
        "percents",
        "unbilled_picousd",
        "receivable_picousd",
        "carried_picousd",
        "invoice_number",
        "credit_note_number",
        "review",
        "org_seq",
        *Limited.FIELDS,
    )
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "status": "active",
        "credits_enabled": False,
        "member_default": True,
        "requests_enabled": True,
        "percents": (50, 80, 100),
        "unbilled_picousd": 0,
        "receivable_picousd": 0,
        "carried_picousd": 0,
        "invoice_number": 0,
        "credit_note_number": 0,
        "review": None,
        "org_seq": 0,
        **Limited.DEFAULTS,
    }

    plan: Plan
    status: OrganizationState
    credits_enabled: bool
    member_default: bool
    requests_enabled: bool
    percents: tuple[int, ...]
    unbilled_picousd: int
    receivable_picousd: int
    carried_picousd: int
    invoice_number: int
    credit_note_number: int
    review: dict[str, Any] | None
    org_seq: int
    is_stopped: bool
    members: dict[str, Member]
    user_ids: list[str]
    months: dict[str, OrganizationMonth]
    tier_limits: dict[str, TierLimit]
    invoices: dict[int, Invoice]
    wallet: Wallet
    requests: Requests

    def __init__(self, **fields: Any) -> None:
        self.members = {}
        self.user_ids = []
        self.months = {}
        self.invoices = {}
        self.requests = Requests()
        super().__init__(**fields)
        self.percents = tuple(self.percents)
        self.tier_limits = {tier: TierLimit(org_id=self.org_id, seat_tier=tier) for tier in SEAT_TIERS}
        self.wallet = Wallet(org_id=self.org_id)
        self.is_stopped = True

    def next_seq(self) -> int:
        """The next number of an output of this organisation (R29)."""
        self.org_seq += 1
        return self.org_seq

    def add(self, member: Member) -> None:
        """Take up a member."""
        self.members[member.user_id] = member
        insort(self.user_ids, member.user_id)

    def sort_members(self) -> Iterator[None]:
        """After a restore: so many at a time, then two runs at a time, that nothing waits for a large organisation."""
        members = iter(self.members)
        runs: deque[list[str]] = deque()
        while run := sorted(islice(members, _AT_A_TIME)):
            runs.append(run)
            yield
        while len(runs) > 1:
            runs.append(sorted(runs.popleft() + runs.popleft()))
            yield
        self.user_ids = runs[0] if runs else []

    def users_after(self, user_id: str, count: int) -> list[str]:
        """The next members in the order of their ids."""
        begin = bisect_left(self.user_ids, user_id)
        begin += begin < len(self.user_ids) and self.user_ids[begin] == user_id
        return self.user_ids[begin : begin + count]

    def note_stops(self) -> None:
        """Bring `is_stopped` up to status, switch and wallet (R3, R9a, R9b)."""
        paused = self.plan == "team" and self.wallet.paused
        self.is_stopped = self.status != "active" or not self.credits_enabled or paused


class AnsweredCommand(Cell):
    """A command's answer, so that repeating it is harmless; `digest` is of its body.

    `arrived_at_micros` is when its record came here: later than it first arrived, if by a detour.
    """

    __slots__ = ("answer", "arrived_at_micros", "command_id", "digest", "org_id")
    KIND = "command"
    IDENTITY = ("org_id", "command_id")
    FIELDS = ("digest", "arrived_at_micros", "answer")

    org_id: str
    command_id: str
    digest: str
    arrived_at_micros: int
    answer: bytes | None
    """JSON; None once it is forgotten: then the cell goes too."""

    @classmethod
    def restored(cls, fields: dict[str, Any]) -> Cell:
        """As Cell.restored."""
        return super().restored(fields | {"answer": _encode(fields["answer"])})

    def value(self) -> bytes | None:
        """As Cell.value."""
        if self.answer is None:
            return None
        return _encode(self.fields() | {"answer": msgspec.Raw(self.answer)})


class Calendar(Cell):
    """What time it is in the books: the month that runs, the one closed last, the last digest hour gone by.

    While the digests of an hour are being made, `digesting_micros` is that hour, `digested_org` the last one served.
    """

    __slots__ = ("closed_through", "digested_micros", "digested_org", "digesting_micros", "month")
    KIND = "calendar"
    IDENTITY = ()
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "month": "",
        "closed_through": "",
        "digested_micros": 0,
        "digesting_micros": 0,
        "digested_org": "",
    }
    FIELDS = tuple(DEFAULTS)

    month: str
    closed_through: str
    digested_micros: int
    digesting_micros: int
    digested_org: str


class Counters(Cell):
    """What became of every event read, for the proof that nothing is lost (R41)."""

    NAMES = (
        "usage_records",
        "usage_events",
        "accepted",
        "duplicates",
        "dead_letters",
        "forwarded",
        "corrections",
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
    corrections: int
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
    for cell in (
        Organization,
        TierLimit,
        Member,
        OrganizationMonth,
        TierMonth,
        MemberMonth,
        DraftLine,
        Invoice,
        Wallet,
        WalletMonth,
        Lot,
        Payment,
        Reload,
        Request,
        AnsweredCommand,
        Calendar,
        Counters,
    )
}


class State:
    """The memory of one partition.

    Attributes:
        answers: of commands, by organisation and command id, in the order in which they were answered.
        changed: cells to be written with the chunk under way.
        charged: members' months of which that holds, and of their tier's and organisation's too.
        told: cells whose status is to be published with the chunk under way, whatever was published last.
        reviews: organisations whose members are to be looked at, in order.
        billing: organisations that are to be billed for an instant gone by (billing.py), in order.
        wallets_due: (instant, org_id), a heap; some may no longer be true.
    """

    def __init__(self) -> None:
        self.organizations: dict[str, Organization] = {}
        self.answers: OrderedDict[tuple[str, str], AnsweredCommand] = OrderedDict()
        self.calendar = Calendar()
        self.counters = Counters()
        self.changed: dict[Cell, None] = {}
        self.charged: set[MemberMonth] = set()
        self.told: dict[Cell, None] = {}
        self.reviews: dict[str, None] = {}
        self.billing: dict[str, None] = {}
        self.wallets_due: list[tuple[int, str]] = []
        self._forgetting: Iterator[None] = iter(())

    def touch(self, cell: Cell) -> None:
        """Have the cell written with the chunk under way."""
        self.changed[cell] = None

    def tell(self, cell: Cell) -> None:
        """Have the cell written, and its status published, with the chunk under way."""
        self.changed[cell] = self.told[cell] = None

    def take_changes(self) -> dict[bytes, bytes | None]:
        """Key and value of every cell touched since the last call."""
        changes: dict[bytes, bytes | None] = {cell.key(): cell.value() for cell in self.changed}
        self.changed.clear()
        self.charged.clear()
        return changes

    def month_of(self, organization: Organization, month: str) -> OrganizationMonth:
        """The organisation's month, made if it is new."""
        found = organization.months.get(month)
        if found is None:
            found = organization.months[month] = OrganizationMonth(org_id=organization.org_id, month=month)
        return found

    def month_of_wallet(self, wallet: Wallet, month: str) -> WalletMonth:
        """What a month's entries do to a wallet, made if it is new, and touched."""
        found = wallet.months.get(month)
        if found is None:
            found = wallet.months[month] = WalletMonth(org_id=wallet.org_id, month=month)
        self.touch(found)
        return found

    def month_of_tier(self, organization: Organization, month: str, seat_tier: SeatTier) -> TierMonth:
        """The tier's month, made if it is new."""
        tiers = self.month_of(organization, month).tiers
        found = tiers.get(seat_tier)
        if found is None:
            found = tiers[seat_tier] = TierMonth(org_id=organization.org_id, month=month, seat_tier=seat_tier)
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
        own.of_organization = self.month_of(organization, own.month)
        own.tier = self.month_of_tier(organization, own.month, member.seat_tier)

    def restore(self, cells: Iterable[tuple[bytes, bytes]]) -> Iterator[None]:
        """Take over the cells of an earlier life, some at a time; kinds nobody knows are left alone in the topic."""
        owned: dict[str, list[Any]] = {kind: [] for kind in CELLS}
        for number, (_, value) in enumerate(cells):
            fields = _decode(value)
            kind = CELLS.get(fields.pop("cell", ""))
            if kind is not None:
                owned[kind.KIND].append(kind.restored(fields))
            if not number % _AT_A_TIME:
                yield
        owned[AnsweredCommand.KIND].sort(key=attrgetter("arrived_at_micros"))
        for kind_of_cells in owned.values():
            kind_of_cells.reverse()  # the first is popped first: a list of a million is not let go of at once
            while kind_of_cells:
                self._take_over(kind_of_cells.pop())
                if not len(kind_of_cells) % _AT_A_TIME:
                    yield
        for organization in self.organizations.values():
            yield from organization.sort_members()
            organization.note_stops()
            if organization.review is not None:
                self.reviews[organization.org_id] = None
            yield
        self.forget_months()

    def _take_over(self, cell: Cell) -> None:
        """Put a cell where it belongs; what it hangs on is there already."""
        organizations = self.organizations
        match cell:
            case MemberMonth():
                organization = organizations[cell.org_id]
                member = organization.members[cell.user_id]
                member.months[cell.month] = cell
                cell.user_id = member.user_id  # the same string, held once
                self.join(organization, member, cell)
            case Member():
                organizations[cell.org_id].members[cell.user_id] = cell
            case AnsweredCommand():
                self.answers[cell.org_id, cell.command_id] = cell
            case Organization():
                organizations[cell.org_id] = cell
            case TierLimit():
                organizations[cell.org_id].tier_limits[cell.seat_tier] = cell
            case OrganizationMonth():
                organizations[cell.org_id].months[cell.month] = cell
            case TierMonth():
                self.month_of(organizations[cell.org_id], cell.month).tiers[cell.seat_tier] = cell
            case DraftLine():
                month = self.month_of(organizations[cell.org_id], cell.month)
                month.lines[cell.usage_month, cell.product, cell.price_id] = cell
            case Invoice():
                organizations[cell.org_id].invoices[cell.number] = cell
            case WalletMonth():
                organizations[cell.org_id].wallet.months[cell.month] = cell
            case Wallet():
                organizations[cell.org_id].wallet = cell
            case Lot():
                organizations[cell.org_id].wallet.lots[cell.lot_id] = cell
            case Payment():
                organizations[cell.org_id].wallet.payments[cell.payment_id] = cell
            case Reload():
                organizations[cell.org_id].wallet.reloads[cell.reload_id] = cell
            case Request():
                organizations[cell.org_id].requests.add(cell)
            case Calendar():
                self.calendar = cell
            case Counters():
                self.counters = cell

    def forget_months(self) -> None:
        """A month closed: what members and tiers spent in it will be let go of, little by little."""
        self._forgetting = self._forget_one_by_one()

    def forget_some(self, budget: int) -> None:
        """Let go of closed months of so many members; what the organisation was charged stays (R41)."""
        for _ in islice(self._forgetting, budget):
            pass

    def _forget_one_by_one(self) -> Iterator[None]:
        closed = self.calendar.closed_through
        for organization in list(self.organizations.values()):
            for month in organization.months.values():
                if month.month <= closed:
                    for tier in month.tiers.values():
                        self._forget(tier)
                    month.tiers.clear()
            yield
            for member in list(organization.members.values()):
                for name in [name for name in member.months if name <= closed]:
                    self._forget(member.months.pop(name))
                yield

    def _forget(self, month: ScopeMonth) -> None:
        month.is_forgotten = True
        self.touch(month)
