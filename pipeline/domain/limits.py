"""Spend limits: what was charged, or what a command changed, comes in; breaches, resumes and thresholds go out.

Three scopes may bind a member in a month: their own limit or else their seat tier's `each_member` one, their tier's
pool, their organisation's. Spend reaching a limit breaches it; each breach is published once per (scope, month, limit
version, episode), and the episode grows with each resume. Months that have ended publish nothing (R19).
Source: docs/rules.md R21-R30; docs/decisions/0007-limits-without-walking-members.md
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from pipeline.domain.state import (
    OWN,
    UNWATCHED_PICOUSD,
    Member,
    MemberMonth,
    Organization,
    ScopeMonth,
    Standing,
    State,
    TierMonth,
)
from schemas.base import SeatTier
from schemas.events import (
    Cause,
    Crossing,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
    LimitScope,
    MemberScope,
    OrganizationScope,
    ResumeCause,
    TierScope,
)
from schemas.month import Month
from schemas.notifications import ThresholdReached

Month_ = TypeVar("Month_", bound=ScopeMonth)


class Bound(NamedTuple):
    """One limit and the spend it is compared with.

    Attributes:
        key: under which ScopeMonth.standings has it.
        amount_picousd: what holds in that month; None where it binds nobody, or not any more.
        version: the limit's.
    """

    cell: ScopeMonth
    key: str
    amount_picousd: int | None
    version: int


# Which limits bind.


def of_member(organization: Organization, member: Member, own: MemberMonth) -> Bound | None:
    """The one limit that binds a member's whole month to date: their own, else their seat's (R22, R23)."""
    if member.removed:
        return None
    amount = member.limit_in(own.month)
    if amount is not None:
        return Bound(own, OWN, amount, member.limit_version)
    amount = each_member_picousd(organization, member.seat_tier, own.month)
    if amount is not None:
        return Bound(own, member.seat_tier, amount, organization.tier_limits[member.seat_tier].limit_version)
    return None


def each_member_picousd(organization: Organization, seat_tier: SeatTier, month: str) -> int | None:
    """What a seat allows each of its holders who has no limit of their own."""
    limit = organization.tier_limits[seat_tier]
    return limit.limit_in(month) if organization.plan == "enterprise" and limit.basis == "each_member" else None


def of_pool(organization: Organization, tier: TierMonth) -> Bound:
    """A seat tier's `whole_tier` limit, binding or not."""
    limit = organization.tier_limits[tier.seat_tier]
    binds = organization.plan == "enterprise" and limit.basis == "whole_tier"
    return Bound(tier, OWN, limit.limit_in(tier.month) if binds else None, limit.limit_version)


def of_organization(organization: Organization, cell: ScopeMonth) -> Bound:
    """The organisation's limit, binding or not."""
    return Bound(cell, OWN, organization.limit_in(cell.month), organization.limit_version)


# What was charged.


class Occasion(NamedTuple):
    """Why limits are looked at: when it arrived, what it was, and the event that crosses, if one does."""

    state: State
    organization: Organization
    at_micros: int
    cause: Cause
    crossing: Crossing | None = None


def charged(occasion: Occasion, member: Member, own: MemberMonth, tier: TierMonth) -> list[LedgerEvent]:
    """What follows from spend that was added to a member's month, and to their tier's and organisation's.

    Usage matters where a month has come to its watch; a correction may lower spend, so then all three are looked at.
    """
    organization = occasion.organization
    month = own.of_organization
    looked: list[tuple[ScopeMonth, Bound | None]] = []
    if _is_to_be_looked_at(occasion, own):
        looked.append((own, of_member(organization, member, own)))
    if _is_to_be_looked_at(occasion, tier):
        looked.append((tier, of_pool(organization, tier)))
    if _is_to_be_looked_at(occasion, month):
        looked.append((month, of_organization(organization, month)))
    events: list[LedgerEvent] = []
    if own.month >= occasion.state.calendar.month:
        binding = [bound for _, bound in looked if bound is not None and bound.amount_picousd is not None]
        events += filter(None, [_breach_if_crossed(occasion, bound) for bound in binding])
        events += [_resume(occasion, bound) for bound in binding if _stands_in_vain(bound)]
        for bound in binding:
            events += _thresholds(occasion, bound)
    for cell, its_bound in looked:
        set_watch(occasion.state, organization, cell, [its_bound] if its_bound is not None else [])
    return events


def _is_to_be_looked_at(occasion: Occasion, cell: ScopeMonth) -> bool:
    return cell.spend_picousd >= cell.watch_picousd or occasion.cause == "correction"


def _breach_if_crossed(occasion: Occasion, bound: Bound) -> LimitBreached | None:
    assert bound.amount_picousd is not None
    is_reached = bound.cell.spend_picousd >= bound.amount_picousd
    return _breach(occasion, bound) if is_reached and not bound.cell.standing(bound.key).breached_version else None


# What a command changed.


def changed(occasion: Occasion, bounds: Iterable[Bound]) -> list[LedgerEvent]:
    """What follows at once where a limit's amount or version changed, or it came to bind, or ceased to (R27-R29).

    Breaches first, then resumes: a consumer sees no gap where one limit takes another's place.
    """
    bounds = list(bounds)
    events: list[LedgerEvent] = [_breach(occasion, bound) for bound in bounds if _is_to_breach(occasion, bound)]
    events += [_resume(occasion, bound) for bound in bounds if _stands_in_vain(bound)]
    for bound in bounds:
        _mark(occasion.state, occasion.organization, bound)
    return events


def _is_to_breach(occasion: Occasion, bound: Bound) -> bool:
    cell, amount = bound.cell, bound.amount_picousd
    if amount is None or cell.spend_picousd < amount:
        return False
    # A limit of 0 breaches a month not begun only when something is charged to it (R24).
    if not cell.spend_picousd and cell.month != occasion.state.calendar.month:
        return False
    # A limit changed and still reached is breached in its new version (R29).
    return cell.standing(bound.key).breached_version != bound.version


def _stands_in_vain(bound: Bound) -> bool:
    """A breach stands of a limit that passes again, or binds no longer."""
    cell, amount = bound.cell, bound.amount_picousd
    if not cell.standings or bound.key not in cell.standings or not cell.standings[bound.key].breached_version:
        return False
    return amount is None or cell.spend_picousd < amount


def months_of(state: State, cells: Iterable[Month_]) -> list[Month_]:
    """Those of the month that runs and later ones, the earlier first."""
    return sorted((cell for cell in cells if cell.month >= state.calendar.month), key=lambda cell: cell.month)


def organization_bounds(state: State, organization: Organization) -> Iterator[Bound]:
    """The organisation's limit in the running month and those not begun."""
    if organization.limit_in(state.calendar.month) is not None:
        state.month_of(organization, state.calendar.month)
    for cell in months_of(state, organization.months.values()):
        yield of_organization(organization, cell)


def pool_bounds(state: State, organization: Organization, seat_tier: SeatTier) -> Iterator[Bound]:
    """A tier's pool in the running month and those not begun."""
    if organization.tier_limits[seat_tier].limit_in(state.calendar.month) is not None:
        state.month_of_tier(organization, state.calendar.month, seat_tier)
    months = [month.tiers[seat_tier] for month in organization.months.values() if seat_tier in month.tiers]
    for cell in months_of(state, months):
        yield of_pool(organization, cell)


def review_member(occasion: Occasion, member: Member, *, keys: Iterable[str] = ()) -> list[LedgerEvent]:
    """Look at a member again whose limits may have changed: what binds now, and what may have ceased to.

    Args:
        keys: of limits whose amount or version changed, or that came to bind: the one that binds now is looked at if
            it is among them. Whatever else still stands breached and does not bind is resumed.
    """
    state, organization = occasion.state, occasion.organization
    if member.removed:
        return []
    running = state.calendar.month
    if running not in member.months and _is_held_to_nothing(organization, member, running):
        state.month_of_member(organization, member, running)
    cells = months_of(state, member.months.values())
    bounds: list[Bound] = []
    for cell in cells:
        binding = of_member(organization, member, cell)
        if binding is not None and binding.key in keys:
            bounds.append(binding)
        bounds += [
            Bound(cell, key, None, _version_of(organization, member, key))
            for key in cell.standings or ()
            if binding is None or key != binding.key
        ]
    # As they are published: a member's own limit and Standard before Premium, the earlier month first.
    bounds.sort(key=lambda bound: bound.key == "premium")
    events = changed(occasion, bounds)
    for cell in cells:
        watch_member(state, organization, member, cell)
    return events


def _is_held_to_nothing(organization: Organization, member: Member, month: str) -> bool:
    """Whether a limit of 0 binds: it denies before anything was spent, and its breach says so."""
    own = member.limit_in(month)
    return (each_member_picousd(organization, member.seat_tier, month) if own is None else own) == 0


def _version_of(organization: Organization, member: Member, key: str) -> int:
    return member.limit_version if key == OWN else organization.tier_limits[key].limit_version


def set_watch(state: State, organization: Organization, cell: ScopeMonth, bounds: Iterable[Bound]) -> None:
    """Say at which spend a scope's month is to be looked at next: its limit, or the next threshold."""
    watch = UNWATCHED_PICOUSD
    if cell.month >= state.calendar.month:
        for bound in bounds:
            amount = bound.amount_picousd
            if amount is None:
                continue
            standing = cell.standings.get(bound.key) if cell.standings else None
            if standing is None or not standing.breached_version:
                watch = min(watch, amount)
            passed = standing.passed_percent if standing and standing.passed_version == bound.version else 0
            coming = [percent for percent in organization.percents if percent > passed and amount]
            if coming:
                watch = min(watch, -(-amount * min(coming) // 100))
    cell.watch_picousd = watch


def watch_pools(state: State, organization: Organization) -> None:
    """Set the watches of the organisation and its tiers."""
    for month in organization.months.values():
        set_watch(state, organization, month, [of_organization(organization, month)])
        for tier in month.tiers.values():
            set_watch(state, organization, tier, [of_pool(organization, tier)])


def watch_member(state: State, organization: Organization, member: Member, own: MemberMonth) -> None:
    """Set the watch of a member's month."""
    bound = of_member(organization, member, own)
    set_watch(state, organization, own, [bound] if bound is not None else [])


# Thresholds.


def _passed(organization: Organization, bound: Bound) -> list[int]:
    spend, amount = bound.cell.spend_picousd, bound.amount_picousd
    return [percent for percent in organization.percents if amount and spend * 100 >= amount * percent]


def _mark(state: State, organization: Organization, bound: Bound) -> None:
    """What is passed when a limit or the percents change counts as told (R29a)."""
    passed = _passed(organization, bound)
    if not passed:
        return
    standing = _standing_of_version(bound)
    if passed[-1] > standing.passed_percent:
        standing.passed_percent = passed[-1]
    state.touch(bound.cell)


def _standing_of_version(bound: Bound) -> Standing:
    standing = bound.cell.standing(bound.key)
    if standing.passed_version != bound.version:
        standing.passed_version, standing.passed_percent = bound.version, 0
    return standing


def mark_member(state: State, organization: Organization, member: Member) -> None:
    """The percents changed: what a member has passed by now counts as told."""
    for cell in months_of(state, member.months.values()):
        bound = of_member(organization, member, cell)
        if bound is not None:
            _mark(state, organization, bound)
        watch_member(state, organization, member, cell)


def mark_pools(state: State, organization: Organization) -> None:
    """The percents changed: what organisation and tiers have passed by now counts as told."""
    for month in months_of(state, organization.months.values()):
        _mark(state, organization, of_organization(organization, month))
        for tier in month.tiers.values():
            _mark(state, organization, of_pool(organization, tier))
    watch_pools(state, organization)


def _thresholds(occasion: Occasion, bound: Bound) -> list[LedgerEvent]:
    """Every threshold passed for the first time, also where one event jumps over several (R29a)."""
    organization = occasion.organization
    passed = _passed(organization, bound)
    if not passed:
        return []
    standing = _standing_of_version(bound)
    told: list[LedgerEvent] = []
    for percent in passed:
        if percent > standing.passed_percent:
            standing.passed_percent = percent
            assert bound.amount_picousd is not None
            told.append(
                ThresholdReached(
                    org_id=organization.org_id,
                    org_seq=organization.next_seq(),
                    at_micros=occasion.at_micros,
                    scope=_scope(bound),
                    month=Month.parse(bound.cell.month),
                    limit_version=bound.version,
                    percent=percent,
                    spend_picousd=bound.cell.spend_picousd,
                    limit_picousd=bound.amount_picousd,
                )
            )
    occasion.state.touch(bound.cell)
    return told


# What goes out.


def _scope(bound: Bound) -> LimitScope:
    cell = bound.cell
    if isinstance(cell, MemberMonth):
        seat: SeatTier | None = None if bound.key == OWN else bound.key  # type: ignore[assignment]
        return MemberScope(user_id=cell.user_id, seat_tier=seat)
    if isinstance(cell, TierMonth):
        return TierScope(seat_tier=cell.seat_tier)
    return OrganizationScope()


def _breach(occasion: Occasion, bound: Bound) -> LimitBreached:
    cell, amount = bound.cell, bound.amount_picousd
    assert amount is not None, f"{occasion.organization.org_id} has no limit to breach"
    standing = cell.standing(bound.key)
    standing.breached_version = bound.version
    _noted(occasion, cell)
    span = Month.parse(cell.month)
    return LimitBreached(
        org_id=occasion.organization.org_id,
        org_seq=occasion.organization.next_seq(),
        at_micros=occasion.at_micros,
        scope=_scope(bound),
        month=span,
        limit_version=bound.version,
        episode=standing.episode,
        limit_picousd=amount,
        spend_picousd=cell.spend_picousd,
        overshoot_picousd=cell.spend_picousd - amount,
        cause=occasion.cause,
        crossing=occasion.crossing,
        paused_from_micros=max(occasion.at_micros, span.start_micros),
        paused_until_micros=span.end_micros,
    )


def _resume(occasion: Occasion, bound: Bound) -> LimitResumed:
    cell = bound.cell
    standing = cell.standing(bound.key)
    ended = standing.episode
    standing.breached_version = 0
    standing.episode += 1
    _noted(occasion, cell)
    assert occasion.cause != "usage", "usage adds to spend and resumes nothing"
    cause: ResumeCause = occasion.cause
    return LimitResumed(
        org_id=occasion.organization.org_id,
        org_seq=occasion.organization.next_seq(),
        at_micros=occasion.at_micros,
        scope=_scope(bound),
        month=Month.parse(cell.month),
        limit_version=bound.version,
        episode=ended,
        limit_picousd=bound.amount_picousd,
        spend_picousd=cell.spend_picousd,
        cause=cause,
    )


def _noted(occasion: Occasion, cell: ScopeMonth) -> None:
    cell.note_breaches()
    occasion.state.tell(cell)
    occasion.state.touch(occasion.organization)
