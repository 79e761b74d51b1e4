"""Notices as the ledger publishes them: what a test says of one comes in, the whole event goes out."""

from itertools import count

from schemas.base import SeatTier
from schemas.events import LimitBreached, LimitScope, MemberScope, OrganizationScope, TierScope
from schemas.instants import parse_instant
from schemas.month import Month
from schemas.notifications import AutoReloadSuspended, BalanceLow, PendingRequest, RequestsDigest, ThresholdReached
from tests.support.builders import CENT_PICOUSD, NOON, micros

_NUMBERS = count(100)

EVERYBODY = OrganizationScope()
PREMIUM = TierScope(seat_tier="premium")


def own(user_id: str) -> MemberScope:
    """A member's own limit."""
    return MemberScope(user_id=user_id)


def request(user_id: str, cents: int = 1234, seat_tier: SeatTier = "standard") -> PendingRequest:
    return PendingRequest(
        request_id=f"r-{user_id}",
        user_id=user_id,
        kind="premium_seat" if seat_tier == "standard" else "credits",
        seat_tier=seat_tier,
        asked_at_micros=parse_instant("2026-05-09T07:45:30Z"),
        spend_picousd=cents * CENT_PICOUSD,
    )


def digest(org_id: str, *requests: PendingRequest, part: int = 1, parts: int = 1) -> RequestsDigest:
    return RequestsDigest(
        org_id=org_id,
        org_seq=next(_NUMBERS),
        at_micros=micros(NOON),
        day="2026-05-10",
        part=part,
        parts=parts,
        requests=requests,
    )


def breach(org_id: str, scope: LimitScope = EVERYBODY, limit_cents: int = 1500, over_cents: int = 1) -> LimitBreached:
    org_seq = next(_NUMBERS)
    return LimitBreached(
        org_id=org_id,
        org_seq=org_seq,
        at_micros=micros(NOON),
        scope=scope,
        month=Month(2026, 5),
        limit_version=org_seq,
        episode=1,
        limit_picousd=limit_cents * CENT_PICOUSD,
        spend_picousd=(limit_cents + over_cents) * CENT_PICOUSD,
        overshoot_picousd=over_cents * CENT_PICOUSD,
        cause="usage",
        crossing=None,
        paused_from_micros=micros(NOON),
        paused_until_micros=parse_instant("2026-06-01T00:00:00Z"),
    )


def threshold(org_id: str, percent: int, scope: LimitScope = EVERYBODY, limit_cents: int = 1500) -> ThresholdReached:
    org_seq = next(_NUMBERS)
    return ThresholdReached(
        org_id=org_id,
        org_seq=org_seq,
        at_micros=micros(NOON),
        scope=scope,
        month=Month(2026, 5),
        limit_version=org_seq,
        percent=percent,
        spend_picousd=limit_cents * percent * CENT_PICOUSD // 100,
        limit_picousd=limit_cents * CENT_PICOUSD,
    )


def balance_low(org_id: str) -> BalanceLow:
    return BalanceLow(
        org_id=org_id,
        org_seq=next(_NUMBERS),
        at_micros=micros(NOON),
        balance_picousd=1000 * CENT_PICOUSD - 1,
        threshold_picousd=1000 * CENT_PICOUSD,
    )


def auto_reload_suspended(org_id: str) -> AutoReloadSuspended:
    org_seq = next(_NUMBERS)
    return AutoReloadSuspended(
        org_id=org_id, org_seq=org_seq, at_micros=micros(NOON), reason="failed", reload_id=f"reload-{org_seq}"
    )
