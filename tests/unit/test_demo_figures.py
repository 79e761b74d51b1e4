"""What the demo shows of a run that is over, and what it says when something does not agree."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from io import StringIO
from typing import Any

from rich.console import Console

from pipeline.demo.figures import Figures, collect
from pipeline.demo.report import report
from pipeline.proof.equations import equations
from pipeline.screen import WIDTH
from pipeline.topics import ACCOUNT_EVENTS, DEAD_LETTERS, LEDGER_STATE, LIMIT_BREACHES
from tests.support.found import World


@dataclass(frozen=True)
class Record:
    value: bytes
    key: bytes = b""


LETTER = {
    "reason": "unknown_model",
    "detail": "no prices for model 'm'",
    "org_id": "acme",
    "user_id": "ann",
    "event_id": "e",
    "arrived_at": "2026-02-10T10:00:00Z",
    "length_bytes": 7,
}
RECORDS = {
    LEDGER_STATE.name: [
        Record(json.dumps({"org_id": "acme", "limit_picousd": limit}).encode(), b'["organization","acme"]')
        for limit in ("1", "2000000000000")
    ],
    LIMIT_BREACHES.name: [],
    ACCOUNT_EVENTS.name: [],
    DEAD_LETTERS.name: [Record(json.dumps(LETTER).encode())],
}


def clickhouse(sql: str) -> list[Sequence[Any]]:
    """A database that holds two rows of acme, $1 and $2."""
    who = {"organization": ("acme",), "tier": ("acme", "standard"), "member": ("acme", "ann")}
    view = next(name for name in who if f"month_to_date_by_{name}" in sql)
    return [("2026-02", *who[view], Decimal("3.000000000000"), Decimal("0E-12"), Decimal("1.000000000000"), 2, 0)]


def figures(world: World | None = None, events_sent: int = 4) -> Figures:
    world = world or World()
    return collect(RECORDS, clickhouse, world.proof(), list(equations(world.found())), events_sent)


def text(shown: Figures) -> str:
    out = StringIO()
    Console(width=WIDTH, file=out).print(report(shown))
    return out.getvalue()


def test_all_agree_when_all_say_the_same() -> None:
    assert figures().agree
    assert "All 14 sums agree." in text(figures())


def test_each_organisation_is_shown_by_itself_and_members_as_a_sum() -> None:
    shown = [equal.json()["what"] for equal in figures().proof]
    assert "spend of acme, 2026-02" in shown
    assert "member's spend" in shown


def test_a_picodollar_too_much_in_one_place_is_found_and_named() -> None:
    wrong = figures(World(month={"spend_picousd": "3000000000001", "rows": 2}))
    assert not wrong.agree
    assert not wrong.json()["agree"]
    assert "These do not agree: spend of acme, 2026-02; burnt for usage of acme, 2026-02." in text(wrong)
    assert "$3.000000000001" in text(wrong)


def test_an_event_that_was_sent_and_never_read_is_found() -> None:
    shown = figures(events_sent=5)
    assert not shown.agree
    assert [equal.what for equal in shown.proof if not equal.agrees] == ["events sent were read"]


def test_a_program_reads_exact_dollars() -> None:
    (organization,) = figures().json()["organizations"]
    assert organization == {
        "org_id": "acme",
        "month": "2026-02",
        "spend_usd": "3.00",
        "included_usd": "0.00",
        "after_pause_usd": "1.00",
        "credits_events": 2,
        "included_events": 0,
        "limit_usd": "2.00",
    }


def test_no_line_is_wider_than_a_hundred_columns() -> None:
    assert max(map(len, text(figures()).splitlines())) <= WIDTH
