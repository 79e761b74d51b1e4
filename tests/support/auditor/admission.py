"""Admission: an organisation, a user and an instant come in; allow or deny and every reason go out (R32)."""

from tests.support.auditor.basics import end_of, month_of
from tests.support.auditor.outputs import Decision
from tests.support.auditor.state import Organization

LIMITS = ("org_limit", "tier_limit", "user_limit")
ORDER = ("suspended", "disabled", "not_a_member", "balance", *LIMITS)


def decide(org: Organization | None, user_id: str, at: int) -> Decision:
    """Amounts decide, not what was published: a limit of 0 denies before the month's first event."""
    if org is None:
        return Decision(False, ("not_a_member",), 0, None)
    member, month = org.member(user_id), month_of(at)
    reasons = set()
    room = []
    if org.status != "active":
        reasons.add("suspended")
    if not org.credits_on if member is None else not org.may_spend(member):
        reasons.add("disabled")
    if member is None:
        reasons.add("not_a_member")
        room.append(0)
    if org.plan == "team":
        room.append(org.balance)
        if org.balance <= 0:
            reasons.add("balance")
    for scope in org.binding(user_id, month):
        amount = org.limit_of(scope).holds(month)
        assert amount is not None
        room.append(amount - org.spend(scope, month))
        if room[-1] <= 0:
            of_tier = "tier_limit" if scope.seat_tier is not None else "user_limit"
            reasons.add("org_limit" if scope.kind == "organization" else of_tier)
    headroom = max(0, min(room)) if room else None
    only_limits = bool(reasons) and reasons <= set(LIMITS)
    in_order = tuple(reason for reason in ORDER if reason in reasons)
    return Decision(not reasons, in_order, headroom, end_of(month) if only_limits else None)
