"""The proof's additions and equations, and that each notices a picodollar, an event, a row (R41)."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from pipeline.agents.decoding import decode_record
from pipeline.engine.journal import ENGINE_CELL, EngineCell, encode_cell
from pipeline.errors import Mendable
from pipeline.proof.equations import equations
from pipeline.proof.outcome import gauges
from pipeline.proof.published import Entries, PricedRows, UsageRead
from pipeline.proof.remembered import Remembered
from pipeline.proof.report import report
from pipeline.screen import WIDTH
from pipeline.topics import PRICED_USAGE, USAGE_EVENTS
from tests.support.found import Record, World, as_envelope, cell, differing, dollars, entry, json_lines, row, without


def text(world: World) -> str:
    out = StringIO()
    Console(width=WIDTH, file=out).print(report(world.proof()))
    return out.getvalue()


def test_all_agree_when_all_places_say_the_same() -> None:
    proof = World().proof()
    assert proof.agrees
    assert "All 15 sums agree." in text(World())
    assert "4 events read = 2 accepted + 1 duplicates + 1 dead letters + 0 forwarded" in text(World())


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"usage": [b"{}", b"{}", b"{}"]}, ["events read"]),
        ({"letters": []}, ["dead letters"]),
        ({"letters": ["account-commands"]}, ["dead letters", "dead letters, commands"]),
        ({"stored": [row(1, 1)]}, ["events accepted", "rows, a correction's two", "rows by month", "spend"]),
        ({"month": {"spend_picousd": "3000000000001", "rows": 2}}, ["spend", "burnt for usage"]),
        ({"member": {"spend_picousd": "1"}}, ["spend", "tier's spend", "member's spend"]),
        ({"entries": [entry("purchase", 10, 10, 0), entry("burn", -2, 8, 2)]}, ["burnt for usage", "account wallet"]),
        ({"balance": 8}, ["account wallet", "unburnt credits"]),
        ({"lots": (3,)}, ["unburnt credits"]),
    ],
)
def test_what_differs_is_named(changes: dict[str, Any], names: list[str]) -> None:
    assert [equation.name for equation in differing(World(**changes).found())][: len(names)] == names
    assert not World(**changes).proof().agrees


def test_an_outcome_that_is_off_shows_against_the_events_read() -> None:
    world = World()
    world.counters["duplicates"] = 2
    (equation,) = differing(world.found())
    assert equation.values == {"ledger-state": 4, "its outcomes": 5, "usage-events": 4}


def test_a_correction_is_one_event_in_two_rows() -> None:
    world = World(rows=[row(1, 3), row(2, -3, corrects="e"), row(3, 1, corrects="e", leg=1)])
    assert (world.found().published.rows.sums.events, world.found().published.rows.sums.rows) == (2, 3)


def test_a_position_that_a_repair_took_away_and_wrote_again_is_read() -> None:
    stands = EngineCell(mode="live", partitions=1, usage=4, commands=3)
    remembered = Remembered()
    remembered.take([Record(encode_cell(stands), ENGINE_CELL), Record(None, ENGINE_CELL)])
    assert remembered.engine is None
    remembered.take([Record(encode_cell(stands), ENGINE_CELL)])
    assert remembered.engine == stands


def test_usage_of_a_closed_month_is_charged_apart_and_burnt_with_the_rest() -> None:
    world = World(
        rows=[row(1, 1), row(2, 2, usage_month="2026-01")],
        month={"spend_picousd": dollars(1), "prior_period_picousd": dollars(2), "rows": 2},
        member={"spend_picousd": dollars(1)},
    )
    assert differing(world.found()) == []
    late = next(one for one in equations(world.found()) if one.name == "usage of closed months")
    assert set(late.values.values()) == {int(dollars(2))}


def test_tiers_and_members_of_a_closed_month_are_forgotten_and_not_missed() -> None:
    world = World(closed_through="2026-02")
    assert differing(world.found()) == []
    names = {equation.name for equation in equations(world.found())}
    assert not names & {"tier's spend", "member's spend"}


def test_a_debt_has_no_lots() -> None:
    world = World(entries=[entry("purchase", 1, 1, 0), entry("burn", -3, -2, 2)], balance=-2, lots=())
    assert differing(world.found()) == []


def test_the_last_record_of_a_cell_counts_and_one_without_a_value_ends_it() -> None:
    remembered = World().remembered()
    assert remembered.sums().months["acme", "2026-02"].spend_picousd == int(dollars(3))
    remembered.take([Record(None, cell("organization_month", ("acme", "2026-02")).key)])
    assert ("acme", "2026-02") not in remembered.sums().months


def test_months_of_which_kafka_let_go_are_named_and_compared_in_the_other_places() -> None:
    whole = World(rows=[row(2, 2)], stored=[row(1, 1), row(2, 2)]).found()
    found = without(whole, PRICED_USAGE.name, USAGE_EVENTS.name, first_whole_month="2026-03")
    assert differing(found) == []
    spend = next(equation for equation in equations(found) if equation.name == "spend")
    assert set(spend.values) == {"ClickHouse", "ledger-state", "its tiers", "its members"}


def test_a_month_dropped_in_clickhouse_too_is_not_asked_there() -> None:
    old = World(rows=[], stored=[], closed_through="2026-02").found()
    found = without(old, PRICED_USAGE.name, USAGE_EVENTS.name, first_whole_month="2026-03")
    assert differing(found) == []
    burnt = next(equation for equation in equations(found) if equation.name == "burnt for usage")
    assert set(burnt.values) == {"ledger-state", "ledger-entries"}
    assert not {"spend", "events accepted"} & {equation.name for equation in equations(found)}


def test_the_row_that_comes_twice_is_named() -> None:
    rows = PricedRows("")
    rows.take([Record(json_lines([row(1, 1), row(2, 2), row(1, 1)]), offset=9, topic="priced-usage", partition=3)])
    (named,) = rows.disorder.values()
    assert named.startswith("priced-usage[3] offset 9, line 3: org_seq 1 of acme comes after 2")


def test_a_record_that_the_ledger_cannot_have_written_is_named() -> None:
    with pytest.raises(Mendable, match=r"priced-usage\[3\] offset 9 cannot be read"):
        PricedRows("").take([Record(b"hello", offset=9, topic="priced-usage", partition=3)])


def test_the_entry_after_a_missing_one_is_named() -> None:
    entries = Entries()
    for at, one in enumerate([entry("purchase", 10, 10, 0), entry("burn", -1, 6, 5)]):
        entries.take([Record(as_envelope(one), offset=at, topic="ledger-entries", partition=1)])
    (named,) = entries.breaks.values()
    assert named.startswith("ledger-entries[1] offset 1: burn of -1000000000000 picodollars, org_seq 5, does not go on")


ODD = [
    None,
    b"",
    b"{",
    b"5",
    b"[]",
    b" [{},\n{}]",
    b"[1, 2, 3]",
    b"[{}, {,}, {}]",
    b"[{}",
    b"[" + b"{}," * 10_000 + b"{}]",
]


@pytest.mark.parametrize("value", ODD)
def test_events_are_counted_as_the_ledger_takes_records_apart(value: bytes | None) -> None:
    read = UsageRead()
    read.take([Record(value)])
    assert read.events == len(decode_record(value))


def test_ticks_are_no_usage() -> None:
    read = UsageRead()
    read.take([Record(b"{}", headers=(("type", b"usage-credits.tick.v1"),))])
    assert (read.records, read.events) == (0, 0)


def test_the_same_as_gauges() -> None:
    figures = {(gauge.name, *gauge.labels.values()): gauge.value for gauge in gauges(World(lots=(3,)).proof())}
    assert figures["usage_credits_proof_differing", "unburnt credits"] == 1
    assert figures["usage_credits_proof_differing", "spend"] == 0
    assert figures["usage_credits_proof_compared", "spend"] == 1
    assert figures["usage_credits_proof_transaction", "0"] == 7
    assert figures["usage_credits_proof_counts", "0", "accepted"] == 2


def test_a_difference_is_shown_with_both_figures_and_no_line_is_too_wide() -> None:
    shown = text(World(month={"spend_picousd": "3000000000001", "rows": 2}))
    assert "partition 0: spend of acme, 2026-02: $3.00 in priced-usage = ClickHouse = its tiers = its members" in (
        " ".join(shown.split())
    )
    assert "$3.000000000001 in ledger-state" in " ".join(shown.split())
    assert "2 of 15 sums do not agree." in shown
    assert max(map(len, shown.splitlines())) <= WIDTH
