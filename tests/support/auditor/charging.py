"""Usage: one event comes in; its rows, or why it is a dead letter or a duplicate, goes out (R8-R20)."""

from tests.support.auditor.basics import AHEAD, COUNTED, DAY, TOKENS, VARIANT, Wire, cost, end_of, month_of
from tests.support.auditor.invoicing import add
from tests.support.auditor.limits import after_charge, is_breached
from tests.support.auditor.outputs import Row
from tests.support.auditor.state import HORIZON_DAYS, Organization, Taken
from tests.support.auditor.wallet import burn, look

DUPLICATE = "duplicate"
ABSURD = {**dict.fromkeys(TOKENS, 100_000_000), "web_search_requests": 100_000}


def take(org: Organization | None, now: int, grace: int, facts: Wire) -> str | None:
    """None where it was accepted, else `duplicate` or the dead letter's reason."""
    if any(facts[name] > at_most for name, at_most in ABSURD.items()):
        return "count_too_large"
    if org is None:
        return "unknown_organization"
    identity = (facts["source"], facts["event_id"])
    if identity in org.taken:
        return DUPLICATE if org.taken[identity].facts == facts else "conflict"
    reason = _why_dead(org, now, facts)
    if reason is not None:
        return reason
    price = cost(facts)
    if isinstance(price, str):
        return price
    usage_month = month_of(facts["occurred_at"])
    charge_month = month_of(now) if end_of(usage_month) + grace <= now else usage_month
    if facts["corrects"] is None:
        tier, after_pause = org.members[facts["user_id"]].seat_tier, _was_after_pause(org, now, facts)
        legs = [("usage", price)]
        signed = [(facts, 1)]
    else:
        original = org.taken[facts["source"], facts["corrects"][0]]
        original.corrected = True
        right = original.rows[-1]
        signed = [(original.facts, -1), (facts, 1)]
        tier, after_pause = right.seat_tier, right.after_pause
        legs = [("reversal", -right.cost), ("replacement", price)]
    rows = [
        Row(
            facts["source"],
            facts["event_id"],
            leg,
            facts["user_id"],
            tier,
            facts["model"],
            amount,
            usage_month,
            charge_month,
            facts["funding"],
            after_pause,
        )
        for leg, amount in legs
    ]
    org.taken[identity] = Taken(facts, rows)
    for row in rows:
        org.book(row)
    if facts["funding"] == "credits":
        cause = "usage" if facts["corrects"] is None else "correction"
        if rows[0].counts:
            after_charge(org, now, facts["user_id"], tier, charge_month, cause, identity)
        if org.plan == "enterprise":
            for counted, sign in signed:
                add(org, charge_month, usage_month, counted, sign)
        burn(org, now, charge_month, sum(row.cost for row in rows), ("usage", facts["event_id"]))
        look(org, now)
    return None


def _why_dead(org: Organization, now: int, facts: Wire) -> str | None:
    if org.status == "closed":
        return "organization_closed"
    if facts["user_id"] not in org.members:
        return "unknown_member"
    if now - facts["occurred_at"] > HORIZON_DAYS * DAY:
        return "too_old"
    if facts["occurred_at"] - now > AHEAD:
        return "in_the_future"
    return _why_no_correction(org, facts) if facts["corrects"] is not None else None


def _why_no_correction(org: Organization, facts: Wire) -> str | None:
    original_id, said = facts["corrects"]
    original = org.taken.get((facts["source"], original_id))
    if original is None:
        return "unknown_original"
    if original.corrected:
        return "already_corrected"
    may_differ = {*COUNTED, *VARIANT}
    was_taken = all(original.facts[name] == value for name, value in said.items())
    same_else = all(facts[name] == value for name, value in said.items() if name not in may_differ)
    return None if was_taken and same_else else "correction_mismatch"


def _was_after_pause(org: Organization, now: int, facts: Wire) -> bool:
    """Consumed while paused or disabled, as far as that was published (R20, R20a)."""
    member = org.member(facts["user_id"])
    if facts["funding"] != "credits":
        return False
    return (
        org.status != "active"
        or member is None
        or not org.may_spend(member)
        or org.is_paused
        or is_breached(org, facts["user_id"], month_of(now))
    )
