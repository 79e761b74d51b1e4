"""Who may do what: an actor and a command in, the reason why not out; the roles are the ledger's own (R1, R2).

The table of docs/rules.md, "Who may do what", as data: each command names the lowest role that may give it, or the
scope a service needs. Nobody acts on a higher role.
"""

from dataclasses import dataclass

from pipeline.domain.state import Organization
from schemas.commands import (
    AddMember,
    Adjust,
    ApproveRequest,
    AssignSeat,
    BuyCredits,
    ChangePlan,
    CloseOrganization,
    Command,
    ConfirmPayment,
    DenyRequest,
    GrantCredits,
    HandOverOwnership,
    IssueCreditNote,
    RefundPurchase,
    RegisterOrganization,
    ReinstateOrganization,
    RemoveMember,
    ReportReloadFailed,
    ReportReloadPaid,
    RequestCredits,
    Scope,
    SetAutoReload,
    SetBalanceNotice,
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
    SuspendOrganization,
)
from schemas.organization import ROLES, Role


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who may give a command: members from a role upward, services with a scope."""

    role: Role | None = None
    scope: Scope | None = None


MEMBERS = Allowed(role="member")
ADMINS = Allowed(role="admin")
OWNERS = Allowed(role="owner")
PRIMARY_OWNER = Allowed(role="primary_owner")
BILLING = Allowed(scope="billing:write")

PERMISSIONS: dict[type[Command], Allowed] = {
    RegisterOrganization: BILLING,
    SuspendOrganization: BILLING,
    ReinstateOrganization: BILLING,
    CloseOrganization: BILLING,
    ChangePlan: BILLING,
    ConfirmPayment: BILLING,
    ReportReloadPaid: BILLING,
    ReportReloadFailed: BILLING,
    RefundPurchase: BILLING,
    GrantCredits: BILLING,
    Adjust: BILLING,
    IssueCreditNote: BILLING,
    SetCredits: OWNERS,
    SetMemberDefault: OWNERS,
    SetMemberCredits: OWNERS,
    SetOrganizationLimit: OWNERS,
    SetTierLimit: OWNERS,
    SetUserLimit: OWNERS,
    SetThresholds: OWNERS,
    SetBalanceNotice: OWNERS,
    BuyCredits: OWNERS,
    SetAutoReload: OWNERS,
    SetRequestsEnabled: OWNERS,
    SetRole: OWNERS,
    HandOverOwnership: PRIMARY_OWNER,
    AddMember: ADMINS,
    RemoveMember: ADMINS,
    AssignSeat: ADMINS,
    ApproveRequest: ADMINS,
    DenyRequest: ADMINS,
    RequestCredits: MEMBERS,
    SetContact: MEMBERS,
}


def why_not(command: Command, organization: Organization | None) -> str | None:
    """Why the command's actor may not give it, or None if they may."""
    allowed = PERMISSIONS[type(command)]
    actor = command.actor
    if actor.kind != "user":
        if actor.kind == "operator" or allowed.scope is None:
            return f"no {actor.kind} may do this"
        return None if allowed.scope in actor.scopes else f"a service needs scope {allowed.scope} to do this"
    if allowed.role is None:
        return "no member may do this"
    role = _role(actor.id, organization)
    if role is None:
        return f"{actor.id} is not a member"
    if not _reaches(role, allowed.role):
        return f"{actor.id} is {role}; this takes {allowed.role}"
    if isinstance(command, AddMember):
        if command.role != "member" and not _reaches(role, "owner"):
            return f"{actor.id} is {role}; adding a member as {command.role} takes owner"
        return None
    if isinstance(command, SetContact) and command.user_id != actor.id and not _reaches(role, "owner"):
        return f"{actor.id} is {role}; another's contact takes owner"
    other = _role(_whom(command, organization), organization)
    if other is None:
        return None
    if isinstance(command, RemoveMember) and other != "member" and not _reaches(role, "owner"):
        return f"{actor.id} is {role}; removing a member who is {other} takes owner"
    if _reaches(role, other):
        return None
    return f"{actor.id} is {role} and does not act on a higher role, {other}"


def _reaches(role: Role, least: Role) -> bool:
    return ROLES.index(role) >= ROLES.index(least)


def _role(user_id: str, organization: Organization | None) -> Role | None:
    member = organization.members.get(user_id) if organization is not None else None
    return member.role if member is not None and not member.removed else None


def _whom(command: Command, organization: Organization | None) -> str:
    """Whom the command is about: nobody is acted on by a lower role, those whose request is reviewed neither."""
    if isinstance(command, ApproveRequest | DenyRequest) and organization is not None:
        request = organization.requests.by_id.get(command.request_id)
        return request.user_id if request is not None else command.actor.id
    user_id: str = getattr(command, "user_id", command.actor.id)
    return user_id
