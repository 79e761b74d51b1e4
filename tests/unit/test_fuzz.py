"""A little fuzzing in memory, and what fuzzing found; `make fuzz` goes on for longer."""

from pathlib import Path

import pytest

from schemas.dead_letters import Reason
from tests.fuzz import accounting, shrinking
from tests.fuzz.in_memory import ROUND_RECORDS, clock, play
from tests.fuzz.records import fuzzed
from tests.support.builders import NOON, micros
from tests.support.ledger import acme

CORPUS = sorted(path for path in (Path(__file__).parents[1] / "fuzz" / "corpus").iterdir() if path.suffix != ".md")


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_was_found_is_accounted_for(path: Path) -> None:
    value = path.read_bytes()
    assert shrinking.stumbles(value) is None
    ledger = acme()
    to = "usage" if path.name.startswith("usage") else "commands"
    records = [ledger.record(to, value, micros(NOON)) for _ in range(3)]
    ledger.process(records)
    accounting.equation_of(ledger.counters)
    assert ledger.counters["usage_records" if to == "usage" else "commands"] >= len(records)


def test_a_round_is_accounted_for_and_sees_nearly_everything() -> None:
    outcomes = play(seed=7, round_number=0)
    assert outcomes["records"] == ROUND_RECORDS
    for what in ("accepted", "duplicates", "forwarded", "commands_forwarded", "corrections", "command applied"):
        assert outcomes[what], f"none of {what}: {outcomes}"
    letters = {reason for reason in Reason if outcomes[f"dead letter {reason}"]}
    rare = {Reason.INTERNAL_ERROR, Reason.ALREADY_CORRECTED, Reason.ORGANIZATION_CLOSED, Reason.TOO_LARGE}
    assert letters | rare == set(Reason)


def test_a_record_follows_from_its_seed_and_number() -> None:
    for number in range(0, 4_000, 40):
        assert fuzzed(7, number, clock, 2) == fuzzed(7, number, clock, 2)
    assert fuzzed(7, 1, clock, 2) != fuzzed(8, 1, clock, 2)


def test_bytes_that_are_not_accounted_for_are_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "stumbles", lambda value: "Differs" if b"\xff" in value else None)
    assert shrinking.smallest(b"much before \xff and after") == b"\xff"
    assert shrinking.smallest(b"nothing") is None
