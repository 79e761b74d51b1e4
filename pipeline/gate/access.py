"""Who is calling and what they want to read come in; nothing goes out, or the problem that they may not.

Roles are those of our own state (R1). Somebody who is no member hears the same of an organisation that exists and of
one that does not.
"""

from pipeline.gate.parts import Gate
from pipeline.gate.problems import Problem, not_allowed
from schemas.commands import Actor, Scope
from schemas.organization import ROLES, Role


def may_read(gate: Gate, caller: Actor, org_id: str, *, least: Role, scope: Scope | None = None) -> None:
    """Members from a role upward, and services with a scope, may.

    Raises:
        Problem: 403; 503 while our state is not known whole; 404 to a service, of an organisation that is not.
    """
    if not gate.copy.is_whole:
        raise Problem(503, "not_ready", "the copy of credit-status is not whole yet", headers={"retry-after": "2"})
    if caller.kind == "user":
        member = gate.copy.member(org_id, caller.id)
        if member is None or member.removed:
            raise not_allowed(f"{caller.id} is not a member of {org_id}")
        if ROLES.index(member.role) < ROLES.index(least):
            raise not_allowed(f"{caller.id} is {member.role}; this takes {least}")
        return
    if scope is None or scope not in caller.scopes:
        raise not_allowed(f"a service needs scope {scope} for this" if scope else "no service may read this")
    if gate.copy.organization(org_id) is None:
        raise Problem(404, "unknown_organization", f"organization {org_id} is not registered")


def is_member(gate: Gate, caller: Actor, org_id: str) -> bool:
    """Whether a person is a member now, as far as the copy knows."""
    member = gate.copy.member(org_id, caller.id)
    return member is not None and not member.removed


def may_read_member(gate: Gate, caller: Actor, org_id: str, user_id: str, *, scope: Scope | None = None) -> None:
    """As may_read; everybody may read of themselves, of others admins and above.

    Raises:
        Problem
    """
    is_self = caller.kind == "user" and caller.id == user_id
    may_read(gate, caller, org_id, least="member" if is_self else "admin", scope=scope)


def needs_scope(caller: Actor, scope: Scope) -> None:
    """Only services with this scope may.

    Raises:
        Problem: 403
    """
    if caller.kind == "user" or scope not in caller.scopes:
        raise not_allowed(f"this takes scope {scope}")
