"""Credit status: cells of the state come in; the records that a product's own copy is made of go out (R34).

A decision is published at once, with the chunk that made it. Spend alone is held back until it moved by a twentieth of
the limit, or for ten seconds: what a member may still do then is known closely enough, and limits stop them exactly.
"""

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from pipeline.domain.cell import Cell
from pipeline.domain.limits import each_member_picousd
from pipeline.domain.state import (
    Limited,
    Member,
    MemberMonth,
    Organization,
    OrganizationMonth,
    ScopeMonth,
    State,
    TierLimit,
    TierMonth,
)
from pipeline.domain.wallet_state import Wallet
from schemas.admission import Decision, decide
from schemas.instants import MICROS_PER_SECOND, format_instant
from schemas.status import ClockStatus, MemberStatus, OrganizationStatus, StatusRecord, TierStatus

HELD_BACK_MICROS = 10 * MICROS_PER_SECOND
CLOCK_MICROS = MICROS_PER_SECOND
TOLD_AT_ONCE = 500
"""Of spend alone: more waits for the next chunk, so that a busy one ends in good time."""
_AT_A_TIME = 2_000
_SHARE = 20  # a twentieth: 5 %


class Statuses:
    """What of a partition's status was published, and what is held back.

    Attributes:
        held: months and wallets whose spend or balance moved since it was published, and when that is to be told at
            the latest; in this order.
        overdue: such as should have been told by now: after a restore, or when their month begins.
        ahead: months not begun in which something was charged, by a clock that is ahead; when they begin, those that
            are breached are told, the others are overdue.
        clock_micros: the ledger time published last.
    """

    def __init__(self, state: State, partition: int) -> None:
        self.state = state
        self.partition = partition
        self.held: dict[ScopeMonth | Wallet, int] = {}
        self.overdue: deque[ScopeMonth | Wallet] = deque()
        self.ahead: dict[ScopeMonth, None] = {}
        self.clock_micros = 0
        self._running = ""

    def take_up(self) -> Iterator[None]:
        """After a restore, some at a time: what was held back in an earlier life is overdue."""
        running = self._running = self.state.calendar.month
        for organization in self.state.organizations.values():
            months = organization.months.values()
            cells: Iterator[ScopeMonth] = chain(
                months,
                chain.from_iterable(month.tiers.values() for month in months),
                chain.from_iterable(member.months.values() for member in organization.members.values()),
            )
            for number, cell in enumerate(cells):
                if cell.month > running:
                    self.ahead[cell] = None
                elif cell.month == running and _has_moved(cell):
                    self.overdue.append(cell)
                if not number % _AT_A_TIME:
                    yield
            if _has_moved(organization.wallet):
                self.overdue.append(organization.wallet)

    def due(self, now_micros: int) -> list[StatusRecord]:
        """What to publish with a chunk that ends, or while nothing comes: decisions all, of spend alone a share."""
        state, running = self.state, self.state.calendar.month
        if running != self._running:
            self._begin(running)
        room = TOLD_AT_ONCE
        for moved in [self.overdue.popleft() for _ in range(min(room, len(self.overdue)))]:
            if _has_moved(moved):
                state.told[moved] = None
                room -= 1
        for moved in list(islice(self.held, room)):
            if self.held[moved] > now_micros:
                break
            del self.held[moved]
            state.told[moved] = None
            room -= 1
        for changed in state.changed:
            if isinstance(changed, ScopeMonth):
                if changed.month > running:
                    self.ahead[changed] = None
                    continue
                if changed.month < running:
                    continue
            elif not isinstance(changed, Wallet):
                continue
            if not _has_moved(changed):
                continue
            is_old = changed.told_at_micros + HELD_BACK_MICROS <= now_micros
            if room > 0 and (is_old or self._moved_far(changed)):
                state.told[changed] = None
                room -= 1
            else:
                self.held.setdefault(changed, now_micros + HELD_BACK_MICROS)
        return self._published(now_micros)

    def _begin(self, running: str) -> None:
        """A month begins: what products' clocks brought before it did."""
        self._running = running
        for cell in [cell for cell in self.ahead if cell.month <= running]:
            del self.ahead[cell]
            if cell.is_breached:
                self.state.told[cell] = None
            else:
                self.overdue.append(cell)

    def _published(self, now_micros: int) -> list[StatusRecord]:
        state = self.state
        records: dict[Cell, StatusRecord] = {}
        for cell in state.told:
            records |= self._of(cell, now_micros)
        state.told.clear()
        found = list(records.values())
        if now_micros >= self.clock_micros + CLOCK_MICROS:
            self.clock_micros = now_micros
            found.append(ClockStatus(partition=self.partition, as_of_micros=now_micros))
        return found

    def _moved_far(self, cell: ScopeMonth | Wallet) -> bool:
        if isinstance(cell, Wallet):
            return abs(cell.balance_picousd - cell.told_picousd) * _SHARE >= abs(cell.told_picousd)
        amount = _limit_on(self.state, cell)
        return amount is not None and abs(cell.spend_picousd - cell.told_picousd) * _SHARE >= amount

    def _of(self, cell: Cell, now_micros: int) -> dict[Cell, StatusRecord]:
        state = self.state
        running = state.calendar.month
        month: ScopeMonth | None
        record: StatusRecord
        thing: Cell
        if isinstance(cell, Organization | OrganizationMonth | Wallet):
            organization = state.organizations[cell.org_id]
            organization.wallet.told_picousd = organization.wallet.balance_picousd
            organization.wallet.told_at_micros = now_micros
            self.held.pop(organization.wallet, None)
            if organization.plan == "team":
                state.touch(organization.wallet)
            thing, month = organization, organization.months.get(running)
            record = organization_status(organization, running)
        elif isinstance(cell, TierLimit | TierMonth):
            organization = state.organizations[cell.org_id]
            thing = organization.tier_limits[cell.seat_tier]
            of_month = organization.months.get(running)
            month = of_month.tiers.get(cell.seat_tier) if of_month is not None else None
            record = tier_status(organization, organization.tier_limits[cell.seat_tier], running)
        elif isinstance(cell, Member | MemberMonth):
            organization = state.organizations[cell.org_id]
            member = organization.members[cell.user_id]
            thing, month = member, member.months.get(running)
            record = member_status(organization, member, running)
        else:
            return {}
        if month is not None:
            month.told_picousd, month.told_at_micros = month.spend_picousd, now_micros
            self.held.pop(month, None)
            state.touch(month)
        return {thing: record}


def _has_moved(cell: ScopeMonth | Wallet) -> bool:
    spend = cell.balance_picousd if isinstance(cell, Wallet) else cell.spend_picousd
    return spend != cell.told_picousd


def organization_status(organization: Organization, running: str) -> OrganizationStatus:
    """The record of an organisation."""
    return OrganizationStatus.trusted(
        **_limited(organization, organization, organization.months.get(running)),
        plan=organization.plan,
        status=organization.status,
        credits_enabled=organization.credits_enabled,
        member_default=organization.member_default,
        requests_enabled=organization.requests_enabled,
        balance_picousd=organization.wallet.balance_picousd if organization.plan == "team" else 0,
    )


def tier_status(organization: Organization, limit: TierLimit, running: str) -> TierStatus:
    """The record of a seat tier."""
    month = organization.months.get(running)
    spent = month.tiers.get(limit.seat_tier) if month is not None else None
    return TierStatus.trusted(**_limited(organization, limit, spent), seat_tier=limit.seat_tier, basis=limit.basis)


def member_status(organization: Organization, member: Member, running: str) -> MemberStatus:
    """The record of a member."""
    request = organization.requests.pending.get(member.user_id)
    return MemberStatus.trusted(
        **_limited(organization, member, member.months.get(running)),
        user_id=member.user_id,
        role=member.role,
        seat_tier=member.seat_tier,
        removed=member.removed,
        credits_enabled=member.credits_enabled,
        request_id=request.request_id if request is not None else "",
        request_kind=request.kind if request is not None else None,
        asked_at=format_instant(request.asked_at_micros) if request is not None else "",
    )


def decision(state: State, organization: Organization | None, member: Member | None, at_micros: int) -> Decision:
    """What the ledger itself says of a member: the same function on the same facts as a copy has (R32)."""
    if organization is None:
        return decide(None, None, None, at_micros)
    running = state.calendar.month
    tier = tier_status(organization, organization.tier_limits[member.seat_tier], running) if member else None
    own = member_status(organization, member, running) if member else None
    return decide(organization_status(organization, running), tier, own, at_micros)


def _limited(organization: Organization, limit: Limited, month: ScopeMonth | None) -> dict[str, Any]:
    return {
        "org_id": organization.org_id,
        "org_seq": organization.org_seq,
        "month": month.month if month is not None else "",
        "spend_picousd": month.spend_picousd if month is not None else 0,
        "limit_picousd": limit.limit_picousd,
        "limit_version": limit.limit_version,
        "raise_picousd": limit.raise_picousd,
        "raise_month": limit.raise_month,
    }


def _limit_on(state: State, cell: ScopeMonth) -> int | None:
    organization = state.organizations[cell.org_id]
    if isinstance(cell, MemberMonth):
        member = organization.members[cell.user_id]
        own = member.limit_in(cell.month)
        return each_member_picousd(organization, member.seat_tier, cell.month) if own is None else own
    if isinstance(cell, TierMonth):
        limit = organization.tier_limits[cell.seat_tier]
        return limit.limit_in(cell.month) if limit.basis == "whole_tier" else None
    return organization.limit_in(cell.month)
