"""Random months of several organisations: the ledger against a recomputation that keeps everything (R8-R31, R44)."""

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import CommandRefused, CommandRepeated, LimitBreached
from schemas.instants import datetime_from_micros, micros_from_datetime
from tests.support.history import History, Sent
from tests.support.ledger import LedgerInMemory, Record
from tests.support.organization_auditor import Auditor, facts_of

SEEDS = range(25)


def records(ledger: LedgerInMemory, history: Sequence[Sent]) -> list[Record]:
    return [ledger.record(sent.input, sent.value, micros_from_datetime(sent.arrived_at)) for sent in history]


def worked(history: Sequence[Sent], **how: Any) -> LedgerInMemory:
    ledger = LedgerInMemory(**how)
    ledger.process(records(ledger, history))
    return ledger


@cache
def audited(seed: int) -> Auditor:
    auditor = Auditor()
    for sent in History(seed):
        for said in sent.says:
            if sent.input == "commands":
                assert said is not None
                auditor.command(sent.arrived_at, said)
            else:
                auditor.usage(sent.arrived_at, facts_of(said) if said is not None else None)
    return auditor


def published(ledger: LedgerInMemory) -> dict[str, list[tuple[Any, ...]]]:
    """What each organisation was told, by `org_seq`, in the auditor's words."""
    told: dict[str, dict[int, tuple[Any, ...]]] = defaultdict(dict)
    unknown: dict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def tell(org_id: str, org_seq: int, *what: Any) -> None:
        if org_seq == 0:
            unknown[org_id].append(what)
            return
        assert org_seq not in told[org_id], "an org_seq is given once"
        told[org_id][org_seq] = what

    for row in ledger.rows:
        tell(
            row.org_id,
            row.org_seq,
            "row",
            row.source,
            row.event_id,
            row.user_id,
            row.seat_tier,
            row.cost_picousd,
            str(row.usage_month),
            str(row.charge_month),
            row.funding,
            row.after_pause,
        )
    for event in ledger.limit_events:
        common = (str(event.month), event.limit_version, event.episode, event.limit_picousd, event.spend_picousd)
        if isinstance(event, LimitBreached):
            tell(
                event.org_id,
                event.org_seq,
                "breach",
                *common,
                event.overshoot_picousd,
                event.cause,
                event.crossing.event_id if event.crossing else None,
                datetime_from_micros(event.paused_from_micros),
                datetime_from_micros(event.paused_until_micros),
            )
        else:
            tell(event.org_id, event.org_seq, "resume", *common)
    for answer in ledger.answers:
        if isinstance(answer, CommandRefused):
            tell(answer.org_id, answer.org_seq, "refused", answer.command_id, answer.reason)
        else:
            kind = "repeated" if isinstance(answer, CommandRepeated) else "applied"
            tell(answer.org_id, answer.org_seq, kind, answer.command_id)
    for org_id, by_seq in told.items():
        assert len(by_seq) <= max(by_seq), f"{org_id}: notices at thresholds have the numbers between"
    return {
        org_id: unknown[org_id] + [told[org_id][seq] for seq in sorted(told[org_id])] for org_id in {*told, *unknown}
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_is_charged_to_the_last_picodollar(seed: int) -> None:
    history = list(History(seed))
    random = Random(seed)
    ledger = worked(history, chunk_sizes=lambda: random.randint(1, 40))
    auditor = audited(seed)

    assert published(ledger) == auditor.published
    assert [letter.reason.value for letter in ledger.dead_letters] == auditor.dead
    assert_spend(ledger, auditor)
    assert_nothing_is_unaccounted_for(ledger, auditor, sum(len(sent.says) for sent in history if sent.input == "usage"))


def assert_spend(ledger: LedgerInMemory, auditor: Auditor) -> None:
    """Month to date of every organisation, tier and member (R19, R30)."""
    for kind, scope in (("organization_month", ()), ("tier_month", ("seat_tier",)), ("member_month", ("user_id",))):
        cells = [cell for cell in map(json.loads, ledger.cells.values()) if cell["cell"] == kind]
        found = {(cell["org_id"], cell["month"], *(cell[name] for name in scope)): cell for cell in cells}
        charged = {
            (charge.org_id, charge.charge_month, *(getattr(charge, name) for name in scope))
            for charge in auditor.charges
            # What members and tiers spent is let go of once their month is closed.
            if charge.counts and (not scope or charge.charge_month > ledger.cell("calendar")["closed_through"])
        }
        assert charged <= found.keys()
        for (org_id, month, *which), cell in found.items():
            expected = auditor.spend(org_id, month, **dict(zip(scope, which, strict=True)))
            assert int(cell.get("spend_picousd", "0")) == expected, (kind, org_id, month, which)


def assert_nothing_is_unaccounted_for(ledger: LedgerInMemory, auditor: Auditor, events: int) -> None:
    """R41, and included and prior-period money beside spend (R8, R19)."""
    counters = ledger.counters
    assert counters["usage_events"] == events
    assert counters["accepted"] == counters["rows"] == len(auditor.charges) == len(ledger.rows)
    assert counters.get("duplicates", 0) == auditor.duplicates
    assert counters.get("dead_letters", 0) == len(auditor.dead)
    assert len(ledger.identities) == len(auditor.charges)
    kept = {"spend_picousd": 0, "prior_period_picousd": 0, "included_picousd": 0, "rows": 0}
    for cell in map(json.loads, ledger.cells.values()):
        if cell["cell"] == "organization_month":
            kept = {name: total + int(cell.get(name, 0)) for name, total in kept.items()}
    assert kept.pop("rows") == len(auditor.charges)
    assert sum(kept.values()) == sum(charge.picousd for charge in auditor.charges)


def test_the_histories_hold_what_they_are_for() -> None:
    """Else the agreement above would say little."""
    told: list[tuple[Any, ...]] = []
    dead: set[str] = set()
    charges = []
    duplicates = 0
    for seed in SEEDS:
        auditor = audited(seed)
        told += [what for each in auditor.published.values() for what in each]
        dead |= set(auditor.dead)
        charges += auditor.charges
        duplicates += auditor.duplicates
    kinds = {what[0] for what in told}
    assert kinds == {"row", "breach", "resume", "applied", "refused", "repeated"}
    assert dead == {
        "malformed",
        "unknown_organization",
        "unknown_member",
        "unknown_model",
        "unpriced",
        "too_old",
        "in_the_future",
        "conflict",
    }
    assert duplicates > 100
    assert sum(charge.after_pause for charge in charges) > 100
    assert sum(charge.usage_month != charge.charge_month for charge in charges) > 20
    breaches = [what for what in told if what[0] == "breach"]
    assert {what[7] for what in breaches} == {"usage", "limit_changed"}
    assert max(what[3] for what in breaches) > 1, "some month is breached again after a resume"
    assert any(what[4] == 0 for what in breaches), "some limit is 0"
    assert {what[2] for what in told if what[0] == "refused"} >= {
        "not_allowed",
        "already_a_member",
        "command_id_reused",
    }


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.data())
def test_where_chunks_are_cut_changes_nothing(seed: int, data: st.DataObject) -> None:
    """R44: the same records give the same outputs and the same memory, but for what status was published last."""
    history = list(History(seed, length=60))
    whole = worked(history)
    sizes = st.integers(1, 12)
    cut = worked(history, chunk_sizes=lambda: data.draw(sizes))
    assert_same(cut, whole)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_a_ledger_restored_before_every_chunk_goes_on_as_if_nothing_had_happened(seed: int, size: int) -> None:
    history = list(History(seed, length=60))
    assert_same(worked(history, chunk_sizes=lambda: size, reborn=True), worked(history))


def assert_same(some: LedgerInMemory, other: LedgerInMemory) -> None:
    assert some.row_lines == other.row_lines
    for topic in ("limit-breaches", "account-events", "dead-letters"):
        assert some.outputs.get(topic, []) == other.outputs.get(topic, [])
    assert _as_charged(some.cells) == _as_charged(other.cells)
    assert some.identities == other.identities


def _as_charged(cells: dict[bytes, bytes]) -> dict[bytes, dict[str, Any]]:
    """Without the spend that was published last: when that is goes by chunks."""
    found = {key: json.loads(value) for key, value in cells.items()}
    return {key: {name: said for name, said in cell.items() if name != "told_picousd"} for key, cell in found.items()}
