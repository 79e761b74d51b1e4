"""Spend limits: a scope's spend or its changed limit comes in, the breach or resume that follows goes out.

A scope is breached when its spend reaches the limit; each breach is published once per (scope, month, limit version,
episode), and the episode grows with each resume. Only the organisation's limit is enforced so far; tiers and members
have the same state (ScopeMonth) and the same transitions. Source: docs/rules.md R21, R24-R29.
"""

from pipeline.domain.state import Organization, OrganizationMonth, State
from schemas.events import Cause, Crossing, LedgerEvent, LimitBreached, LimitResumed, OrganizationScope
from schemas.month import Month


def charged(
    state: State, organization: Organization, month: OrganizationMonth, at_micros: int, crossing: Crossing
) -> LimitBreached | None:
    """The breach that a charge caused, if it crossed; to be asked when no breach stands and spend reached the limit.

    Usage of an ended month publishes none (R19).
    """
    if month.month < state.calendar.month:
        return None
    return _breach(organization, month, "usage", at_micros, crossing)


def limit_changed(state: State, organization: Organization, at_micros: int) -> list[LedgerEvent]:
    """What follows at once from a new limit, for the month that runs and those not begun (R27, R28).

    A limit still reached publishes a breach of the new version and no resume in between (R29).
    """
    if organization.limit_picousd is not None:
        state.month_of(organization, state.calendar.month)
    events: list[LedgerEvent] = []
    for name in sorted(organization.months):
        if name < state.calendar.month:
            continue
        month = organization.months[name]
        limit = organization.limit_picousd
        # A limit of 0 breaches a month not begun only when something is charged to it (R24).
        counts = month.spend_picousd > 0 or name == state.calendar.month
        if limit is not None and month.spend_picousd >= limit and counts:
            events.append(_breach(organization, month, "limit_changed", at_micros, None))
        elif month.breached_version:
            events.append(_resume(organization, month, at_micros))
        else:
            continue
        state.touch(month)
    return events


def _breach(
    organization: Organization, month: OrganizationMonth, cause: Cause, at_micros: int, crossing: Crossing | None
) -> LimitBreached:
    limit = organization.limit_picousd
    assert limit is not None, f"{organization.org_id} has no limit to breach"
    month.breached_version = organization.limit_version
    span = Month.parse(month.month)
    return LimitBreached(
        org_id=organization.org_id,
        org_seq=organization.next_seq(),
        at_micros=at_micros,
        scope=OrganizationScope(),
        month=span,
        limit_version=organization.limit_version,
        episode=month.episode,
        limit_picousd=limit,
        spend_picousd=month.spend_picousd,
        overshoot_picousd=month.spend_picousd - limit,
        cause=cause,
        crossing=crossing,
        paused_from_micros=max(at_micros, span.start_micros),
        paused_until_micros=span.end_micros,
    )


def _resume(organization: Organization, month: OrganizationMonth, at_micros: int) -> LimitResumed:
    ended = month.episode
    month.breached_version = 0
    month.episode += 1
    return LimitResumed(
        org_id=organization.org_id,
        org_seq=organization.next_seq(),
        at_micros=at_micros,
        scope=OrganizationScope(),
        month=Month.parse(month.month),
        limit_version=organization.limit_version,
        episode=ended,
        limit_picousd=organization.limit_picousd,
        spend_picousd=month.spend_picousd,
        cause="limit_changed",
    )
