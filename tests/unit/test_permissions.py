"""Who may do what: every actor with every command, as the table of docs/rules.md has it (R1, R2)."""

import json
from itertools import product

import pytest

from pipeline.domain.permissions import PERMISSIONS, why_not
from pipeline.domain.reloads import reload_id
from schemas.commands import COMMANDS, Command
from schemas.events import CommandApplied, CommandRefused, event_id
from tests.support import examples
from tests.support.builders import (
    BILLING,
    NOON,
    OPERATOR,
    Wire,
    add_member,
    command,
    register,
    searches,
    set_credits,
    set_limit,
    user,
)
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


def ledger_with_everybody(plan: str = "enterprise") -> LedgerInMemory:
    ledger = LedgerInMemory()
    ledger.commands(
        register(plan=plan),
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


# The same table through the ledger: every command as somebody could give it, were they allowed to.

GIVEN: dict[str, Wire] = {
    **examples.COMMANDS,
    "register_organization": examples.COMMANDS["register_organization"] | {"org_id": "newcomer"},
    "change_plan": examples.COMMANDS["change_plan"] | {"plan": "team"},
    "report_reload_paid": examples.COMMANDS["report_reload_paid"] | {"reload_id": reload_id("acme", 1)},
    "report_reload_failed": examples.COMMANDS["report_reload_failed"] | {"reload_id": reload_id("acme", 1)},
    "approve_request": examples.COMMANDS["approve_request"] | {"request_id": event_id("request", "acme", "ask")},
    "deny_request": examples.COMMANDS["deny_request"] | {"request_id": event_id("request", "acme", "ask")},
    "issue_credit_note": examples.COMMANDS["issue_credit_note"] | {"invoice_number": 1},
}
ABOUT_A_MEMBER = {name for name, wire in GIVEN.items() if "user_id" in wire} - {"add_member"}
BEFORE: dict[str, list[Wire]] = {
    "refund_purchase": [GIVEN["confirm_payment"]],
    "issue_credit_note": [GIVEN["change_plan"]],
    "report_reload_paid": [GIVEN["set_auto_reload"]],
    "report_reload_failed": [GIVEN["set_auto_reload"]],
    "approve_request": [set_credits(), command("request_credits", user("member"), command_id="ask", kind="credits")],
    "deny_request": [command("request_credits", user("member"), command_id="ask", kind="credits")],
    "reinstate_organization": [GIVEN["suspend_organization"]],
    "set_member_credits": [GIVEN["set_member_credits"] | {"user_id": "member", "enabled": False}],
    "set_user_limit": [GIVEN["set_user_limit"] | {"user_id": "member", "limit_usd": "5"}],
    "set_thresholds": [GIVEN["set_thresholds"] | {"percents": []}],
}
"""What must have happened, so that a command has something to change."""

TEAM = {"set_balance_notice", "buy_credits", "set_auto_reload", "report_reload_paid", "report_reload_failed"}
ASKS_ONLY = {"buy_credits", "set_contact"}
"""What is asked of billing, and what is written elsewhere: the ledger's own memory does not change."""


def ledger_before(name: str) -> LedgerInMemory:
    ledger = ledger_with_everybody("team" if name in TEAM else "enterprise")
    ledger.usage(searches("used", 2_000, user_id="member"))
    ledger.commands(
        *(
            wire | {"command_id": f"before-{number}"} if wire["command_id"] == "c" else wire
            for number, wire in enumerate(BEFORE.get(name, []))
        )
    )
    assert all(isinstance(answer, CommandApplied) for answer in ledger.answers)
    ledger.wait_until(NOON)  # members are looked at, where a command reached all of them
    return ledger


def given_by(name: str, actor: str) -> Wire:
    whom = {"user_id": "member"} if name in ABOUT_A_MEMBER else {}
    return GIVEN[name] | whom | {"command_id": "the-one", "actor": ACTORS[actor]}


@pytest.mark.parametrize("name", GIVEN)
def test_who_may_not_is_refused_and_nothing_changes_but_that_it_was_asked(name: str) -> None:
    ledger = ledger_before(name)
    before = without_answers(ledger)
    others = ACTORS.keys() - MAY[name] - (ONESELF if name == "set_contact" else set())
    assert others
    for number, actor in enumerate(sorted(others)):
        published = {topic: len(values) for topic, values in ledger.outputs.items() if topic != "credit-status"}
        ledger.commands(given_by(name, actor) | {"command_id": f"by-{number}"})
        answer = ledger.answers[-1]
        assert isinstance(answer, CommandRefused), actor
        # Who, what, why: the audit log has it.
        assert (answer.command, answer.reason) == (name, "not_allowed"), actor
        assert answer.actor.model_dump(mode="json") == ACTORS[actor]
        assert answer.detail
        assert without_answers(ledger) == before, actor
        now = {topic: len(values) for topic, values in ledger.outputs.items() if topic != "credit-status"}
        assert now == published | {"account-events": published["account-events"] + 1}, actor


PAIRS = [(name, actor) for name in GIVEN for actor in ACTORS if actor in MAY[name]]


@pytest.mark.parametrize(("name", "actor"), PAIRS)
def test_who_may_is_obeyed(name: str, actor: str) -> None:
    ledger = ledger_before(name)
    before = without_answers(ledger)
    ledger.commands(given_by(name, actor))
    answer = ledger.answers[-1]
    assert isinstance(answer, CommandApplied), answer
    assert (answer.command, answer.actor.model_dump(mode="json")) == (name, ACTORS[actor])
    assert (without_answers(ledger) == before) is (name in ASKS_ONLY)


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
