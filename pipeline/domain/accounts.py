"""Account commands: a command in; state changed, or not, and the events that say so out (R1-R2, R9a, R21-R31).

Each command has one function in COMMANDS. It answers what was before and what is after, plus events that follow, or
raises Refused; nothing is changed before the last reason to refuse has been looked at. Repeating a command answers as
the first time. Further commands take their place in schemas/commands.py, PERMISSIONS and COMMANDS.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import xxhash

from pipeline.domain import limits
from pipeline.domain.permissions import why_not
from pipeline.domain.refusals import Refused
from pipeline.domain.state import AnsweredCommand, Member, Organization, State
from schemas.commands import AddMember, Command, RegisterOrganization, SetCredits, SetOrganizationLimit
from schemas.events import CommandApplied, CommandRefused, CommandRepeated, LedgerEvent
from schemas.money import usd_from_picousd

NO_SEQ = 0
"""`org_seq` of an answer about an organisation that is not known: it has no sequence."""


class Outcome(NamedTuple):
    """What an applied command changed, and what follows from it."""

    before: dict[str, Any]
    after: dict[str, Any]
    events: list[LedgerEvent]


def apply(state: State, command: Command, at_micros: int) -> tuple[list[LedgerEvent], str]:
    """Apply or refuse one command that arrived at `at_micros`.

    Returns:
        Its answer and what follows from it, in order of `org_seq`; and `applied`, `refused` or `repeated`.
    """
    organization = state.organizations.get(command.org_id)
    answered = state.answers.get((command.org_id, command.command_id))
    digest = _digest(command)
    if answered is not None and answered.digest == digest:
        organization = state.organizations[command.org_id]
        state.touch(organization)
        repeated = CommandRepeated(
            org_id=command.org_id,
            org_seq=organization.next_seq(),
            at_micros=at_micros,
            command_id=command.command_id,
            answer=answered.answer,
        )
        return [repeated], "repeated"
    try:
        if answered is not None:
            raise Refused("command_id_reused", f"command {command.command_id} was given before, with another body")
        outcome = _decide(state, command, organization)
    except Refused as refusal:
        refused = _refusal(state, command, refusal, at_micros)
        if answered is None and organization is not None:
            _remember(state, command, digest, refused, at_micros)
        return [refused], "refused"
    organization = state.organizations[command.org_id]
    applied = CommandApplied(
        org_id=command.org_id,
        org_seq=organization.next_seq(),
        at_micros=at_micros,
        command_id=command.command_id,
        command=command.command,
        actor=command.actor,
        before=outcome.before,
        after=outcome.after,
    )
    events = [applied, *outcome.events]
    if isinstance(command, SetOrganizationLimit) and outcome.before != outcome.after:
        events += limits.limit_changed(state, organization, at_micros)
    _remember(state, command, digest, applied, at_micros)
    state.touch(organization)
    return events, "applied"


def refuse(state: State, command: Command, reason: str, detail: str, at_micros: int) -> CommandRefused:
    """The refusal of a command that could not be looked at (`internal_error`)."""
    return _refusal(state, command, Refused(reason, detail), at_micros)


def _decide(state: State, command: Command, organization: Organization | None) -> Outcome:
    if organization is None and not isinstance(command, RegisterOrganization):
        raise Refused("unknown_organization", f"organization {command.org_id} is not registered")
    forbidden = why_not(command, organization)
    if forbidden is not None:
        raise Refused("not_allowed", forbidden)
    if type(command) not in COMMANDS or getattr(command, "this_month_only", False):
        raise Refused("not_offered", f"{command.command} is not offered yet in this form")
    return COMMANDS[type(command)](state, command)


def _register_organization(state: State, command: RegisterOrganization) -> Outcome:
    if command.org_id in state.organizations:
        raise Refused("already_registered", f"organization {command.org_id} is registered already")
    if command.plan != "enterprise":
        raise Refused("plan_not_offered", f"plan {command.plan} is not offered yet; enterprise is")
    organization = Organization(org_id=command.org_id, plan=command.plan)
    state.organizations[command.org_id] = organization
    owner = Member(
        org_id=command.org_id, user_id=command.primary_owner, role="primary_owner", seat_tier=command.seat_tier
    )
    organization.members[owner.user_id] = owner
    state.touch(organization)
    state.touch(owner)
    after = {"plan": organization.plan, "primary_owner": owner.user_id, "credits_enabled": False}
    return Outcome({}, after, [])


def _set_credits(state: State, command: SetCredits) -> Outcome:
    organization = state.organizations[command.org_id]
    before = {"credits_enabled": organization.credits_enabled}
    organization.credits_enabled = command.enabled
    return Outcome(before, {"credits_enabled": command.enabled}, [])


def _add_member(state: State, command: AddMember) -> Outcome:
    organization = state.organizations[command.org_id]
    if command.role == "primary_owner":
        raise Refused("one_primary_owner", "primary ownership is handed over, not given with a new member")
    if command.user_id in organization.members:
        raise Refused("already_a_member", f"{command.user_id} is a member already")
    member = Member(org_id=command.org_id, user_id=command.user_id, role=command.role, seat_tier=command.seat_tier)
    organization.members[member.user_id] = member
    state.touch(member)
    return Outcome({}, {"user_id": member.user_id, "role": member.role, "seat_tier": member.seat_tier}, [])


def _set_organization_limit(state: State, command: SetOrganizationLimit) -> Outcome:
    organization = state.organizations[command.org_id]
    before = _limit(organization)
    if organization.limit_picousd != command.limit_usd:
        organization.limit_picousd = command.limit_usd
        organization.limit_version += 1
    return Outcome(before, _limit(organization), [])


def _limit(organization: Organization) -> dict[str, Any]:
    limit = organization.limit_picousd
    return {
        "limit_usd": None if limit is None else usd_from_picousd(limit),
        "limit_version": organization.limit_version,
    }


COMMANDS: dict[type[Command], Callable[[State, Any], Outcome]] = {
    RegisterOrganization: _register_organization,
    SetCredits: _set_credits,
    AddMember: _add_member,
    SetOrganizationLimit: _set_organization_limit,
}


def _refusal(state: State, command: Command, refusal: Refused, at_micros: int) -> CommandRefused:
    organization = state.organizations.get(command.org_id)
    if organization is not None:
        state.touch(organization)
    return CommandRefused(
        org_id=command.org_id,
        org_seq=organization.next_seq() if organization is not None else NO_SEQ,
        at_micros=at_micros,
        command_id=command.command_id,
        command=command.command,
        actor=command.actor,
        reason=refusal.reason,
        detail=str(refusal),
    )


def _remember(
    state: State, command: Command, digest: str, answer: CommandApplied | CommandRefused, at_micros: int
) -> None:
    remembered = AnsweredCommand(
        org_id=command.org_id,
        command_id=command.command_id,
        digest=digest,
        arrived_at_micros=at_micros,
        answer={"type": answer.TYPE, "data": answer.model_dump(mode="json")},
    )
    state.answers[command.org_id, command.command_id] = remembered
    state.touch(remembered)


def _digest(command: Command) -> str:
    return xxhash.xxh3_128_hexdigest(command.model_dump_json().encode())
