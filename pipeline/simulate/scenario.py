"""Accounts, usage and the end go in; the scenario of a run, and the same under what-if, come out.

A what-if takes the place of what was: commands that set the same limit, and took effect, give way to the one given.
Source: docs/rules.md R12, R21-R23.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from pipeline.domain.pricing import PriceBook
from pipeline.domain.rules import Rules
from pipeline.errors import Mendable
from pipeline.simulate.accounts_file import Accounts
from pipeline.simulate.run import Outcome, Scenario, Timed
from pipeline.simulate.spend import Who
from pipeline.simulate.usage import Usage
from schemas.commands import (
    COMMANDS,
    AddMember,
    Command,
    RegisterOrganization,
    SetOrganizationLimit,
    SetTierLimit,
    SetUserLimit,
)
from schemas.events import CommandApplied
from schemas.instants import MICROS_PER_SECOND
from schemas.month import Month
from schemas.organization import SEAT_TIERS

BEFORE_FIRST_USAGE_MICROS = MICROS_PER_SECOND


class WrongUsage(ValueError):
    """An option says something that cannot be done."""


@dataclass(frozen=True, slots=True)
class NewLimit:
    """`ORG[/tier:NAME|/user:ID]=AMOUNT|unlimited`."""

    who: Who
    limit_usd: str | None

    @classmethod
    def parse(cls, text: str) -> "NewLimit":
        """What an option says.

        Raises:
            WrongUsage: something else.
        """
        scope, equals, amount = text.rpartition("=")
        org_id, _, user_id = scope.partition("/user:")
        org_id, _, seat_tier = org_id.partition("/tier:")
        who = Who(org_id, seat_tier, user_id)
        if not (equals and org_id and amount) or (scope != str_of(who)):
            raise WrongUsage(f"{text!r}: write ORG=15.00, ORG/tier:premium=12.00, ORG/user:bruno=4.00 or …=unlimited")
        if seat_tier and seat_tier not in SEAT_TIERS:
            raise WrongUsage(f"{text!r}: there is no seat tier {seat_tier}; write {' or '.join(SEAT_TIERS)}")
        return cls(who, None if amount == "unlimited" else amount)


def str_of(who: Who) -> str:
    """A scope as people write it."""
    part = f"/user:{who.user_id}" if who.user_id else f"/tier:{who.seat_tier}" if who.seat_tier else ""
    return who.org_id + part


def scenario_of(accounts: Accounts, usage: Usage, book: PriceBook, until_micros: int | None, rules: Rules) -> Scenario:
    """The run that is: what organisations are like at the first instant, then commands and usage as they come.

    Raises:
        Mendable: there is no instant at all to begin with.
    """
    dated = [timed.at_micros for timed in accounts.commands if timed.at_micros is not None]
    used = [event.at_micros for event in usage.events if event.at_micros]
    from_micros = accounts.from_micros
    if from_micros is None:
        if not dated and not used:
            raise Mendable("no usage, no dated command, no `from`: nothing says when this is; give the file a `from:`")
        from_micros = min(dated + used) - BEFORE_FIRST_USAGE_MICROS
    if until_micros is None:
        last = Month.containing(max([from_micros, *dated, *used]))
        until_micros = last.end_micros + rules.grace_micros
    commands = [
        Timed(from_micros if timed.at_micros is None else timed.at_micros, timed.command) for timed in accounts.commands
    ]
    return Scenario(
        from_micros=from_micros,
        commands=sorted(commands, key=lambda timed: timed.at_micros),
        # What cannot be read and has no neighbour comes first.
        usage=[event if event.at_micros else replace(event, at_micros=from_micros) for event in usage.events],
        books=[(0, book)],
        until_micros=until_micros,
        billing=accounts.billing,
        rules=rules,
    )


def under_other_rules(
    scenario: Scenario, was: Outcome, limits: Sequence[NewLimit], book: PriceBook | None, month: Month | None
) -> Scenario:
    """The same scenario with other limits and another price book, from a month's first instant on.

    Raises:
        WrongUsage: the accounts know no such organisation or member, or it is no amount.
    """
    from_micros = month.start_micros if month else 0
    commands = list(scenario.commands)
    applied = {(event.org_id, event.command_id) for event in was.events if isinstance(event, CommandApplied)}
    for number, limit in enumerate(limits, start=1):
        at_micros = max(from_micros, _known_from(scenario.commands, limit.who))
        command = _set_limit(limit, f"what-if-{number}", commands, at_micros)
        commands = [timed for timed in commands if not _gives_way(timed, limit.who, at_micros, applied)]
        commands.append(Timed(at_micros, command))
        commands.sort(key=lambda timed: timed.at_micros)
    books = list(scenario.books)
    if book is not None:
        books = [(0, book)] if from_micros == 0 else [*books, (from_micros, book)]
    return replace(scenario, commands=commands, books=books)


def scope_of(command: Command) -> Who | None:
    """Whose limit a command sets."""
    match command:
        case SetOrganizationLimit():
            return Who(command.org_id)
        case SetTierLimit():
            return Who(command.org_id, seat_tier=command.seat_tier)
        case SetUserLimit():
            return Who(command.org_id, user_id=command.user_id)
    return None


def _gives_way(timed: Timed, who: Who, at_micros: int, applied: set[tuple[str, str]]) -> bool:
    """What was refused is refused again: it stays, so that only what is asked for differs."""
    command = timed.command
    was_applied = (command.org_id, command.command_id) in applied
    return scope_of(command) == who and timed.at_micros >= at_micros and was_applied


def _known_from(commands: Iterable[Timed], who: Who) -> int:
    """When the accounts know an organisation or a member."""
    members: set[str] = set()
    organizations: set[str] = set()
    for timed in commands:
        command = timed.command
        organizations.add(command.org_id)
        if command.org_id != who.org_id:
            continue
        new = {getattr(command, "user_id", "")} if isinstance(command, AddMember) else set()
        if isinstance(command, RegisterOrganization):
            new = {command.primary_owner}
            if not who.user_id:
                return timed.at_micros
        if who.user_id in new:
            return timed.at_micros
        members |= new
    if who.org_id not in organizations:
        raise WrongUsage(f"{str_of(who)}: no such organisation; the accounts know {', '.join(sorted(organizations))}")
    raise WrongUsage(f"{str_of(who)}: no such member; {who.org_id} has {', '.join(sorted(members))}")


def _set_limit(limit: NewLimit, command_id: str, commands: Sequence[Timed], at_micros: int) -> Command:
    who = limit.who
    fields: dict[str, Any] = {"command": "set_organization_limit"}
    if who.user_id:
        fields = {"command": "set_user_limit", "user_id": who.user_id}
    elif who.seat_tier:
        fields = {"command": "set_tier_limit", "seat_tier": who.seat_tier, "basis": _basis(commands, who, at_micros)}
    owner = next(
        timed.command.primary_owner
        for timed in commands
        if isinstance(timed.command, RegisterOrganization) and timed.command.org_id == who.org_id
    )
    wire = {
        "command_id": command_id,
        "org_id": who.org_id,
        "actor": {"kind": "user", "id": owner},
        "limit_usd": limit.limit_usd,
        **fields,
    }
    try:
        return COMMANDS.validate_python(wire)
    except ValidationError:
        raise WrongUsage(
            f"{str_of(who)}={limit.limit_usd}: write dollars with at most 2 decimals, such as 15.00, or unlimited"
        ) from None


def _basis(commands: Iterable[Timed], who: Who, at_micros: int) -> str:
    """How the tier's limit is meant: as the accounts have it at that time, else as they will."""
    of_tier = [(timed.at_micros, timed.command) for timed in commands if scope_of(timed.command) == who]
    before = [command for at, command in of_tier if at <= at_micros]
    chosen = before[-1] if before else of_tier[0][1] if of_tier else None
    return chosen.basis if isinstance(chosen, SetTierLimit) else "each_member"
