"""Limits: what binds before and after something comes in, breaches, resumes and thresholds go out (R21-R30)."""

from collections.abc import Iterable

from tests.support.auditor.basics import end_of, first_instant, month_of
from tests.support.auditor.outputs import Breach, Resume, Scope, Threshold
from tests.support.auditor.state import SEAT_TIERS, Organization

Bindings = dict[tuple[Scope, str], tuple[int, int]]
"""(scope, month): the amount that holds and its version, for every scope that binds."""

KINDS = ("member", "tier", "organization")


def months(org: Organization, now: int) -> list[str]:
    """The running month, and one not begun in which something was charged already (R19)."""
    this = month_of(now)
    return [this, *sorted(month for month in org.counted if month > this)]


def bindings(org: Organization, now: int) -> Bindings:
    found: Bindings = {}
    for month in months(org, now):
        scopes = {Scope("organization")} if org.limit.holds(month) is not None else set()
        for tier in SEAT_TIERS:
            pooled = org.plan == "enterprise" and org.tiers[tier].basis == "whole_tier"
            if pooled and org.tiers[tier].holds(month) is not None:
                scopes.add(Scope("tier", tier))
        for user_id in org.members:
            scopes.update(scope for scope in org.binding(user_id, month) if scope.kind == "member")
        for scope in scopes:
            limit = org.limit_of(scope)
            amount = limit.holds(month)
            assert amount is not None
            found[scope, month] = (amount, limit.version)
    return found


def open_breach(org: Organization, scope: Scope, month: str) -> Breach | None:
    """The breach of this scope that has not ended in a resume."""
    events = org.limit_events.get((scope, month))
    return events[-1] if events and isinstance(events[-1], Breach) else None


def is_breached(org: Organization, user_id: str, month: str) -> bool:
    """Whether a published breach pauses the member now."""
    return any(open_breach(org, scope, month) for scope in org.binding(user_id, month))


def reconcile(org: Organization, now: int, before: Bindings, cause: str, *, in_slices: bool) -> None:
    """After a command: whatever came to bind, changed or ceased is looked at; nothing else is.

    A tier's or plan's change reaches the members one by one, in order of user_id, after the pools (`in_slices`).
    """
    after = bindings(org, now)
    changed = {where for where in {*before, *after} if before.get(where) != after.get(where)}
    # A member who rejoins may have a breach left from before: nothing binds the removed, so it is in neither.
    changed |= {
        (scope, month)
        for (scope, month) in org.limit_events
        if month >= month_of(now) and (scope, month) not in after and open_breach(org, scope, month)
    }
    changed = {(scope, month) for scope, month in changed if not _is_of_removed(org, scope)}

    breaches, resumes = [], []
    for where in changed:
        told = _breach_after_change(org, now, where, after, cause) or _resume_after_change(org, where, after, cause)
        if isinstance(told, Breach):
            breaches.append(told)
        elif told is not None:
            resumes.append(told)
    for told in in_order(breaches, resumes, in_slices=in_slices):
        _publish(org, told)
    mark(org, [(scope, month) for scope, month in changed if (scope, month) in after])


def _is_of_removed(org: Organization, scope: Scope) -> bool:
    return scope.user_id is not None and org.member(scope.user_id) is None


def _breach_after_change(
    org: Organization, now: int, where: tuple[Scope, str], after: Bindings, cause: str
) -> Breach | None:
    if where not in after:
        return None
    (scope, month), (amount, version) = where, after[where]
    spend, standing = org.spend(scope, month), open_breach(org, scope, month)
    # A month not begun is not breached by a limit of 0 before anything was spent in it.
    reached = spend >= amount and (spend > 0 or month == month_of(now))
    if not reached or (standing is not None and standing.version == version):
        return None
    return _breach(org, now, scope, month, cause, None)


def _resume_after_change(org: Organization, where: tuple[Scope, str], after: Bindings, cause: str) -> Resume | None:
    (scope, month), standing = where, open_breach(org, *where)
    if standing is None:
        return None
    spend, limit = org.spend(scope, month), after[where][0] if where in after else None
    if limit is not None and spend >= limit:
        return None
    return Resume(scope, month, org.limit_of(scope).version, standing.episode, cause, limit, spend)


def in_order(breaches: list[Breach], resumes: list[Resume], *, in_slices: bool) -> list[Breach | Resume]:
    """Breaches, then resumes; within each user, tier, organisation. In slices: pools first, then member by member."""

    def rank(told: Breach | Resume) -> tuple[object, ...]:
        scope, is_resume = told.scope, isinstance(told, Resume)
        rest = (KINDS.index(scope.kind), SEAT_TIERS.index(scope.seat_tier or "standard"), told.month)
        if in_slices:
            return (scope.user_id or "", is_resume, *rest)
        return (is_resume, rest[0], scope.user_id or "", *rest)

    return sorted([*breaches, *resumes], key=rank)


def after_charge(
    org: Organization, now: int, user_id: str, seat_tier: str, month: str, cause: str, crossing: tuple[str, str]
) -> None:
    """An event was booked in `month`: who crossed, who may go on, which thresholds were passed (R24, R29, R29a)."""
    if month < month_of(now):
        return
    scopes = [scope for scope in org.binding(user_id, month) if scope.kind != "tier"]
    pool = org.tiers[seat_tier]
    if org.plan == "enterprise" and pool.basis == "whole_tier" and pool.holds(month) is not None:
        scopes.append(Scope("tier", seat_tier))
    breaches, resumes = [], []
    for scope in scopes:
        amount, standing, spend = (
            org.limit_of(scope).holds(month),
            open_breach(org, scope, month),
            org.spend(scope, month),
        )
        assert amount is not None
        if spend >= amount and standing is None:
            breaches.append(_breach(org, now, scope, month, cause, crossing))
        elif spend < amount and standing is not None:
            version = org.limit_of(scope).version
            resumes.append(Resume(scope, month, version, standing.episode, cause, amount, spend))
    for told in in_order(breaches, resumes, in_slices=False):
        _publish(org, told)
    for scope in sorted(scopes, key=lambda scope: KINDS.index(scope.kind)):
        _thresholds(org, scope, month)


def _breach(
    org: Organization, now: int, scope: Scope, month: str, cause: str, crossing: tuple[str, str] | None
) -> Breach:
    limit, spend = org.limit_of(scope), org.spend(scope, month)
    amount = limit.holds(month)
    assert amount is not None
    episode = 1 + sum(isinstance(told, Resume) for told in org.limit_events.get((scope, month), ()))
    begins = max(now, first_instant(month))
    return Breach(
        scope, month, limit.version, episode, cause, amount, spend, spend - amount, crossing, begins, end_of(month)
    )


def _publish(org: Organization, told: Breach | Resume) -> None:
    org.limit_events.setdefault((told.scope, told.month), []).append(told)
    org.published.append(told)


# Thresholds.


def _passed(org: Organization, scope: Scope, month: str) -> list[int]:
    amount, spend = org.limit_of(scope).holds(month), org.spend(scope, month)
    return [percent for percent in sorted(org.percents) if amount and spend * 100 >= amount * percent]


def mark(org: Organization, where: Iterable[tuple[Scope, str]]) -> None:
    """What is passed by now counts as published."""
    for scope, month in where:
        key = (scope, month, org.limit_of(scope).version)
        org.passed[key] = max([org.passed.get(key, 0), *_passed(org, scope, month)])


def _thresholds(org: Organization, scope: Scope, month: str) -> None:
    limit = org.limit_of(scope)
    key = (scope, month, limit.version)
    for percent in _passed(org, scope, month):
        if percent > org.passed.get(key, 0):
            org.passed[key] = percent
            amount = limit.holds(month)
            assert amount is not None
            org.published.append(Threshold(scope, month, limit.version, percent, org.spend(scope, month), amount))
