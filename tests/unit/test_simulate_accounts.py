"""Accounts files: what a person writes becomes commands, or a sentence with its line and what to write."""

from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pipeline.simulate.accounts_file import Accounts, AccountsFileError, read_accounts
from pipeline.simulate.accounts_shape import OrganizationEntry
from schemas.instants import parse_instant

EXAMPLE = Path(__file__).parents[2] / "examples" / "accounts.yaml"

ACME = """
    organizations:
      - org_id: acme
        plan: enterprise
        primary_owner: olga
"""


def read(tmp_path: Path, text: str) -> Accounts:
    file = tmp_path / "accounts.yaml"
    file.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return read_accounts(file)


def said(accounts: Accounts) -> list[tuple[str, str, dict[str, Any]]]:
    """Command, who gives it, and its own fields that are not defaults."""
    found = []
    for dated in accounts.commands:
        wire = dated.command.model_dump(mode="json", exclude_defaults=True)
        own = {name: value for name, value in wire.items() if name not in ("command_id", "org_id", "actor")}
        found.append((dated.command.command, dated.command.actor.id, own))
    return found


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(AccountsFileError) as raised:
        read(tmp_path, text)
    return [line.replace(f"{tmp_path / 'accounts.yaml'}, ", "") for line in str(raised.value).splitlines()]


def test_an_organization_is_registered_by_billing_and_its_owner_switches_credits_on(tmp_path: Path) -> None:
    accounts = read(tmp_path, ACME)
    assert said(accounts) == [
        ("register_organization", "billing", {"plan": "enterprise", "primary_owner": "olga"}),
        ("set_credits", "olga", {"enabled": True}),
    ]
    assert [dated.at_micros for dated in accounts.commands] == [None, None]


def test_credits_may_stay_off_as_at_registration(tmp_path: Path) -> None:
    assert [command for command, _, _ in said(read(tmp_path, ACME + "        credits: off\n"))] == [
        "register_organization"
    ]


def test_limits_of_all_scopes_become_commands_of_the_owner(tmp_path: Path) -> None:
    text = (
        ACME
        + """
        limit_usd: 250
        tier_limits:
          - {seat_tier: premium, limit_usd: 50.5, basis: whole_tier}
        thresholds: [90, 50]
        members:
          - {user_id: ann, seat_tier: premium, role: admin, limit_usd: 7.25}
          - {user_id: bob, credits: off}
          - {user_id: olga, seat_tier: premium, limit_usd: unlimited}
    """
    )
    assert said(read(tmp_path, text)) == [
        ("register_organization", "billing", {"plan": "enterprise", "primary_owner": "olga", "seat_tier": "premium"}),
        ("add_member", "olga", {"user_id": "ann", "seat_tier": "premium", "role": "admin"}),
        ("add_member", "olga", {"user_id": "bob"}),
        ("set_credits", "olga", {"enabled": True}),
        ("set_thresholds", "olga", {"percents": [50, 90]}),
        ("set_organization_limit", "olga", {"limit_usd": "250.00"}),
        ("set_tier_limit", "olga", {"seat_tier": "premium", "limit_usd": "50.50", "basis": "whole_tier"}),
        ("set_user_limit", "olga", {"user_id": "ann", "limit_usd": "7.25"}),
        ("set_member_credits", "olga", {"user_id": "bob", "enabled": False}),
        ("set_user_limit", "olga", {"user_id": "olga", "limit_usd": None}),
    ]


def test_a_teams_credits_are_paid_before_auto_reload_looks_at_the_balance(tmp_path: Path) -> None:
    text = """
        organizations:
          - org_id: acme
            plan: team
            primary_owner: olga
            auto_reload: {threshold_usd: 10, amount_usd: 50, monthly_maximum_usd: 200}
            purchases: [{amount_usd: 100}, {amount_usd: 20, payment_id: pay-7}]
            grants: [{amount_usd: 5, expires_at: 2026-12-31T00:00:00Z}]
    """
    assert said(read(tmp_path, text))[2:] == [
        ("confirm_payment", "billing", {"payment_id": "purchase-1", "amount_usd": "100.00"}),
        ("confirm_payment", "billing", {"payment_id": "pay-7", "amount_usd": "20.00"}),
        ("grant_credits", "billing", {"amount_usd": "5.00", "expires_at": "2026-12-31T00:00:00Z"}),
        (
            "set_auto_reload",
            "olga",
            {"enabled": True, "threshold_usd": "10.00", "amount_usd": "50.00", "monthly_maximum_usd": "200.00"},
        ),
    ]


def test_a_dated_command_is_given_by_whom_it_says_or_by_who_may(tmp_path: Path) -> None:
    text = (
        ACME
        + """
    commands:
      - {at: 2026-02-11, command: suspend_organization}
      - {at: 2026-02-12T09:30:00+01:00, command: set_credits, enabled: off}
      - {at: 2026-02-13, by: ann, command: request_credits, kind: credits}
      - {at: 2026-02-14, actor: {kind: operator, id: otto, scopes: [operator]}, command: close_organization}
    """
    )
    accounts = read(tmp_path, text)
    assert [(command, by) for command, by, _ in said(accounts)[2:]] == [
        ("suspend_organization", "billing"),
        ("set_credits", "olga"),
        ("request_credits", "ann"),
        ("close_organization", "otto"),
    ]
    dated = accounts.commands[2:]
    assert [one.at_micros for one in dated[:2]] == [
        parse_instant("2026-02-11T00:00:00Z"),
        parse_instant("2026-02-12T08:30:00Z"),
    ]
    # An id tells where in the file a command stands.
    lines = [line.strip() for line in (tmp_path / "accounts.yaml").read_text().splitlines()]
    assert dated[0].command.command_id == f"line-{lines.index('- {at: 2026-02-11, command: suspend_organization}') + 1}"


def test_command_ids_differ_within_an_organization_and_are_the_same_in_every_run() -> None:
    first, second = read_accounts(EXAMPLE), read_accounts(EXAMPLE)
    ids = [(dated.command.org_id, dated.command.command_id) for dated in first.commands]
    assert len(ids) == len(set(ids))
    assert first == second


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("seat_tire: premium", "there is no such key; did you mean seat_tier?"),
        ("seat_tier: gold", "'gold' is none of them; write 'standard' or 'premium'"),
        ("limit_usd: 1e3", "'1e3'; write dollars with at most 2 decimals, such as 15.00"),
        ("limit_usd: $15", "'$15'; write dollars with at most 2 decimals, such as 15.00"),
        ("credits: maybe", "'maybe'; write on or off"),
        ("thresholds: [50, half]", "'half'; write a whole number"),
        ("members: ann", "'ann'; write a list, each entry on a line of its own with a dash before it"),
        ("members:", "it has no value; write a list, each entry on a line of its own with a dash before it"),
        ("members: [{seat_tier: premium}]", "user_id is missing; write `user_id: bruno`"),
        ("members: [{user_id: ann}, {user_id: ann}]", "ann is there twice; take one out"),
        ("members: [{user_id: olga, role: admin}]", "olga is the primary owner; leave it out"),
        ("members: [{user_id: a b}]", "'a b'; an id has 1 to 128 printable ASCII characters and no space"),
    ],
)
def test_a_mistake_in_an_organization_is_told_with_its_line(tmp_path: Path, wrong: str, sentence: str) -> None:
    (mistake,) = mistakes(tmp_path, ACME + f"        {wrong}\n")
    assert mistake.startswith("line 5: organizations[0]")
    assert mistake.endswith(f": {sentence}")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("{command: set_credits, enabled: on}", "commands[0]: at is missing; write `at: 2026-02-11T22:40:00Z`"),
        ("{at: 2026-02-11}", "commands[0]: command is missing; write `command: set_organization_limit`"),
        (
            "{at: 2026-02-11, command: set_organisation_limit}",
            "commands[0].command: there is no command 'set_organisation_limit'; did you mean set_organization_limit?",
        ),
        (
            "{at: yesterday, command: set_credits, enabled: on}",
            "commands[0].at: 'yesterday'; write an instant such as 2026-02-11T22:40:00Z, or a day such as 2026-02-11",
        ),
        (
            "{at: 2026-02-11, command: set_credits}",
            "commands[0]: enabled is missing; write `enabled: on`",
        ),
        (
            "{at: 2026-02-11, command: set_organization_limit, limit: 5, limit_usd: 5}",
            "commands[0].limit: there is no such key; did you mean limit_usd?",
        ),
        (
            "{at: 2026-02-11, org_id: globex, by: owner, command: close_organization}",
            "commands[0].by: globex is not under organizations, so its owner is not known; write `by: USER`",
        ),
        (
            "{at: 2026-02-11, by: ann, actor: {kind: user, id: ann}, command: set_credits, enabled: on}",
            "commands[0].by: both by and actor say who acts; take one out",
        ),
    ],
)
def test_a_mistake_in_a_command_is_told_with_its_line(tmp_path: Path, wrong: str, sentence: str) -> None:
    assert mistakes(tmp_path, ACME + f"    commands:\n      - {wrong}\n") == [f"line 6: {sentence}"]


def test_all_mistakes_are_told_at_once_by_line(tmp_path: Path) -> None:
    text = """
        organizations:
          - {org_id: acme, plan: business, primary_owner: olga}
          - {org_id: globex, plan: team}
    """
    assert mistakes(tmp_path, text) == [
        "line 2: organizations[0].plan: 'business' is none of them; write 'team' or 'enterprise'",
        "line 3: organizations[1]: primary_owner is missing; write `primary_owner: nadia`",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: the file: it names no organisation; write them below `organizations:`"),
        ("organizations: [\n", "line 2: not YAML: expected the node content, but found '<stream end>'"),
        ("commands: []\ncommands: []\n", "line 2: the key 'commands' is there twice; take one out"),
        ("- acme\n", "line 1: the file: write keys with values below it"),
    ],
)
def test_a_file_that_is_none_is_told_so(tmp_path: Path, text: str, sentence: str) -> None:
    assert mistakes(tmp_path, text) == [sentence]


@pytest.mark.parametrize("value", ["", "[]", "{}", "[[x]]", "{a: {b: c}}", "x", "-1", "&a [*a]", "{[a]: b}"])
def test_whatever_stands_behind_a_key_is_taken_or_told(tmp_path: Path, value: str) -> None:
    of_organization = [*OrganizationEntry.model_fields]
    of_command = ["at", "by", "actor", "org_id", "command", "command_id", "enabled"]
    command = {"at": "2026-02-11", "org_id": "acme", "command": "set_credits", "enabled": "on"}
    for key in of_organization:
        lines = {"org_id": "acme", "plan": "team", "primary_owner": "olga"} | {key: value}
        take_or_tell(tmp_path, "organizations:\n  -" + "".join(f"\n    {name}: {of}" for name, of in lines.items()))
    for key in of_command:
        keys = ", ".join(f"{name}: {of}" for name, of in (command | {key: value}).items())
        take_or_tell(tmp_path, ACME + f"    commands:\n      - {{{keys}}}")
    for key in ("from", "billing", "organizations", "commands"):
        take_or_tell(tmp_path, f"{key}: {value}\n")


def take_or_tell(tmp_path: Path, text: str) -> None:
    """Anything but a sentence is raised as it is."""
    with suppress(AccountsFileError):
        read(tmp_path, text)
