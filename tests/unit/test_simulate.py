"""`usage-credits simulate`: the ledger's own answers from two files, and what would be under other rules."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.price_book import PACKAGED
from tests.support.builders import Wire, cloud_event, correction, searches

EXAMPLES = Path(__file__).parents[2] / "examples"

ACME = """
organizations:
  - org_id: acme
    plan: enterprise
    primary_owner: olga
    limit_usd: 10.00
    members: [{user_id: ann}, {user_id: bob, seat_tier: premium}]
"""


@pytest.fixture(autouse=True)
def in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, accounts: str = ACME, usage: list[Any] | None = None) -> Result:
    """Simulate ACME and some usage; an event is written as JSON, a text as it is."""
    Path("accounts.yaml").write_text(accounts, encoding="utf-8")
    lines = [line if isinstance(line, str) else json.dumps(line) for line in usage or []]
    Path("usage.ndjson").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return CliRunner().invoke(main, ["simulate", "accounts.yaml", "usage.ndjson", *arguments])


def said(*arguments: str, accounts: str = ACME, usage: list[Any] | None = None) -> Any:
    result = run("--json", *arguments, accounts=accounts, usage=usage)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def used(event_id: str, at: str, cents: int, **fields: Any) -> Wire:
    return searches(event_id, cents, occurred_at=at, **fields)


FEBRUARY = "2026-02-20T10:00:00Z"
MARCH = "2026-03-05T10:00:00Z"


def month_to_date(run: Any, table: str = "organizations") -> list[tuple[str, str, str]]:
    """Month, spend, and what of it came while paused."""
    return [(row["month"], row["spend_usd"], row["after_pause_usd"]) for row in run["month_to_date"][table]]


def test_spend_is_summed_and_a_limit_pauses_what_comes_after_it() -> None:
    simulated = said(usage=[used("e-1", FEBRUARY, 600), used("e-2", FEBRUARY, 500), used("e-3", FEBRUARY, 50)])
    # 6.00 + 5.00 reach 10.00; 0.50 comes all the same.
    assert month_to_date(simulated) == [("2026-02", "11.50", "0.50")]
    (breach,) = simulated["published"]["limit.breached"]
    assert (breach["limit_usd"], breach["spend_usd"], breach["overshoot_usd"]) == ("10.00", "11.00", "1.00")
    assert breach["crossing"]["event_id"] == "e-2"
    assert simulated["month_to_date"]["organizations"][0]["limit_usd"] == "10.00"


def test_a_correction_changes_what_was_spent_and_not_how_many_requests_there_were() -> None:
    wrong = used("e-1", FEBRUARY, 300)
    simulated = said(usage=[wrong, correction("e-2", 100, wrong)])
    for table in ("organizations", "tiers", "members"):
        (row,) = simulated["month_to_date"][table]
        assert (row["spend_usd"], row["credits_events"]) == ("1.00", 1)


def test_an_invoice_is_shown_once_and_its_draft_among_the_notices() -> None:
    shown = run(usage=[used("e-1", FEBRUARY, 300)]).stdout
    assert "Invoices  finalised" in shown
    assert "invoice.drafted" in shown
    assert "invoice.finalized" not in shown


def test_tiers_and_members_add_up_to_their_organization() -> None:
    simulated = said(usage=[used("e-1", FEBRUARY, 100), used("e-2", FEBRUARY, 200, user_id="bob")])
    tables = simulated["month_to_date"]
    assert [(row["seat_tier"], row["spend_usd"]) for row in tables["tiers"]] == [
        ("premium", "2.00"),
        ("standard", "1.00"),
    ]
    assert [(row["user_id"], row["spend_usd"]) for row in tables["members"]] == [("bob", "2.00"), ("ann", "1.00")]
    assert tables["organizations"][0]["spend_usd"] == "3.00"


def test_usage_comes_in_order_of_time_whatever_the_order_and_form_of_the_lines() -> None:
    early, late = used("early", "2026-02-20T09:00:00Z", 1000, source="chat"), used("late", FEBRUARY, 1000)
    for usage in ([late, early], [early, late], [[late, early]], ["", cloud_event(early), late]):
        (breach,) = said(usage=usage)["published"]["limit.breached"]
        assert breach["crossing"]["event_id"] == "early"


def test_a_command_takes_effect_before_usage_of_its_instant() -> None:
    raised = ACME + f"commands: [{{at: {FEBRUARY}, command: set_organization_limit, limit_usd: 20}}]\n"
    simulated = said(accounts=raised, usage=[used("e-1", FEBRUARY, 1_500)])
    assert "limit.breached" not in simulated["published"]


def test_a_months_limit_is_the_one_at_its_end() -> None:
    raised = ACME + f"commands: [{{at: {MARCH}, command: set_organization_limit, limit_usd: 20}}]\n"
    simulated = said(accounts=raised, usage=[used("e-1", FEBRUARY, 100), used("e-2", MARCH, 100)])
    assert [(row["month"], row["limit_usd"]) for row in simulated["month_to_date"]["organizations"]] == [
        ("2026-02", "10.00"),
        ("2026-03", "20.00"),
    ]
    # Until the books of the last month are closed: 72 hours after its end.
    assert simulated["until"] == "2026-04-04T00:00:00Z"


def test_what_comes_after_the_end_is_left_out() -> None:
    simulated = said("--until", "2026-03-01", usage=[used("e-1", FEBRUARY, 100), used("e-2", MARCH, 100)])
    assert month_to_date(simulated) == [("2026-02", "1.00", "0.00")]
    assert simulated["left_out"] == 1


def test_usage_of_another_century_does_not_take_time_there() -> None:
    usage = [used("e-1", FEBRUARY, 100), used("e-2", "9999-12-31T00:00:00Z", 100), used("e-3", MARCH, 100)]
    simulated = said(usage=usage)
    assert [letter["reason"] for letter in simulated["dead_letters"]] == ["in_the_future"]
    assert month_to_date(simulated) == [("2026-02", "1.00", "0.00"), ("2026-03", "1.00", "0.00")]


def test_usage_may_come_from_stdin() -> None:
    Path("accounts.yaml").write_text(ACME, encoding="utf-8")
    given = json.dumps(used("e-1", FEBRUARY, 100, user_id="eve"))
    result = CliRunner().invoke(main, ["simulate", "accounts.yaml", "-", "--json"], input=given)
    assert [letter["place"] for letter in json.loads(result.stdout)["dead_letters"]] == ["<stdin>:1"]


def test_brackets_are_shown_as_they_are() -> None:
    shown = run(usage=[used("e-1", FEBRUARY, 100, user_id="[bold]eve")]).stdout
    assert "[bold]eve" in shown


def test_refusals_and_what_cannot_be_read_are_told_with_where_they_stand() -> None:
    tried = ACME + f"commands: [{{at: {FEBRUARY}, by: ann, command: set_organization_limit, limit_usd: 99}}]\n"
    usage = [used("e-1", FEBRUARY, 100), "no JSON", used("e-2", FEBRUARY, 100, user_id="eve")]
    simulated = said(accounts=tried, usage=usage)
    (refused,) = simulated["published"]["command.refused"]
    assert (refused["command_id"], refused["reason"]) == ("line-8", "not_allowed")
    assert [(letter["place"], letter["reason"]) for letter in simulated["dead_letters"]] == [
        ("usage.ndjson:2", "malformed"),
        ("usage.ndjson:3", "unknown_member"),
    ]
    assert simulated["events"] == {"read": 3, "accepted": 1, "duplicates": 0, "dead_letters": 2}


def test_only_strict_makes_a_refusal_or_a_dead_letter_a_failure() -> None:
    usage = [used("e-1", FEBRUARY, 100, user_id="eve")]
    assert run(usage=usage).exit_code == 0
    assert run("--strict", usage=usage).exit_code == 1
    assert run("--strict", usage=[used("e-1", FEBRUARY, 100)]).exit_code == 0


# What if.


def test_under_another_limit_the_spend_is_the_same_and_other_usage_is_paused() -> None:
    both = said("--set-limit", "acme=6.00", usage=[used(f"e-{n}", FEBRUARY, 300) for n in range(1, 5)])
    # 4 x 3.00: at 10.00 the fourth crosses, at 6.00 the second, and 3.00 + 3.00 come behind it.
    assert month_to_date(both["was"]) == [("2026-02", "12.00", "0.00")]
    assert month_to_date(both["would_be"]) == [("2026-02", "12.00", "6.00")]
    of_acme = both["difference"]["month_to_date"][0]
    assert (of_acme["org_id"], of_acme["spend_usd"], of_acme["after_pause_usd"]) == ("acme", "0.00", "6.00")


def test_another_limit_takes_the_place_of_every_command_that_set_it_and_took_effect() -> None:
    story = ACME + (
        "commands:\n"
        "  - {at: 2026-02-20T11:00:00Z, by: ann, command: set_organization_limit, limit_usd: 99}\n"
        "  - {at: 2026-02-20T12:00:00Z, by: owner, command: set_organization_limit, limit_usd: 20}\n"
    )
    usage = [used("e-1", FEBRUARY, 1_000), used("e-2", "2026-02-20T13:00:00Z", 100)]
    both = said("--set-limit", "acme=unlimited", accounts=story, usage=usage)
    published = both["difference"]["published"]
    # One command in place of two, and no limit to reach; ann is refused all the same.
    assert {"command.applied": -1, "limit.breached": -1, "limit.resumed": -1}.items() <= published.items()
    assert "command.refused" not in published
    limit = both["would_be"]["month_to_date"]["organizations"][0]["limit_usd"]
    assert limit is None


def test_another_limit_may_hold_from_a_month_on() -> None:
    usage = [used("e-1", FEBRUARY, 500), used("e-2", MARCH, 500), used("e-3", MARCH, 100)]
    both = said("--set-limit", "acme=5.00", "--from", "2026-03", usage=usage)
    assert month_to_date(both["would_be"]) == [("2026-02", "5.00", "0.00"), ("2026-03", "6.00", "1.00")]


@pytest.mark.parametrize(("month", "february"), [((), "2.00"), (("--from", "2026-03"), "1.00")])
def test_under_another_price_book_the_same_usage_costs_otherwise(month: tuple[str, ...], february: str) -> None:
    twice = PACKAGED.read_text(encoding="utf-8").replace('web_search: "10"', 'web_search: "20"')
    Path("book.yaml").write_text(twice, encoding="utf-8")
    usage = [used("e-1", FEBRUARY, 100), used("e-2", MARCH, 100)]
    both = said("--price-book", "book.yaml", *month, usage=usage)
    assert month_to_date(both["was"]) == [("2026-02", "1.00", "0.00"), ("2026-03", "1.00", "0.00")]
    assert month_to_date(both["would_be"]) == [("2026-02", february, "0.00"), ("2026-03", "2.00", "0.00")]


def test_people_see_both_columns_and_the_difference() -> None:
    result = run("--set-limit", "acme=6.00", usage=[used(f"e-{n}", FEBRUARY, 300) for n in range(1, 5)])
    assert "What if  acme = 6.00" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.split()[:1] == ["came"]]
    assert line.split()[-3:] == ["$0.00", "$6.00", "+$6.00"]
    assert "as it would be" in result.stdout


# Wrong usage.


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--set-limit", "acme"), "write ORG=15.00"),
        (("--set-limit", "acme=1.001"), "write dollars with at most 2 decimals"),
        (("--set-limit", "globex=5"), "globex: no such organisation; the accounts know acme"),
        (("--set-limit", "acme/user:eve=5"), "acme/user:eve: no such member; acme has ann, bob, olga"),
        (("--set-limit", "acme/tier:gold=5"), "there is no seat tier gold; write standard or premium"),
        (("--from", "2026-02"), "--from says from when --set-limit or --price-book holds"),
        (("--set-limit", "acme=5", "--from", "March"), "'March' is not a month like 2026-01"),
        (("--until", "never"), "write an instant such as 2026-02-11T22:40:00Z"),
        (("--org-id", "acme"), "--org-id and --user-id go together"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_to_write(arguments: tuple[str, ...], sentence: str) -> None:
    result = run(*arguments, usage=[used("e-1", FEBRUARY, 100)])
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_without_usage_it_says_what_to_name() -> None:
    Path("accounts.yaml").write_text(ACME, encoding="utf-8")
    result = CliRunner().invoke(main, ["simulate", "accounts.yaml"])
    assert result.exit_code == 2
    assert "--claude-code PATH" in result.stderr


def test_without_any_instant_it_says_so() -> None:
    result = run(usage=[])
    assert result.exit_code == 1
    assert "nothing says when this is; give the file a `from:`" in result.stderr


def test_a_mistake_in_the_accounts_file_is_a_sentence() -> None:
    result = run(accounts="organizations: acme\n", usage=[])
    assert result.exit_code == 1
    assert "accounts.yaml, line 1: organizations: 'acme'; write a list" in result.stderr
    assert "Traceback" not in result.stderr


# The example, end to end.

EXAMPLE = ("simulate", str(EXAMPLES / "accounts.yaml"), "--claude-code", str(EXAMPLES / "claude_code"))


def test_the_example_says_of_northwind_what_the_demo_says() -> None:
    result = CliRunner().invoke(main, [*EXAMPLE, "--json"])
    assert result.exit_code == 0, result.output
    simulated = json.loads(result.stdout)
    spend = {row["org_id"]: row["spend_usd"] for row in simulated["month_to_date"]["organizations"]}
    assert (spend["northwind"], spend["cinder"]) == ("29.4269254", "8.85326675")
    reached = [
        (breach["at"][:16], breach["limit_usd"])
        for breach in simulated["published"]["limit.breached"]
        if (breach["org_id"], breach["scope"]["kind"]) == ("northwind", "organization")
    ]
    assert reached == [("2026-02-11T22:32", "15.00"), ("2026-02-12T16:13", "28.00")]


def test_the_example_reads_well_at_a_hundred_columns() -> None:
    shown = CliRunner().invoke(main, EXAMPLE).stdout
    assert max(map(len, shown.splitlines())) <= 100
    for title in ("Month to date", "Limits reached, pauses", "Refused"):
        assert f"\n{title}  " in shown
    assert " $0.05490065 " in shown  # an amount is never cut in two


def test_entries_stand_by_organization() -> None:
    simulated = json.loads(CliRunner().invoke(main, [*EXAMPLE, "--json"]).stdout)
    assert [(entry["org_id"], entry["type"]) for entry in simulated["ledger"]] == [
        ("cinder", "invoice"),
        ("cinder", "rounding"),
        ("cinder", "burn"),
        ("cinder", "invoice"),
        ("meridian", "purchase"),
        ("meridian", "burn"),
        ("northwind", "invoice"),
        ("northwind", "rounding"),
        ("northwind", "burn"),
        ("northwind", "invoice"),
    ]
    balances = [(balance["org_id"], balance["account"], balance["balance_usd"]) for balance in simulated["balances"]]
    assert balances == [
        ("cinder", "receivable", "8.85"),
        ("cinder", "unbilled", "0.00"),
        ("meridian", "wallet", "2.2346647"),
        ("northwind", "receivable", "29.43"),
        ("northwind", "unbilled", "0.00"),
    ]
