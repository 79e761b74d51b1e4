"""Who may do what: every actor with every command, as the table of docs/rules.md has it (R1, R2)."""

import json
from itertools import product

import pytest

from pipeline.domain.permissions import PERMISSIONS, why_not
from schemas.commands import COMMANDS, Command
from schemas.events import CommandApplied, CommandRefused
from tests.support import examples
from tests.support.builders import BILLING, OPERATOR, Wire, add_member, command, register, set_credits, set_limit, user
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
APPLIED: dict[str, Wire] = {
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


@pytest.mark.parametrize(("command", "actor"), list(product(APPLIED, ACTORS)))
def test_every_actor_with_what_is_applied(command: str, actor: str) -> None:
    ledger = ledger_with_everybody()
    before = without_answers(ledger)
    ledger.commands({**APPLIED[command], "command_id": "the-one", "actor": ACTORS[actor]})
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


# The whole table, whether or not the ledger applies the command.

PRIMARY = {"primary owner"}
ADMINS = OWNERS | {"admin"}
ONESELF = {"member", "user with a service's scope"}  # both are `member`
MEMBERS = ADMINS | ONESELF
MAY: dict[str, set[str]] = {
    **{wire["command"]: {"billing service"} for wire in examples.BY_BILLING},
    **{wire["command"]: OWNERS for wire in examples.BY_OWNERS},
    **{wire["command"]: ADMINS for wire in examples.BY_ADMINS},
    "hand_over_ownership": PRIMARY,
    "request_credits": MEMBERS,
    "set_contact": OWNERS,  # another's
}


def may(wire: Wire, actor: str) -> bool:
    organization = ledger_with_everybody().machine.state.organizations["acme"]
    return why_not(COMMANDS.validate_python({**wire, "actor": ACTORS[actor]}), organization) is None


@pytest.mark.parametrize("name", examples.COMMANDS)
def test_every_actor_with_every_command_about_a_plain_member(name: str) -> None:
    wire = examples.COMMANDS[name]
    if "user_id" in wire and name != "add_member":
        wire = wire | {"user_id": "member"}
    allowed = MAY[name] | (ONESELF if name == "set_contact" else set())
    assert {actor for actor in ACTORS if may(wire, actor)} == allowed


BY_TARGET: list[tuple[Wire, set[str]]] = [
    (command("set_contact", user_id="admin", fields=["email"]), ADMINS),  # an admin's own
    (command("set_contact", user_id="another-owner", fields=["email"]), OWNERS),
    (command("set_contact", user_id="owner", fields=["email"]), PRIMARY),
    (command("set_contact", user_id="stranger", fields=["email"]), OWNERS),
    (command("remove_member", user_id="admin"), OWNERS),
    (command("remove_member", user_id="another-owner"), OWNERS),
    (command("remove_member", user_id="owner"), PRIMARY),  # refused for another reason
    (command("assign_seat", user_id="admin", seat_tier="premium"), ADMINS),
    (command("assign_seat", user_id="another-owner", seat_tier="premium"), OWNERS),
    (command("assign_seat", user_id="stranger", seat_tier="premium"), ADMINS),  # refused for another reason
    (command("set_user_limit", user_id="another-owner", limit_usd="5"), OWNERS),
    (command("set_user_limit", user_id="owner", limit_usd="5"), PRIMARY),
    (command("set_role", user_id="another-owner", role="member"), OWNERS),
    (command("set_role", user_id="owner", role="member"), PRIMARY),
    (command("hand_over_ownership", user_id="another-owner"), PRIMARY),
]


@pytest.mark.parametrize(("wire", "allowed"), BY_TARGET)
def test_nobody_acts_on_a_higher_role(wire: Wire, allowed: set[str]) -> None:
    assert {actor for actor in ACTORS if may(wire, actor)} == allowed
