"""The proof of the demo: three places that agree, and what is said when one of them does not."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from io import StringIO
from typing import Any

from rich.console import Console

from pipeline.demo.figures import Claim, Figures, collect, rows_published, rows_stored
from pipeline.demo.report import WIDTH, report
from pipeline.topics import ACCOUNT_EVENTS, DEAD_LETTERS, LEDGER_STATE, LIMIT_BREACHES, PRICED_USAGE


@dataclass(frozen=True)
class Record:
    value: bytes
    key: bytes = b""
    partition: int = 0


def row(cost_picousd: int, funding: str = "credits") -> bytes:
    fields = {"org_id": "acme", "charge_month": "2026-02", "funding": funding, "cost_picousd": str(cost_picousd)}
    return json.dumps(fields).encode() + b"\n"


def cell(kind: str, **fields: Any) -> Record:
    identity = [kind, *(fields.get(name) for name in ("org_id", "user_id", "seat_tier", "month"))]
    return Record(json.dumps({"cell": kind, **fields}).encode(), json.dumps(identity).encode())


def records(spend_picousd: str = "3000000000000") -> dict[str, list[Record]]:
    """Two rows of acme, $1 and $2, and what the ledger remembers of them; one event twice, one bad."""
    month = {"org_id": "acme", "month": "2026-02", "spend_picousd": spend_picousd}
    return {
        PRICED_USAGE.name: [Record(row(10**12) + row(2 * 10**12))],
        LEDGER_STATE.name: [
            cell("organization_month", **month | {"spend_picousd": "1"}),
            cell("organization_month", **month),
            cell("tier_month", seat_tier="standard", **month),
            cell("member_month", user_id="anna", **month),
            cell("organization", org_id="acme", limit_picousd="2000000000000"),
            cell("counters", usage_events=4, accepted=2, duplicates=1, dead_letters=1),
        ],
        LIMIT_BREACHES.name: [],
        ACCOUNT_EVENTS.name: [],
        DEAD_LETTERS.name: [
            Record(
                json.dumps(
                    {
                        "reason": "unknown_model",
                        "detail": "no prices for model 'm'",
                        "org_id": "acme",
                        "user_id": "anna",
                        "event_id": "e",
                        "arrived_at": "2026-02-10T10:00:00Z",
                        "length_bytes": 7,
                    }
                ).encode()
            )
        ],
    }


def clickhouse(sql: str) -> list[Sequence[Any]]:
    """A database that holds just these two rows."""
    if "count()" in sql:
        return [(2,)]
    who = {"organization": ("acme",), "tier": ("acme", "standard"), "member": ("acme", "anna")}
    view = next(name for name in who if f"month_to_date_by_{name}" in sql)
    return [("2026-02", *who[view], Decimal("3.000000000000"), Decimal("0E-12"), Decimal("1.000000000000"), 2, 0)]


def figures(**changes: Any) -> Figures:
    return collect(records(**changes), clickhouse, events_sent=4)


def text(shown: Figures) -> str:
    out = StringIO()
    Console(width=WIDTH, file=out).print(report(shown))
    return out.getvalue()


def test_all_agree_when_all_say_the_same() -> None:
    assert figures().agree
    assert "All 6 sums agree." in text(figures())


def test_the_last_record_of_a_cell_counts() -> None:
    spend = next(claim for claim in figures().proof if claim.what == "spend of acme, 2026-02")
    assert spend.values["ledger-state"] == 3 * 10**12


def test_a_picodollar_too_much_in_one_place_is_found_and_named() -> None:
    wrong = figures(spend_picousd="3000000000001")
    assert not wrong.agree
    assert not wrong.json()["agree"]
    shown = text(wrong)
    assert "These do not agree: spend of acme, 2026-02." in shown
    assert "$3.000000000001" in shown


def test_an_event_that_was_sent_and_never_read_is_found() -> None:
    shown = collect(records(), clickhouse, events_sent=5)
    assert [claim.what for claim in shown.proof if not claim.agrees] == ["events sent were read"]


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


def test_rows_are_counted_by_their_lines() -> None:
    assert rows_published(records()) == 2
    assert rows_stored(clickhouse) == 2


def test_a_claim_of_three_places_agrees_only_if_all_do() -> None:
    assert Claim("rows", {"a": 1, "b": 1, "c": 1}).agrees
    assert not Claim("rows", {"a": 1, "b": 1, "c": 2}).agrees


def test_no_line_is_wider_than_a_hundred_columns() -> None:
    assert max(map(len, text(figures()).splitlines())) <= WIDTH
