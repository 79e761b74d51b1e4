"""Who may do what: a command and the organisation come in, yes or no goes out (R1, the table of rights)."""

from tests.support.auditor.basics import Wire
from tests.support.auditor.state import RANKS, Organization

BILLING = "billing"

NEEDS = {
    "register_organization": BILLING,
    "suspend_organization": BILLING,
    "reinstate_organization": BILLING,
    "close_organization": BILLING,
    "change_plan": BILLING,
    "confirm_payment": BILLING,
    "report_reload_paid": BILLING,
    "report_reload_failed": BILLING,
    "refund_purchase": BILLING,
    "grant_credits": BILLING,
    "adjust": BILLING,
    "issue_credit_note": BILLING,
    "set_credits": "owner",
    "set_member_default": "owner",
    "set_member_credits": "owner",
    "set_organization_limit": "owner",
    "set_tier_limit": "owner",
    "set_user_limit": "owner",
    "set_thresholds": "owner",
    "set_balance_notice": "owner",
    "buy_credits": "owner",
    "set_auto_reload": "owner",
    "set_requests_enabled": "owner",
    "set_role": "owner",
    "hand_over_ownership": "primary_owner",
    "add_member": "admin",
    "remove_member": "admin",
    "assign_seat": "admin",
    "approve_request": "admin",
    "deny_request": "admin",
    "request_credits": "member",
    "set_contact": "member",
}


def is_allowed(org: Organization | None, command: Wire) -> bool:
    needed, actor = NEEDS[command["command"]], command["actor"]
    if needed == BILLING:
        return actor["kind"] == "service" and "billing:write" in actor.get("scopes", ())
    if actor["kind"] != "user" or org is None:
        return False
    acting = org.member(actor["id"])
    if acting is None:
        return False
    rank, about = RANKS.index(acting.role), _about(org, command)
    return rank >= max(RANKS.index(needed), _rank_for(org, command, about)) and rank >= _rank_of(org, about)


def _about(org: Organization, command: Wire) -> str | None:
    """The member whom it is about, if it is about one."""
    if command["command"] in ("approve_request", "deny_request"):
        request = org.request(command["request_id"])
        return request.user_id if request else None
    return command.get("user_id") if command["command"] != "add_member" else None


def _rank_of(org: Organization, user_id: str | None) -> int:
    """Nobody acts on a higher role."""
    member = org.member(user_id) if user_id is not None else None
    return RANKS.index(member.role) if member else 0


def _rank_for(org: Organization, command: Wire, about: str | None) -> int:
    """Adding or removing others than plain members, and other people's contacts, need an owner."""
    kind = command["command"]
    if kind == "add_member":
        others = command.get("role", "member") != "member"
    elif kind == "remove_member":
        others = _rank_of(org, about) > 0
    else:
        others = kind == "set_contact" and about != command["actor"]["id"]
    return RANKS.index("owner") if others else 0
