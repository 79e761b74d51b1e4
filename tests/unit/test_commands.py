"""Account commands as the gate writes them: what is one, and what is none (R1, R13)."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.commands import (
    COMMANDS,
    AddMember,
    Command,
    GrantCredits,
    RegisterOrganization,
    SetContact,
    SetCredits,
    SetOrganizationLimit,
    SetThresholds,
)
from tests.support import examples
from tests.support.builders import Wire, add_member, as_json, micros, register, set_credits, set_limit

EVERY = examples.COMMANDS

WITH_CHOICES: list[tuple[str, Wire]] = [
    ("register_organization", {"seat_tier": "premium"}),
    ("confirm_payment", {"purchase_id": "p-1"}),
    ("confirm_payment", {"purchase_id": None, "invoice_number": 3}),
    ("report_reload_failed", {"detail": "x" * 500}),
    ("grant_credits", {"expires_at": None}),
    ("adjust", {"direction": "credit", "amount_usd": "0"}),  # that it is nothing the ledger says
    ("set_member_credits", {"enabled": True}),
    ("set_organization_limit", {"limit_usd": "0"}),
    ("set_organization_limit", {"limit_usd": None, "this_month_only": True}),
    ("set_tier_limit", {"limit_usd": None, "basis": "whole_tier", "this_month_only": False}),
    ("set_user_limit", {"limit_usd": "999999999.99", "this_month_only": True}),
    ("set_thresholds", {"percents": []}),
    ("set_thresholds", {"percents": [*range(1, 10), 100]}),
    ("set_balance_notice", {"threshold_usd": None}),
    ("set_auto_reload", {"enabled": False, "threshold_usd": "0", "amount_usd": "0.01", "monthly_maximum_usd": "0"}),
    ("set_role", {"role": "primary_owner"}),  # that it is handed over instead the ledger says
    ("add_member", {"seat_tier": "premium", "role": "owner"}),
    ("approve_request", {"limit_usd": None, "seat_tier": "premium"}),
    ("request_credits", {"kind": "credits"}),
    ("set_contact", {"user_id": "bob", "fields": ["display_name", "email", "notices"]}),
]
VALID = [*EVERY.values(), *(EVERY[name] | change for name, change in WITH_CHOICES)]


def test_there_is_an_example_of_every_command() -> None:
    assert {type(COMMANDS.validate_python(wire)) for wire in EVERY.values()} == set(Command.__args__)


@pytest.mark.parametrize("wire", VALID, ids=lambda wire: wire["command"])
def test_a_command_is_told_by_its_name_and_written_as_it_was_read(wire: Wire) -> None:
    command = COMMANDS.validate_python(wire)
    assert command.command == wire["command"]
    assert COMMANDS.validate_json(command.model_dump_json()) == command
    assert COMMANDS.validate_json(as_json(wire)) == command


def test_what_may_be_left_out_has_its_default() -> None:
    registered, added = COMMANDS.validate_python(register()), COMMANDS.validate_python(add_member())
    assert isinstance(registered, RegisterOrganization)
    assert registered.seat_tier == "standard"
    assert isinstance(added, AddMember)
    assert (added.seat_tier, added.role) == ("standard", "member")
    tier_limit = COMMANDS.validate_python(EVERY["set_tier_limit"]).model_dump()
    assert (tier_limit["basis"], tier_limit["this_month_only"]) == ("each_member", False)


def test_an_amount_is_exact_and_null_lifts_the_limit() -> None:
    limited, lifted = COMMANDS.validate_python(set_limit("250")), COMMANDS.validate_python(set_limit(None))
    assert isinstance(limited, SetOrganizationLimit)
    assert limited.limit_usd == 250 * 10**12
    assert isinstance(lifted, SetOrganizationLimit)
    assert lifted.limit_usd is None


AMOUNTS = [(name, field) for name, wire in EVERY.items() for field in wire if field.endswith("_usd")]


@pytest.mark.parametrize(("name", "field"), AMOUNTS)
@pytest.mark.parametrize("usd", [250, 250.0, "250.001", "-1", "1000000000", "", "1e3", "２", True, "NaN", "null"])
def test_any_other_amount_is_none(name: str, field: str, usd: Any) -> None:
    with pytest.raises(ValidationError):
        COMMANDS.validate_python(EVERY[name] | {field: usd})


def test_percents_come_in_any_order() -> None:
    command = COMMANDS.validate_python(EVERY["set_thresholds"] | {"percents": [100, 1, 50]})
    assert isinstance(command, SetThresholds)
    assert command.percents == (1, 50, 100)


def test_contact_fields_in_another_order_are_the_same_command() -> None:
    one, other = (
        COMMANDS.validate_python(EVERY["set_contact"] | {"fields": fields})
        for fields in (["email", "display_name"], ["display_name", "email"])
    )
    assert isinstance(one, SetContact)
    assert one == other


def test_an_expiry_is_an_instant() -> None:
    command = COMMANDS.validate_python(EVERY["grant_credits"] | {"expires_at": "2026-07-01T02:00:00+02:00"})
    assert isinstance(command, GrantCredits)
    assert command.expires_at_micros == micros("2026-07-01T00:00:00Z")


WRONG: list[tuple[str, Wire]] = [
    ("set_credits", {"enabled": 1}),
    ("set_credits", {"enabled": "true"}),
    ("set_credits", {"enabled": None}),
    ("set_credits", {"command": "set_credit"}),
    ("set_credits", {"command": None}),
    ("set_credits", {"command_id": ""}),
    ("set_credits", {"command_id": "a b"}),
    ("set_credits", {"command_id": "x" * 129}),
    ("set_credits", {"org_id": "ü"}),
    ("set_credits", {"why": "because"}),
    ("set_credits", {"actor": None}),
    ("set_credits", {"actor": {"kind": "user"}}),
    ("set_credits", {"actor": {"kind": "root", "id": "r"}}),
    ("set_credits", {"actor": {"kind": "user", "id": "r", "role": "owner"}}),
    ("set_credits", {"actor": {"kind": "service", "id": "r", "scopes": ["everything"]}}),
    ("register_organization", {"plan": "free"}),
    ("register_organization", {"plan": None}),
    ("register_organization", {"primary_owner": ""}),
    ("register_organization", {"seat_tier": "gold"}),
    ("suspend_organization", {"enabled": True}),
    ("reinstate_organization", {"plan": "team"}),
    ("close_organization", {"note": "bye"}),
    ("change_plan", {"plan": "max"}),
    ("confirm_payment", {"payment_id": ""}),
    ("confirm_payment", {"amount_usd": None}),
    ("confirm_payment", {"purchase_id": ""}),
    ("confirm_payment", {"invoice_number": 0}),
    ("confirm_payment", {"invoice_number": "3"}),
    ("confirm_payment", {"purchase_id": "p-1", "invoice_number": 3}),
    ("report_reload_paid", {"reload_id": 1}),
    ("report_reload_paid", {"payment_id": None}),
    ("report_reload_failed", {"detail": ""}),
    ("report_reload_failed", {"detail": " "}),
    ("report_reload_failed", {"detail": "x" * 501}),
    ("report_reload_failed", {"detail": "\ud800"}),
    ("refund_purchase", {"purchase_payment_id": None}),
    ("grant_credits", {"expires_at": 1_800_000_000_000_000}),
    ("grant_credits", {"expires_at": "2026-12-31"}),
    ("grant_credits", {"expires_at_micros": "2026-12-31T00:00:00Z"}),
    ("adjust", {"direction": "both"}),
    ("adjust", {"note": None}),
    ("issue_credit_note", {"invoice_number": 0}),
    ("issue_credit_note", {"invoice_number": "3"}),
    ("issue_credit_note", {"note": ""}),
    ("set_member_default", {"enabled": None}),
    ("set_member_credits", {"enabled": "on"}),
    ("set_member_credits", {"user_id": ""}),
    ("set_organization_limit", {"this_month_only": None}),
    ("set_organization_limit", {"basis": "whole_tier"}),
    ("set_tier_limit", {"seat_tier": None}),
    ("set_tier_limit", {"basis": "half_tier"}),
    ("set_user_limit", {"user_id": None}),
    ("set_thresholds", {"percents": None}),
    ("set_thresholds", {"percents": 50}),
    ("set_thresholds", {"percents": "50"}),
    ("set_thresholds", {"percents": [0]}),
    ("set_thresholds", {"percents": [101]}),
    ("set_thresholds", {"percents": [50.0]}),
    ("set_thresholds", {"percents": ["50"]}),
    ("set_thresholds", {"percents": [True]}),
    ("set_thresholds", {"percents": [50, 80, 50]}),
    ("set_thresholds", {"percents": list(range(1, 12))}),
    ("set_balance_notice", {"threshold_usd": 5}),
    ("buy_credits", {"currency": "EUR"}),
    ("set_auto_reload", {"threshold_usd": None}),
    ("set_requests_enabled", {"enabled": 0}),
    ("set_role", {"role": "root"}),
    ("hand_over_ownership", {"user_id": None}),
    ("add_member", {"role": "root"}),
    ("add_member", {"user_id": 5}),
    ("remove_member", {"user_id": " "}),
    ("assign_seat", {"seat_tier": None}),
    ("approve_request", {"seat_tier": "premium"}),  # and a limit
    ("approve_request", {"limit_usd": None}),  # and no seat
    ("deny_request", {"request_id": None}),
    ("request_credits", {"kind": "money"}),
    ("request_credits", {"user_id": "bob"}),  # one asks for oneself
    ("set_contact", {"fields": []}),
    ("set_contact", {"fields": ["email", "email"]}),
    ("set_contact", {"fields": ["phone"]}),
    ("set_contact", {"email": "ann@example.com"}),
]


@pytest.mark.parametrize(("name", "change"), WRONG)
def test_anything_else_is_no_command(name: str, change: Wire) -> None:
    with pytest.raises(ValidationError):
        COMMANDS.validate_python(EVERY[name] | change)


def test_every_command_can_be_malformed_in_some_way_of_its_own() -> None:
    assert {name for name, _ in WRONG} == set(EVERY)


@pytest.mark.parametrize("wire", EVERY.values(), ids=lambda wire: wire["command"])
def test_no_field_may_be_missing(wire: Wire) -> None:
    for name in wire:
        with pytest.raises(ValidationError):
            COMMANDS.validate_python({other: value for other, value in wire.items() if other != name})


def test_a_command_says_which_one_it_is_without_being_told() -> None:
    actor = {"kind": "user", "id": "owner"}
    assert SetCredits(command_id="c", org_id="acme", actor=actor, enabled=True).command == "set_credits"


@pytest.mark.parametrize("wire", [register(), set_credits(), add_member(), set_limit("250"), set_limit(None)])
def test_the_builders_build_commands(wire: Wire) -> None:
    assert COMMANDS.validate_python(wire).command == wire["command"]
