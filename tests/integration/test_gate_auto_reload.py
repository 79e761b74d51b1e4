"""How auto-reload stands, as owners read it: suspended by a failure, and for as long as the ledger holds it so (R5)."""

import asyncio

import pytest

from pipeline.domain.reloads import reload_id
from tests.support.gate_world import BILLING, PRODUCT, GateWorld, usage

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

AT = "/v1/organizations/reloading"
RELOAD = {"enabled": True, "threshold_usd": "10.00", "amount_usd": "50.00", "monthly_maximum_usd": None}


async def stored(gate: GateWorld) -> int:
    answer = await gate.call("GET", f"{AT}/audit-log?limit=1", of="olga")
    rows = answer.json().get("rows")  # none while the sink makes its tables
    return rows[0]["org_seq"] if rows else 0


async def is_suspended(gate: GateWorld, expected: bool) -> None:
    """Once ClickHouse has all that was answered until now."""
    last = (await gate.done("PUT", f"{AT}/thresholds", {"percents": [50]}, of="olga"))["org_seq"]
    async with asyncio.timeout(60):
        while await stored(gate) < last:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (await gate.done("GET", f"{AT}/auto-reload", of="olga"))["suspended"] is expected


async def test_what_ends_a_suspension_ends_it_here_and_nothing_else_does(gate: GateWorld) -> None:
    await gate.done("PUT", AT, {"plan": "enterprise", "primary_owner": "olga"}, of=BILLING)
    await gate.done("PUT", f"{AT}/credits/enabled", {"enabled": True}, of="olga")
    await gate.done("POST", "/v1/events", [usage("reloading-1", "reloading", 100, "olga")], of=PRODUCT)
    async with asyncio.timeout(60):
        while (await gate.done("GET", AT, of="olga"))["spend_usd"] == "0.00":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await gate.done("PUT", f"{AT}/plan", {"plan": "team"}, of=BILLING)
    await gate.done("PUT", f"{AT}/auto-reload", RELOAD, of="olga")
    reloads = f"{AT}/reloads/{reload_id('reloading', 1)}"
    await gate.done("POST", f"{reloads}/failed", {"detail": "card declined"}, of=BILLING)
    await is_suspended(gate, True)

    invoice = {"payment_id": "pay-reloading-1", "amount_usd": "1.00", "invoice_number": 1}
    await gate.done("POST", f"{AT}/payments", invoice, of=BILLING)
    await is_suspended(gate, True)  # the money is for an invoice, not for credits

    late = {"payment_id": "pay-reloading-2", "amount_usd": "50.00"}
    await gate.done("POST", f"{reloads}/paid", late, of=BILLING)
    await is_suspended(gate, False)
