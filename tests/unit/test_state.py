"""Cells: what is remembered, one per thing; read back it is the same memory (docs/rules.md R13, R44)."""

import json
from collections.abc import Iterable

import pytest

from pipeline.domain.cell import Cell
from pipeline.domain.state import (
    CELLS,
    Calendar,
    Member,
    MemberMonth,
    Organization,
    OrganizationMonth,
    Standing,
    State,
)
from tests.support.builders import BILLING, add_member, command, register, searches, set_credits, set_limit, user
from tests.support.ledger import LedgerInMemory, acme


def lived_in() -> LedgerInMemory:
    """A ledger that has seen a bit of everything."""
    ledger = acme()
    ledger.commands(add_member("bob", seat_tier="premium", role="admin"), set_limit("1"), set_limit("oops"))
    ledger.usage(searches("a", 150), searches("b", 5, user_id="bob"), searches("a", 150), b"{")
    ledger.commands(set_limit("5"), set_credits(False, command_id="off"), set_credits(False, command_id="off"))
    ledger.usage(searches("c", 500), searches("d", 7, funding="included"))
    ledger.commands(
        command("request_credits", user("ann"), command_id="ask", kind="credits"),
        register("tiny", plan="team", command_id="t-1"),
        command(
            "set_auto_reload",
            org_id="tiny",
            command_id="t-2",
            enabled=True,
            threshold_usd="5",
            amount_usd="9",
            monthly_maximum_usd=None,
        ),
        command("confirm_payment", BILLING, org_id="tiny", command_id="t-3", payment_id="p-1", amount_usd="2"),
        command("change_plan", BILLING, command_id="to-team", plan="team"),
        command("change_plan", BILLING, command_id="back", plan="enterprise"),
    )
    ledger.usage(searches("e", 9))
    return ledger


def touched_all(state: State) -> State:
    for organization in state.organizations.values():
        wallet = organization.wallet
        for cell in (
            organization,
            *organization.members.values(),
            *organization.months.values(),
            *organization.tier_limits.values(),
            *organization.requests.by_id.values(),
            wallet,
            *wallet.lots.values(),
            *wallet.payments.values(),
            *wallet.reloads.values(),
            *wallet.months.values(),
            *organization.invoices.values(),
        ):
            state.touch(cell)
        for month in organization.months.values():
            for part in (*month.tiers.values(), *month.lines.values()):
                state.touch(part)
        for member in organization.members.values():
            for own in member.months.values():
                state.touch(own)
    for answer in state.answers.values():
        state.touch(answer)
    state.touch(state.calendar)
    state.touch(state.counters)
    return state


def restore(state: State, cells: Iterable[tuple[bytes, bytes]]) -> None:
    for _ in state.restore(cells):
        pass


def written(state: State, ledger: LedgerInMemory) -> dict[bytes, bytes | None]:
    """Every cell again; an Enterprise wallet nothing ever happened to has none."""
    changes = touched_all(state).take_changes()
    return {key: value for key, value in changes.items() if key in ledger.cells}


def test_what_is_restored_is_written_again_to_the_byte() -> None:
    ledger = lived_in()
    assert {json.loads(value)["cell"] for value in ledger.cells.values()} == set(CELLS)
    restored = State()
    restore(restored, ledger.cells.items())
    assert written(restored, ledger) == ledger.cells


def test_cells_may_come_in_any_order() -> None:
    ledger = lived_in()
    restored = State()
    restore(restored, reversed(ledger.cells.items()))
    assert written(restored, ledger) == ledger.cells


@pytest.mark.parametrize("count", [0, 1, 500, 1_700])
def test_members_are_in_order_after_a_restore(count: int) -> None:
    cells: list[Cell] = [Organization(org_id="acme", plan="team")]
    user_ids = [f"user-{number * 7_919 % 10_007}" for number in range(count)]
    cells += [Member(org_id="acme", user_id=user_id, role="member", seat_tier="standard") for user_id in user_ids]
    restored = State()
    restore(restored, [(cell.key(), cell.value() or b"") for cell in cells])
    assert restored.organizations["acme"].users_after("", count + 1) == sorted(user_ids)


def test_a_cells_key_is_its_kind_and_its_identity() -> None:
    for key, value in lived_in().cells.items():
        cell = json.loads(value)
        assert json.loads(key) == [cell["cell"], *(cell[name] for name in CELLS[cell["cell"]].IDENTITY)]


def test_only_what_changed_is_written_and_once() -> None:
    ledger = acme()
    before = dict(ledger.cells)
    ledger.usage(searches("a", 1), searches("b", 1))
    written = {json.loads(key)[0] for key, value in ledger.cells.items() if before.get(key) != value}
    assert written == {
        "organization",
        "organization_month",
        "tier_month",
        "member_month",
        "draft_line",
        "counters",
        "calendar",
    }
    assert ledger.machine.state.take_changes() == {}


@pytest.mark.parametrize("kind", list(CELLS))
def test_fields_of_a_newer_version_are_kept(kind: str) -> None:
    ledger = lived_in()
    newer = {"mood": "sunny", "since_picousd": "5", "nested": {"a": [1, None]}}
    cells = {
        key: json.dumps(json.loads(value) | newer).encode() if json.loads(value)["cell"] == kind else value
        for key, value in ledger.cells.items()
    }
    restored = State()
    restore(restored, cells.items())
    for key, value in written(restored, ledger).items():
        assert value is not None
        if json.loads(key)[0] == kind:
            assert json.loads(value) == json.loads(ledger.cells[key]) | newer
        else:
            assert value == ledger.cells[key]


def test_a_newer_versions_field_survives_a_charge() -> None:
    ledger = acme()
    ledger.usage(searches("a", 1))
    key = b'["member_month","acme","ann","2026-05"]'
    ledger.cells[key] = json.dumps(json.loads(ledger.cells[key]) | {"mood": "sunny"}).encode()
    ledger.restart()
    ledger.usage(searches("b", 1))
    assert ledger.cell("member_month", "acme", "ann", "2026-05") == {
        "cell": "member_month",
        "org_id": "acme",
        "user_id": "ann",
        "month": "2026-05",
        "spend_picousd": "20000000000",
        "told_picousd": "20000000000",
        "mood": "sunny",
    }


def test_kinds_of_a_newer_version_are_left_alone() -> None:
    state = State()
    restore(state, [(b'["mood","acme"]', b'{"cell":"mood","org_id":"acme","balance_picousd":"5"}')])
    assert touched_all(state).take_changes().keys() == {b'["calendar"]', b'["counters"]'}


def test_fields_an_older_version_did_not_write_have_their_defaults() -> None:
    state = State()
    restore(
        state,
        [
            (b'["organization","acme"]', b'{"cell":"organization","org_id":"acme","plan":"enterprise"}'),
            (
                b'["organization_month","acme","2026-05"]',
                b'{"cell":"organization_month","org_id":"acme","month":"2026-05"}',
            ),
        ],
    )
    organization = state.organizations["acme"]
    assert (organization.limit_picousd, organization.org_seq, organization.credits_enabled) == (None, 0, False)
    month = organization.months["2026-05"]
    assert (month.spend_picousd, month.standings, month.is_breached, month.rows) == (0, None, False, 0)


@pytest.mark.parametrize("spend", [0, 5, -5, 2**80])
@pytest.mark.parametrize("told", [0, 7])
@pytest.mark.parametrize("standings", [None, {"own": Standing(breached_version=3)}, {"own": Standing(episode=2)}])
def test_the_cell_written_by_hand_says_what_the_others_say(
    spend: int, told: int, standings: dict[str, Standing] | None
) -> None:
    fields = {"month": "2026-05", "spend_picousd": spend, "told_picousd": told, "standings": standings}
    by_hand = MemberMonth(org_id='o"', user_id="u\\", **fields)
    plainly = OrganizationMonth(org_id='o"', **fields)
    assert json.loads(by_hand.key()) == ["member_month", 'o"', "u\\", "2026-05"]
    written, other = json.loads(by_hand.value() or b""), json.loads(plainly.value() or b"")
    assert written.pop("user_id") == "u\\"
    assert written | {"cell": ""} == other | {"cell": ""}


def test_amounts_in_cells_are_digits() -> None:
    organization = Organization(org_id="acme", plan="enterprise", limit_picousd=2**60)
    assert json.loads(organization.value())["limit_picousd"] == str(2**60)
    assert json.loads(Organization(org_id="acme", plan="enterprise").value()).get("limit_picousd") is None


def test_no_cell_grows_with_the_number_of_members() -> None:
    """The largest is a command's answer, and ids end at 128 characters."""
    ledger = LedgerInMemory()
    org_id = "o" * 128
    people = [f"{number:0128d}" for number in range(300)]
    ledger.commands(
        register(org_id, owner="owner", command_id="r" * 128),
        set_credits(org_id=org_id, command_id="s" * 128),
        *(add_member(who, org_id=org_id, command_id=f"c{number:0127d}") for number, who in enumerate(people)),
    )
    ledger.usage([searches(f"e-{who[-4:]}", 1, org_id=org_id, user_id=who) for who in people])
    assert len(ledger.cells) > 900
    assert max(map(len, ledger.cells.values())) < 2_000


def test_a_cell_without_a_change_is_not_written() -> None:
    state = State()
    assert state.take_changes() == {}
    state.touch(Calendar(month="2026-05", closed_through="2026-04"))
    assert list(state.take_changes()) == [b'["calendar"]']
    assert state.take_changes() == {}


def test_a_members_role_and_seat_live_in_their_own_cell_alone() -> None:
    member = Member(org_id="acme", user_id="ann", role="member", seat_tier="premium")
    assert json.loads(member.value()) == {
        "cell": "member",
        "org_id": "acme",
        "user_id": "ann",
        "role": "member",
        "seat_tier": "premium",
    }
