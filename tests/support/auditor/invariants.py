"""What must hold after every transaction, whatever came in: what the ledger wrote comes in; what is broken is raised.

Nothing but outputs and cells is looked at, and sums are made of rows and entries, so it does not ask the ledger whether
the ledger is right. It knows the ledger's words; the rest of this package does not.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.engine.contract import Effects
from pipeline.replay import EVENTS
from schemas.admission import decide
from schemas.events import (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    CreditsPaused,
    CreditsResumed,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
)
from schemas.ledger import LedgerEntry
from schemas.priced import PricedUsage
from schemas.status import MemberStatus, read_status
from tests.support.auditor import billed
from tests.support.auditor.basics import end_of
from tests.support.auditor.outputs import Scope

ROWS = "priced-usage"
ENTRIES = "ledger-entries"
STATUS = "credit-status"
OF_ORG = ("limit-breaches", "account-events", ENTRIES, "reload-requests", "notifications", "invoices")
READ = ("organization", "tier_limit", "member", "organization_month", "tier_month", "member_month", "wallet", "lot")

Published = LedgerEvent | PricedUsage
Cell = dict[str, Any]

CHANGES = {
    "limit_changed": {"set_organization_limit", "set_tier_limit", "set_user_limit", "approve_request"},
    "seat_changed": {"assign_seat", "approve_request", "add_member"},
    "plan_changed": {"change_plan"},
}
"""The commands after which a limit may be breached without a crossing event, by cause."""


class Broken(AssertionError):
    """Invariants that do not hold of an organisation: what is wrong, by the name of the check."""

    def __init__(self, org_id: str, wrong: list[tuple[str, str]]) -> None:
        super().__init__("\n           ".join(f"{org_id}: {what}" for _, what in wrong))
        self.names = {name for name, _ in wrong}


@dataclass
class Written:
    """What was written of one organisation so far, and sums of it.

    Attributes:
        cells: kind → the rest of its identity → its fields.
        status: kind → the rest of its identity → the record published last.
        published: rows and events; those of one transaction in the order of `org_seq`.
        sums: of entries by account.
        charged, burnt: by charge month.
        spend: by month and scope, of the rows that count.
        standing: breaches that no resume has ended, by scope and month.
        pause: for the balance, if one stands.
        closed: through which month it should have been billed.
        last: the row or answer that came last.
        bills: what was billed, and what it was billed for.
        wrong: what single outputs did wrong, by the name of the check.
    """

    org_id: str
    cells: dict[str, dict[tuple[str, ...], Cell]] = field(default_factory=lambda: {kind: {} for kind in READ})
    status: dict[str, dict[tuple[str, ...], Any]] = field(default_factory=lambda: defaultdict(dict))
    published: list[Published] = field(default_factory=list)
    sums: Counter[str] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    burnt: Counter[str] = field(default_factory=Counter)
    spend: Counter[tuple[str, Scope]] = field(default_factory=Counter)
    standing: dict[tuple[Scope, str], LimitBreached] = field(default_factory=dict)
    pause: CreditsPaused | None = None
    closed: str = ""
    last: Published | None = None
    bills: billed.Billed = field(default_factory=billed.Billed)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    @property
    def profile(self) -> Cell:
        return self.cells["organization"][()]

    @property
    def balance(self) -> int:
        return int(self.cells["wallet"].get((), {}).get("balance_picousd", "0"))

    def take_entry(self, entry: LedgerEntry) -> None:
        self.bills.take_entry(entry)
        self.sums[entry.account] += entry.amount_picousd
        if self.sums[entry.account] != entry.balance_after_picousd:
            what = f"after {entry} the entries of {entry.account} sum to {self.sums[entry.account]}"
            self.wrong.append(("the_balance_is_the_sum_of_the_entries", what))
        if entry.type == "burn":
            self.burnt[str(entry.charge_month)] -= entry.amount_picousd

    def take(self, what: Published) -> None:
        self.published.append(what)
        self.bills.take(what)
        if isinstance(what, PricedUsage):
            self._take_row(what)
        elif isinstance(what, LimitBreached):
            self._take_breach(what)
        elif isinstance(what, LimitResumed):
            ended = self.standing.pop((scope_of(what), str(what.month)), None)
            if ended is None or ended.episode != what.episode:
                self.wrong.append(("every_pause_has_an_end_or_a_reason_that_holds", f"{what} ends {ended}"))
        elif isinstance(what, CreditsPaused | CreditsResumed):
            begins = isinstance(what, CreditsPaused)
            if begins != (self.pause is None):
                said = f"{what} while {self.pause} stands"
                self.wrong.append(("every_pause_has_an_end_or_a_reason_that_holds", said))
            self.pause = what if isinstance(what, CreditsPaused) else None
        if isinstance(what, PricedUsage | CommandApplied | CommandRefused | CommandRepeated):
            self.last = what

    def _take_row(self, row: PricedUsage) -> None:
        if row.funding != "credits":
            return
        self.charged[str(row.charge_month)] += row.cost_picousd
        if row.usage_month == row.charge_month:
            month = str(row.usage_month)
            tier, member = Scope("tier", row.seat_tier), Scope("member", None, row.user_id)
            for scope in (Scope("organization"), tier, member):
                self.spend[month, scope] += row.cost_picousd

    def _take_breach(self, breach: LimitBreached) -> None:
        self.standing[scope_of(breach), str(breach.month)] = breach
        why = self._why_unfounded(breach)
        if why is not None:
            self.wrong.append(("no_breach_without_a_crossing_event_or_a_limit_change", f"{breach}: {why}"))

    def _why_unfounded(self, breach: LimitBreached) -> str | None:
        last, crossing = self.last, breach.crossing
        if breach.cause in CHANGES:
            if crossing is not None:
                return "a change crosses with no event"
            founded = isinstance(last, CommandApplied) and last.command in CHANGES[breach.cause]
            return None if founded else f"no such change before it, but {last}"
        if crossing is None or not isinstance(last, PricedUsage):
            return f"no event before it, but {last}"
        if (last.source, last.event_id) != (crossing.source, crossing.event_id):
            return f"before it came another event, {last}"
        if (last.funding, str(last.usage_month), last.charge_month) != ("credits", str(breach.month), last.usage_month):
            return f"its event does not count in its month: {last}"
        scope = scope_of(breach)
        if scope.user_id not in (None, last.user_id) or (scope.kind == "tier" and scope.seat_tier != last.seat_tier):
            return f"its event is another's: {last}"
        spent, limit = self.spent(scope, str(breach.month)), breach.limit_picousd
        if breach.cause == "usage" and 0 < limit <= spent - last.cost_picousd:
            return f"its limit was reached before its event: {last}"
        return None if spent == breach.spend_picousd >= limit else f"spent were {spent}"

    def spent(self, scope: Scope, month: str) -> int:
        """A member's whole, whichever of their limits it is."""
        return self.spend[month, Scope("member", None, scope.user_id) if scope.kind == "member" else scope]

    def limit(self, scope: Scope, month: str) -> int | None:
        """What binds a scope now; None where nothing does (R21-R23)."""
        enterprise = self.profile["plan"] == "enterprise"
        if scope.kind == "organization":
            return _amount(self.profile, month)
        if scope.kind == "tier":
            tier = self.cells["tier_limit"].get((str(scope.seat_tier),), {})
            return _amount(tier, month) if enterprise and tier.get("basis") == "whole_tier" else None
        member = self.cells["member"][str(scope.user_id),]
        own = _amount(member, month)
        if scope.seat_tier is None:
            return own
        tier = self.cells["tier_limit"].get((scope.seat_tier,), {})
        each = tier.get("basis", "each_member") == "each_member" and enterprise
        return _amount(tier, month) if each and own is None and member["seat_tier"] == scope.seat_tier else None

    def covers(self, scope: Scope, user_id: str) -> bool:
        if scope.kind == "tier":
            return bool(self.cells["member"][user_id,]["seat_tier"] == scope.seat_tier)
        return scope.kind == "organization" or scope.user_id == user_id

    def is_removed(self, user_id: str | None) -> bool:
        return user_id is not None and bool(self.cells["member"][user_id,].get("removed", False))

    def in_review(self, scope: Scope) -> bool:
        """A change is on its way to the members one by one; their own events follow (R34)."""
        return scope.kind == "member" and self.profile.get("review") is not None


# The invariants. Each looks at one organisation after a transaction, and says what is wrong.


def the_balance_is_the_sum_of_the_entries(org: Written, at: int, closed: str) -> Iterator[str]:
    """R38, R41; what lots hold is the balance, and what was charged was burnt."""
    if org.balance != org.sums["wallet"]:
        yield f"the balance is {org.balance}, the entries sum to {org.sums['wallet']}"
    unbilled = int(org.profile.get("unbilled_picousd", "0"))
    if unbilled != org.sums["unbilled"]:
        yield f"unbilled is {unbilled}, the entries sum to {org.sums['unbilled']}"
    lots = sum(int(lot["rest_picousd"]) for lot in org.cells["lot"].values())
    if lots != max(0, org.balance):
        yield f"lots hold {lots}, the balance is {org.balance}"
    if any(org.charged[month] != org.burnt[month] for month in org.charged | org.burnt):
        yield f"charged {dict(org.charged)}, burnt {dict(org.burnt)}"


def member_totals_sum_to_the_organizations(org: Written, at: int, closed: str) -> Iterator[str]:
    """R18, R21, R30; all of them are what the rows sum to. Closed months of members are let go of."""
    cells = org.cells
    of_members, of_tiers = Counter[str](), Counter[str]()
    for (user_id, month), cell in cells["member_month"].items():
        of_members[month] += _spend(cell)
        if month > closed and _spend(cell) != org.spend[month, Scope("member", None, user_id)]:
            yield f"{user_id} spent {_spend(cell)} in {month}, their rows are {dict(org.spend)}"
    for (month, _), cell in cells["tier_month"].items():
        of_tiers[month] += _spend(cell)
    spent = {month: amount for (month, scope), amount in org.spend.items() if scope.kind == "organization"}
    for month in {*spent, *(name for (name,) in cells["organization_month"])}:
        whole = _spend(cells["organization_month"].get((month,), {}))
        parts = (of_members[month], of_tiers[month]) if month > closed else (whole, whole)
        if (whole, *parts) != (spent.get(month, 0),) * 3:
            yield f"in {month}: organisation {whole}, members and tiers {parts}, rows {spent.get(month, 0)}"


def there_is_exactly_one_primary_owner(org: Written, at: int, closed: str) -> Iterator[str]:
    """R2; as it is remembered and as it was published."""
    remembered = [key[0] for key, cell in org.cells["member"].items() if _is_primary(cell)]
    published = [key[0] for key, record in org.status["member"].items() if _is_primary(record.__dict__)]
    if len(remembered) != 1 or published != remembered:
        yield f"remembered are {remembered}, published {published}"


def nobody_is_both_breached_and_admitted(org: Written, at: int, closed: str) -> Iterator[str]:
    """R3, R26; admission as a product with a copy of the status has it."""
    status = org.status
    for (user_id,) in org.cells["member"]:
        stops: list[object] = [org.pause] if org.pause is not None else []
        stops += [
            breach
            for (scope, _), breach in org.standing.items()
            if breach.paused_from_micros <= at < breach.paused_until_micros
            and org.covers(scope, user_id)
            and not org.in_review(scope)
        ]
        member: MemberStatus | None = status["member"].get((user_id,))
        tier = status["tier"].get((member.seat_tier,)) if member is not None else None
        if stops and decide(status["org"].get(()), tier, member, at).allowed:
            yield f"{user_id} may spend at {at} in spite of {stops}"


def every_pause_has_an_end_or_a_reason_that_holds(org: Written, at: int, closed: str) -> Iterator[str]:
    """R3, R27; the removed are denied for being none of the members, the closed for being closed."""
    if org.profile.get("status") == "closed":
        return
    due = org.profile["plan"] == "team" and org.balance <= 0
    if due != (org.pause is not None):
        yield f"the balance is {org.balance} on {org.profile['plan']}, the pause that stands is {org.pause}"
    for (scope, month), breach in org.standing.items():
        if breach.paused_until_micros != end_of(month) or breach.paused_from_micros >= breach.paused_until_micros:
            yield f"it does not end with its month: {breach}"
        if breach.paused_until_micros <= at or org.is_removed(scope.user_id) or org.in_review(scope):
            continue
        limit, spent = org.limit(scope, month), org.spent(scope, month)
        if limit is None or spent < limit:
            yield f"spent are {spent}, the limit is {limit}, and still there is {breach}"


CHECKS = (
    the_balance_is_the_sum_of_the_entries,
    member_totals_sum_to_the_organizations,
    there_is_exactly_one_primary_owner,
    nobody_is_both_breached_and_admitted,
    every_pause_has_an_end_or_a_reason_that_holds,
)


@dataclass
class Invariants:
    """Hand it every transaction, in order.

    Attributes:
        organizations: what was written of each.
        unknown: answers about organisations nobody knows.
        lags: organisations are billed when something else happens to them, or in due course.
        steps: how many transactions were looked at.
    """

    organizations: dict[str, Written] = field(default_factory=dict)
    unknown: list[Published] = field(default_factory=list)
    lags: bool = False
    steps: int = 0
    _month: str = ""
    _closed: str = ""

    def step(self, effects: Effects, now_micros: int) -> None:
        """Look at what one transaction wrote.

        Raises:
            Broken: something does not hold after it.
        """
        self.steps += 1
        written = self._events(effects)
        touched = self._cells(effects.cells) | self._status(effects) | written
        if b'["calendar"]' in effects.cells:
            touched = set(self.organizations)
        # Until the calendar has begun a month, nothing of that month has been told yet.
        at = min(now_micros, end_of(self._month) - 1)
        for org_id in sorted(touched):
            org = self.organizations[org_id]
            if org_id in written or not self.lags:
                org.closed = self._closed
            wrong = org.wrong + [(check.__name__, what) for check in CHECKS for what in check(org, at, self._closed)]
            wrong += [(check.__name__, what) for check in billed.CHECKS for what in check(org.bills, org.closed)]
            if wrong:
                raise Broken(org_id, wrong)

    def _cells(self, cells: Mapping[bytes, bytes | None]) -> set[str]:
        touched = set()
        for key, value in cells.items():
            kind, *identity = msgspec.json.decode(key)
            if kind == "calendar" and value is not None:
                calendar = msgspec.json.decode(value)
                self._month, self._closed = calendar["month"], calendar.get("closed_through", "")
            if kind not in READ:
                continue
            org_id, *rest = identity
            of_kind = self._of(org_id).cells[kind]
            if value is None:
                of_kind.pop(tuple(rest), None)
            else:
                of_kind[tuple(rest)] = msgspec.json.decode(value)
            touched.add(org_id)
        return touched

    def _status(self, effects: Effects) -> set[str]:
        touched = set()
        for output in effects.outputs.get(STATUS, ()):
            kind, *identity = msgspec.json.decode(output.key or b"")
            if kind == "clock":
                continue
            org_id, *rest = identity
            self._of(org_id).status[kind][tuple(rest)] = read_status(output.key or b"", output.value)
            touched.add(org_id)
        return touched

    def _events(self, effects: Effects) -> set[str]:
        outputs = effects.outputs
        lines = b"".join(output.value for output in outputs.get(ROWS, ())).splitlines()
        found: list[Published] = [PricedUsage.model_validate_json(line) for line in lines]
        for topic in OF_ORG:
            found += [read_event(output.value) for output in outputs.get(topic, ())]
        self.unknown += [what for what in found if what.org_seq == 0]
        found = [what for what in found if what.org_seq > 0]
        for what in found:
            if isinstance(what, LedgerEntry):  # in the order in which they were made
                self._of(what.org_id).take_entry(what)
        for what in sorted(found, key=lambda what: what.org_seq):
            self._of(what.org_id).take(what)
        return {what.org_id for what in found}

    def _of(self, org_id: str) -> Written:
        if org_id not in self.organizations:
            self.organizations[org_id] = Written(org_id)
        return self.organizations[org_id]


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw


_envelope = msgspec.json.Decoder(_Envelope).decode


def read_event(value: bytes) -> LedgerEvent:
    """The event in its envelope, without taking its data apart twice."""
    found = _envelope(value)
    return EVENTS[found.type].model_validate_json(bytes(found.data))


def scope_of(event: Any) -> Scope:
    scope = event.scope
    return Scope(scope.kind, getattr(scope, "seat_tier", None), getattr(scope, "user_id", None))


def _amount(limited: Cell, month: str) -> int | None:
    in_force = "raise_picousd" if limited.get("raise_month") == month else "limit_picousd"
    amount = limited.get(in_force)
    return None if amount is None else int(amount)


def _spend(cell: Cell) -> int:
    return int(cell.get("spend_picousd", "0"))


def _is_primary(fields: Mapping[str, Any]) -> bool:
    return bool(fields["role"] == "primary_owner" and not fields.get("removed", False))
