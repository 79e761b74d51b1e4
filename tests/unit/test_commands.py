"""Account commands as the gate writes them: what is one, and what is none (R1, R13)."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.commands import COMMANDS, AddMember, RegisterOrganization, SetCredits, SetOrganizationLimit
from tests.support.builders import Wire, add_member, as_json, register, set_credits, set_limit

VALID = [register(), set_credits(), add_member(), set_limit("250"), set_limit(None)]


@pytest.mark.parametrize("wire", VALID, ids=lambda wire: wire["command"])
def test_a_command_is_told_by_its_name_and_written_as_it_was_read(wire: Wire) -> None:
    command = COMMANDS.validate_python(wire)
    assert command.command == wire["command"]
    assert COMMANDS.validate_json(command.model_dump_json()) == command
    assert COMMANDS.validate_json(as_json(wire)) == command


def test_what_may_be_left_out_has_its_default() -> None:
    registered, _, added, *_ = [COMMANDS.validate_python(wire) for wire in VALID]
    assert isinstance(registered, RegisterOrganization)
    assert registered.seat_tier == "standard"
    assert isinstance(added, AddMember)
    assert (added.seat_tier, added.role) == ("standard", "member")


def test_an_amount_is_exact_and_null_lifts_the_limit() -> None:
    limited, lifted = (COMMANDS.validate_python(wire) for wire in VALID[-2:])
    assert isinstance(limited, SetOrganizationLimit)
    assert limited.limit_usd == 250 * 10**12
    assert isinstance(lifted, SetOrganizationLimit)
    assert lifted.limit_usd is None


@pytest.mark.parametrize("usd", [250, 250.0, "250.001", "-1", "1000000000", "", "1e3", "２", True, "NaN", "null"])
def test_any_other_amount_is_no_limit(usd: Any) -> None:
    with pytest.raises(ValidationError):
        COMMANDS.validate_python(set_limit("1") | {"limit_usd": usd})


WRONG: list[tuple[Wire, Wire]] = [
    (set_credits(), {"enabled": 1}),
    (set_credits(), {"enabled": "true"}),
    (set_credits(), {"enabled": None}),
    (set_credits(), {"command": "set_credit"}),
    (set_credits(), {"command": None}),
    (set_credits(), {"command_id": ""}),
    (set_credits(), {"command_id": "a b"}),
    (set_credits(), {"command_id": "x" * 129}),
    (set_credits(), {"org_id": "ü"}),
    (set_credits(), {"why": "because"}),
    (set_credits(), {"actor": None}),
    (set_credits(), {"actor": {"kind": "user"}}),
    (set_credits(), {"actor": {"kind": "root", "id": "r"}}),
    (set_credits(), {"actor": {"kind": "user", "id": "r", "role": "owner"}}),
    (set_credits(), {"actor": {"kind": "service", "id": "r", "scopes": ["everything"]}}),
    (register(), {"plan": "free"}),
    (register(), {"plan": None}),
    (register(), {"primary_owner": ""}),
    (register(), {"seat_tier": "gold"}),
    (add_member(), {"role": "root"}),
    (add_member(), {"user_id": 5}),
]


@pytest.mark.parametrize(("wire", "change"), WRONG)
def test_anything_else_is_no_command(wire: Wire, change: Wire) -> None:
    with pytest.raises(ValidationError):
        COMMANDS.validate_python(wire | change)


@pytest.mark.parametrize("wire", VALID, ids=lambda wire: wire["command"])
def test_no_field_may_be_missing(wire: Wire) -> None:
    for name in wire:
        with pytest.raises(ValidationError):
            COMMANDS.validate_python({other: value for other, value in wire.items() if other != name})


def test_a_command_says_which_one_it_is_without_being_told() -> None:
    actor = {"kind": "user", "id": "owner"}
    assert SetCredits(command_id="c", org_id="acme", actor=actor, enabled=True).command == "set_credits"
