"""Account commands applied: what changes, what is answered, what a command does that comes again (R1, R2, R9a)."""

from typing import Any

import pytest

from pipeline.agents import ledger_machine
from pipeline.agents.commands import read_command
from pipeline.engine.contract import EventFailed, Place
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import ARRIVAL_HEADER
from schemas.dead_letters import Reason
from schemas.events import CommandApplied, CommandRefused, CommandRepeated
from tests.support.builders import NOON, add_member, as_json, later, micros, register, searches, set_credits, set_limit
from tests.support.ledger import LedgerInMemory, acme


def changes(ledger: LedgerInMemory) -> tuple[dict[str, Any], dict[str, Any]]:
    answer = ledger.answers[-1]
    assert isinstance(answer, CommandApplied)
    return answer.before, answer.after


def refusal(ledger: LedgerInMemory) -> str:
    answer = ledger.answers[-1]
    assert isinstance(answer, CommandRefused)
    assert answer.detail
    return answer.reason


def test_registering_names_the_primary_owner_and_leaves_credits_off() -> None:
    ledger = LedgerInMemory()
    ledger.commands(register(seat_tier="premium"))
    assert changes(ledger) == ({}, {"plan": "enterprise", "primary_owner": "owner", "credits_enabled": False})
    ledger.usage(searches("a", 1, user_id="owner"))
    (row,) = ledger.rows
    assert (row.seat_tier, row.after_pause) == ("premium", True)


def test_an_organisation_is_registered_once() -> None:
    ledger = acme()
    ledger.commands(register(owner="ann", command_id="again"))
    assert refusal(ledger) == "already_registered"
    assert ledger.cell("member", "acme", "ann")["role"] == "member"


def test_switching_credits_answers_what_was_and_what_is() -> None:
    ledger = acme()
    ledger.commands(set_credits(False, command_id="off"))
    assert changes(ledger) == ({"credits_enabled": True}, {"credits_enabled": False})
    ledger.commands(set_credits(False, command_id="off-again"))
    assert changes(ledger) == ({"credits_enabled": False}, {"credits_enabled": False})


def test_adding_a_member_answers_seat_and_role() -> None:
    ledger = acme()
    ledger.commands(add_member("bob", seat_tier="premium", role="admin"))
    assert changes(ledger) == ({}, {"user_id": "bob", "role": "admin", "seat_tier": "premium"})


def test_a_member_is_added_once() -> None:
    ledger = acme()
    ledger.commands(add_member("ann", seat_tier="premium", command_id="again"))
    assert refusal(ledger) == "already_a_member"
    assert ledger.cell("member", "acme", "ann")["seat_tier"] == "standard"


def test_a_limit_answers_amount_and_version_before_and_after() -> None:
    ledger = acme()
    ledger.commands(set_limit("250"))
    assert changes(ledger) == (
        {"limit_usd": None, "limit_version": 0},
        {"limit_usd": "250.00", "limit_version": 1},
    )
    ledger.commands(set_limit("250.00", command_id="same"))
    assert changes(ledger) == (
        {"limit_usd": "250.00", "limit_version": 1},
        {"limit_usd": "250.00", "limit_version": 1},
    )
    ledger.commands(set_limit(None))
    assert changes(ledger)[1] == {"limit_usd": None, "limit_version": 2}


@pytest.mark.parametrize("wire", [set_credits(org_id="x"), set_limit("1", org_id="x"), add_member(org_id="x")])
def test_an_organisation_nobody_registered_is_refused_everything(wire: dict[str, Any]) -> None:
    ledger = acme()
    ledger.commands(wire)
    assert refusal(ledger) == "unknown_organization"
    assert ledger.answers[-1].org_seq == 0  # it has no sequence
    assert [key for key in ledger.cells if b'"x"' in key] == []


# The same command again.


@pytest.mark.parametrize("again", ["at once", "in another chunk", "after a restart"])
def test_a_command_that_comes_again_is_answered_as_the_first_time_and_changes_nothing(again: str) -> None:
    ledger = acme()
    off = set_credits(False, command_id="off")
    if again == "at once":
        ledger.commands(off, set_credits(True, command_id="on"), off)
    else:
        ledger.commands(off, set_credits(True, command_id="on"))
        if again == "after a restart":
            ledger.restart()
        ledger.commands(off)
    first, _, repeated = ledger.answers[-3:]
    assert isinstance(repeated, CommandRepeated)
    assert repeated.answer == {"type": CommandApplied.TYPE, "data": first.model_dump(mode="json")}
    assert repeated.org_seq == first.org_seq + 2
    assert ledger.cell("organization", "acme")["credits_enabled"] is True


def test_a_refusal_is_repeated_too_even_where_it_would_be_granted_now() -> None:
    ledger = acme()
    asked = add_member("ann", command_id="asked")
    ledger.commands(asked, add_member("bob"), asked)
    refused, _, repeated = ledger.answers[-3:]
    assert isinstance(refused, CommandRefused)
    assert isinstance(repeated, CommandRepeated)
    assert repeated.answer["data"]["reason"] == "already_a_member"


def test_a_limit_command_that_comes_again_breaches_nothing_again() -> None:
    ledger = acme()
    ledger.usage(searches("a", 100))
    ledger.commands(set_limit("1"), set_limit("1"), set_limit("5"), set_limit("1"))
    assert [breach.limit_version for breach in ledger.breaches] == [1]
    assert ledger.cell("organization", "acme")["limit_version"] == 2


@pytest.mark.parametrize(
    "other",
    [
        set_limit("2", command_id="one"),
        set_limit("1", command_id="one", actor={"kind": "user", "id": "ann", "scopes": []}),
        set_credits(command_id="one"),
    ],
    ids=["another amount", "another actor", "another command"],
)
def test_another_body_under_a_command_id_that_was_given_is_refused(other: dict[str, Any]) -> None:
    ledger = acme()
    first = set_limit("1", command_id="one")
    ledger.commands(first, other, first)
    assert isinstance(ledger.answers[-3], CommandApplied)
    refused = ledger.answers[-2]
    assert isinstance(refused, CommandRefused)
    assert refused.reason == "command_id_reused"
    assert isinstance(ledger.answers[-1], CommandRepeated)  # the first one's answer still stands
    assert ledger.cell("organization", "acme")["limit_picousd"] == str(10**12)


def test_the_same_amount_written_differently_is_the_same_command() -> None:
    ledger = acme()
    ledger.commands(set_limit("1", command_id="one"), set_limit("1.00", command_id="one"))
    assert isinstance(ledger.answers[-1], CommandRepeated)


def test_a_command_id_belongs_to_its_organisation() -> None:
    ledger = acme()
    ledger.commands(register("globex"), set_credits(org_id="globex"))
    assert [type(answer) for answer in ledger.answers[-2:]] == [CommandApplied, CommandApplied]


def test_every_answer_has_an_id_of_its_own() -> None:
    ledger = acme()
    ledger.commands(*[set_credits(False, command_id="off")] * 3, *[set_credits(True, command_id="off")] * 2)
    ids = [envelope["id"] for envelope in ledger.envelopes("account-events")]
    assert len(set(ids)) == len(ids)


def test_a_command_refused_for_two_reasons_in_turn_has_two_ids() -> None:
    """What nobody registered remembers nothing: the command is looked at again once somebody has."""
    ledger = LedgerInMemory()
    asked = set_limit("1", actor={"kind": "user", "id": "ann", "scopes": []})
    ledger.commands(asked, register(), asked)
    first, _, second = ledger.envelopes("account-events")
    assert (first["data"]["reason"], second["data"]["reason"]) == ("unknown_organization", "not_allowed")
    assert first["id"] != second["id"]


# How commands come.


def test_a_command_acts_from_its_place_on() -> None:
    ledger = LedgerInMemory()
    ledger.usage(searches("too-soon", 1))
    ledger.commands(register(), set_credits(), add_member("ann"))
    ledger.usage(searches("in-time", 1))
    assert [letter.reason for letter in ledger.dead_letters] == [Reason.UNKNOWN_ORGANIZATION]
    assert [(row.event_id, row.after_pause) for row in ledger.rows] == [("in-time", False)]


def test_a_command_of_another_partition_is_forwarded_as_it_came() -> None:
    here = partition_of(b"acme", 4)
    ledger = LedgerInMemory(partition=(here + 1) % 4, partitions=4)
    raw = as_json(register()) + b" "
    ledger.commands(raw)
    (forward,) = ledger.forwards
    assert (forward.input, forward.key, forward.value, forward.index) == ("commands", b"acme", raw, 0)
    assert ledger.answers == []
    assert ledger.counters == {"commands": 1, "commands_forwarded": 1}
    ledger = LedgerInMemory(partition=here, partitions=4)
    ledger.commands(raw)
    assert isinstance(ledger.answers[0], CommandApplied)


def test_large_commands_that_are_forwarded_fill_a_chunk_as_usage_does() -> None:
    """Else a transaction would hold as much as 5,000 records do."""
    here = partition_of(b"acme", 4)
    ledger = LedgerInMemory(partition=(here + 1) % 4, partitions=4)
    large = register() | {"nobody_knows_this": "x" * 900_000}
    ledger.commands(*(large | {"command_id": f"c-{number}"} for number in range(20)))
    assert len(ledger.forwards) == 20
    assert ledger.chunks == 2  # 16 MB are the most


def test_a_command_at_home_bears_its_first_arrival() -> None:
    ledger = LedgerInMemory()
    ledger.commands(register(), at=later(NOON, hours=1), headers=[(ARRIVAL_HEADER, b"%d" % micros(NOON))])
    assert ledger.answers[0].at_micros == micros(NOON)


def test_a_command_of_more_than_a_million_bytes_is_a_dead_letter() -> None:
    ledger = acme()
    largest = as_json(set_credits(False, command_id="off")).ljust(1_000_000)
    ledger.commands(largest + b" ", largest)
    (letter,) = ledger.dead_letters
    assert (letter.reason, letter.length_bytes) == (Reason.TOO_LARGE, 1_000_001)
    assert changes(ledger)[1] == {"credits_enabled": False}


def test_a_command_whose_reading_fails_is_named_and_then_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(raw: bytes) -> Any:
        if b"limit" in raw:
            raise ZeroDivisionError("a bug")
        return read_command(raw)

    monkeypatch.setattr(ledger_machine, "read_command", stumble)
    ledger = acme()
    with pytest.raises(EventFailed, match="commands offset 3, event 0: ZeroDivisionError: a bug"):
        ledger.commands(set_limit("1"))
    ledger = acme()  # its memory is dropped
    ledger.quarantined = frozenset({Place("commands", 3, 0)})
    ledger.commands(set_limit("1"))
    (letter,) = ledger.dead_letters
    assert letter.reason is Reason.INTERNAL_ERROR


def test_a_command_over_which_we_stumbled_is_refused_and_may_come_again() -> None:
    ledger = acme()
    ledger.quarantined = frozenset({Place("commands", 3, 0)})
    ledger.commands(set_limit("1"), set_limit("2"))
    refused, applied = ledger.answers[-2:]
    assert isinstance(refused, CommandRefused)
    assert refused.reason == "internal_error"
    assert isinstance(applied, CommandApplied)
    ledger.quarantined = frozenset()
    ledger.commands(set_limit("1"))
    assert changes(ledger)[1] == {"limit_usd": "1.00", "limit_version": 2}
