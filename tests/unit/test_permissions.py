"""Who may do what: every actor with every command, as the table of docs/rules.md has it (R1, R2)."""

import json
from itertools import product

import pytest

from pipeline.domain.permissions import PERMISSIONS
from schemas.commands import Command
from schemas.events import CommandApplied, CommandRefused
from tests.support.builders import BILLING, OPERATOR, Wire, add_member, register, set_credits, set_limit, user
from tests.support.ledger import LedgerInMemory

ACTORS: dict[str, Wire] = {
    "member": user("member"),
    "admin": user("admin"),
    "owner": user("another-owner"),
    "primary owner": user("owner"),
    "removed or never added": user("stranger"),
    "owner of another organisation": user("their-owner"),
    "user with a service's scope": {**user("member"), "scopes": ["billing:write", "operator"]},
    "billing service": BILLING,
    "service for usage": {"kind": "service", "id": "chat", "scopes": ["usage:write", "admission:read"]},
    "service without scopes": {"kind": "service", "id": "chat", "scopes": []},
    "service named like the owner": {"kind": "service", "id": "owner", "scopes": []},
    "operator": OPERATOR,
    "operator with billing's scope": {"kind": "operator", "id": "olga", "scopes": ["billing:write"]},
}
COMMANDS: dict[str, Wire] = {
    "register": register("newcomer"),
    "switch credits": set_credits(True),
    "set the limit": set_limit("5"),
    "add a member": add_member("new"),
    "add an admin": add_member("new", role="admin"),
    "add an owner": add_member("new", role="owner"),
}
OWNERS = {"owner", "primary owner"}
ALLOWED: dict[str, set[str]] = {
    "register": {"billing service"},
    "switch credits": OWNERS,
    "set the limit": OWNERS,
    "add a member": OWNERS | {"admin"},
    "add an admin": OWNERS,
    "add an owner": OWNERS,
}


def ledger_with_everybody() -> LedgerInMemory:
    ledger = LedgerInMemory()
    ledger.commands(
        register(),
        add_member("another-owner", role="owner"),
        add_member("admin", role="admin"),
        add_member("member"),
        register("globex", owner="their-owner"),
    )
    assert all(isinstance(answer, CommandApplied) for answer in ledger.answers)
    return ledger


def without_answers(ledger: LedgerInMemory) -> list[Wire]:
    """Everything that is remembered but who asked for what, and the numbers of what was said."""
    cells = [json.loads(value) for _, value in sorted(ledger.cells.items())]
    return [{**cell, "org_seq": None} for cell in cells if cell["cell"] not in ("command", "counters")]


@pytest.mark.parametrize(("command", "actor"), list(product(COMMANDS, ACTORS)))
def test_every_actor_with_every_command(command: str, actor: str) -> None:
    ledger = ledger_with_everybody()
    before = without_answers(ledger)
    ledger.commands({**COMMANDS[command], "command_id": "the-one", "actor": ACTORS[actor]})
    answer = ledger.answers[-1]
    assert answer.command_id == "the-one"
    assert answer.actor.model_dump(mode="json") == ACTORS[actor]
    if actor in ALLOWED[command]:
        assert isinstance(answer, CommandApplied)
        assert without_answers(ledger) != before
    else:
        assert isinstance(answer, CommandRefused)
        assert answer.reason == "not_allowed"
        assert answer.detail
        assert without_answers(ledger) == before


@pytest.mark.parametrize("actor", sorted(OWNERS))
def test_nobody_is_added_as_primary_owner(actor: str) -> None:
    ledger = ledger_with_everybody()
    ledger.commands({**add_member("new", role="primary_owner"), "actor": ACTORS[actor]})
    answer = ledger.answers[-1]
    assert isinstance(answer, CommandRefused)
    assert answer.reason == "one_primary_owner"


@pytest.mark.parametrize("actor", ["admin", "member", "billing service"])
def test_who_may_add_no_owner_is_told_so_first(actor: str) -> None:
    ledger = ledger_with_everybody()
    ledger.commands({**add_member("new", role="primary_owner"), "actor": ACTORS[actor]})
    answer = ledger.answers[-1]
    assert isinstance(answer, CommandRefused)
    assert answer.reason == "not_allowed"


def test_a_role_counts_from_the_command_that_gave_it() -> None:
    ledger = ledger_with_everybody()
    asked = {**set_limit("5"), "actor": user("new")}
    ledger.commands(
        {**asked, "command_id": "before"}, add_member("new", role="owner"), {**asked, "command_id": "after"}
    )
    assert [type(answer) for answer in ledger.answers[-3:]] == [CommandRefused, CommandApplied, CommandApplied]


def test_every_command_has_a_row_in_the_table() -> None:
    assert set(PERMISSIONS) == set(Command.__args__)
