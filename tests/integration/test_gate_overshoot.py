"""A thousand sessions of one member at a spend limit: what gets through after the crossing was in flight, and each
cent of it is told (R20, R25)."""

import asyncio
import time
from decimal import Decimal
from typing import Any, NamedTuple

import aiohttp
import pytest

from pipeline.gate.history import History
from tests.support.gate_world import PRODUCT, GateWorld, make_organization, usage

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

ORG = "thousand"
SESSIONS = 1_000
LIMIT_USD = Decimal("20.00")
CENTS = 3
PRICE_USD = Decimal("0.03")
CROSSING = 667
"""The first request with which 3 cents each come to 20 dollars: 667 × 0.03 = 20.01."""


class Asked(NamedTuple):
    """One answer of admission; instants are those of whoever asked."""

    event_id: str
    asked_at: float
    answered_at: float
    allowed: bool


async def go_on_until_denied(http: aiohttp.ClientSession, number: int, asked: list[Asked], taken: list[str]) -> None:
    """A session: before each request it asks, after it it publishes what was used."""
    for turn in range(1_000):
        event_id = f"session-{number}-{turn}"
        began = time.monotonic()
        async with http.get(f"/v1/organizations/{ORG}/members/mia/admission") as answer:
            assert answer.status == 200, await answer.text()
            allowed = (await answer.json())["allowed"]
        asked.append(Asked(event_id, began, time.monotonic(), allowed))
        if not allowed:
            return
        async with http.post("/v1/events", json=usage(event_id, ORG, CENTS)) as answer:
            assert answer.status == 202, await answer.text()
        taken.append(event_id)


async def rows_in_clickhouse(history: History, count: int) -> list[dict[str, Any]]:
    """Every priced event of the organisation, in the order in which they were charged."""
    names = ("event_id", "cost_usd", "after_pause")
    query = f"SELECT {', '.join(names)} FROM priced_usage WHERE org_id = {{org:String}} ORDER BY org_seq"
    async with asyncio.timeout(60):
        while len(rows := await history.rows(query, names, org=ORG)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return rows


async def test_what_gets_through_after_the_crossing_was_in_flight_and_every_cent_is_told(gate: GateWorld) -> None:
    await make_organization(gate, ORG)
    await gate.done("PUT", f"/v1/organizations/{ORG}/members/mia/spend-limit", {"limit_usd": "20.00"}, of="olga")
    asked: list[Asked] = []
    taken: list[str] = []
    connector = aiohttp.TCPConnector(limit=0)  # each session has a connection of its own
    headers = gate.headers(*PRODUCT)
    async with aiohttp.ClientSession(str(gate.http.base_url), connector=connector, headers=headers) as http:
        await asyncio.gather(*(go_on_until_denied(http, number, asked, taken) for number in range(SESSIONS)))

    # Whoever asks after anybody was denied is denied: all that got through had asked before.
    first_denial = min(answer.answered_at for answer in asked if not answer.allowed)
    assert all(answer.asked_at <= first_denial for answer in asked if answer.allowed)
    assert sorted(answer.event_id for answer in asked if answer.allowed) == sorted(taken)

    history = History(gate.settings.clickhouse_url, gate.settings.clickhouse_database)
    try:
        rows = await rows_in_clickhouse(history, len(taken))
        names = ("crossing_event_id", "spend_usd", "overshoot_usd")
        query = f"SELECT {', '.join(names)} FROM limit_events WHERE org_id = {{org:String}}"
        breaches = await history.rows(query, names, org=ORG)
    finally:
        await history.close()
    assert sorted(row["event_id"] for row in rows) == sorted(taken)

    # The crossing is the request that reached the limit; those after it, and no others, are marked.
    (breach,) = breaches
    assert [row["event_id"] for row in rows].index(breach["crossing_event_id"]) == CROSSING - 1
    assert [bool(row["after_pause"]) for row in rows] == [False] * CROSSING + [True] * (len(rows) - CROSSING)
    in_flight = {answer.event_id for answer in asked if answer.asked_at <= first_denial} - {
        row["event_id"] for row in rows[:CROSSING]
    }
    assert {row["event_id"] for row in rows[CROSSING:]} <= in_flight

    # What went over: at the crossing, and after it.
    after_usd = sum((Decimal(row["cost_usd"]) for row in rows[CROSSING:]), Decimal())
    assert Decimal(breach["overshoot_usd"]) == CROSSING * PRICE_USD - LIMIT_USD == Decimal("0.01")
    assert len(taken) * PRICE_USD - LIMIT_USD == Decimal(breach["overshoot_usd"]) + after_usd
    member = await gate.done("GET", f"/v1/organizations/{ORG}/members/mia", of="mia")
    assert Decimal(member["limit_usd"]) == LIMIT_USD
    assert (await gate.done("GET", f"/v1/organizations/{ORG}/breaches", of="adam"))["rows"][0][
        "overshoot_usd"
    ] == breach["overshoot_usd"]
