"""Who may do what: an actor and a command in, the reason why not out; the roles are the ledger's own (R1, R2).

The table of docs/rules.md, "Who may do what", as data: each command names the lowest role that may give it, or the
scope a service needs. Nobody acts on a higher role.
"""

from dataclasses import dataclass

from pipeline.domain.state import Organization
from schemas.commands import Actor, AddMember, Command, RegisterOrganization, Scope, SetCredits, SetOrganizationLimit
from schemas.organization import ROLES, Role


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who may give a command: members from a role upward, services with a scope."""

    role: Role | None = None
    scope: Scope | None = None


PERMISSIONS: dict[type[Command], Allowed] = {
    RegisterOrganization: Allowed(scope="billing:write"),
    SetCredits: Allowed(role="owner"),
    SetOrganizationLimit: Allowed(role="owner"),
    AddMember: Allowed(role="admin"),
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
    role = _role(actor, organization)
    if role is None:
        return f"{actor.id} is not a member"
    if ROLES.index(role) < ROLES.index(allowed.role):
        return f"{actor.id} is {role}; this takes {allowed.role}"
    if isinstance(command, AddMember) and command.role != "member" and ROLES.index(role) < ROLES.index("owner"):
        return f"{actor.id} is {role}; adding a member as {command.role} takes owner"
    return None


def _role(actor: Actor, organization: Organization | None) -> Role | None:
    member = organization.members.get(actor.id) if organization is not None else None
    return member.role if member is not None else None
