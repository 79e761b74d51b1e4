"""What the ledger publishes beside rows: CloudEvents with an id that is the same on any day (R14a, R29)."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from schemas.events import (
    CommandApplied,
    Crossing,
    LimitBreached,
    LimitScope,
    MemberScope,
    OrganizationScope,
    TierScope,
    envelope,
    event_id,
)
from schemas.money import PICOUSD_PER_USD
from schemas.month import Month
from tests.support.builders import BILLING, micros, searches, set_limit
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
    wire = envelope(BREACH, ("once",))
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


def test_what_was_written_is_read_back() -> None:
    assert LimitBreached.model_validate_json(json.dumps(envelope(BREACH, ())["data"])) == BREACH


def test_every_scope_is_told_by_its_kind() -> None:
    scopes: TypeAdapter[Any] = TypeAdapter(LimitScope)
    for scope in (OrganizationScope(), TierScope(seat_tier="premium"), MemberScope(user_id="ann")):
        assert scopes.validate_json(scope.model_dump_json()) == scope


def test_an_id_tells_apart_what_differs() -> None:
    ids = {
        envelope(BREACH, ("a",))["id"],
        envelope(BREACH, ("b",))["id"],
        envelope(BREACH.model_copy(update={"org_id": "globex"}), ("a",))["id"],
        envelope(
            CommandApplied(
                org_id="acme",
                org_seq=7,
                at_micros=0,
                command_id="c",
                command="x",
                actor=BILLING,
                before={},
                after={},
            ),
            ("a",),
        )["id"],
    }
    assert len(ids) == 4


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
