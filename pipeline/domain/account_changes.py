"""What commands change of organisations, members, limits and requests (R1-R2, R7-R9b, R21-R31, R35-R37a).

A function each: it looks at every reason to refuse, then changes, and says before, after and what follows.
"""

from typing import Any, Literal

from pipeline.domain import limits, requests, wallet
from pipeline.domain.change import Change, usd_or_none
from pipeline.domain.invoicing import finalize_all
from pipeline.domain.refusals import Refused
from pipeline.domain.state import OWN, Limited, Member, TierLimit
from pipeline.domain.status import decision
from schemas.base import SeatTier
from schemas.commands import (
    AddMember,
    ApproveRequest,
    AssignSeat,
    ChangePlan,
    DenyRequest,
    HandOverOwnership,
    RegisterOrganization,
    RemoveMember,
    RequestCredits,
    SetContact,
    SetCredits,
    SetMemberCredits,
    SetMemberDefault,
    SetOrganizationLimit,
    SetRequestsEnabled,
    SetRole,
    SetThresholds,
    SetTierLimit,
    SetUserLimit,
)
from schemas.month import Month
from schemas.organization import SEAT_TIERS, OrganizationState

# Organisations.


def register_organization(change: Change, command: RegisterOrganization) -> None:
    """A Team organisation begins with a balance of 0, hence paused (R3)."""
    organization = change.organization
    owner = Member(
        org_id=command.org_id, user_id=command.primary_owner, role="primary_owner", seat_tier=command.seat_tier
    )
    organization.add(owner)
    change.state.tell(owner)
    for limit in organization.tier_limits.values():
        change.state.tell(limit)
    change.after = {"plan": command.plan, "primary_owner": owner.user_id, "credits_enabled": False}
    # Its first statement is that of this month.
    organization.wallet.stated_through = str(Month.parse(change.month).previous())
    change.state.touch(organization.wallet)
    if command.plan == "team":
        change.events += wallet.plan_changed(change.booking())


def set_status(change: Change, status: OrganizationState) -> None:
    """Suspended and reinstated (R9b)."""
    organization = change.organization
    change.before, change.after = {"status": organization.status}, {"status": status}
    organization.status = status


def close_organization(change: Change) -> None:
    """No more usage is taken; what was drafted is invoiced, and what is paid and unburnt goes back (R9b)."""
    booking = change.booking()
    change.events += finalize_all(
        change.state, change.organization, "organization_closed", change.at_micros, change.rules
    )
    set_status(change, "closed")
    requests.close_all(change.state, change.organization, "organization_closed", change.at_micros)
    change.events += wallet.close(booking)


def change_plan(change: Change, command: ChangePlan) -> None:
    """Change the plan at once (R7).

    To Team: drafts are invoiced, seat limits go inert, requests close. To Enterprise: auto-reload goes off, the
    balance stays.
    """
    organization = change.organization
    if command.plan == organization.plan:
        raise Refused("same_plan", f"{organization.org_id} is on {command.plan} already")
    booking = change.booking()
    change.before, change.after = {"plan": organization.plan}, {"plan": command.plan}
    if command.plan == "team":
        change.events += finalize_all(change.state, organization, "plan_changed", change.at_micros, change.rules)
        # Months that closed before have no statement.
        booking.wallet.stated_through = max(booking.wallet.stated_through, change.state.calendar.closed_through)
    organization.plan = command.plan
    if command.plan == "team":
        requests.close_all(change.state, organization, "plan_changed", change.at_micros)
    change.events += wallet.plan_changed(booking)
    bounds = [bound for tier in SEAT_TIERS for bound in limits.pool_bounds(change.state, organization, tier)]
    change.events += limits.changed(change.occasion("plan_changed"), bounds)
    limits.watch_pools(change.state, organization)
    change.review("plan_changed", SEAT_TIERS)


def set_credits(change: Change, command: SetCredits) -> None:
    """The organisation's switch (R9a)."""
    change.before = {"credits_enabled": change.organization.credits_enabled}
    change.organization.credits_enabled = command.enabled
    change.after = {"credits_enabled": command.enabled}


def set_member_default(change: Change, command: SetMemberDefault) -> None:
    """The switch of all who have none of their own (R9a)."""
    change.before = {"member_default": change.organization.member_default}
    change.organization.member_default = command.enabled
    change.after = {"member_default": command.enabled}


def set_requests_enabled(change: Change, command: SetRequestsEnabled) -> None:
    """Whether members may ask (R35)."""
    change.before = {"requests_enabled": change.organization.requests_enabled}
    change.organization.requests_enabled = command.enabled
    change.after = {"requests_enabled": command.enabled}


def set_thresholds(change: Change, command: SetThresholds) -> None:
    """What is passed by now is marked, not told (R29a)."""
    organization = change.organization
    change.before = {"percents": list(organization.percents)}
    organization.percents = tuple(command.percents)
    change.after = {"percents": list(organization.percents)}
    limits.mark_pools(change.state, organization)
    change.review("limit_changed")


# Members.


def add_member(change: Change, command: AddMember) -> None:
    """Who comes back has the command's seat and role, no own limit and switch, and what they spent before (R31)."""
    organization = change.organization
    member = organization.members.get(command.user_id)
    if member is not None and not member.removed:
        raise Refused("already_a_member", f"{command.user_id} is a member already")
    if command.role == "primary_owner":
        raise Refused("one_primary_owner", "primary ownership is handed over, not given with a new member")
    if member is None:
        member = Member(org_id=command.org_id, user_id=command.user_id, role=command.role, seat_tier=command.seat_tier)
        organization.add(member)
    else:
        member.removed, member.role, member.credits_enabled = False, command.role, None
        _set_for_good(member, None, change.month)
        _take_seat(change, member, command.seat_tier)
    change.state.tell(member)
    change.after = {"user_id": member.user_id, "role": member.role, "seat_tier": member.seat_tier}
    change.events += limits.review_member(change.occasion("seat_changed"), member, keys=SEAT_TIERS)


def remove_member(change: Change, command: RemoveMember) -> None:
    """They stay known, and what they spent stays (R31)."""
    member = change.member(command.user_id)
    if member.role == "primary_owner":
        raise Refused("one_primary_owner", f"{member.user_id} is the primary owner; hand ownership over first")
    member.removed = True
    change.state.tell(member)
    requests.close(change.state, change.organization, member.user_id, "member_removed", change.at_micros)
    change.before, change.after = {"user_id": member.user_id, "removed": False}, {"removed": True}


def set_role(change: Change, command: SetRole) -> None:
    """Up to owner; there is always one primary owner (R2)."""
    member = change.member(command.user_id)
    if (member.role == "primary_owner") != (command.role == "primary_owner"):
        raise Refused("one_primary_owner", "primary ownership is handed over, neither given nor taken")
    change.before, change.after = {"role": member.role}, {"user_id": member.user_id, "role": command.role}
    member.role = command.role
    change.state.tell(member)


def hand_over_ownership(change: Change, command: HandOverOwnership, giver_id: str) -> None:
    """One command, so that there is one primary owner at any time; the giver becomes owner (R2)."""
    giver, taker = change.member(giver_id), change.member(command.user_id)
    if taker.role == "primary_owner":
        raise Refused("one_primary_owner", f"{taker.user_id} is the primary owner already")
    change.before, change.after = {"primary_owner": giver.user_id}, {"primary_owner": taker.user_id}
    giver.role, taker.role = "owner", "primary_owner"
    change.state.tell(giver)
    change.state.tell(taker)


def assign_seat(change: Change, command: AssignSeat) -> None:
    """A seat moves no spend; limits are resolved again at once (R30)."""
    member = change.member(command.user_id)
    change.before = {"user_id": member.user_id, "seat_tier": member.seat_tier}
    if member.seat_tier != command.seat_tier:
        requests.close(change.state, change.organization, member.user_id, "seat_given", change.at_micros)
        _give_seat(change, member, command.seat_tier)
    change.after = {"seat_tier": member.seat_tier}


def _give_seat(change: Change, member: Member, seat_tier: SeatTier) -> None:
    before = member.seat_tier
    _take_seat(change, member, seat_tier)
    change.state.tell(member)
    keys = () if before == seat_tier else (seat_tier,)
    change.events += limits.review_member(change.occasion("seat_changed"), member, keys=keys)


def _take_seat(change: Change, member: Member, seat_tier: SeatTier) -> None:
    member.seat_tier = seat_tier
    for own in member.months.values():
        change.state.join(change.organization, member, own)
        change.state.touch(own.tier)


def set_member_credits(change: Change, command: SetMemberCredits) -> None:
    """A member's own switch (R9a)."""
    member = change.member(command.user_id)
    change.before = {"user_id": member.user_id, "credits_enabled": member.credits_enabled}
    member.credits_enabled = command.enabled
    change.after = {"credits_enabled": member.credits_enabled}
    change.state.tell(member)


def set_contact(change: Change, command: SetContact) -> None:
    """Which fields change; what they say lies elsewhere (R37a)."""
    if command.user_id not in change.organization.members:
        raise Refused("unknown_member", f"{command.user_id} was never a member of {command.org_id}")
    change.after = {"user_id": command.user_id, "fields": list(command.fields)}


# Limits.


def set_organization_limit(change: Change, command: SetOrganizationLimit) -> None:
    """Pools everybody (R21)."""
    organization = change.organization
    if command.this_month_only:
        _refuse_no_raise(command.limit_usd, organization.limit_in(change.month))
    change.before = _limit(organization, change.month)
    if _set(organization, command.limit_usd, change.month, command.this_month_only):
        bounds = limits.organization_bounds(change.state, organization)
        change.events += limits.changed(change.occasion("limit_changed"), bounds)
        limits.watch_pools(change.state, organization)
    change.after = _limit(organization, change.month)


def set_tier_limit(change: Change, command: SetTierLimit) -> None:
    """Every member's own, or pooled (R22)."""
    organization, tier = change.organization, command.seat_tier
    limit = organization.tier_limits[tier]
    if command.this_month_only:
        if command.basis != limit.basis:
            raise Refused("not_a_raise", f"the limit is {limit.basis}; with another basis it is no raise")
        _refuse_no_raise(command.limit_usd, limit.limit_in(change.month))
    change.before = _limit(limit, change.month)
    if _set(limit, command.limit_usd, change.month, command.this_month_only, command.basis):
        change.state.tell(limit)
        bounds = list(limits.pool_bounds(change.state, organization, tier))
        change.events += limits.changed(change.occasion("limit_changed"), bounds)
        limits.watch_pools(change.state, organization)
        change.review("limit_changed", (tier,))
    change.after = _limit(limit, change.month)


def set_user_limit(change: Change, command: SetUserLimit) -> None:
    """Takes the place of the seat's `each_member` limit, in both directions (R23)."""
    organization, member = change.organization, change.member(command.user_id)
    if command.this_month_only:
        each = limits.each_member_picousd(organization, member.seat_tier, change.month)
        own = member.limit_in(change.month)
        _refuse_no_raise(each if command.limit_usd is None else command.limit_usd, each if own is None else own)
    change.before = {"user_id": member.user_id, **_limit(member, change.month)}
    # In a month not begun the one for good binds, whatever a raise says of this month.
    had_own = member.limit_picousd is not None or member.limit_in(change.month) is not None
    if _set(member, command.limit_usd, change.month, command.this_month_only):
        requests.close(change.state, organization, member.user_id, "limit_given", change.at_micros)
        _own_limit_changed(change, member, had_own)
    change.after = {**_limit(member, change.month), **_binding(change, member)}


def _own_limit_changed(change: Change, member: Member, had_own: bool) -> None:
    change.state.tell(member)
    # The seat's limit comes to bind where an own one went.
    keys = (OWN, member.seat_tier) if had_own else (OWN,)
    change.events += limits.review_member(change.occasion("limit_changed"), member, keys=keys)


def _set(
    limit: Limited,
    amount_picousd: int | None,
    month: str,
    this_month_only: bool,
    basis: Literal["each_member", "whole_tier"] | None = None,
) -> bool:
    """Whether it changed anything; then it is another version (R29)."""
    if this_month_only:
        limit.raise_picousd, limit.raise_month = amount_picousd, month
        limit.limit_version += 1
        return True
    return _set_for_good(limit, amount_picousd, month, basis)


def _set_for_good(
    limit: Limited,
    amount_picousd: int | None,
    month: str,
    basis: Literal["each_member", "whole_tier"] | None = None,
) -> bool:
    same_basis = not isinstance(limit, TierLimit) or limit.basis == basis
    if limit.limit_picousd == amount_picousd and same_basis and limit.raise_month != month:
        return False
    limit.limit_picousd, limit.raise_picousd, limit.raise_month = amount_picousd, None, ""
    limit.limit_version += 1
    if isinstance(limit, TierLimit) and basis is not None:
        limit.basis = basis
    return True


def _refuse_no_raise(amount_picousd: int | None, holds_picousd: int | None) -> None:
    if holds_picousd is None or (amount_picousd is not None and amount_picousd <= holds_picousd):
        raise Refused("not_a_raise", f"for this month only a limit can be raised; {usd_or_none(holds_picousd)} holds")


def _limit(limit: Limited, month: str) -> dict[str, Any]:
    said: dict[str, Any] = {"limit_usd": usd_or_none(limit.limit_picousd), "limit_version": limit.limit_version}
    if isinstance(limit, TierLimit):
        said |= {"seat_tier": limit.seat_tier, "basis": limit.basis}
    if limit.raise_month == month:
        said |= {"raise_usd": usd_or_none(limit.raise_picousd), "raise_month": month}
    return said


def _binding(change: Change, member: Member) -> dict[str, Any]:
    """Which limit binds the member's own spend now (R23)."""
    own = member.limit_in(change.month)
    each = limits.each_member_picousd(change.organization, member.seat_tier, change.month)
    binds = "user_limit" if own is not None else "tier_limit" if each is not None else None
    return {"binds": binds, "binding_usd": usd_or_none(each if own is None else own)}


# Requests.


def request_credits(change: Change, command: RequestCredits, user_id: str) -> None:
    """Asking again answers with the first one (R35)."""
    member = change.member(user_id)
    request = requests.ask(
        change.state, change.organization, member, command.kind, command.command_id, change.at_micros
    )
    change.after = {"request_id": request.request_id, "kind": request.kind, "status": request.status}


def approve_request(change: Change, command: ApproveRequest, approver_id: str) -> None:
    """Sets what the approver gives and switches the member's credits on; says what still holds them (R36)."""
    state, organization = change.state, change.organization
    request = requests.approve(
        state, organization, command.request_id, approver_id, command.limit_usd, change.at_micros
    )
    member = organization.members[request.user_id]
    change.before = {"seat_tier": member.seat_tier, **_limit(member, change.month)}
    member.credits_enabled = True
    state.tell(member)
    had_own = member.limit_in(change.month) is not None
    if command.seat_tier is not None:
        _give_seat(change, member, command.seat_tier)
    elif _set_for_good(member, command.limit_usd, change.month):
        _own_limit_changed(change, member, had_own)
    still = decision(state, organization, member, change.at_micros).reasons
    change.after = {
        "request_id": request.request_id,
        "user_id": member.user_id,
        "seat_tier": member.seat_tier,
        **_limit(member, change.month),
        "still_denied_by": list(still),
    }


def deny_request(change: Change, command: DenyRequest, reviewer_id: str) -> None:
    """The member may ask again (R35)."""
    request = requests.deny(change.state, change.organization, command.request_id, reviewer_id, change.at_micros)
    change.after = {"request_id": request.request_id, "user_id": request.user_id, "status": request.status}
