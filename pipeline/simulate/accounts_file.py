"""An accounts file goes in; the account commands it stands for, each with its instant, come out.

What organisations are like becomes commands at the first instant; dated commands follow at theirs. The ledger gets
nothing else: so whatever the file asks for is applied or refused as it would be of anybody.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from pydantic import ValidationError

from pipeline.domain.permissions import PERMISSIONS
from pipeline.simulate.accounts_shape import AccountsFile, Billing, CommandEntry, OrganizationEntry, instant_or_day
from pipeline.simulate.mistakes import EXAMPLES, AccountsFileError, Mistakes, known_or_similar
from pipeline.simulate.yaml_text import NotYaml, Path, read_yaml
from schemas.commands import COMMANDS, Actor, Command

BILLING = Actor(kind="service", id="billing", scopes=("billing:write",))
MODELS: dict[str, type[Command]] = {model.model_fields["command"].default: model for model in PERMISSIONS}


@dataclass(frozen=True, slots=True)
class DatedCommand:
    """A command and when it arrives; None: at the first instant. `line` is of the file."""

    at_micros: int | None
    command: Command
    line: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """What an accounts file stands for. `from_micros` is None where the first usage decides."""

    from_micros: int | None
    billing: Billing
    commands: list[DatedCommand]


def read_accounts(file: File) -> Accounts:
    """The commands of an accounts file, those of the first instant first, each part in the order of the file.

    Raises:
        AccountsFileError: with the line, the key and what to write, of every mistake.
    """
    try:
        document = read_yaml(file.read_text(encoding="utf-8"))
    except NotYaml as error:
        raise AccountsFileError(f"{file}, line {error.line}: {error}") from None
    except UnicodeDecodeError:
        raise AccountsFileError(f"{file}: not a text in UTF-8; write it anew") from None
    mistakes = Mistakes(file, document)
    try:
        found = AccountsFile.model_validate({} if document.value is None else document.value)
    except ValidationError as error:
        mistakes.add_all((), error.errors(include_url=False), AccountsFile)
        mistakes.raise_any()
        raise
    if not found.organizations and not found.commands:
        mistakes.add((), "it names no organisation; write them below `organizations:`")
    expansion = _Expansion(found, mistakes, document.line_of)
    commands = [*expansion.of_organizations(), *expansion.of_commands()]
    mistakes.raise_any()
    return Accounts(found.from_micros, found.billing, commands)


class _Expansion:
    """Makes commands, one by one; what is wrong is noted, and the next one made."""

    def __init__(self, found: AccountsFile, mistakes: Mistakes, line_of: Any) -> None:
        self._found = found
        self._mistakes = mistakes
        self._line_of = line_of
        self._ids: Counter[tuple[str, str]] = Counter()
        self._owners = {entry.org_id: entry.primary_owner for entry in found.organizations}

    def of_organizations(self) -> Iterator[DatedCommand]:
        """The commands of the first instant."""
        seen: set[str] = set()
        for index, entry in enumerate(self._found.organizations):
            path: Path = ("organizations", index)
            if entry.org_id in seen:
                self._mistakes.add((*path, "org_id"), f"{entry.org_id} is there twice; take one out")
            seen.add(entry.org_id)
            for where, wire in _of_organization(entry, path, self._mistakes):
                by_billing = _is_billings(wire["command"])
                actor = BILLING if by_billing else Actor(kind="user", id=entry.primary_owner)
                about = wire.get("user_id") or (wire["command"] == "set_tier_limit" and wire["seat_tier"]) or ""
                command_id = self._unique(entry.org_id, "-".join(filter(None, (wire["command"], about))))
                common = {"org_id": entry.org_id, "actor": actor.model_dump(), "command_id": command_id}
                yield from self._made(None, {**wire, **common}, where)

    def of_commands(self) -> Iterator[DatedCommand]:
        """The dated ones, in the order of the file."""
        for entry in self._found.commands:
            if entry.command == "register_organization":
                self._owners.setdefault(entry.org_id or "", str(entry.own().get("primary_owner")))
        for index, entry in enumerate(self._found.commands):
            path: Path = ("commands", index)
            if (command := self._dated(entry, path)) is not None:
                yield from self._made(*command, path)

    def _dated(self, entry: CommandEntry, path: Path) -> tuple[int, dict[str, Any]] | None:
        """When, and the command's wire object; None if something about these is wrong."""
        if entry.command not in MODELS:
            if entry.command:
                what = f"there is no command {entry.command!r}; {known_or_similar(entry.command, MODELS)}"
                self._mistakes.add((*path, "command"), what)
            else:
                self._mistakes.add(path, _missing("command"))
            return None
        at_micros = self._at(entry, path)
        org_id = entry.org_id or (next(iter(self._owners)) if len(self._owners) == 1 else None)
        if org_id is None:
            self._mistakes.add(path, _missing("org_id"))
            return None
        actor = self._actor(entry, org_id, path)
        if actor is None or at_micros is None:
            return None
        command_id = entry.command_id or self._unique(org_id, f"line-{self._line_of(path)}")
        common = {"command": entry.command, "command_id": command_id, "org_id": org_id, "actor": actor}
        return at_micros, entry.own() | common

    def _at(self, entry: CommandEntry, path: Path) -> int | None:
        if entry.at is None:
            self._mistakes.add(path, _missing("at"))
            return None
        try:
            return instant_or_day(entry.at)
        except ValueError as error:
            self._mistakes.add((*path, "at"), f"{entry.at!r:.80}; {error}")
            return None

    def _actor(self, entry: CommandEntry, org_id: str, path: Path) -> Mapping[str, Any] | None:
        """`by` in its short form, or `actor` as it stands on the wire; whoever may, if neither is given."""
        if entry.actor is not None:
            if entry.by is not None:
                self._mistakes.add((*path, "by"), "both by and actor say who acts; take one out")
            return entry.actor
        by = entry.by or ("billing" if _is_billings(entry.command) else "owner")
        if by == "billing":
            return BILLING.model_dump()
        if by == "owner":
            if org_id not in self._owners:
                what = f"{org_id} is not under organizations, so its owner is not known"
                self._mistakes.add((*path, "by"), f"{what}; write `by: USER`")
                return None
            by = self._owners[org_id]
        return {"kind": "user", "id": by}

    def _made(self, at_micros: int | None, wire: dict[str, Any], path: Path) -> Iterator[DatedCommand]:
        try:
            command = COMMANDS.validate_python(wire, strict=False)
        except ValidationError as error:
            model = MODELS[wire["command"]]
            # Pydantic's place begins with the command.
            problems = [{**problem, "loc": problem["loc"][1:]} for problem in error.errors(include_url=False)]
            self._mistakes.add_all(path, problems, model)
            return
        yield DatedCommand(at_micros, command, self._line_of(path))

    def _unique(self, org_id: str, named: str) -> str:
        """A command id that is the same in every run and tells where the command came from."""
        self._ids[org_id, named] += 1
        count = self._ids[org_id, named]
        return named if count == 1 else f"{named}.{count}"


def _of_organization(entry: OrganizationEntry, path: Path, mistakes: Mistakes) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Where it is said, and the command's own fields. Purchases come before auto-reload, so that it finds a balance."""
    owner = next((member for member in entry.members if member.user_id == entry.primary_owner), None)
    seat_tier = (owner and owner.seat_tier) or entry.seat_tier
    if owner is not None and owner.role not in (None, "primary_owner"):
        index = entry.members.index(owner)
        mistakes.add((*path, "members", index, "role"), f"{owner.user_id} is the primary owner; leave it out")
    yield (
        path,
        {
            "command": "register_organization",
            "plan": entry.plan,
            "primary_owner": entry.primary_owner,
            "seat_tier": seat_tier,
        },
    )
    seen: set[str] = set()
    for index, member in enumerate(entry.members):
        where: Path = (*path, "members", index)
        if member.user_id in seen:
            mistakes.add((*where, "user_id"), f"{member.user_id} is there twice; take one out")
        seen.add(member.user_id)
        if member.user_id == entry.primary_owner:
            continue
        fields = {"user_id": member.user_id, "seat_tier": member.seat_tier or "standard"}
        yield where, {"command": "add_member", **fields, "role": member.role or "member"}
    if entry.credits:
        yield (*path, "credits"), {"command": "set_credits", "enabled": True}
    for key, command, field in _SETTINGS:
        if (value := getattr(entry, key)) is not None:
            yield (*path, key), {"command": command, field: value}
    yield from _limits(entry, path)
    for index, purchase in enumerate(entry.purchases):
        payment_id = purchase.payment_id or f"purchase-{index + 1}"
        fields = {"payment_id": payment_id, "amount_usd": purchase.amount_usd}
        yield (*path, "purchases", index), {"command": "confirm_payment", **fields}
    for index, grant in enumerate(entry.grants):
        yield (*path, "grants", index), {"command": "grant_credits", **grant.model_dump()}
    if entry.auto_reload is not None:
        yield (*path, "auto_reload"), {"command": "set_auto_reload", "enabled": True, **entry.auto_reload.model_dump()}


_SETTINGS = (
    ("member_default", "set_member_default", "enabled"),
    ("requests_enabled", "set_requests_enabled", "enabled"),
    ("thresholds", "set_thresholds", "percents"),
    ("balance_notice_usd", "set_balance_notice", "threshold_usd"),
)


def _limits(entry: OrganizationEntry, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The limits of all scopes, and members' own switches."""
    if "limit_usd" in entry.model_fields_set:
        yield path, {"command": "set_organization_limit", "limit_usd": entry.limit_usd}
    for index, tier in enumerate(entry.tier_limits):
        yield (*path, "tier_limits", index), {"command": "set_tier_limit", **tier.model_dump()}
    for index, member in enumerate(entry.members):
        where: Path = (*path, "members", index)
        if member.credits is not None:
            yield where, {"command": "set_member_credits", "user_id": member.user_id, "enabled": member.credits}
        if "limit_usd" in member.model_fields_set:
            yield where, {"command": "set_user_limit", "user_id": member.user_id, "limit_usd": member.limit_usd}


def _is_billings(command: str | None) -> bool:
    return PERMISSIONS[MODELS[command or ""]].scope is not None


def _missing(key: str) -> str:
    return f"{key} is missing; write `{key}: {EXAMPLES[key]}`"
