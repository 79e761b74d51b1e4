"""Account commands: a command in; state changed, or not, and the events that say so out (R1-R2, R14, R38b).

Each command has one function in COMMANDS. Nothing is changed before the last reason to refuse has been looked at, in
this order: who may, is the organisation closed, does its plan have this, is the amount one, then the function's own.
Repeating a command within the horizon answers as the first time.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import xxhash

from pipeline.domain import account_changes as accounts
from pipeline.domain import wallet_changes as wallets
from pipeline.domain.change import Change
from pipeline.domain.permissions import why_not
from pipeline.domain.refusals import Refused
from pipeline.domain.rules import Rules
from pipeline.domain.state import AnsweredCommand, Organization, State
from schemas import commands as said
from schemas.commands import Command, CommandHead
from schemas.events import CommandApplied, CommandRefused, CommandRepeated, LedgerEvent

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

NO_SEQ = 0
"""`org_seq` of an answer about an organisation that is not known: it has no sequence."""

COMMANDS: dict[type[Command], Callable[[Change, Any], None]] = {
    said.RegisterOrganization: accounts.register_organization,
    said.SuspendOrganization: lambda change, _: accounts.set_status(change, "suspended"),
    said.ReinstateOrganization: lambda change, _: accounts.set_status(change, "active"),
    said.CloseOrganization: lambda change, _: accounts.close_organization(change),
    said.ChangePlan: accounts.change_plan,
    said.ConfirmPayment: wallets.confirm_payment,
    said.ReportReloadPaid: wallets.report_reload_paid,
    said.ReportReloadFailed: wallets.report_reload_failed,
    said.RefundPurchase: wallets.refund_purchase,
    said.GrantCredits: wallets.grant_credits,
    said.Adjust: wallets.adjust,
    said.IssueCreditNote: wallets.issue_credit_note,
    said.SetCredits: accounts.set_credits,
    said.SetMemberDefault: accounts.set_member_default,
    said.SetMemberCredits: accounts.set_member_credits,
    said.SetOrganizationLimit: accounts.set_organization_limit,
    said.SetTierLimit: accounts.set_tier_limit,
    said.SetUserLimit: accounts.set_user_limit,
    said.SetThresholds: accounts.set_thresholds,
    said.SetBalanceNotice: wallets.set_balance_notice,
    said.BuyCredits: lambda change, command: wallets.buy_credits(change, command, command.actor),
    said.SetAutoReload: wallets.set_auto_reload,
    said.SetRequestsEnabled: accounts.set_requests_enabled,
    said.SetRole: accounts.set_role,
    said.HandOverOwnership: lambda change, command: accounts.hand_over_ownership(change, command, command.actor.id),
    said.AddMember: accounts.add_member,
    said.RemoveMember: accounts.remove_member,
    said.AssignSeat: accounts.assign_seat,
    said.ApproveRequest: lambda change, command: accounts.approve_request(change, command, command.actor.id),
    said.DenyRequest: lambda change, command: accounts.deny_request(change, command, command.actor.id),
    said.RequestCredits: lambda change, command: accounts.request_credits(change, command, command.actor.id),
    said.SetContact: accounts.set_contact,
}

ENTERPRISE_ONLY = (
    said.SetTierLimit,
    said.RequestCredits,
    said.ApproveRequest,
    said.DenyRequest,
    said.SetRequestsEnabled,
)
TEAM_ONLY = (said.BuyCredits, said.SetAutoReload, said.SetBalanceNotice)
NEVER_ZERO = (
    said.ConfirmPayment,
    said.ReportReloadPaid,
    said.RefundPurchase,
    said.GrantCredits,
    said.Adjust,
    said.IssueCreditNote,
    said.BuyCredits,
)


def apply(
    state: State, command: Command, at_micros: int, rules: Rules, clock_micros: int = 0
) -> tuple[list[LedgerEvent], str]:
    """Apply or refuse one command that arrived at `at_micros`.

    Args:
        rules: they say how long the answer is remembered (R38b).
        clock_micros: when its record was stamped here, later than its arrival where it came by a detour.

    Returns:
        Its answer and what follows from it, in order of `org_seq`; and `applied`, `refused` or `repeated`.
    """
    organization = state.organizations.get(command.org_id)
    answered = state.answers.get((command.org_id, command.command_id))
    # By when records came here, as forgetting goes: by a first arrival it would depend on what is forgotten already.
    came_micros = max(at_micros, clock_micros)
    if answered is not None and came_micros - answered.arrived_at_micros > rules.horizon_micros:
        answered = None
    digest = _digest(command)
    if answered is not None and answered.digest == digest and organization is not None:
        return [_repeated(state, organization, command, answered, at_micros)], "repeated"
    try:
        if answered is not None:
            raise Refused("command_id_reused", f"command {command.command_id} was given before, with another body")
        _refuse_what_may_not_be(command, organization)
    except Refused as refusal:
        answer = refuse(state, command, refusal.reason, str(refusal), at_micros)
        if answered is None and organization is not None:
            _remember(state, command, digest, answer, came_micros)
        return [answer], "refused"
    if organization is None:
        assert isinstance(command, said.RegisterOrganization)
        organization = Organization(org_id=command.org_id, plan=command.plan)
        state.organizations[command.org_id] = organization
    change = Change(state, organization, rules, command.command_id, at_micros, clock_micros)
    change.settle()
    # The answer comes before what follows from it. A refusal takes the number as well.
    answer_seq = organization.next_seq()
    try:
        COMMANDS[type(command)](change, command)
    except Refused as refusal:
        answer = _refused(command, refusal.reason, str(refusal), answer_seq, at_micros)
        _remember(state, command, digest, answer, came_micros)
        state.touch(organization)
        return [*change.events, answer], "refused"
    applied = CommandApplied(
        org_id=command.org_id,
        org_seq=answer_seq,
        at_micros=at_micros,
        command_id=command.command_id,
        command=command.command,
        actor=command.actor,
        before=change.before,
        after=change.after,
    )
    organization.note_stops()
    _remember(state, command, digest, applied, came_micros)
    state.tell(organization)
    return [applied, *change.events], "applied"


def refuse(state: State, command: Command | CommandHead, reason: str, detail: str, at_micros: int) -> CommandRefused:
    """Refuse a command that nothing was changed for."""
    organization = state.organizations.get(command.org_id)
    if organization is None:
        return _refused(command, reason, detail, NO_SEQ, at_micros)
    state.touch(organization)
    return _refused(command, reason, detail, organization.next_seq(), at_micros)


def forget(state: State, now_micros: int, horizon_micros: int, budget: int) -> None:
    """Let go of answers older than the horizon, the oldest first; at most so many."""
    for _ in range(min(budget, len(state.answers))):
        answered = next(iter(state.answers.values()))
        if now_micros - answered.arrived_at_micros <= horizon_micros:
            return
        state.answers.popitem(last=False)
        answered.answer = None
        state.touch(answered)


def _refuse_what_may_not_be(command: Command, organization: Organization | None) -> None:
    """What speaks against a command before it is looked at more closely."""
    org_id = command.org_id
    if organization is None and not isinstance(command, said.RegisterOrganization):
        raise Refused("unknown_organization", f"organization {org_id} is not registered")
    forbidden = why_not(command, organization)
    if forbidden is not None:
        raise Refused("not_allowed", forbidden)
    if organization is None:
        return
    if isinstance(command, said.RegisterOrganization):
        raise Refused("already_registered", f"organization {org_id} is registered already")
    if organization.status == "closed" and not _is_about_an_invoice(command):
        reason = "already_closed" if isinstance(command, said.CloseOrganization) else "organization_closed"
        raise Refused(reason, f"organization {org_id} is closed")
    if organization.plan == "team" and isinstance(command, ENTERPRISE_ONLY):
        raise Refused("not_on_team", f"{org_id} is on Team, which has no seat-tier limits and no requests")
    if organization.plan == "enterprise" and isinstance(command, TEAM_ONLY):
        raise Refused("not_on_enterprise", f"{org_id} is on Enterprise, which has no balance to buy")
    moves_money = isinstance(command, NEVER_ZERO) or (isinstance(command, said.SetAutoReload) and command.enabled)
    if moves_money and not getattr(command, "amount_usd", None):
        raise Refused("amount_is_zero", "an amount of 0 moves nothing")


def _is_about_an_invoice(command: Command) -> bool:
    """What is invoiced is paid or taken back after closing too (reading 10)."""
    return isinstance(command, said.IssueCreditNote) or (
        isinstance(command, said.ConfirmPayment) and command.invoice_number is not None
    )


def _repeated(
    state: State, organization: Organization, command: Command, answered: AnsweredCommand, at_micros: int
) -> CommandRepeated:
    state.touch(organization)
    assert answered.answer is not None
    return CommandRepeated(
        org_id=command.org_id,
        org_seq=organization.next_seq(),
        at_micros=at_micros,
        command_id=command.command_id,
        answer=_decode(answered.answer),
    )


def _refused(command: Command | CommandHead, reason: str, detail: str, org_seq: int, at_micros: int) -> CommandRefused:
    return CommandRefused(
        org_id=command.org_id,
        org_seq=org_seq,
        at_micros=at_micros,
        command_id=command.command_id,
        command=command.command,
        actor=command.actor,
        reason=reason,
        detail=detail,
    )


def _remember(
    state: State, command: Command, digest: str, answer: CommandApplied | CommandRefused, came_micros: int
) -> None:
    key = (command.org_id, command.command_id)
    state.answers.pop(key, None)  # one whose time is over makes way, and the new one goes to the end
    remembered = AnsweredCommand(
        org_id=command.org_id,
        command_id=command.command_id,
        digest=digest,
        arrived_at_micros=came_micros,
        answer=_encode({"type": answer.TYPE, "data": answer.model_dump(mode="json")}),
    )
    state.answers[key] = remembered
    state.touch(remembered)


def _digest(command: Command) -> str:
    return xxhash.xxh3_128_hexdigest(command.model_dump_json().encode())
