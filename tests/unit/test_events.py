"""What the ledger publishes beside rows: CloudEvents with an id that is the same on any day (R14a, R29)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.events import (
    Crossing,
    LedgerEvent,
    LimitBreached,
    LimitScope,
    MemberScope,
    OrganizationScope,
    TierScope,
    envelope,
    event_id,
)
from schemas.export import EVENTS
from schemas.money import PICOUSD_PER_USD
from schemas.month import Month
from tests.support import examples
from tests.support.builders import micros, searches, set_limit
from tests.support.ledger import acme

BREACH = LimitBreached(
    org_id="acme",
    org_seq=7,
    at_micros=micros("2026-05-10T12:00:00.5Z"),
    scope=OrganizationScope(),
    month=Month(2026, 5),
    limit_version=3,
    episode=2,
    limit_picousd=250 * PICOUSD_PER_USD,
    spend_picousd=2**53 + 1,
    overshoot_picousd=0,
    cause="usage",
    crossing=Crossing(event_id="e", source="", input_partition=1, input_offset=2**40, input_index=0),
    paused_from_micros=micros("2026-05-10T12:00:00.5Z"),
    paused_until_micros=micros("2026-06-01T00:00:00Z"),
)


def test_a_breach_on_the_wire() -> None:
    wire = envelope(BREACH)
    assert {name: value for name, value in wire.items() if name not in ("id", "data")} == {
        "specversion": "1.0",
        "type": "usage-credits.limit.breached",
        "source": "usage-credits",
        "subject": "acme",
        "time": "2026-05-10T12:00:00.500Z",
        "datacontenttype": "application/json",
    }
    assert wire["data"] == {
        "org_id": "acme",
        "org_seq": 7,
        "at": "2026-05-10T12:00:00.500Z",
        "scope": {"kind": "organization"},
        "month": "2026-05",
        "limit_version": 3,
        "episode": 2,
        "limit_picousd": "250000000000000",
        "spend_picousd": "9007199254740993",  # beyond what a JSON number keeps
        "overshoot_picousd": "0",
        "cause": "usage",
        "crossing": {"event_id": "e", "source": "", "input_partition": 1, "input_offset": 2**40, "input_index": 0},
        "paused_from": "2026-05-10T12:00:00.500Z",
        "paused_until": "2026-06-01T00:00:00Z",
    }


def test_there_is_an_example_of_every_event() -> None:
    assert {type(event) for event in examples.EVENTS} == set(EVENTS)


@pytest.mark.parametrize("event", [BREACH, *examples.EVENTS], ids=lambda event: event.TYPE)
def test_what_was_written_is_read_back(event: LedgerEvent) -> None:
    assert type(event).model_validate_json(json.dumps(envelope(event)["data"])) == event


def test_every_scope_is_told_by_its_kind() -> None:
    scopes: TypeAdapter[Any] = TypeAdapter(LimitScope)
    for scope in (OrganizationScope(), TierScope(seat_tier="premium"), MemberScope(user_id="ann")):
        assert scopes.validate_json(scope.model_dump_json()) == scope


def example(name: str, **change: Any) -> LedgerEvent:
    by_type = {event.TYPE: event for event in examples.EVENTS}
    return by_type[f"usage-credits.{name}"].model_copy(update=change)


# Ids that were given once are given for ever.
IDS = [
    ("limit.breached", {}, "fa96f3f47c953d5fa1459403628d8211"),
    ("limit.resumed", {"limit_version": 4}, "83f87099f465e75425c49bea408e9751"),
    ("command.applied", {}, "83875120b6b5b9b61b1baa114602f793"),
    ("command.refused", {}, "319ba5ad4e027b3b089dcca48838255a"),
    ("command.refused", {"reason": "command_id_reused"}, "73f037f0f9bb851cbdad984c7105c31b"),
    ("command.repeated", {}, "b578500e364e83deddc11d37283fde1e"),
]


@pytest.mark.parametrize(("name", "change", "given_id"), IDS)
def test_an_id_is_the_same_as_ever(name: str, change: Any, given_id: str) -> None:
    assert envelope(example(name, **change))["id"] == given_id


MEMBER = MemberScope(user_id="ann")
IN_THE_TIER = MemberScope(user_id="ann", seat_tier="premium")
LIMIT = [{"scope": MEMBER}, {"scope": IN_THE_TIER}, {"scope": TierScope(seat_tier="premium")}, {"limit_version": 9}]
LIMIT += [{"month": Month(2026, 6)}]
TELLS_APART: dict[str, list[Any]] = {
    "ledger.entry": ({"org_seq": 99}, {"account": "unbilled"}, {"type": "grant"}, {"lot_id": "l-2"}),
    "reload.requested": ({"reload_id": "r-2", "number": 2},),
    "purchase.requested": ({"purchase_id": "p-2"},),
    "limit.breached": [*LIMIT, {"episode": 3}],
    "limit.resumed": [LIMIT[0], *LIMIT[2:], {"episode": 3}],
    "credits.paused": [{"pause_number": 2}],
    "credits.resumed": [{"pause_number": 2}],
    "command.applied": [{"command_id": "d"}],
    "command.refused": [{"command_id": "d"}, {"reason": "unknown_organization"}],
    "command.repeated": [{"command_id": "d"}, {"org_seq": 8}],
    "threshold.reached": [*LIMIT, {"percent": 100}],
    "balance.low": [{"org_seq": 8}],
    "auto_reload.suspended": [{"reload_id": "r-2"}, {"reason": "failed"}],
    "requests.digest": [{"day": "2026-05-11"}],
    "invoice.drafted": [{"month": Month(2026, 6)}, {"part": 2}],
    "invoice.finalized": [{"month": Month(2026, 6)}, {"part": 2}],
    "invoice.continued": [{"month": Month(2026, 6)}, {"part": 2}, {"of": "invoice"}, {"first_line": 2_000}],
    "credit_note.issued": [{"number": 2}],
    "payment.received": [{"payment_id": "pay-10"}],
    "statement.issued": [{"month": Month(2026, 6)}],
}


def test_an_id_tells_apart_what_differs() -> None:
    events = [example(name, **change) for name, changes in TELLS_APART.items() for change in ({}, *changes)]
    assert {event.TYPE for event in events} == {event.TYPE for event in EVENTS}
    events += [event.model_copy(update={"org_id": "globex"}) for event in events]
    assert len({envelope(event)["id"] for event in events}) == len(events)


@pytest.mark.parametrize("event", examples.EVENTS, ids=lambda event: event.TYPE)
def test_an_id_does_not_depend_on_when_it_was_said(event: LedgerEvent) -> None:
    again = event.model_copy(update={"at_micros": event.at_micros + 1})
    assert envelope(again)["id"] == envelope(event)["id"]


def test_an_event_without_an_identity_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract method"):
        LedgerEvent(org_id="acme", org_seq=1, at_micros=0)  # type: ignore[abstract]


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("limit.breached", {"cause": "whim"}),
    ("limit.resumed", {"cause": "usage"}),  # usage only adds
    ("credits.paused", {"reason": "limit"}),
    ("credits.resumed", {"pause_number": -1}),
    ("threshold.reached", {"scope": {"kind": "planet"}}),
    ("balance.low", {"balance_picousd": 9.5}),
    ("auto_reload.suspended", {"reason": "paid"}),
    ("requests.digest", {"day": "2026-05-32"}),
    ("requests.digest", {"requests": []}),  # none outstanding, no mail
]


@pytest.mark.parametrize(("name", "change"), WRONG)
def test_anything_else_is_no_event(name: str, change: dict[str, Any]) -> None:
    event = example(name)
    with pytest.raises(ValidationError):
        type(event).model_validate_json(json.dumps(envelope(event)["data"] | change))


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126)), min_size=2, max_size=4))
def test_an_id_depends_on_where_one_part_ends_and_the_next_begins(parts: list[str]) -> None:
    joined = ["".join(parts[:2]), *parts[2:]]
    assert event_id(*parts) == event_id(*parts)
    assert event_id(*parts) != event_id(*joined)


def test_what_the_ledger_writes_is_a_cloud_event_each() -> None:
    ledger = acme()
    ledger.usage(searches("a", 100))
    ledger.commands(set_limit("1"))
    written = ledger.envelopes("account-events") + ledger.envelopes("limit-breaches")
    assert len(written) == 5
    for wire in written:
        assert wire["specversion"] == "1.0"
        assert wire["type"].startswith("usage-credits.")
        assert wire["subject"] == wire["data"]["org_id"] == "acme"
        assert wire["time"] == wire["data"]["at"]
