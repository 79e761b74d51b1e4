"""A member's record comes in; whether they may spend now, and every limit that holds for them, go out (R23, R32)."""

from typing import Any

from pydantic import Field

from pipeline.gate.admission import in_cents
from schemas.admission import Limited, binding_limits, limit_in_month
from schemas.base import Model
from schemas.instants import format_instant
from schemas.money import usd_from_picousd
from schemas.month import Month
from schemas.status_copy import MemberRecord, StatusCopy


class LimitAnswer(Model):
    """A limit that a member is held to."""

    reason: str = Field(description="what a denial by it would say", examples=["tier_limit"])
    limit_usd: str
    spend_usd: str = Field(description="what it is compared with")
    left_usd: str = Field(description="rounded down to cents, never below 0")
    binds: bool = Field(description="it leaves the least, or nothing")


class Standing(Model):
    """Whether a member may spend credits, as admission would say it of the copy as it is."""

    allowed: bool
    reasons: list[str] = Field(examples=[["user_limit"]])
    headroom_usd: str | None = Field(description="what limits and balance leave, rounded down; null: unbounded")
    ends_at: str | None = Field(description="when a denial may end by itself")
    limits: list[LimitAnswer] = Field(description="every limit that holds for them")


def standing(copy: StatusCopy, record: MemberRecord, now_micros: int) -> dict[str, Any]:
    """The fields of a Standing."""
    decision = copy.decide(record.org_id, record.user_id, now_micros)
    left = decision.headroom_picousd
    return {
        "allowed": decision.allowed,
        "reasons": list(decision.reasons),
        "headroom_usd": None if left is None else in_cents(left),
        "ends_at": None if decision.ends_at_micros is None else format_instant(decision.ends_at_micros),
        "limits": held_limits(copy, record, str(Month.containing(now_micros))),
    }


def held_limits(copy: StatusCopy, record: MemberRecord, month: str) -> list[LimitAnswer]:
    """Every limit that holds for a member, and which binds."""
    organization = copy.organization(record.org_id)
    if organization is None:
        return []
    held = []
    for reason, limit, spender in binding_limits(
        organization, copy.tier(record.org_id, record.seat_tier), record, month
    ):
        limit_picousd = limit_in_month(limit, month)
        if limit_picousd is not None:
            spend_picousd = spend_of(spender, month)
            held.append((max(limit_picousd - spend_picousd, 0), reason, limit_picousd, spend_picousd))
    least = min((left for left, *_ in held), default=0)
    return [
        LimitAnswer(
            reason=reason,
            limit_usd=usd_from_picousd(limit_picousd),
            spend_usd=usd_from_picousd(spend_picousd),
            left_usd=in_cents(left),
            binds=left == least,
        )
        for left, reason, limit_picousd, spend_picousd in held
    ]


def spend_of(record: Limited, month: str) -> int:
    """Picodollars spent in this month."""
    return record.spend_picousd if record.month >= month else 0
