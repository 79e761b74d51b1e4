"""Admission: the credit status of an organisation, a seat tier and a member in; may the member spend now, out.

Amounts decide, not flags: a limit set a moment ago denies as soon as its record is there. Whatever has the attributes
of the records in schemas/status.py will do. Nothing here knows how old they are; that is the caller's part (R33).
Source: docs/rules.md R3, R9a, R9b, R21-R27, R32.
"""

from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

from schemas.instants import MICROS_PER_DAY
from schemas.month import Month
from schemas.organization import Basis, OrganizationState, Plan

DenialReason = Literal["suspended", "disabled", "not_a_member", "balance", "org_limit", "tier_limit", "user_limit"]

LIMITS: frozenset[DenialReason] = frozenset({"org_limit", "tier_limit", "user_limit"})


class Limited(Protocol):
    """Spend of one month and the limit on it, as schemas.status.LimitedStatus has them."""

    @property
    def month(self) -> str: ...
    @property
    def spend_picousd(self) -> int: ...
    @property
    def limit_picousd(self) -> int | None: ...
    @property
    def raise_picousd(self) -> int | None: ...
    @property
    def raise_month(self) -> str: ...


class OrganizationFacts(Limited, Protocol):
    """Of schemas.status.OrganizationStatus, what decides."""

    @property
    def plan(self) -> Plan: ...
    @property
    def status(self) -> OrganizationState: ...
    @property
    def credits_enabled(self) -> bool: ...
    @property
    def member_default(self) -> bool: ...
    @property
    def balance_picousd(self) -> int: ...


class TierFacts(Limited, Protocol):
    """Of schemas.status.TierStatus, what decides."""

    @property
    def basis(self) -> Basis: ...


class MemberFacts(Limited, Protocol):
    """Of schemas.status.MemberStatus, what decides."""

    @property
    def removed(self) -> bool: ...
    @property
    def credits_enabled(self) -> bool | None: ...


class Decision(NamedTuple):
    """Whether a member may spend, and why not.

    Attributes:
        reasons: every one that holds, in the order in which they are shown; none: allowed.
        headroom_picousd: what limits and balance leave, never below zero; None where nothing bounds it.
        ends_at_micros: when the denial may end by itself; None where it may not, or nobody can know.
    """

    allowed: bool
    reasons: tuple[DenialReason, ...]
    headroom_picousd: int | None
    ends_at_micros: int | None

    @property
    def reason(self) -> DenialReason | None:
        """The one to show first."""
        return self.reasons[0] if self.reasons else None


NOT_A_MEMBER = Decision(False, ("not_a_member",), 0, None)
"""Of an organisation that nobody registered nobody is a member."""


def decide(
    organization: OrganizationFacts | None, tier: TierFacts | None, member: MemberFacts | None, at_micros: int
) -> Decision:
    """Whether a member may spend credits at an instant.

    Args:
        organization: None where it is not known.
        tier: that of the member's seat; None where it has no limit.
        member: None where never added.
        at_micros: the instant asked about. Records of a month that has ended by then count as nothing spent, and
            without that month's raise; those of a month that this instant has not reached yet count as they are.
    """
    if organization is None:
        return NOT_A_MEMBER
    if member is not None and member.removed:
        member = None
    month, next_month, end_micros = _months_of_day(at_micros // MICROS_PER_DAY)
    reasons, headroom_picousd = _reasons(organization, tier, member, month)
    if not reasons:
        return Decision(True, (), headroom_picousd, None)
    ends_at_micros = None
    if LIMITS.issuperset(reasons):
        # A limit of 0 is reached by nothing at all, next month too (R24).
        still, _ = _reasons(organization, tier, member, next_month)
        ends_at_micros = None if still else end_micros
    return Decision(False, tuple(reasons), headroom_picousd, ends_at_micros)


def _reasons(
    organization: OrganizationFacts, tier: TierFacts | None, member: MemberFacts | None, month: str
) -> tuple[list[DenialReason], int | None]:
    reasons: list[DenialReason] = []
    headroom_picousd: int | None = None
    if organization.status != "active":
        reasons.append("suspended")
    if not (organization.credits_enabled and (member is None or _is_on(member, organization))):
        reasons.append("disabled")
    if member is None:
        reasons.append("not_a_member")
        headroom_picousd = 0
    if organization.plan == "team":
        balance_picousd = organization.balance_picousd
        if balance_picousd <= 0:
            reasons.append("balance")
        headroom_picousd = balance_picousd if headroom_picousd is None else min(headroom_picousd, balance_picousd)
    for reason, limit, spender in binding_limits(organization, tier, member, month):
        limit_picousd = limit_in_month(limit, month)
        if limit_picousd is None:
            continue
        left_picousd = limit_picousd - (spender.spend_picousd if spender.month >= month else 0)
        if left_picousd <= 0:
            reasons.append(reason)
        if headroom_picousd is None or left_picousd < headroom_picousd:
            headroom_picousd = left_picousd
    return reasons, headroom_picousd if headroom_picousd is None else max(headroom_picousd, 0)


def _is_on(member: MemberFacts, organization: OrganizationFacts) -> bool:
    own = member.credits_enabled
    return organization.member_default if own is None else own


def binding_limits(
    organization: OrganizationFacts, tier: TierFacts | None, member: MemberFacts | None, month: str
) -> list[tuple[DenialReason, Limited, Limited]]:
    """Every limit that may bind, in the order in which it is shown, and whose spend it is compared with."""
    binding: list[tuple[DenialReason, Limited, Limited]] = [("org_limit", organization, organization)]
    if member is None:
        return binding
    has_own = limit_in_month(member, month) is not None
    if tier is not None and organization.plan == "enterprise":
        if tier.basis == "whole_tier":
            binding.append(("tier_limit", tier, tier))
        elif not has_own:
            binding.append(("tier_limit", tier, member))
    if has_own:
        binding.append(("user_limit", member, member))
    return binding


def limit_in_month(record: Limited, month: str) -> int | None:
    return record.raise_picousd if record.raise_month >= month else record.limit_picousd


@lru_cache(maxsize=256)
def _months_of_day(day: int) -> tuple[str, str, int]:
    """The month of a day since 1970, the one after it, and the instant between them."""
    month = Month.containing(day * MICROS_PER_DAY)
    return str(month), str(month.next()), month.end_micros
